"""Where each input lies in batches and in packed matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from deepctr_torch.features import Batch, DenseFeat, FeatureColumn, FeatureSchema, SparseFeat, VarLenSparseFeat
from tests.support.columns import sequence


def test_positions() -> None:
    schema = FeatureSchema(
        [
            DenseFeat("price", 2),
            sequence("hist", 3, length_name="n", weight_name="w"),
            SparseFeat("user", 5),
            sequence("cates", 2, length_name="n"),
            DenseFeat("age"),
            SparseFeat("item", 7),
        ]
    )
    assert [c.name for c in schema.ids] == ["user", "item"]
    assert [c.name for c in schema.sequences] == ["hist", "cates"]
    assert [c.name for c in schema.sparse] == ["user", "item", "hist", "cates"]
    assert schema.lengths == ["n"]
    assert schema.dense == [("price", 2), ("age", 1), ("w", 3)]
    assert schema.dense_slice == {"price": (0, 2), "age": (2, 3), "w": (3, 6)}
    assert (schema.dense_width, schema.id_width, schema.widths, schema.packed_width) == (6, 8, (3, 2), 14)
    assert schema.id_position == {"user": 0, "item": 1}
    assert schema.sequence_slice("hist", (3, 2)) == (2, 5)
    assert schema.sequence_slice("cates", (3, 2)) == (5, 7)
    assert schema.sequence_slice("cates", (1, 2)) == (3, 5)  # trimmed to the longest of a batch
    assert schema.length_position("n", (3, 2)) == 7
    assert schema.length_position("n", (1, 1)) == 4


def test_repeated_columns_are_one_input() -> None:
    column = SparseFeat("user", 5)
    schema = FeatureSchema(
        [column, column, SparseFeat("user", 5, 8, embedding_name="other"), sequence(), sequence(combiner="sum")]
    )
    assert [c.name for c in schema.sparse] == ["user", "genres"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SparseFeat("a", 5), SparseFeat("a", 6)),
        (SparseFeat("a", 5), SparseFeat("a", 5, use_hash=True)),
        (SparseFeat("a", 5), DenseFeat("a")),
        (DenseFeat("a"), DenseFeat("a", 2)),
        (sequence("a", 3), sequence("a", 4)),
        (sequence("a", 3), sequence("a", 3, length_name="n")),
        (sequence("a", 3), sequence("a", 3, weight_name="w")),
        (sequence("a", 3), VarLenSparseFeat(SparseFeat("a", 21), 3)),
        (sequence("a", 1), SparseFeat("a", 20)),
    ],
)
def test_one_name_for_two_inputs(first: FeatureColumn, second: FeatureColumn) -> None:
    with pytest.raises(ValueError) as caught:
        FeatureSchema([first, second])
    assert f"two different columns are named 'a': {first} and {second}" == str(caught.value)


def test_helper_columns_must_fit() -> None:
    with pytest.raises(ValueError, match="length_name 'd' of 'genres' must be one number a sample, but is DenseFeat"):
        FeatureSchema([DenseFeat("d", 2), sequence(length_name="d")])
    with pytest.raises(ValueError, match="length_name 'u' of 'genres' must hold numbers, but is SparseFeat"):
        FeatureSchema([SparseFeat("u", 9, use_hash=True), sequence(length_name="u")])
    with pytest.raises(ValueError, match="weight_name 'w' of 'b' must have width 2, got 3"):
        FeatureSchema([sequence("a", 3, weight_name="w"), sequence("b", 2, weight_name="w")])
    with pytest.raises(ValueError, match="weight_name 'w' of 'genres' must have width 3, got 2"):
        FeatureSchema([DenseFeat("w", 2), sequence(weight_name="w")])
    with pytest.raises(ValueError, match="weight_name 'w' of 'genres' must hold numbers, but is VarLenSparseFeat"):
        FeatureSchema([sequence("w", 3), sequence(weight_name="w")])


def test_weights_shared_and_declared() -> None:
    schema = FeatureSchema([DenseFeat("w", 3), sequence("a", 3, weight_name="w"), sequence("b", 3, weight_name="w")])
    assert schema.dense == [("w", 3)]


@pytest.mark.parametrize(("rows", "dtype"), [([2**31 - 2, 1], torch.int32), ([2**31 - 1, 1], torch.int64)])
def test_id_dtype(rows: list[int], dtype: torch.dtype) -> None:
    assert FeatureSchema([SparseFeat(str(n), n) for n in rows]).id_dtype == dtype


@st.composite
def schemas(draw: st.DrawFn) -> list[FeatureColumn]:
    """Columns of all kinds, some sharing length or weight columns, some lengths also declared as features."""
    kinds = draw(st.lists(st.sampled_from(["id", "big", "dense", "sequence", "declared"]), min_size=1, max_size=7))
    columns: list[FeatureColumn] = []
    for i, kind in enumerate(kinds):
        if kind == "id":
            columns.append(SparseFeat(f"id{i}", draw(st.integers(1, 50))))
        elif kind == "big":
            columns.append(SparseFeat(f"big{i}", draw(st.sampled_from([2**24 + 2, 2**40]))))
        elif kind == "dense":
            columns.append(DenseFeat(f"d{i}", draw(st.integers(1, 3))))
        elif kind == "declared":
            columns += draw(st.permutations([SparseFeat(f"n{i}", 9), sequence(f"s{i}", 4, length_name=f"n{i}")]))
        else:
            width = draw(st.integers(1, 4))
            length = draw(st.sampled_from([None, "n", f"n{i}"]))
            weight = draw(st.sampled_from([None, f"w{width}", f"w{i}x"]))
            columns.append(sequence(f"s{i}", width, length_name=length, weight_name=weight))
    return columns


def random_packed(schema: FeatureSchema, rows: int, rng: np.random.Generator) -> torch.Tensor:
    X = torch.zeros(rows, schema.packed_width, dtype=torch.float64)
    for name, (start, stop) in schema.feature_index.items():
        column = next((c for c in schema.sparse if c.name == name), None)
        if column is not None and name not in schema.lengths:
            values = rng.integers(max(0, column.vocabulary_size - 9), column.vocabulary_size, (rows, stop - start))
        elif name in schema.lengths:
            values = rng.integers(0, 6, (rows, 1))
        else:
            values = rng.random((rows, stop - start)).astype(np.float32)
        X[:, start:stop] = torch.from_numpy(values)
    return X


@given(schemas(), st.integers(1, 4), st.integers(0, 99))
def test_unpack_then_pack(columns: list[FeatureColumn], rows: int, seed: int) -> None:
    schema = FeatureSchema(columns)
    X = random_packed(schema, rows, np.random.default_rng(seed))
    batch = schema.unpack(X)
    assert batch.ids.shape == (rows, schema.id_width)
    assert batch.ids.dtype == torch.int64
    assert batch.dense.shape == (rows, schema.dense_width)
    assert batch.widths == schema.widths
    for name, at in schema.id_position.items():
        assert torch.equal(batch.ids[:, at], X[:, schema.feature_index[name][0]].long())
    for name in schema.sequence_position:
        start, stop = schema.sequence_slice(name, batch.widths)
        assert torch.equal(batch.ids[:, start:stop], X[:, slice(*schema.feature_index[name])].long())
    for name in schema.lengths:
        at = schema.length_position(name, batch.widths)
        assert torch.equal(batch.ids[:, at], X[:, schema.feature_index[name][0]].long())
    for name, where in schema.dense_slice.items():
        assert torch.equal(batch.dense[:, slice(*where)], X[:, slice(*schema.feature_index[name])].float())
    packed = schema.pack(batch)
    assert packed.dtype == (torch.float64 if any(c.vocabulary_size > 2**24 for c in schema.sparse) else torch.float32)
    assert torch.equal(packed.double(), X)


def test_pack_fills_trimmed_sequences_with_padding() -> None:
    schema = FeatureSchema([SparseFeat("u", 5), sequence("a", 3), sequence("b", 2, length_name="n")])
    batch = Batch(torch.tensor([[4, 7, 8, 9, 1]]), torch.zeros(1, 0), (2, 1))
    assert_close(schema.pack(batch), torch.tensor([[4.0, 7.0, 8.0, 0.0, 9.0, 0.0, 1.0]]))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.bool])
def test_narrow_integers_are_widened(dtype: torch.dtype) -> None:
    batch = FeatureSchema([SparseFeat("a", 500), SparseFeat("b", 500)]).unpack(torch.ones(2, 2, dtype=dtype))
    assert batch.ids.dtype == torch.int64  # row offsets are added in this type


def test_unpack_checks_the_shape() -> None:
    schema = FeatureSchema([SparseFeat("a", 5), DenseFeat("d", 2)])
    for shape in ((2, 2), (2, 4), (3,), (1, 1, 3)):
        with pytest.raises(ValueError) as caught:
            schema.unpack(torch.zeros(*shape))
        assert f"must have shape [B, 3] (see feature_index), got {list(shape)}" in str(caught.value)


def test_only_ids_or_only_numbers() -> None:
    ids = FeatureSchema([SparseFeat("a", 5)]).unpack(torch.tensor([[1], [2]]))
    assert ids.dense.shape == (2, 0)
    assert ids.dense.dtype == torch.float32
    numbers = FeatureSchema([DenseFeat("d")]).unpack(torch.tensor([[1.5]]))
    assert numbers.ids.shape == (1, 0)
    assert numbers.ids.dtype == torch.int64


@pytest.mark.parametrize("bad", [-1, 5, float("nan")])
def test_ids_beyond_the_vocabulary(bad: float) -> None:
    schema = FeatureSchema([SparseFeat("u", 9), sequence("s", 2), SparseFeat("a", 5)])
    X = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, bad]], dtype=torch.float64)
    with pytest.raises(ValueError) as caught:  # in the tables' common parameter it would be a row of another table
        schema.unpack(X)
    shown = int(X[1, 3].long())
    assert str(caught.value) == f"ids of 'a' must be in [0, 5) (its vocabulary_size is 5), got {shown} in row 1"
    with pytest.raises(
        ValueError, match=r"ids of 's' must be in \[0, 20\) \(its vocabulary_size is 20\), got 20 in row 0"
    ):
        schema.unpack(torch.tensor([[0, 1, 20, 3]]))
    assert schema.unpack(X.to("meta")).ids.shape == (2, 4)
