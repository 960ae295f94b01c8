"""DCN against Wang et al., ADKDD 2017 (vector) and WWW 2021 (matrix)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.models import DCN
from tests.support.cases import FIELDS, Case, inputs
from tests.support.reference import Row, assert_follows, penalty_of, randomized

CASE = Case("DCN", start=("crossnet.",))


def crossed(row: Row) -> np.ndarray:
    """x_{l+1} = x_0 (x_l . w) + b + x_l (vector), x_0 * (W x_l + b) + x_l (matrix), element by element."""
    x0 = row.flat
    x = x0
    for kernel, bias in zip(row.w["crossnet.kernels"], row.w["crossnet.bias"][..., 0], strict=True):
        if kernel.shape[1] == 1:
            scale = sum(x[j] * kernel[j, 0] for j in range(len(x)))
            x = np.array([x0[i] * scale + bias[i] + x[i] for i in range(len(x))])
        else:
            projected = [sum(kernel[i, j] * x[j] for j in range(len(x))) + bias[i] for i in range(len(x))]
            x = np.array([x0[i] * projected[i] + x[i] for i in range(len(x))])
    return x


def output(row: Row, inputs: np.ndarray) -> float:
    return float(row.w["dnn_linear.weight"][0] @ inputs)


@pytest.mark.parametrize("kind", ["vector", "matrix"])
def test_logit_joins_cross_network_and_dnn(kind: str) -> None:
    model = randomized(DCN(FIELDS, FIELDS, 2, kind, dnn_hidden_units=(6, 5)), 0.15)
    assert_follows(
        model, inputs(FIELDS, 6), lambda r: r.linear + output(r, np.concatenate([crossed(r), r.dnn(r.flat)]))
    )


@pytest.mark.parametrize("kind", ["vector", "matrix"])
def test_without_hidden_units_the_cross_network_is_left(kind: str) -> None:
    """C13 in `docs/differences.md`."""
    model = randomized(DCN(FIELDS, FIELDS, 3, kind, dnn_hidden_units=()), 0.15)
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + output(r, crossed(r)))


def test_without_cross_layers_the_dnn_is_left_and_old_empty_kernels_are_dropped() -> None:
    model = randomized(DCN(FIELDS, FIELDS, cross_num=0, dnn_hidden_units=(4,)))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + output(r, r.dnn(r.flat)))
    state = model.state_dict()
    assert not any(k.startswith("crossnet") for k in state)
    old = {**state, "crossnet.kernels": torch.zeros(0, 24, 1), "crossnet.bias": torch.zeros(0, 24, 1)}
    assert str(model.load_state_dict(old)) == "<All keys matched successfully>"


def test_without_both_the_linear_side_is_left() -> None:
    model = randomized(DCN(FIELDS, FIELDS, cross_num=0, dnn_hidden_units=()))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear)


def test_every_penalty_reaches_what_it_names() -> None:
    """W12 in `docs/differences.md`."""
    model = DCN(
        FIELDS, FIELDS, dnn_hidden_units=(4,), l2_reg_linear=0.1, l2_reg_embedding=0.2, l2_reg_cross=0.6, l2_reg_dnn=0.5
    )
    assert penalty_of(model) == {
        "embedding_dict": 0.2,
        "linear_model.weight": 0.1,
        "linear_model.embedding_dict": 0.1,
        "dnn.linears.0.weight": 0.5,
        "dnn_linear.weight": 0.5,
        "crossnet.kernels": 0.6,
    }


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="unknown parameterization 'matrx': did you mean 'matrix'"):
        DCN(FIELDS, FIELDS, cross_parameterization="matrx")
    with pytest.raises(ValueError, match="cross_num must be an integer of at least 0, got -1"):
        DCN(FIELDS, FIELDS, cross_num=-1)
