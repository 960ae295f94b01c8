"""PNN against Qu et al., ICDM 2016, equations 1 to 3, and the kernels of their TOIS 2018 paper."""

from __future__ import annotations

import numpy as np
import pytest

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import PNN
from tests.support.cases import FIELDS, PRICE, STATS, TAGS, USER, Case, inputs
from tests.support.reference import Row, assert_follows, penalty_of, randomized

CASE = Case("PNN", together={"kernel_type": {"use_outter": True}}, free=("outterproduct.",), start=("outterproduct.",))


def outer(row: Row, kind: str) -> list[float]:
    kernel, out = row.w["outterproduct.kernel"], []
    for p, (a, b) in enumerate(row.pairs()):
        total = 0.0
        for i in range(len(a)):
            for j in range(len(b)):
                if kind == "mat":
                    total += a[i] * kernel[j, p, i] * b[j]
                elif i == j:
                    total += a[i] * b[j] * kernel[p, i if kind == "vec" else 0]
        out.append(total)
    return out


def logit(row: Row, inner: bool = True, kind: str | None = None) -> float:
    products = [float(a @ b) for a, b in row.pairs()] if inner else []
    products += outer(row, kind) if kind else []
    return float(row.w["dnn_linear.weight"][0] @ row.dnn(np.concatenate([*row.vectors, products, row.numbers])))


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("kind", ["mat", "vec", "num", None])
def test_dnn_reads_embeddings_products_and_numbers(inner: bool, kind: str | None) -> None:
    outter = {"use_outter": True, "kernel_type": kind} if kind else {}
    model = randomized(PNN(FIELDS, dnn_hidden_units=(6, 5), use_inner=inner, **outter))
    assert_follows(model, inputs(FIELDS, 6), lambda r: logit(r, inner, kind))


def test_without_hidden_units_the_output_layer_reads_them() -> None:
    """C13 in `docs/differences.md`."""
    assert_follows(randomized(PNN(FIELDS, dnn_hidden_units=())), inputs(FIELDS, 6), logit)


@pytest.mark.parametrize("columns", [[USER], [TAGS, PRICE], [PRICE, STATS]], ids=["field", "sequence", "numbers"])
def test_where_there_is_no_pair_the_rest_is_left(columns: list[object]) -> None:
    """C14 in `docs/differences.md`."""
    model = randomized(PNN(columns, dnn_hidden_units=(4,), use_outter=True))
    assert not any(k.startswith("outterproduct") for k in model.state_dict())
    assert_follows(model, inputs(columns, 6), lambda r: logit(r, inner=False))


def test_fields_may_share_a_table() -> None:
    """C8 in `docs/differences.md`."""
    columns = [SparseFeat("a", 6, 4, embedding_name="c"), SparseFeat("b", 6, 4, embedding_name="c"), USER]
    model = randomized(PNN(columns, dnn_hidden_units=(4,), use_outter=True))
    assert_follows(model, inputs(columns, 6), lambda r: logit(r, True, "mat"))


def test_mixed_dimensions_are_an_error_that_names_them_or_fine_without_products() -> None:
    """C15 in `docs/differences.md`."""
    columns = [SparseFeat("a", 5, 2), SparseFeat("b", 6, 3)]
    for arguments in ({}, {"use_inner": False, "use_outter": True}):
        with pytest.raises(ValueError, match=r"PNN needs one embedding_dim for all columns, got \{'a': 2, 'b': 3\}"):
            PNN(columns, **arguments)
    model = randomized(PNN(columns, dnn_hidden_units=(4,), use_inner=False))
    assert_follows(model, inputs(columns, 6), lambda r: logit(r, inner=False))


def test_kernels_are_not_penalized() -> None:
    model = PNN(FIELDS, dnn_hidden_units=(4,), use_outter=True, l2_reg_embedding=0.2, l2_reg_dnn=0.5)
    assert penalty_of(model) == {"embedding_dict": 0.2, "dnn.linears.0.weight": 0.5, "dnn_linear.weight": 0.5}


def test_an_unknown_kernel_is_an_error_even_where_none_is_built() -> None:
    with pytest.raises(ValueError, match="unknown kernel_type 'matt': did you mean 'mat'"):
        PNN(FIELDS, kernel_type="matt")
