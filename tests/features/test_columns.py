"""Columns as the original's named tuples, and the packed layout."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from deepctr_torch.features import (
    DenseFeat,
    FeatureColumn,
    SparseFeat,
    VarLenSparseFeat,
    build_input_features,
    get_feature_names,
)
from tests.support.columns import sequence


def test_fields_in_order() -> None:
    assert SparseFeat._fields == (
        "name",
        "vocabulary_size",
        "embedding_dim",
        "use_hash",
        "dtype",
        "embedding_name",
        "group_name",
        "mask_zero",
    )
    assert DenseFeat._fields == ("name", "dimension", "dtype")
    assert VarLenSparseFeat._fields == (
        "sparsefeat",
        "maxlen",
        "combiner",
        "length_name",
        "weight_name",
        "step_width",
        "step_combiner",
    )


def test_defaults() -> None:
    assert tuple(SparseFeat("user", 10)) == ("user", 10, 4, False, "int32", "user", "default_group", False)
    assert tuple(DenseFeat("age")) == ("age", 1, "float32")
    item = SparseFeat("item", 5)
    assert tuple(VarLenSparseFeat(item, 7)) == (item, 7, "mean", None, None, 1, "mean")


def test_repr_names_the_class_and_the_fields() -> None:
    assert repr(DenseFeat("age", 2)) == "DenseFeat(name='age', dimension=2, dtype='float32')"
    assert repr(SparseFeat("u", 3)).startswith(
        "SparseFeat(name='u', vocabulary_size=3, embedding_dim=4, use_hash=False"
    )


@pytest.mark.parametrize(("rows", "dim"), [(1, 6), (10, 6), (100, 18), (1000, 30), (1_000_000, 186), (1e6, 186)])
def test_auto_dimension(rows: float, dim: int) -> None:
    assert SparseFeat("a", rows, embedding_dim="auto").embedding_dim == dim


def test_whole_floats_become_integers() -> None:
    column = SparseFeat("a", 1e6)
    assert column.vocabulary_size == 1_000_000
    assert isinstance(column.vocabulary_size, int)
    assert isinstance(sequence(maxlen=np.int64(4)).maxlen, int)


def test_sequence_forwards_to_its_element() -> None:
    element = SparseFeat("item", 9, 8, True, "int64", "items", "group")
    column = VarLenSparseFeat(element, 4)
    for field in SparseFeat._fields:
        assert getattr(column, field) == getattr(element, field)
    with pytest.raises(AttributeError):
        column.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("column", [SparseFeat("a", 5), DenseFeat("a"), VarLenSparseFeat(SparseFeat("a", 5), 3)])
def test_tuple_behaviour(column: FeatureColumn) -> None:
    assert hash(column) == hash("a")
    assert column == type(column)(*column)
    assert column == tuple(column)
    assert {column: 1}[type(column)(*column)] == 1
    assert column[0] == column._asdict()[column._fields[0]]
    assert not hasattr(column, "__dict__")
    for same in (pickle.loads(pickle.dumps(column)), copy.copy(column), copy.deepcopy(column)):
        assert same == column
        assert type(same) is type(column)


def test_replace() -> None:
    column = SparseFeat("a", 5)._replace(name="b")
    assert type(column) is SparseFeat
    assert (column.name, column.embedding_name) == ("b", "a")
    assert SparseFeat("a", 5)._replace(vocabulary_size=1e3, embedding_dim="auto").embedding_dim == 30  # type: ignore[arg-type]
    assert sequence()._replace(combiner="sum").combiner == "sum"
    assert DenseFeat("d")._replace(dimension=3) == DenseFeat("d", 3)
    with pytest.raises(ValueError, match=r"unknown combiner of 'genres' 'men': did you mean 'mean'\?"):
        sequence()._replace(combiner="men")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SparseFeat("a", 0), "vocabulary_size of 'a' must be an integer of at least 1, got 0"),
        (lambda: SparseFeat("a", 2.5), "vocabulary_size of 'a' must be an integer of at least 1, got 2.5"),
        (lambda: SparseFeat("a", float("inf")), "got inf"),
        (lambda: SparseFeat("a", True), "got True"),
        (
            lambda: SparseFeat("a", 1, use_hash=True),
            "vocabulary_size of 'a' with use_hash=True must be an integer of at least 2",
        ),
        (lambda: SparseFeat("a", 5, -1), "embedding_dim of 'a' must be an integer of at least 1, got -1"),
        (lambda: SparseFeat("a", 5, "atuo"), "unknown embedding_dim of 'a' 'atuo': did you mean 'auto'"),
        (lambda: DenseFeat("d", 0), "dimension of 'd' must be an integer of at least 1, got 0"),
        (lambda: sequence(maxlen=0), "maxlen of 'genres' must be an integer of at least 1, got 0"),
        (lambda: sequence(combiner="avg"), "unknown combiner of 'genres' 'avg': Known: max, mean, sum"),
    ],
)
def test_bad_values(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def test_bad_types() -> None:
    with pytest.raises(TypeError, match="name must be a string, got int"):
        SparseFeat(3, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a string or an integer, got NoneType"):
        DenseFeat(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sparsefeat must be a SparseFeat, got str"):
        VarLenSparseFeat("genres", 3)  # type: ignore[arg-type]


def test_input_features_in_order_of_first_appearance() -> None:
    columns = [
        DenseFeat("price", 2),
        sequence("hist", 3, length_name="n"),
        SparseFeat("user", 5),
        sequence("cates", 2, length_name="n", weight_name="w"),
        SparseFeat("user", 5, embedding_name="other"),
    ]
    index = build_input_features(columns)
    assert list(index.items()) == [
        ("price", (0, 2)),
        ("hist", (2, 5)),
        ("n", (5, 6)),
        ("user", (6, 7)),
        ("cates", (7, 9)),
        ("w", (9, 11)),
    ]
    assert type(index).__name__ == "OrderedDict"
    assert get_feature_names(columns) == ["price", "hist", "n", "user", "cates", "w"]
    assert get_feature_names(iter(columns)) == list(index)
    assert build_input_features([]) == {}


def test_a_length_declared_before_keeps_its_place() -> None:
    index = build_input_features([SparseFeat("n", 4), sequence("hist", 3, length_name="n")])
    assert dict(index) == {"n": (0, 1), "hist": (1, 4)}


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="a feature column must be SparseFeat, VarLenSparseFeat or DenseFeat, got str"):
        build_input_features(["user"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="got tuple"):
        build_input_features([tuple(SparseFeat("a", 3))])  # type: ignore[list-item]


def test_a_step_of_several_ids_makes_the_input_wider() -> None:
    column = sequence(maxlen=3, length_name="n", weight_name="w", step_width=2.0, step_combiner="max")
    assert (column.step_width, column.step_combiner) == (2, "max")
    assert build_input_features([column]) == {"genres": (0, 6), "n": (6, 7), "w": (7, 10)}  # one weight a step
    assert column != column._replace(step_width=3)
    assert pickle.loads(pickle.dumps(column)) == copy.copy(column) == column
    with pytest.raises(ValueError, match="step_width of 'genres' must be an integer of at least 1, got 0"):
        sequence(step_width=0)
    with pytest.raises(ValueError, match="unknown step_combiner of 'genres' 'men': did you mean 'mean'"):
        sequence(step_combiner="men")
