"""Tables are ordinary `nn.Embedding`s whose weights lie side by side: whatever users do to one is seen by lookups."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.embedding import EmbeddingCollection, EmbeddingSlice, embedding_configs
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM

COLUMNS = [SparseFeat("user", 3, 2), SparseFeat("item", 5, 2), SparseFeat("day", 4, 3)]


def make() -> EmbeddingCollection:
    """Tables whose every number is another."""
    tables = EmbeddingCollection(embedding_configs(COLUMNS, 0.1))
    with torch.no_grad():
        tables.fused[0].fused.copy_(torch.arange(16.0).reshape(8, 2))
        tables.fused[1].fused.copy_(100 + torch.arange(12.0).reshape(4, 3))
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
    assert tables == [
        ("user", 3, 2, (EmbeddingSlice(("user",), 0, 2),), 0.1),
        ("item", 5, 2, (EmbeddingSlice(("item",), 0, 2),), 0.1),
        ("genres", 7, 2, (EmbeddingSlice(("genres",), 0, 2),), 0.1),
    ]
    assert [t.embedding_dim for t in embedding_configs(columns, 0.1, embedding_dim=1)] == [1, 1, 1]
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
    assert (
        len(embedding_configs([item, wide], 0.1, embedding_dim=1)) == 1
    )  # the linear side has one weight an id either way


def test_tables_are_ordinary_modules_over_one_tensor_a_width() -> None:
    tables = make()
    assert isinstance(tables, nn.ModuleDict)
    assert all(type(table) is nn.Embedding for table in tables.values())
    shapes = {"user.weight": (3, 2), "item.weight": (5, 2), "day.weight": (4, 3)}
    assert {n: tuple(p.shape) for n, p in tables.named_parameters()} == shapes
    assert [tuple(table.fused.shape) for table in tables.fused] == [(8, 2), (4, 3)]
    assert [tables.where(n)[1:] for n in ("user", "item", "day")] == [(0, 3), (3, 8), (0, 4)]
    assert torch.equal(tables.fused[0].fused[3:], tables["item"].weight)
    assert tables.item is tables["item"]


def test_initial_scale() -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("a", 2000, 8), SparseFeat("b", 2000, 8)], 0.05))
    for name in ("a", "b"):
        weight = tables[name].weight.detach()
        assert abs(float(weight.std()) - 0.05) < 0.002
        assert abs(float(weight.mean())) < 0.002


# ---------------------------------------------------------------------------------------------- reading and writing


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(KeyError, match="no table 'usr': did you mean 'user'"):
        make().where("usr")


def test_weight_is_the_table() -> None:
    tables = make()
    assert isinstance(tables["item"].weight, nn.Parameter)
    assert tables["item"].weight.tolist() == [[6, 7], [8, 9], [10, 11], [12, 13], [14, 15]]
    assert tables["item"].weight is tables["item"].weight
    assert tables["item"].weight.shape == (5, 2)


WRITES: dict[str, Callable[[Any, Tensor, nn.Parameter], Any]] = {
    "data.copy_": lambda tables, new, kept: tables["item"].weight.data.copy_(new),
    "data =": lambda tables, new, kept: setattr(tables["item"].weight, "data", new),
    "data[:] =": lambda tables, new, kept: tables["item"].weight.data.__setitem__(slice(None), new),
    "weight[i] = under no_grad": lambda tables, new, kept: [
        tables["item"].weight.__setitem__(i, new[i]) for i in range(5)
    ],
    "copy_ under no_grad": lambda tables, new, kept: tables["item"].weight.copy_(new),
    "weight = Parameter": lambda tables, new, kept: setattr(tables["item"], "weight", nn.Parameter(new)),
    "nn.Embedding": lambda tables, new, kept: tables.__setitem__(
        "item", nn.Embedding.from_pretrained(new, freeze=False)
    ),
    "load_state_dict": lambda tables, new, kept: tables.load_state_dict({**tables.state_dict(), "item.weight": new}),
    "weight kept from before": lambda tables, new, kept: kept.copy_(new),
    "data of a weight kept from before": lambda tables, new, kept: setattr(kept, "data", new.clone()),
    "state_dict": lambda tables, new, kept: tables.state_dict()["item.weight"].copy_(new),
    "load_state_dict(assign=True)": lambda tables, new, kept: tables.load_state_dict(
        {**tables.state_dict(), "item.weight": new.clone()}, assign=True
    ),
    "update": lambda tables, new, kept: tables.update({"item": nn.Embedding.from_pretrained(new, freeze=False)}),
}


@pytest.mark.parametrize("way", WRITES)
def test_writing_a_table(way: str) -> None:
    """Whatever way a table is written, the next lookup reads it, and its neighbours are as they were."""
    tables = make()
    before, kept = tables.fused[0].fused.clone(), tables["item"].weight
    new = torch.randn(5, 2)
    with torch.no_grad():
        WRITES[way](tables, new, kept)
    assert tables.fused[0].refresh()
    assert_close(tables.fused[0].fused[3:], new)
    assert_close(tables.fused[0].fused[:3], before[:3])
    assert_close(tables["item"](torch.tensor([4])).detach(), new[4:])
    assert tables["item"].weight.data_ptr() == tables.fused[0].fused[3:].data_ptr()
    assert tables.frozen == set()


def test_what_a_table_becomes_is_noticed_at_the_next_lookup() -> None:
    columns = tuple(COLUMNS[:2])
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    X = torch.tensor([[1, 2], [2, 4]])
    before = model(X)
    model.embedding_dict["item"] = nn.Embedding.from_pretrained(torch.full((5, 2), 3.0), freeze=False)
    changed = model(X)
    assert not torch.equal(before, changed)
    model.embedding_dict["item"].weight = nn.Parameter(torch.full((5, 2), 5.0))
    again = model(X)
    assert not torch.equal(changed, again)
    model.embedding_dict["item"].weight.data = torch.full((5, 2), 3.0)
    assert torch.equal(model(X), changed)
    again.sum().backward()
    assert model.embedding_dict["user"].weight.grad.abs().sum() > 0


def test_writing_another_shape_or_deleting_a_table_is_an_error_at_the_next_lookup() -> None:
    tables = make()
    tables["item"] = nn.Embedding(5, 3)
    with pytest.raises(ValueError, match=r"the vectors of table 'item' must have length 2, got shape \[5, 3\]"):
        tables.fused[0].refresh()
    del tables["item"]
    with pytest.raises(KeyError, match="the table 'item' was deleted, but a feature reads it"):
        tables.fused[0].refresh()
    with pytest.raises(ValueError, match=r"the vectors of table 'user' must have shape \[3, 2\], got \[2, 2\]"):
        make().assign("user", torch.zeros(2, 2))


def test_initialising_all_tables_by_hand() -> None:
    tables = make()
    for table in tables.values():
        nn.init.normal_(table.weight, mean=50.0, std=0.01)
    assert all((whole.fused > 49).all() for whole in tables.fused)
    tables.apply(lambda module: nn.init.zeros_(module.weight) if isinstance(module, nn.Embedding) else None)
    assert all((whole.fused == 0).all() for whole in tables.fused)


ODD: dict[str, Callable[[EmbeddingCollection], Any]] = {
    "a padding_idx": lambda tables: tables.__setitem__("item", nn.Embedding(5, 2, padding_idx=0)),
    "a subclass": lambda tables: tables.__setitem__("item", type("Own", (nn.Embedding,), {})(5, 2)),
    "a forward hook": lambda tables: tables["item"].register_forward_hook(lambda module, args, out: out * 2),
    "a hook of the weight": lambda tables: tables["item"].weight.register_hook(lambda grad: grad * 0),
    "another dtype": lambda tables: tables["item"].double(),
    "a module twice": lambda tables: tables.__setitem__("item", tables["user"]),
}


@pytest.mark.parametrize("way", [w for w in ODD if w not in ("another dtype", "a module twice")])
def test_tables_that_are_not_plain_are_called_by_themselves_and_trained(way: str) -> None:
    columns = COLUMNS[:2]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,), l2_reg_embedding=0)
    ODD[way](model.embedding_dict)
    before = model.embedding_dict["item"].weight.detach().clone()
    assert not all(table.refresh() and table.is_plain() for table in model.embedding.tables)
    model.compile("sgd", "binary_crossentropy", learning_rate=0.5)
    model.fit({"user": [0, 1, 2], "item": [0, 1, 2]}, [0, 1, 1], batch_size=3, verbose=0)
    moved = (model.embedding_dict["item"].weight.detach() != before).any(dim=1).tolist()
    expected = {"a padding_idx": [False, True, True], "a hook of the weight": [False] * 3}.get(way, [True] * 3)
    assert moved == [*expected, False, False]
    model.compile("sgd", "binary_crossentropy", embedding_update="sparse")
    with pytest.raises(ValueError, match=r"needs tables that are plain nn\.Embedding modules"):
        model.fit({"user": [0], "item": [0]}, [0], verbose=0)


def test_a_longer_table_of_the_user_s_is_read_and_trained() -> None:
    columns = COLUMNS[:2]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    model.embedding_dict["item"] = nn.Embedding(50, 2)
    before = model.embedding_dict["item"].weight.detach().clone()
    model.compile("adam", "binary_crossentropy")
    model.fit({"user": [0, 1, 2], "item": [0, 1, 4]}, [0, 1, 1], batch_size=3, verbose=0)
    moved = (model.embedding_dict["item"].weight.detach() != before).any(dim=1)
    assert moved[:5].any()


def test_a_functional_call_uses_the_weights_that_it_is_given() -> None:
    columns = COLUMNS[:2]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    X, memory = torch.tensor([[1, 2]]), model.embedding_dict.fused[0].fused
    given = {name: p.detach() + 1.0 for name, p in model.named_parameters()}
    before, called = model(X), torch.func.functional_call(model, given, (X,))
    assert not torch.equal(before, called)
    assert torch.equal(model(X), before)
    assert model.embedding_dict.fused[0].fused is memory


@pytest.mark.parametrize("way", ["another dtype", "a module twice"])
def test_weights_that_cannot_lie_side_by_side_are_not_fused(way: str) -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 5, 2), SparseFeat("item", 5, 2)], 0.1))
    ODD[way](tables)
    assert not tables.fused[0].refresh()


def test_a_table_of_two_models_is_one_table() -> None:
    columns = COLUMNS[:2]
    one, two = (DeepFM(columns, columns, dnn_hidden_units=(4,), seed=seed) for seed in (1, 2))
    two.embedding_dict["user"] = one.embedding_dict["user"]
    assert one.embedding.refresh()
    assert not two.embedding.refresh()
    X = torch.tensor([[1, 2]])
    before = two(X)
    with torch.no_grad():
        one.embedding_dict["user"].weight.add_(1.0)
    assert not torch.equal(two(X), before)
    assert one.embedding_dict["user"].weight.data_ptr() == one.embedding_dict.fused[0].fused.data_ptr()


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
    assert tables.fused[0].refresh()
    (tables["item"](torch.tensor([1])).sum() + tables["user"](torch.tensor([1])).sum()).backward()
    assert tables["item"].weight.grad is None
    assert tables["user"].weight.grad.nonzero()[:, 0].unique().tolist() == [1]
    tables["item"].weight.requires_grad_(True)
    assert tables.frozen == set()


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
    grad = model.embedding_dict["user"].weight.grad
    assert grad.abs().sum(dim=1).nonzero()[:, 0].tolist() == [1, 2]
    assert model.embedding_dict["item"].weight.grad is None
    linear = model.linear_model.embedding_dict
    assert linear["user"].weight.grad.nonzero()[:, 0].tolist() == [1, 2]
    assert linear["item"].weight.grad.nonzero()[:, 0].tolist() == [2, 3, 4]


# ---------------------------------------------------------------------------------------------- saving


def test_one_entry_a_table() -> None:
    state = make().state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        "user.weight": (3, 2),
        "item.weight": (5, 2),
        "day.weight": (4, 3),
    }
    buffer = io.BytesIO()
    torch.save(make().state_dict(), buffer)
    buffer.seek(0)
    for key, value in torch.load(buffer).items():
        assert torch.equal(value, state[key])


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
    with pytest.raises(RuntimeError, match=r"size mismatch for item.weight"):
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
    assert twin.embedding.groups[0].table is twin.embedding_dict.fused[0]
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
    tables.to(dtype)
    assert tables["item"].weight.dtype == dtype
    assert tables["item"](torch.tensor([0])).dtype == dtype
    assert tables.state_dict()["item.weight"].dtype == dtype
    with torch.no_grad():
        tables["item"].weight[0] = 5
    assert tables.fused[0].fused[3].tolist() == [5, 5]


def test_a_move_that_moves_nothing_leaves_the_memory_alone() -> None:
    tables = make()
    before = tables.fused[0].fused
    tables.to("cpu").float()
    assert tables.fused[0].fused is before


def test_meta_device() -> None:
    tables = make().to("meta")
    assert tables["item"](torch.zeros(2, dtype=torch.int64, device="meta")).shape == (2, 2)
    assert tables["item"].weight.shape == (5, 2)
