"""IFM against its paper's formula, and what the original gets wrong."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from deepctr_torch.features import SparseFeat
from deepctr_torch.models.ifm import IFM
from tests.support import reference
from tests.support.cases import CITY, FIELDS, GENRES, ITEM, PRICE, TAGS, USER, inputs

NAMES = ["user", "item", "city", "genres", "tags"]


def factors_of(state: reference.State, fields: reference.Array) -> reference.Array:
    hidden = reference.dnn(state, "factor_estimating_net", fields.reshape(-1))
    return len(fields) * reference.softmax(state["transform_weight_matrix_P.weight"] @ hidden)


@pytest.mark.parametrize(("hidden", "bn"), [((6, 5), False), ((), False), ((4,), True)])
def test_equals_the_papers_formula(hidden: tuple[int, ...], bn: bool) -> None:
    model = reference.randomized(IFM(FIELDS, FIELDS, hidden, dnn_use_bn=bn))
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    for row in range(6):
        fields = reference.vectors(state, FIELDS, x, row)
        factors = factors_of(state, fields)
        scaled = [m * v for m, v in zip(factors, fields, strict=True)]
        pairs = sum(float(scaled[i] @ scaled[j]) for i, j in combinations(range(5), 2))
        logit = reference.linear(state, FIELDS, x, row, dict(zip(NAMES, factors, strict=True))) + pairs
        expected.append(reference.sigmoid(logit + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_weights_and_factors_are_paired_by_name() -> None:
    linear, deep = [TAGS, CITY, PRICE, USER], [USER, CITY, ITEM, GENRES]  # tags has no factor: it counts as it is
    model = reference.randomized(IFM(linear, deep, (4,)))
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    for row in range(6):
        fields = reference.vectors(state, deep, x, row)
        factors = dict(zip(["user", "city", "item", "genres"], factors_of(state, fields), strict=True))
        scaled = [m * v for m, v in zip(factors.values(), fields, strict=True)]
        pairs = sum(float(scaled[i] @ scaled[j]) for i, j in combinations(range(4), 2))
        expected.append(reference.sigmoid(reference.linear(state, linear, x, row, factors) + pairs + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)
    assert model.sparse_feat_num == 4


def test_dense_features_are_only_on_the_linear_side() -> None:
    """W23 in `docs/differences.md`."""
    model = reference.randomized(IFM([], FIELDS, (4,)))
    x = inputs(FIELDS, 4)
    np.testing.assert_array_equal(model.predict(x), model.predict({**x, "price": x["price"] + 1}))


def test_without_fields_it_is_the_linear_side() -> None:
    """C14 in `docs/differences.md`."""
    model = reference.randomized(IFM([PRICE, USER], [PRICE]))
    x, state = inputs(FIELDS, 3), reference.state_of(model)
    assert [key for key in state if "linear_model" not in key] == ["out.bias"]
    logits = [reference.linear(state, [PRICE, USER], x, row) + state["out.bias"] for row in range(3)]
    np.testing.assert_allclose(model.predict(x), reference.sigmoid(logits), atol=1e-6)


def test_one_field_has_the_factor_one() -> None:
    model = reference.randomized(IFM([USER], [USER], (4,)))
    x, state = inputs([USER], 3), reference.state_of(model)
    logits = [reference.linear(state, [USER], x, row) + state["out.bias"] for row in range(3)]
    np.testing.assert_allclose(model.predict(x), reference.sigmoid(logits), atol=1e-6)


def test_no_linear_side_and_classes() -> None:
    model = reference.randomized(IFM([], FIELDS, (4,), task="multiclass", num_classes=3))
    np.testing.assert_allclose(model.predict(inputs(FIELDS, 4)).sum(axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="one embedding_dim"):
        IFM([], [USER, SparseFeat("wide", 4, 8)])
