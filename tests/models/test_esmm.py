"""ESMM: a product of two probabilities, learned in the space of all impressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models import ESMM
from tests.support.cases import Case

CASE = Case("ESMM", refused={"task_types": "only binary tasks have a product of probabilities"})

COLUMNS = [SparseFeat("a", 5, 3), DenseFeat("d", 2)]


def model(**kwargs: Any) -> ESMM:
    return ESMM(COLUMNS, **{"tower_dnn_hidden_units": (4,), "init_std": 0.5} | kwargs)


def data(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 5, rows), "d": rng.normal(size=(rows, 2))}


def tower(state: dict[str, torch.Tensor], name: str, t: int, row: torch.Tensor) -> torch.Tensor:
    hidden = torch.relu(state[f"{name}_dnn.linears.0.weight"] @ row + state[f"{name}_dnn.linears.0.bias"])
    return torch.sigmoid(state[f"{name}_dnn_final_layer.weight"] @ hidden + state[f"out.{t}.bias"])


def test_esmm_is_equation_1() -> None:
    esmm, x = model().eval(), data(6)
    with torch.no_grad():
        esmm.out.get_parameter("0.bias").fill_(0.3)
        esmm.out.get_parameter("1.bias").fill_(-0.4)
    state = esmm.state_dict()
    for b in range(6):
        row = torch.cat([state["embedding_dict.a.weight"][x["a"][b]], torch.tensor(x["d"][b], dtype=torch.float32)])
        ctr, cvr = tower(state, "ctr", 0, row), tower(state, "cvr", 1, row)
        np.testing.assert_allclose(esmm.predict(x)[b], [ctr.item(), (ctr * cvr).item()], atol=1e-6)


def test_loss_is_that_of_both_probabilities_over_all_rows() -> None:
    esmm, x = model(l2_reg_embedding=0), data(8)
    y = np.array([[1, 1], [1, 0], [0, 0], [0, 0], [1, 1], [0, 0], [1, 0], [0, 0]], dtype=float)
    p = esmm.predict(x)
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / 8
    esmm.compile("sgd", ["binary_crossentropy"] * 2)
    assert esmm.fit(x, y, batch_size=8, verbose=0).history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_every_tower_has_its_bias_and_an_old_one_fills_both() -> None:
    """W17 in `docs/differences.md`."""
    esmm, x = model(), data(5)
    state = esmm.state_dict()
    assert [k for k in state if k.startswith("out")] == ["out.0.bias", "out.1.bias"]
    old = {k: v for k, v in state.items() if not k.startswith("out")} | {"out.bias": torch.tensor([0.7])}
    esmm.load_state_dict(old)
    assert esmm.state_dict()["out.0.bias"].item() == esmm.state_dict()["out.1.bias"].item() == pytest.approx(0.7)
    esmm.compile("sgd", ["binary_crossentropy"] * 2, learning_rate=0.5)
    esmm.fit(x, np.zeros((5, 2)), verbose=0)
    assert esmm.state_dict()["out.0.bias"].item() != esmm.state_dict()["out.1.bias"].item()


def test_conversions_are_never_likelier_than_clicks() -> None:
    p = model(init_std=2.0).predict(data(50))
    assert (p[:, 1] <= p[:, 0]).all()


@pytest.mark.parametrize(
    "tasks",
    [
        {"task_types": ("binary", "regression")},
        {"task_types": ("binary",) * 3, "task_names": ("a", "b", "c")},
        {"task_names": ("a",)},
    ],
    ids=str,
)
def test_two_binary_tasks_only(tasks: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly two tasks, both binary"):
        model(**tasks)
