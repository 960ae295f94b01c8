"""MMOE against loops over tasks and experts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models import MMOE

COLUMNS = [SparseFeat("a", 5, 3), DenseFeat("d", 2)]


def data(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 5, rows), "d": rng.normal(size=(rows, 2))}


def dnn(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    for i in range(9):
        if f"{name}.linears.{i}.weight" in state:
            x = torch.relu(state[f"{name}.linears.{i}.weight"] @ x + state[f"{name}.linears.{i}.bias"])
    return x


@pytest.mark.parametrize("tower", [(2,), ()])
@pytest.mark.parametrize("gate", [(3,), ()])
def test_mmoe_is_equations_5_to_7(gate: tuple[int, ...], tower: tuple[int, ...]) -> None:
    model = MMOE(COLUMNS, 4, (4, 3), gate, tower, task_types=("binary", "regression")).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0.0, 0.5)
    state, x = model.state_dict(), data(6)
    for b in range(6):
        row = torch.cat([state["embedding_dict.a.weight"][x["a"][b]], torch.tensor(x["d"][b], dtype=torch.float32)])
        experts = [dnn(state, f"expert_dnn.{e}", row) for e in range(4)]
        for t in range(2):
            weights = torch.softmax(state[f"gate_dnn_final_layer.{t}.weight"] @ dnn(state, f"gate_dnn.{t}", row), dim=0)
            mixed = sum((w * e for w, e in zip(weights, experts, strict=True)), torch.zeros(3))
            logit = (
                state[f"tower_dnn_final_layer.{t}.weight"] @ dnn(state, f"tower_dnn.{t}", mixed)
                + state[f"out.{t}.bias"]
            )
            expected = torch.sigmoid(logit) if t == 0 else logit
            np.testing.assert_allclose(model.predict(x)[b, t], expected.item(), atol=1e-5)


def test_a_batch_of_one_row() -> None:
    """C7 in `docs/differences.md`."""
    model, x = MMOE(COLUMNS, init_std=0.3), data(1)
    model.compile("adam", ["binary_crossentropy"] * 2, metrics=["auc", "logloss"])
    model.fit(x, np.array([[1.0, 0.0]]), verbose=0)
    assert model.predict(x).shape == (1, 2)


def test_two_experts_at_least() -> None:
    with pytest.raises(ValueError, match="num_experts must be an integer of at least 2, got 1"):
        MMOE(COLUMNS, num_experts=1)


def test_penalty_is_that_of_weights() -> None:
    model = MMOE(COLUMNS, 3, (4,), (3,), (2,), l2_reg_dnn=0.1, l2_reg_embedding=0, init_std=0.5)
    named = [v for k, v in model.state_dict().items() if k.endswith("weight") and "embedding" not in k]
    torch.testing.assert_close(model.get_regularization_loss().squeeze(), 0.1 * sum(v.square().sum() for v in named))
