"""Wide & Deep against Cheng et al., DLRS 2016, equation 3."""

from __future__ import annotations

import pytest

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import WDL
from tests.support.cases import CITY, FIELDS, PRICE, inputs
from tests.support.reference import Row, assert_follows, penalty_of, randomized


def deep(row: Row) -> float:
    return float(row.w["dnn_linear.weight"][0] @ row.dnn(row.flat))


def test_logit_is_wide_plus_deep() -> None:
    model = randomized(WDL(FIELDS, FIELDS, dnn_hidden_units=(6, 5)))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + deep(r))


def test_each_side_may_be_left_out() -> None:
    x = inputs(FIELDS, 6)
    assert_follows(randomized(WDL([], FIELDS, dnn_hidden_units=(4,))), x, deep)
    assert_follows(randomized(WDL(FIELDS, [])), x, lambda r: r.linear)
    assert_follows(randomized(WDL(FIELDS, FIELDS, dnn_hidden_units=())), x, lambda r: r.linear)


def test_embedding_dimensions_may_differ() -> None:
    columns = [SparseFeat("a", 5, 2), PRICE, SparseFeat("b", 6, 3), CITY]
    model = randomized(WDL(columns, columns, dnn_hidden_units=(4,)))
    assert_follows(model, inputs(columns, 6), lambda r: r.linear + deep(r))


def test_every_class_has_a_logit() -> None:
    model = randomized(WDL([], FIELDS, dnn_hidden_units=(4,), task="multiclass", num_classes=3))
    assert_follows(model, inputs(FIELDS, 5), lambda r: r.w["dnn_linear.weight"] @ r.dnn(r.flat))


def test_each_penalty_belongs_to_its_part() -> None:
    model = WDL(FIELDS, FIELDS, dnn_hidden_units=(4,), l2_reg_linear=0.1, l2_reg_embedding=0.2, l2_reg_dnn=0.5)
    assert penalty_of(model) == {
        "embedding_dict": 0.2,
        "linear_model.weight": 0.1,
        "linear_model.embedding_dict": 0.1,
        "dnn.linears.0.weight": 0.5,
        "dnn_linear.weight": 0.5,
    }


def test_unknown_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"hidden_units\[1\] must be an integer of at least 1, got 0"):
        WDL(FIELDS, FIELDS, dnn_hidden_units=(4, 0))
