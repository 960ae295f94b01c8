"""DIFM against its paper's formula, and what the original gets wrong."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from deepctr_torch.models.difm import DIFM
from tests.support import reference
from tests.support.cases import FIELDS, PRICE, USER, Case, inputs

CASE = Case("DIFM", start=("vector_wise_net.",))

NAMES = ["user", "item", "city", "genres", "tags"]


@pytest.mark.parametrize(("heads", "residual", "hidden"), [(2, True, (6, 5)), (4, False, ())])
def test_equals_the_papers_formula(heads: int, residual: bool, hidden: tuple[int, ...]) -> None:
    model = reference.randomized(DIFM(FIELDS, FIELDS, heads, residual, hidden))
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    for row in range(6):
        fields = reference.vectors(state, FIELDS, x, row)
        attended = reference.interacting(state, "vector_wise_net", fields, heads, residual, scaling=True)
        vector_wise = state["transform_matrix_P_vec.weight"] @ attended.reshape(-1)
        hidden_units = reference.dnn(state, "bit_wise_net", fields.reshape(-1))
        factors = vector_wise + state["transform_matrix_P_bit.weight"] @ hidden_units
        scaled = [m * v for m, v in zip(factors, fields, strict=True)]
        pairs = sum(float(scaled[i] @ scaled[j]) for i, j in combinations(range(5), 2))
        logit = reference.linear(state, FIELDS, x, row, dict(zip(NAMES, factors, strict=True))) + pairs
        expected.append(reference.sigmoid(logit + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-5)


def test_the_penalty_reaches_both_networks() -> None:
    """W12 in `docs/differences.md`."""
    model = DIFM(FIELDS, FIELDS, 2, True, (3,), l2_reg_linear=0, l2_reg_embedding=0, l2_reg_dnn=0.5)
    parts = ["vector_wise_net.W_Query", "vector_wise_net.W_key", "vector_wise_net.W_Value", "vector_wise_net.W_Res"]
    parts += ["bit_wise_net.linears.0.weight", "transform_matrix_P_vec.weight", "transform_matrix_P_bit.weight"]
    expected = 0.5 * sum(model.get_parameter(name).detach().square().sum() for name in parts)
    torch.testing.assert_close(model.get_regularization_loss().detach(), expected.reshape(1))


def test_dense_features_are_only_on_the_linear_side() -> None:
    """W23 in `docs/differences.md`."""
    model = reference.randomized(DIFM([], FIELDS, 2, dnn_hidden_units=(4,)))
    x = inputs(FIELDS, 4)
    np.testing.assert_array_equal(model.predict(x), model.predict({**x, "price": x["price"] + 1}))


def test_without_fields_it_is_the_linear_side() -> None:
    """C14 in `docs/differences.md`."""
    model = reference.randomized(DIFM([PRICE, USER], [PRICE]))
    x, state = inputs(FIELDS, 3), reference.state_of(model)
    assert [key for key in state if "linear_model" not in key] == ["out.bias"]
    logits = [reference.linear(state, [PRICE, USER], x, row) + state["out.bias"] for row in range(3)]
    np.testing.assert_allclose(model.predict(x), reference.sigmoid(logits), atol=1e-6)


def test_classes() -> None:
    model = reference.randomized(DIFM(FIELDS, FIELDS, 2, dnn_hidden_units=(4,), task="multiclass", num_classes=3))
    np.testing.assert_allclose(model.predict(inputs(FIELDS, 4)).sum(axis=1), 1, atol=1e-6)
