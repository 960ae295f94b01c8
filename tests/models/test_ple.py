"""PLE against loops over levels, tasks and experts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models import PLE

COLUMNS = [SparseFeat("a", 5, 3), DenseFeat("d", 2)]


def model(**kwargs: Any) -> PLE:
    options = {"expert_dnn_hidden_units": (4,), "gate_dnn_hidden_units": (3,), "tower_dnn_hidden_units": (2,)} | kwargs
    ple = PLE(COLUMNS, **options)
    with torch.no_grad():
        for p in ple.parameters():
            p.normal_(0.0, 0.5)
    return ple.eval()


def data(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 5, rows), "d": rng.normal(size=(rows, 2))}


def dnn(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    for i in range(9):
        if f"{name}.linears.{i}.weight" in state:
            x = torch.relu(x @ state[f"{name}.linears.{i}.weight"].T + state[f"{name}.linears.{i}.bias"])
    return x


def mixture(state: dict[str, Tensor], gate: str, final: str, x: Tensor, experts: list[Tensor]) -> Tensor:
    weights = torch.softmax(dnn(state, gate, x) @ state[f"{final}.weight"].T, dim=1)
    return sum((weights[:, i : i + 1] * e for i, e in enumerate(experts)), torch.tensor(0.0))


def level(
    state: dict[str, Tensor], inputs: list[Tensor], number: int, own: int, shared: int, last: bool
) -> list[Tensor]:
    """Equations 1 to 3 of the paper, and figure 5."""
    tasks = len(inputs) - 1
    specific = [[dnn(state, f"specific_experts.{number}.{t}.{e}", inputs[t]) for e in range(own)] for t in range(tasks)]
    common = [dnn(state, f"shared_experts.{number}.0.{e}", inputs[-1]) for e in range(shared)]
    out = []
    for t in range(tasks):
        final = f"specific_gate_dnn_final_layer.{number}.{t}"
        out.append(mixture(state, f"specific_gate_dnn.{number}.{t}.0", final, inputs[t], specific[t] + common))
    if not last:
        every = [e for group in specific for e in group] + common
        out.append(
            mixture(state, f"shared_gate_dnn.{number}", f"shared_gate_dnn_final_layer.{number}", inputs[-1], every)
        )
    return out


SIZES = [(1, 1, 2), (3, 2, 2), (1, 2, 3), (2, 1, 1)]  # shared, specific, levels


@pytest.mark.parametrize("gate", [(3,), ()])
@pytest.mark.parametrize(("common", "own", "levels"), SIZES)
def test_ple_is_the_paper_s(common: int, own: int, levels: int, gate: tuple[int, ...]) -> None:  # W18 too
    kinds, names = ("binary", "regression", "binary"), ("a", "b", "c")
    numbers = {"shared_expert_num": common, "specific_expert_num": own, "num_levels": levels}
    ple = model(**numbers, gate_dnn_hidden_units=gate, task_types=kinds, task_names=names)
    state, x = ple.state_dict(), data(6)
    row = torch.cat([state["embedding_dict.a.weight"][x["a"]], torch.tensor(x["d"], dtype=torch.float32)], dim=1)
    inputs = [row] * 4
    for number in range(levels):
        inputs = level(state, inputs, number, own, common, number == levels - 1)
    for t, kind in enumerate(kinds):
        logit = (
            dnn(state, f"tower_dnn.{t}", inputs[t]) @ state[f"tower_dnn_final_layer.{t}.weight"].T
            + state[f"out.{t}.bias"]
        )
        expected = torch.sigmoid(logit) if kind == "binary" else logit
        np.testing.assert_allclose(ple.predict(x)[:, t], expected[:, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("number", [0, 1])
def test_cgc_net_is_one_level(number: int) -> None:
    ple = model(shared_expert_num=2, specific_expert_num=3)
    inputs = [torch.randn(5, 5 if number == 0 else 4) for _ in range(3)]
    expected = level(ple.state_dict(), inputs, number, 3, 2, number == 1)
    given = ple.cgc_net(inputs, number)
    assert len(given) == len(expected) == (3 if number == 0 else 2)
    for a, b in zip(given, expected, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(ValueError, match="inputs must be 3 tensors"):
        ple.cgc_net(inputs[:2], number)


def test_the_last_level_has_no_shared_gate_and_old_checkpoints_load() -> None:
    ple = model(shared_expert_num=1, specific_expert_num=2)
    state = ple.state_dict()
    shared_gates = {k.split(".")[1] for k in state if k.startswith("shared_gate")}
    assert shared_gates == {"0"}
    old = state | {
        "shared_gate_dnn.1.linears.0.weight": torch.rand(3, 4),
        "shared_gate_dnn_final_layer.1.weight": torch.rand(5, 3),
    }
    old |= {f"shared_experts.{n}.0.1.linears.0.bias": torch.rand(4) for n in (0, 1)}
    other = model(shared_expert_num=1, specific_expert_num=2)
    other.load_state_dict(old)
    x = data(4)
    np.testing.assert_array_equal(other.predict(x), ple.predict(x))


def test_as_many_shared_experts_as_asked_for() -> None:
    """W18 in `docs/differences.md`."""
    state = model(shared_expert_num=3, specific_expert_num=1).state_dict()
    assert {k.split(".")[3] for k in state if k.startswith("shared_experts.0")} == {"0", "1", "2"}
    assert {k.split(".")[3] for k in state if k.startswith("specific_experts.0.0")} == {"0"}


def test_penalty_is_that_of_weights() -> None:
    ple = model(l2_reg_dnn=0.1, l2_reg_embedding=0)
    named = [v for k, v in ple.state_dict().items() if k.endswith("weight") and "embedding" not in k]
    torch.testing.assert_close(ple.get_regularization_loss().squeeze(), 0.1 * sum(v.square().sum() for v in named))


@pytest.mark.parametrize("name", ["shared_expert_num", "specific_expert_num", "num_levels"])
def test_numbers_are_at_least_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
        model(**{name: 0})
