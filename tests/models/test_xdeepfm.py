"""xDeepFM against Lian et al., KDD 2018, equations 6 to 8 and section 3.3."""

from __future__ import annotations

import numpy as np
import pytest

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import xDeepFM
from tests.support.cases import FIELDS, PRICE, STATS, USER, Case, inputs
from tests.support.reference import Row, assert_follows, penalty_of, randomized, relu

CASE = Case("xDeepFM", free=("cin_linear.",), start=("cin.",))


def cin(row: Row, split_half: bool) -> float:
    """Map h of layer k: sum over i, j of W[h, i, j] (x^{k-1}_i * x^0_j) + b, element by element."""
    x0 = row.vectors
    hidden, pooled, layer = x0, [], 0
    while f"cin.conv1ds.{layer}.weight" in row.w:
        weight, bias = row.w[f"cin.conv1ds.{layer}.weight"][..., 0], row.w[f"cin.conv1ds.{layer}.bias"]
        maps = []
        for h in range(len(weight)):
            total = np.full(len(x0[0]), bias[h])
            for i, a in enumerate(hidden):
                for j, b in enumerate(x0):
                    total = total + weight[h, i * len(x0) + j] * a * b
            maps.append(relu(total))
        layer += 1
        last = f"cin.conv1ds.{layer}.weight" not in row.w
        half = len(maps) // 2 if split_half and not last else 0
        hidden = maps[:half] if half else maps
        pooled += [m.sum() for m in maps[half:]]
    return float(row.w["cin_linear.weight"][0] @ pooled)


def deep(row: Row) -> float:
    return float(row.w["dnn_linear.weight"][0] @ row.dnn(row.flat))


@pytest.mark.parametrize(("sizes", "split_half"), [((6, 4, 3), True), ((5, 3), False), ((3,), True)])
def test_logit_is_linear_plus_cin_plus_dnn(sizes: tuple[int, ...], split_half: bool) -> None:
    model = randomized(xDeepFM(FIELDS, FIELDS, (6, 5), sizes, split_half))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + cin(r, split_half) + deep(r))


def test_each_part_may_be_left_out() -> None:
    x = inputs(FIELDS, 6)
    assert_follows(randomized(xDeepFM(FIELDS, FIELDS, (), (4, 2))), x, lambda r: r.linear + cin(r, True))
    assert_follows(randomized(xDeepFM(FIELDS, FIELDS, (4,), ())), x, lambda r: r.linear + deep(r))
    assert_follows(randomized(xDeepFM(FIELDS, FIELDS, (), ())), x, lambda r: r.linear)
    assert_follows(randomized(xDeepFM([], FIELDS, (4,), (4, 2)), 0.3), x, lambda r: cin(r, True) + deep(r))


def test_fields_may_share_a_table() -> None:
    """C8 in `docs/differences.md`."""
    columns = [SparseFeat("a", 6, 4, embedding_name="c"), SparseFeat("b", 6, 4, embedding_name="c"), USER]
    model = randomized(xDeepFM(columns, columns, (4,), (4, 2)))
    assert_follows(model, inputs(columns, 6), lambda r: r.linear + cin(r, True) + deep(r))


def test_without_a_field_there_is_no_cin() -> None:
    """C14 in `docs/differences.md`."""
    columns = [PRICE, STATS]
    model = randomized(xDeepFM(columns, columns, (4,)))
    assert not model.use_cin
    assert_follows(model, inputs(columns, 6), lambda r: r.linear + deep(r))


def test_one_field_is_enough() -> None:
    model = randomized(xDeepFM([USER], [USER], (4,), (4, 2)))
    assert_follows(model, inputs([USER], 6), lambda r: r.linear + cin(r, True) + deep(r))


def test_mixed_dimensions_are_an_error_that_names_them_or_fine_without_cin() -> None:
    """C15 in `docs/differences.md`."""
    columns = [SparseFeat("a", 5, 2), SparseFeat("b", 6, 3)]
    with pytest.raises(ValueError, match=r"xDeepFM needs one embedding_dim for all columns, got \{'a': 2, 'b': 3\}"):
        xDeepFM(columns, columns)
    model = randomized(xDeepFM(columns, columns, (4,), ()))
    assert_follows(model, inputs(columns, 6), lambda r: r.linear + deep(r))


def test_each_penalty_belongs_to_its_part() -> None:
    model = xDeepFM(
        FIELDS, FIELDS, (4,), (4, 2), l2_reg_linear=0.1, l2_reg_embedding=0.2, l2_reg_dnn=0.5, l2_reg_cin=0.7
    )
    assert penalty_of(model) == {
        "embedding_dict": 0.2,
        "linear_model.weight": 0.1,
        "linear_model.embedding_dict": 0.1,
        "dnn.linears.0.weight": 0.5,
        "dnn_linear.weight": 0.5,
        "cin.conv1ds.0.weight": 0.7,
        "cin.conv1ds.1.weight": 0.7,
    }
    assert model.featuremap_num == 4
