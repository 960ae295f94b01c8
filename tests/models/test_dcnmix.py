"""DCN-Mix against Wang et al., WWW 2021: the mixture of low-rank cross experts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.models import DCNMix
from tests.support.cases import FIELDS, Case, inputs
from tests.support.reference import Row, assert_follows, penalty_of, randomized

CASE = Case("DCNMix", free=("crossnet.gating.",), start=("crossnet.",))


def crossed(row: Row) -> np.ndarray:
    """x_{l+1} = sum_k G_k(x_l) x_0 * (U_k tanh(C_k tanh(V_k^T x_l)) + b_l) + x_l, expert by expert."""
    x0 = row.flat
    x = x0
    w = {k: row.w[f"crossnet.{k}"] for k in ("U_list", "V_list", "C_list", "bias")}
    layers, experts = w["U_list"].shape[:2]
    for layer in range(layers):
        scores = [float(row.w[f"crossnet.gating.{k}.weight"][0] @ x) for k in range(experts)]
        gates = np.exp(scores) / sum(np.exp(scores))
        total = x
        for k in range(experts):
            low = np.tanh(w["C_list"][layer, k] @ np.tanh(w["V_list"][layer, k].T @ x))
            total = total + gates[k] * x0 * (w["U_list"][layer, k] @ low + w["bias"][layer, :, 0])
        x = total
    return x


def output(row: Row, inputs: np.ndarray) -> float:
    return float(row.w["dnn_linear.weight"][0] @ inputs)


@pytest.mark.parametrize("experts", [1, 3])
def test_logit_joins_cross_network_and_dnn(experts: int) -> None:
    model = DCNMix(FIELDS, FIELDS, dnn_hidden_units=(6, 5), low_rank=3, num_experts=experts)
    randomized(model, 0.2)
    assert_follows(
        model, inputs(FIELDS, 6), lambda r: r.linear + output(r, np.concatenate([crossed(r), r.dnn(r.flat)]))
    )


def test_a_batch_of_one_row_is_the_same_row_of_a_batch() -> None:
    """C6 in `docs/differences.md`."""
    model = randomized(DCNMix(FIELDS, FIELDS, dnn_hidden_units=(4,), low_rank=2), 0.2)
    x = inputs(FIELDS, 4)
    alone = model.predict({k: v[2:3] for k, v in x.items()})
    np.testing.assert_allclose(alone, model.predict(x)[2:3], atol=1e-6)


def test_without_hidden_units_the_cross_network_is_left() -> None:
    """C13 in `docs/differences.md`."""
    model = randomized(DCNMix(FIELDS, FIELDS, 1, dnn_hidden_units=(), low_rank=2), 0.2)
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + output(r, crossed(r)))


def test_without_cross_layers_the_dnn_is_left_and_the_old_gating_is_dropped() -> None:
    model = randomized(DCNMix(FIELDS, FIELDS, cross_num=0, dnn_hidden_units=(4,)))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + output(r, r.dnn(r.flat)))
    old = {**model.state_dict(), "crossnet.gating.0.weight": torch.zeros(1, 24), "crossnet.bias": torch.zeros(0, 24, 1)}
    assert str(model.load_state_dict(old)) == "<All keys matched successfully>"


def test_without_both_the_linear_side_is_left() -> None:
    model = randomized(DCNMix(FIELDS, FIELDS, cross_num=0, dnn_hidden_units=()))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear)


def test_every_penalty_reaches_what_it_names() -> None:
    """W12 in `docs/differences.md`."""
    strengths = {"l2_reg_linear": 0.1, "l2_reg_embedding": 0.2, "l2_reg_cross": 0.6, "l2_reg_dnn": 0.5}
    model = DCNMix(FIELDS, FIELDS, dnn_hidden_units=(4,), low_rank=2, **strengths)
    assert penalty_of(model) == {
        "embedding_dict": 0.2,
        "linear_model.weight": 0.1,
        "linear_model.embedding_dict": 0.1,
        "dnn.linears.0.weight": 0.5,
        "dnn_linear.weight": 0.5,
        "crossnet.U_list": 0.6,
        "crossnet.V_list": 0.6,
        "crossnet.C_list": 0.6,
    }


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="num_experts must be an integer of at least 1, got 0"):
        DCNMix(FIELDS, FIELDS, num_experts=0)
    with pytest.raises(ValueError, match=r"cross_num must be an integer of at least 0, got 1\.5"):
        DCNMix(FIELDS, FIELDS, cross_num=1.5)
