"""FiBiNET against Huang, Zhang and Zhang, RecSys 2019, section 3."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models import FiBiNET
from tests.support.cases import FIELDS, PRICE, STATS, USER, Case, inputs
from tests.support.reference import Row, assert_follows, penalty_of, randomized, relu

CASE = Case("FiBiNET", free=("SE.", "Bilinear."), start=("SE.", "Bilinear."))

TYPES = pytest.mark.parametrize("kind", ["all", "each", "interaction"])


def products(row: Row, vectors: list[np.ndarray], kind: str) -> list[np.ndarray]:
    out = []
    for p, (i, j) in enumerate(combinations(range(len(vectors)), 2)):
        key = {"all": "", "each": f"{i}.", "interaction": f"{p}."}[kind]
        out.append((row.w[f"Bilinear.bilinear.{key}weight"] @ vectors[i]) * vectors[j])
    return out


def deep_input(row: Row, kind: str) -> np.ndarray:
    means = np.array([v.mean() for v in row.vectors])
    importance = relu(row.w["SE.excitation.2.weight"] @ relu(row.w["SE.excitation.0.weight"] @ means))
    reweighted = [a * v for a, v in zip(importance, row.vectors, strict=True)]
    return np.concatenate([*products(row, reweighted, kind), *products(row, row.vectors, kind), row.numbers])


def excited(model: FiBiNET) -> FiBiNET:
    """Weights of the importance made positive, so that no field is switched off."""
    for p in model.SE.parameters():
        p.data.abs_()
    model.embedding_dict.fused[0].fused.add_(0.3)
    return model


@TYPES
def test_dnn_reads_products_of_plain_and_reweighted_fields(kind: str) -> None:
    model = excited(randomized(FiBiNET(FIELDS, FIELDS, kind, 2, dnn_hidden_units=(6, 5))))
    assert_follows(
        model,
        inputs(FIELDS, 6),
        lambda r: r.linear + float(r.w["dnn_linear.weight"][0] @ r.dnn(deep_input(r, kind))),
    )


@TYPES
def test_without_hidden_units_the_output_layer_reads_them(kind: str) -> None:
    """C13 in `docs/differences.md`."""
    model = excited(randomized(FiBiNET(FIELDS, FIELDS, kind, dnn_hidden_units=())))
    assert_follows(
        model, inputs(FIELDS, 6), lambda r: r.linear + float(r.w["dnn_linear.weight"][0] @ deep_input(r, kind))
    )


def test_fields_may_share_a_table() -> None:
    """C8 in `docs/differences.md`."""
    columns = [SparseFeat("a", 6, 4, embedding_name="c"), SparseFeat("b", 6, 4, embedding_name="c"), USER]
    model = excited(randomized(FiBiNET(columns, columns, "each", dnn_hidden_units=(4,))))
    assert model.field_size == 3
    assert_follows(
        model,
        inputs(columns, 6),
        lambda r: r.linear + float(r.w["dnn_linear.weight"][0] @ r.dnn(deep_input(r, "each"))),
    )


@pytest.mark.parametrize("columns", [[USER, PRICE], [PRICE, STATS]], ids=["one field", "none"])
def test_where_there_is_no_pair_the_dnn_reads_the_numbers(columns: list[object]) -> None:
    """C14 in `docs/differences.md`."""
    model = randomized(FiBiNET(columns, columns, dnn_hidden_units=(4,)))
    assert_follows(
        model, inputs(columns, 6), lambda r: r.linear + float(r.w["dnn_linear.weight"][0] @ r.dnn(r.numbers))
    )


def test_a_single_field_leaves_the_linear_side_and_trains() -> None:
    model = randomized(FiBiNET([USER], [USER], dnn_hidden_units=(4,)))
    x = inputs([USER], 8)
    assert_follows(model, x, lambda r: r.linear)
    for update in ("dense", "sparse"):
        model.compile("sgd", "binary_crossentropy", embedding_update=update)
        history = model.fit(x, x["user"] % 2, batch_size=4, epochs=3, verbose=0).history["loss"]
        assert history[-1] < history[0]


def test_l2_reg_dnn_reaches_the_dnn() -> None:
    """W12 in `docs/differences.md`."""
    model = FiBiNET(FIELDS, FIELDS, dnn_hidden_units=(4,), l2_reg_linear=0.1, l2_reg_embedding=0.2, l2_reg_dnn=0.5)
    assert penalty_of(model) == {
        "embedding_dict": 0.2,
        "linear_model.weight": 0.1,
        "linear_model.embedding_dict": 0.1,
        "dnn.linears.0.weight": 0.5,
        "dnn_linear.weight": 0.5,
    }


def test_compute_input_dim_is_the_width_in_front_of_the_dnn() -> None:
    columns = [SparseFeat("a", 5, 4), SparseFeat("b", 6, 4), SparseFeat("c", 6, 4), DenseFeat("d", 2)]
    model = FiBiNET(columns, columns)
    assert model.compute_input_dim(columns) == model.dnn.linears[0].in_features == 2 * 3 * 4 + 2
    assert model.compute_input_dim(columns, include_dense=False) == 24
    assert model.compute_input_dim(columns, include_sparse=False) == 2
    assert model.compute_input_dim(columns[3:]) == 2
    assert model.compute_input_dim(columns[:1]) == 0


def test_the_unused_matrix_of_an_old_checkpoint_is_dropped() -> None:
    model = FiBiNET(FIELDS, FIELDS, "each", dnn_hidden_units=(4,))
    state = model.state_dict()
    assert [k for k in state if k.startswith("Bilinear")] == [f"Bilinear.bilinear.{i}.weight" for i in range(4)]
    assert not model.load_state_dict({**state, "Bilinear.bilinear.4.weight": torch.zeros(4, 4)}).unexpected_keys


def test_mixed_dimensions_are_an_error_that_names_them() -> None:
    """C15 in `docs/differences.md`."""
    columns = [SparseFeat("a", 5, 2), SparseFeat("b", 6, 3)]
    with pytest.raises(ValueError, match=r"FiBiNET needs one embedding_dim for all columns, got \{'a': 2, 'b': 3\}"):
        FiBiNET(columns, columns)
    with pytest.raises(ValueError, match="unknown bilinear_type 'al': did you mean 'all'"):
        FiBiNET(FIELDS, FIELDS, "al")
