"""Many tables in one parameter: read and written as if each were an `nn.Embedding`, looked up all at once."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.embedding import EmbeddingCollection, EmbeddingLookup, LookupSpec, embedding_configs
from deepctr_torch.features import Batch, DenseFeat, FeatureSchema, SparseColumn, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM

COLUMNS = [SparseFeat("user", 3, 2), SparseFeat("item", 5, 2), SparseFeat("day", 4, 3)]


def make() -> EmbeddingCollection:
    """Tables whose every number is another."""
    tables = EmbeddingCollection(embedding_configs(COLUMNS, 0.1))
    with torch.no_grad():
        tables.weights["2"].copy_(torch.arange(16.0).reshape(8, 2))
        tables.weights["3"].copy_(100 + torch.arange(12.0).reshape(4, 3))
    return tables


# ---------------------------------------------------------------------------------------------- which tables there are


def test_one_table_an_embedding_name_single_ids_first() -> None:
    columns = [
        VarLenSparseFeat(SparseFeat("hist", 5, 2, embedding_name="item"), 3),
        VarLenSparseFeat(SparseFeat("genres", 7, 2), 3),
        DenseFeat("price"),
        SparseFeat("user", 3, 2),
        SparseFeat("item", 5, 2),
    ]
    tables = embedding_configs(columns, 0.1)
    assert [(t.name, t.rows, t.width, t.keys, t.init_std) for t in tables] == [
        ("user", 3, 2, (("user.weight", 0, 2),), 0.1),
        ("item", 5, 2, (("item.weight", 0, 2),), 0.1),
        ("genres", 7, 2, (("genres.weight", 0, 2),), 0.1),
    ]
    assert [t.width for t in embedding_configs(columns, 0.1, width=1)] == [1, 1, 1]
    assert embedding_configs([DenseFeat("price")], 0.1) == []


def test_columns_of_one_table_must_agree() -> None:
    item = SparseFeat("item", 5, 2)
    with pytest.raises(ValueError) as caught:
        embedding_configs([item, SparseFeat("other", 6, 2, embedding_name="item")], 0.1)
    assert (
        str(caught.value)
        == "'item' and 'other' share the table 'item' and must agree on its vocabulary_size, got 5 and 6"
    )
    wide = VarLenSparseFeat(SparseFeat("hist", 5, 8, embedding_name="item"), 3)
    with pytest.raises(ValueError) as caught:
        embedding_configs([item, wide], 0.1)
    assert (
        str(caught.value) == "'item' and 'hist' share the table 'item' and must agree on its embedding_dim, got 2 and 8"
    )
    hashed = SparseFeat("other", 5, 2, use_hash=True, embedding_name="item")
    with pytest.raises(
        ValueError, match="'item' and 'other' share the table 'item' and must agree on its use_hash, got False"
    ):
        embedding_configs([item, hashed], 0.1)
    assert len(embedding_configs([item, wide], 0.1, width=1)) == 1  # the linear side has one weight an id either way


def test_one_parameter_a_width() -> None:
    tables = make()
    assert {n: tuple(p.shape) for n, p in tables.named_parameters()} == {"width_2": (8, 2), "width_3": (4, 3)}
    assert [tables.where(n)[1] for n in ("user", "item", "day")] == [0, 3, 0]


def test_initial_scale() -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("a", 2000, 8), SparseFeat("b", 2000, 8)], 0.05))
    for name in ("a", "b"):
        weight = tables[name].weight.detach()
        assert abs(float(weight.std()) - 0.05) < 0.002
        assert abs(float(weight.mean())) < 0.002


# ---------------------------------------------------------------------------------------------- a mapping of tables


def test_mapping() -> None:
    tables = make()
    assert list(tables) == tables.keys() == ["user", "item", "day"]
    assert len(tables) == 3
    assert "day" in tables
    assert "x" not in tables
    assert [n for n, _ in tables.items()] == tables.keys()
    assert [(v.num_embeddings, v.embedding_dim) for v in tables.values()] == [(3, 2), (5, 2), (4, 3)]
    assert repr(tables["day"]) == "TableView(4, 3)"
    assert "(item): 5 rows of 2" in repr(tables)
    with pytest.raises(KeyError, match="no table 'usr': did you mean 'user'"):
        tables["usr"]


@pytest.mark.parametrize("shape", [(), (2,), (2, 1), (2, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32])
def test_calling_a_table(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tables = make()
    ids = torch.randint(0, 5, shape)
    assert_close(tables["item"](ids.to(dtype)), tables["item"].weight[ids])
    assert tables["item"](ids).shape == (*shape, 2)


@pytest.mark.parametrize("bad", [-1, 5])
def test_ids_of_another_table_are_refused(bad: int) -> None:
    with pytest.raises(IndexError, match=rf"ids of table 'item' must be in \[0, 5\), got \[0, {bad}\]"):
        make()["item"](torch.tensor([0, bad]))


def test_weight_is_the_table() -> None:
    tables = make()
    assert isinstance(tables["item"].weight, nn.Parameter)
    assert tables["item"].weight.tolist() == [[6, 7], [8, 9], [10, 11], [12, 13], [14, 15]]
    assert tables["item"].weight is tables["item"].weight
    assert tables["item"].weight.shape == (5, 2)


WRITES: dict[str, Callable[[Any, Tensor], Any]] = {
    "data.copy_": lambda tables, new: tables["item"].weight.data.copy_(new),
    "data =": lambda tables, new: setattr(tables["item"].weight, "data", new),
    "data[:] =": lambda tables, new: tables["item"].weight.data.__setitem__(slice(None), new),
    "weight[i] = under no_grad": lambda tables, new: [tables["item"].weight.__setitem__(i, new[i]) for i in range(5)],
    "copy_ under no_grad": lambda tables, new: tables["item"].weight.copy_(new),
    "weight = Parameter": lambda tables, new: setattr(tables["item"], "weight", nn.Parameter(new)),
    "nn.Embedding": lambda tables, new: tables.__setitem__("item", nn.Embedding.from_pretrained(new, freeze=False)),
    "load_state_dict": lambda tables, new: tables.load_state_dict({**tables.state_dict(), "item.weight": new}),
    "view kept from before": lambda tables, new: tables["item"].weight.data.copy_(new),
}


def test_the_gradient_of_a_table_is_its_part_of_the_fused_one() -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 3, 2), SparseFeat("item", 2, 2)], init_std=0.1))
    weight = tables["item"].weight
    assert weight.grad is None
    ((weight * 2).sum() + tables["user"](torch.tensor([1])).sum() + tables["item"](torch.tensor([0])).sum()).backward()
    expected = torch.tensor([[0.0, 0], [1, 1], [0, 0], [3, 3], [2, 2]])
    assert torch.equal(tables.weights["2"].grad, expected)
    assert torch.equal(weight.grad, expected[3:])
    weight.sum().backward()
    assert torch.equal(weight.grad, expected[3:] + 1)
    weight.grad = torch.ones(2, 2)
    assert torch.equal(tables.weights["2"].grad, torch.cat([expected[:3], torch.ones(2, 2)]))
    weight.grad = None
    assert torch.equal(tables.weights["2"].grad, torch.cat([expected[:3], torch.zeros(2, 2)]))
    tables.weights["2"].grad = torch.sparse_coo_tensor([[4]], [[5.0, 6.0]], (5, 2), check_invariants=True)
    assert torch.equal(weight.grad.to_dense(), torch.tensor([[0.0, 0], [5, 6]]))
    weight.sum().backward()
    assert torch.equal(weight.grad, torch.tensor([[1.0, 1], [6, 7]]))


def test_a_copy_of_a_table_s_weight_is_a_parameter_of_its_own() -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 3, 2)], init_std=0.1))
    for copied in (copy.deepcopy(tables["user"].weight), pickle.loads(pickle.dumps(tables["user"].weight))):
        copied.sum().backward()
        assert torch.equal(copied.grad, torch.ones(3, 2))
        copied.grad = None
        assert copied.grad is None
        assert tables.weights["2"].grad is None


@pytest.mark.parametrize("way", WRITES)
def test_writing_a_table(way: str) -> None:
    tables = make()
    before, view = tables.weights["2"].detach().clone(), tables["item"].weight
    new = torch.randn(5, 2)
    with torch.no_grad():
        WRITES[way](tables, new)
    assert_close(tables.weights["2"][3:], new)
    assert_close(tables.weights["2"][:3], before[:3])  # the neighbour is untouched
    assert_close(view.detach(), new)
    assert_close(tables["item"](torch.tensor([4])), new[4:])
    assert tables.frozen == set()
    new.zero_()  # written by value
    assert tables["item"].weight.abs().sum() > 0


def test_initialising_all_tables_by_hand() -> None:
    tables = make()
    for view in tables.values():
        nn.init.normal_(view.weight, mean=50.0, std=0.01)
    assert all((w > 49).all() for w in tables.weights.values())
    for _, view in tables.items():
        nn.init.zeros_(view.weight)
    assert all((w == 0).all() for w in tables.weights.values())


def test_wrong_shapes_are_refused() -> None:
    tables = make()
    for write in (
        lambda: setattr(tables["item"].weight, "data", torch.zeros(2)),
        lambda: setattr(tables["item"], "weight", torch.zeros(4, 2)),
        lambda: tables.__setitem__("item", nn.Embedding(5, 3)),
    ):
        with pytest.raises(ValueError, match=r"must have shape \[5, 2\], got"):
            write()
    with pytest.raises(TypeError, match=r"a table is assigned an nn\.Embedding, got Dropout"):
        tables["item"] = nn.Dropout()
    with pytest.raises(KeyError, match="no table 'x'"):
        tables["x"] = nn.Embedding(5, 2)


# ---------------------------------------------------------------------------------------------- frozen tables


FREEZES: dict[str, Callable[[Any], Any]] = {
    "requires_grad_(False)": lambda tables: tables["item"].weight.requires_grad_(False),
    "requires_grad = False": lambda tables: setattr(tables["item"].weight, "requires_grad", False),
    "frozen nn.Embedding": lambda tables: tables.__setitem__(
        "item", nn.Embedding.from_pretrained(tables["item"].weight.data)
    ),
    "frozen Parameter": lambda tables: setattr(
        tables["item"], "weight", nn.Parameter(torch.ones(5, 2), requires_grad=False)
    ),
}


@pytest.mark.parametrize("way", FREEZES)
def test_frozen_tables_get_no_gradient(way: str) -> None:
    tables = make()
    FREEZES[way](tables)
    assert tables.frozen == {"item"}
    (tables["item"](torch.tensor([1])).sum() + tables["user"](torch.tensor([1])).sum()).backward()
    grad = tables.weights["2"].grad
    assert grad is not None
    assert grad.nonzero()[:, 0].unique().tolist() == [1]
    tables["item"].weight.requires_grad_(True)
    assert tables.frozen == set()
    assert tables["item"](torch.tensor([1])).requires_grad


def test_frozen_stays_frozen_where_the_weights_go() -> None:
    tables = make()
    tables["item"].weight.requires_grad_(False)
    for same in (
        copy.deepcopy(tables),
        pickle.loads(pickle.dumps(tables)),
        copy.deepcopy(tables).double(),
        copy.deepcopy(tables).to(torch.bfloat16),
        copy.deepcopy(copy.deepcopy(tables)),
        pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(tables)))),
    ):
        assert same.frozen == {"item"}
        assert not same["item"].weight.requires_grad
        assert same["user"].weight.requires_grad
        same["item"].weight.requires_grad_(True)
        assert same.frozen == set()
    assert tables.frozen == {"item"}


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: "sgd",
    "adam": lambda p: "adam",
    "adamw": lambda p: "adamw",
    "adagrad": lambda p: "adagrad",
    "rmsprop": lambda p: "rmsprop",
    "SGD with momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    "AdamW with decay": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.5),
    "Adam after momentum": lambda p: torch.optim.Adam(p, 0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_leaves_frozen_tables_alone(name: str) -> None:
    columns = [SparseFeat("user", 3), SparseFeat("item", 5)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,), l2_reg_embedding=0.1, l2_reg_linear=0.1)
    x = {"user": [0, 1, 2] * 4, "item": [0, 1, 2, 3] * 3}
    model.compile(OPTIMIZERS[name](model.parameters()), "binary_crossentropy")
    model.fit(x, [0, 1, 1] * 4, batch_size=4, verbose=0)  # moments and accumulators exist by now
    model.embedding_dict["item"].weight.requires_grad_(False)
    model.linear_model.embedding_dict["user"].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.fit(x, [0, 1, 1] * 4, batch_size=4, epochs=2, verbose=0)
    after = model.state_dict()
    for key in ("embedding_dict.item.weight", "linear_model.embedding_dict.user.weight"):
        assert torch.equal(before[key], after[key])
    for key in ("embedding_dict.user.weight", "linear_model.embedding_dict.item.weight"):
        assert not torch.equal(before[key], after[key])


def test_somebody_elses_loop() -> None:
    columns = [SparseFeat("user", 3), VarLenSparseFeat(SparseFeat("item", 5), 2)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    model.embedding_dict["item"].weight.requires_grad_(False)
    X = torch.tensor([[1, 2, 3], [2, 4, 0]])
    model(X).sum().backward()
    grad = model.embedding_dict.weights["4"].grad
    assert grad is not None
    assert grad.abs().sum(dim=1).nonzero()[:, 0].tolist() == [1, 2]  # rows of users 1 and 2; none of the items
    linear = model.linear_model.embedding_dict.weights["1"].grad
    assert linear is not None
    assert linear.nonzero()[:, 0].tolist() == [1, 2, 5, 6, 7]


# ---------------------------------------------------------------------------------------------- saving


def test_one_entry_a_table() -> None:
    state = make().state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        "user.weight": (3, 2),
        "item.weight": (5, 2),
        "day.weight": (4, 3),
    }
    buffer = io.BytesIO()
    torch.save({"user.weight": state["user.weight"]}, buffer)
    assert len(buffer.getvalue()) < 3000  # one table, not the fused parameter


def test_state_dict_goes_both_ways_with_a_module_dict() -> None:
    tables = make()
    upstream = nn.ModuleDict({c.name: nn.Embedding(c.vocabulary_size, c.embedding_dim) for c in COLUMNS})
    upstream.load_state_dict(tables.state_dict())
    assert_close(upstream["day"].weight.detach(), tables["day"].weight.detach())
    fresh = EmbeddingCollection(embedding_configs(COLUMNS, 0.1))
    fresh.load_state_dict(upstream.state_dict())
    for name in tables:
        assert torch.equal(fresh[name].weight, tables[name].weight)


def test_strict_loading() -> None:
    tables = make()
    state = tables.state_dict()
    missing = {k: v for k, v in state.items() if k != "item.weight"}
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "item.weight"'):
        tables.load_state_dict(missing)
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "other.weight"'):
        tables.load_state_dict({**state, "other.weight": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r"size mismatch for item.weight: got \[6, 2\], the table has \[5, 2\]"):
        tables.load_state_dict({**state, "item.weight": torch.zeros(6, 2)})
    result = tables.load_state_dict(
        {**missing, "other.weight": torch.zeros(1), "user.weight": torch.ones(3, 2)}, strict=False
    )
    assert result.missing_keys == ["item.weight"]
    assert result.unexpected_keys == ["other.weight"]
    assert (tables["user"].weight == 1).all()


def test_strict_loading_inside_a_model() -> None:
    model = DeepFM(COLUMNS[:2], COLUMNS[:2], dnn_hidden_units=())
    state = model.state_dict()
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(
            {**{k: v for k, v in state.items() if "user" not in k}, "embedding_dict.usr.weight": torch.zeros(3, 4)}
        )
    assert '"embedding_dict.user.weight", "linear_model.embedding_dict.user.weight"' in str(caught.value)
    assert 'Unexpected key(s) in state_dict: "embedding_dict.usr.weight"' in str(caught.value)


def test_deepcopy_is_apart_and_keeps_sharing() -> None:
    columns = [SparseFeat("item", 5), VarLenSparseFeat(SparseFeat("hist", 5, embedding_name="item"), 2)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    twin = copy.deepcopy(model)
    assert twin.embedding.parts["deep"].tables is twin.embedding_dict
    assert twin.embedding.groups[0].weight is twin.embedding_dict.weights["4"]
    X = torch.tensor([[1, 2, 3], [4, 0, 0]])
    before = model(X)
    with torch.no_grad():
        twin.embedding_dict["item"].weight += 1
    assert torch.equal(model(X), before)
    assert not torch.equal(twin(X), before)


ODD_NAMES = [
    "type",
    "keys",
    "items",
    "values",
    "pop",
    "update",
    "forward",
    "float",
    "a.b",
    "",
    "weight",
    "width_4",
    "日本 語",
]


def test_any_name_is_a_name() -> None:
    columns = [SparseFeat(n, 3 + i) for i, n in enumerate(ODD_NAMES)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    x = {n: [0, 2] for n in ODD_NAMES}
    model.compile("adam", "binary_crossentropy")
    model.fit(x, [0, 1], verbose=0)
    state = model.state_dict()
    assert [k for k in state if k.startswith("embedding_dict")] == [f"embedding_dict.{n}.weight" for n in ODD_NAMES]
    other = DeepFM(columns, columns, dnn_hidden_units=(4,), seed=5)
    other.load_state_dict(state)
    assert (other.predict(x) == model.predict(x)).all()
    assert model.embedding_dict["type"].weight.shape == (3, 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_changing_the_type(dtype: torch.dtype) -> None:
    tables = make()
    view = tables["item"].weight
    tables.to(dtype)
    assert tables["item"].weight.dtype == dtype
    assert tables["item"].weight is not view
    assert tables["item"](torch.tensor([0])).dtype == dtype
    assert tables.state_dict()["item.weight"].dtype == dtype
    with torch.no_grad():
        tables["item"].weight[0] = 5
    assert tables.weights["2"][3].tolist() == [5, 5]


def test_meta_device() -> None:
    tables = make().to("meta")
    assert tables["item"](torch.zeros(2, dtype=torch.int64, device="meta")).shape == (2, 2)
    assert tables["item"].weight.shape == (5, 2)


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


def test_frozen_columns_of_two_parts_with_one_set_of_tables() -> None:
    a, b = SparseFeat("a", 5), SparseFeat("b", 5)
    schema = FeatureSchema([a, b])
    tables = EmbeddingCollection(embedding_configs([a, b], 1.0))
    embedding = EmbeddingLookup(schema, {"one": LookupSpec((a,), tables), "two": LookupSpec((b,), tables)})
    tables["b"].weight.requires_grad_(False)
    one, two = embedding.groups
    assert embedding.frozen_columns(one, ()).tolist() == [False]
    assert embedding.frozen_columns(two, ()).tolist() == [True]
    sum(r.sum() for r in embedding.lookup(schema.unpack(torch.tensor([[1, 1]])))).backward()  # type: ignore[union-attr]
    grad = tables.weights["4"].grad
    assert grad is not None
    assert grad.nonzero()[:, 0].unique().tolist() == [1]


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
