"""A batch of ids -> rows: one gather for all tables of a width."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from deepctr_torch.embedding import EmbeddingCollection, EmbeddingLookup, LookupSpec, embedding_configs
from deepctr_torch.embedding.sparse_grad import coalesce_grads, lookup_as_leaves
from deepctr_torch.features import Batch, DenseFeat, FeatureSchema, SparseColumn, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM

# ---------------------------------------------------------------------------------------------- lookup of a batch


@st.composite
def layouts(draw: st.DrawFn) -> list[SparseColumn]:
    """Columns of several widths; some share a table."""
    columns: list[SparseColumn] = []
    shared = {2: SparseFeat("shared2", 6, 2), 3: SparseFeat("shared3", 4, 3)}
    for i in range(draw(st.integers(1, 6))):
        dim = draw(st.sampled_from([2, 3]))
        if draw(st.booleans()):
            element = SparseFeat(f"c{i}", shared[dim].vocabulary_size, dim, embedding_name=shared[dim].name)
        else:
            element = SparseFeat(f"c{i}", draw(st.integers(1, 5)), dim)
        columns.append(VarLenSparseFeat(element, draw(st.integers(1, 3))) if draw(st.booleans()) else element)
    return columns


@given(layouts(), st.integers(1, 3), st.booleans(), st.sampled_from([torch.int32, torch.int64]), st.data())
def test_lookup_against_one_table_at_a_time(
    columns: list[SparseColumn], rows: int, trimmed: bool, dtype: torch.dtype, data: st.DataObject
) -> None:
    schema = FeatureSchema([DenseFeat("d"), *columns])
    deep, linear = (
        EmbeddingCollection(embedding_configs(columns, 1.0)),
        EmbeddingCollection(embedding_configs(columns, 1.0, 1)),
    )
    reads = data.draw(st.permutations(columns))
    embedding = EmbeddingLookup(
        schema, {"deep": LookupSpec(tuple(reads), deep), "linear": LookupSpec(tuple(columns), linear)}
    )
    widths = tuple(data.draw(st.integers(1, w)) if trimmed else w for w in schema.widths)
    pieces = [torch.randint(0, c.vocabulary_size, (rows, 1)) for c in schema.ids]
    pieces += [torch.randint(0, c.vocabulary_size, (rows, w)) for c, w in zip(schema.sequences, widths, strict=True)]
    batch = Batch(torch.cat(pieces, dim=1).to(dtype), torch.zeros(rows, 1), widths)
    found = embedding.lookup(batch)
    assert len(found) == len(embedding.groups)
    for (part, name), number in embedding.group_of.items():
        group, tables = embedding.groups[number], deep if part == "deep" else linear
        column = next(c for c in columns if c.name == name)
        start = 0
        for other in (*group.singles, *group.sequences):
            width = 1 if other in group.singles else widths[schema.sequence_position[other]]
            if other == name:
                break
            start += width
        raw = dict(zip([c.name for c in schema.sparse], pieces, strict=True))[name]
        expected = tables[column.embedding_name].weight[raw]
        assert_close(found[number][:, start : start + width], expected)


def test_linear_and_deep_share_the_index() -> None:
    columns = (SparseFeat("a", 5), VarLenSparseFeat(SparseFeat("s", 7), 2))
    schema = FeatureSchema(columns)
    deep, linear = (
        EmbeddingCollection(embedding_configs(columns, 1.0)),
        EmbeddingCollection(embedding_configs(columns, 1.0, 1)),
    )
    embedding = EmbeddingLookup(schema, {"deep": LookupSpec(columns, deep), "linear": LookupSpec(columns, linear)})
    batch = schema.unpack(torch.tensor([[4, 1, 0], [0, 6, 2]]))
    first, second = embedding.indices(batch)
    assert first is second
    assert first.tolist() == [[4, 6, 5], [0, 11, 7]]
    assert len(list(embedding.buffers())) == 1
    assert list(embedding.parameters()) == []
    assert embedding.state_dict() == {}
    other = EmbeddingLookup(schema, {"deep": LookupSpec(columns, deep), "linear": LookupSpec(columns[:1], linear)})
    first, second = other.indices(batch)
    assert second.tolist() == [[4], [0]]


def test_int32_ids_stay_int32() -> None:
    columns = (SparseFeat("a", 5), SparseFeat("b", 5))
    schema = FeatureSchema(columns)
    embedding = EmbeddingLookup(
        schema, {"deep": LookupSpec(columns, EmbeddingCollection(embedding_configs(columns, 1.0)))}
    )
    (index,) = embedding.indices(Batch(torch.tensor([[1, 2]], dtype=torch.int32), torch.zeros(1, 0), ()))
    assert index.dtype == torch.int32


def test_frozen_tables_get_no_gradient() -> None:
    a, b = SparseFeat("a", 5), SparseFeat("b", 5)
    schema = FeatureSchema([a, b])
    tables = EmbeddingCollection(embedding_configs([a, b], 1.0))
    embedding = EmbeddingLookup(schema, {"one": LookupSpec((a,), tables), "two": LookupSpec((b,), tables)})
    tables["b"].weight.requires_grad_(False)
    batch = schema.unpack(torch.tensor([[1, 1]]))
    sum(r.sum() for r in embedding.lookup(batch)).backward()  # type: ignore[union-attr]
    assert tables["b"].weight.grad is None
    assert tables["a"].weight.grad.nonzero()[:, 0].unique().tolist() == [1]
    indices = embedding.indices(batch)
    rows = lookup_as_leaves(embedding, indices)
    sum(r.sum() for r in rows).backward()  # type: ignore[union-attr]
    (grad,) = coalesce_grads(embedding, batch, indices, rows)
    assert grad.rows.tolist() == [1]


def test_gradients_arrive_at_each_table() -> None:
    columns = (
        SparseFeat("a", 5, 2),
        SparseFeat("b", 4, 2),
        VarLenSparseFeat(SparseFeat("h", 5, 2, embedding_name="a"), 2),
    )
    schema = FeatureSchema(columns)
    tables = EmbeddingCollection(embedding_configs(columns, 1.0))
    embedding = EmbeddingLookup(schema, {"deep": LookupSpec(columns, tables)})
    (rows,) = embedding.lookup(schema.unpack(torch.tensor([[1, 3, 1, 2], [0, 3, 4, 4]])))
    weights = torch.arange(8.0).view(2, 4, 1)
    (rows * weights).sum().backward()
    assert tables["a"].weight.grad[:, 0].tolist() == [4, 2, 3, 0, 13]
    assert tables["b"].weight.grad[:, 0].tolist() == [0, 0, 0, 6]


def test_a_lookup_can_be_differentiated_twice() -> None:
    columns = (SparseFeat("a", 5, 2),)
    schema = FeatureSchema(columns)
    tables = EmbeddingCollection(embedding_configs(columns, 1.0))
    embedding = EmbeddingLookup(schema, {"deep": LookupSpec(columns, tables)})
    weight = tables["a"].weight
    (rows,) = embedding.lookup(schema.unpack(torch.tensor([[1], [3]])))
    (first,) = torch.autograd.grad(rows.pow(3).sum(), weight, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), weight)
    expected = torch.zeros(5, 2)
    expected[[1, 3]] = 6 * weight.detach()[[1, 3]]
    assert_close(second, expected)


def test_one_name_twice_in_a_part() -> None:
    a = SparseFeat("a", 5)
    other = SparseFeat("a", 5, embedding_name="b")
    tables = EmbeddingCollection(embedding_configs([a, other], 1.0))
    with pytest.raises(ValueError, match="two different columns of one side are named 'a'"):
        EmbeddingLookup(FeatureSchema([a, other]), {"deep": LookupSpec((a, other), tables)})
    twice = EmbeddingLookup(
        FeatureSchema([a, a]), {"deep": LookupSpec((a, a), tables)}
    )  # the original takes it twice, too
    assert twice.lookup(Batch(torch.tensor([[3]]), torch.zeros(1, 0), ()))[0].shape == (1, 2, 4)


def test_sixteen_million_and_one() -> None:
    """Ids stay integers from the user's input to the lookup."""
    column = SparseFeat("a", 2**24 + 2, 1)
    model = DeepFM([], [column], use_fm=False, dnn_hidden_units=(2,))
    with torch.no_grad():
        model.embedding_dict["a"].weight[2**24] = -1.0
        model.embedding_dict["a"].weight[2**24 + 1] = 1.0
    (row,) = model.embedding.lookup(model.schema.unpack(torch.tensor([[2**24], [2**24 + 1]])))
    assert row.flatten().tolist() == [-1.0, 1.0]
    low, high = model.predict({"a": [2**24, 2**24 + 1]}).ravel()
    assert low != high
    for X in (torch.tensor([[2**24 + 1]]), torch.tensor([[2**24 + 1.0]], dtype=torch.float64)):
        assert_close(float(model(X).detach()), high)
    with pytest.raises(ValueError, match="float32 rounds ids above 16777216"):
        model(torch.zeros(1, 1))
