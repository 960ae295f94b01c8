"""ONN against loops over pairs, its wide tables, and its repaired faults."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import ONN
from deepctr_torch.models.onn import Interac

A, B, C, D = SparseFeat("a", 5, 3), SparseFeat("b", 6, 3), SparseFeat("c", 7, 3), DenseFeat("d", 2)
FRIEND = SparseFeat("friend", 5, 3, embedding_name="a")
TAGS = VarLenSparseFeat(SparseFeat("tags", 8, 3), 4, "mean")
PAST = VarLenSparseFeat(SparseFeat("past", 6, 3, embedding_name="b"), 4, "max", length_name="n")


def model(columns: list[Any], **kwargs: Any) -> ONN:
    onn = ONN(columns, columns, **{"init_std": 0.5, "dnn_hidden_units": (4,)} | kwargs)
    with torch.no_grad():
        onn.out.get_parameter("bias").fill_(0.2)
    return onn


def data(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {"a": 5, "b": 6, "c": 7, "friend": 5}
    x = {n: rng.integers(0, size, rows) for n, size in sizes.items()}
    x |= {"tags": rng.integers(0, 8, (rows, 4)), "past": rng.integers(0, 6, (rows, 4)), "n": rng.integers(1, 5, rows)}
    return x | {"d": rng.normal(size=(rows, 2))}


def vector(table: torch.Tensor, x: dict[str, np.ndarray], name: str, b: int) -> torch.Tensor:
    if name == "tags":
        ids = [i for i in x["tags"][b] if i]
        return table[ids].mean(dim=0) if ids else torch.zeros(3)
    if name == "past":
        return table[x["past"][b, : x["n"][b]]].amax(dim=0)
    return table[x[name][b]]


COLUMNS = {
    "single ids": [A, B, C, D],
    "a sequence": [A, TAGS, B, D],
    "shared tables": [A, B, C, FRIEND, PAST, D],
    "two fields": [A, B],
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS.keys())
def test_onn_is_a_dnn_over_the_products_of_all_pairs(columns: list[Any]) -> None:
    onn, x = model(columns).eval(), data(5)
    state = onn.state_dict()
    singles = [c.name for c in columns if isinstance(c, SparseFeat)]
    names = singles + [c.name for c in columns if isinstance(c, VarLenSparseFeat)]
    tables = {c.name: c.embedding_name for c in columns if not isinstance(c, DenseFeat)}
    for b in range(5):
        row, linear = [], torch.tensor([0.2])
        for first, second in combinations(names, 2):
            key = f"second_order_embedding_dict.{first}+{second}"
            row.append(
                vector(state[f"{key}.emb1.weight"], x, first, b) * vector(state[f"{key}.emb2.weight"], x, second, b)
            )
        for name in names:
            linear = linear + vector(state[f"linear_model.embedding_dict.{tables[name]}.weight"], x, name, b)[:1]
        if D in columns:
            row.append(torch.tensor(x["d"][b], dtype=torch.float32))
            linear = linear + row[-1] @ state["linear_model.weight"]
        deep = onn.dnn_linear(torch.relu(onn.dnn.linears[0](torch.cat(row))))
        expected = torch.sigmoid(linear + deep)
        np.testing.assert_allclose(onn.predict(x)[b], expected.detach().numpy(), atol=1e-5)


def test_keys_and_their_order_are_those_of_single_tables() -> None:
    keys = [k for k in model([B, A, C]).state_dict() if k.startswith("second_order")]
    pairs = ["b+a", "b+c", "a+c"]
    assert keys == [f"second_order_embedding_dict.{p}.{e}.weight" for p in pairs for e in ("emb1", "emb2")]


def test_state_dict_goes_both_ways() -> None:
    columns = [A, FRIEND, B, TAGS, D]
    a, b, x = model(columns), model(columns, seed=1), data(6)
    assert (a.predict(x) != b.predict(x)).all()
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a.predict(x), b.predict(x))


def test_one_row_holds_all_vectors_of_an_id() -> None:
    onn = model([A, B, C, D])
    configs = onn.second_order_embedding_dict.configs.values()
    assert {c.name: (c.num_embeddings, c.embedding_dim) for c in configs} == {"a": (5, 6), "b": (6, 6), "c": (7, 6)}
    assert len(onn.embedding.groups) == 2  # one lookup for all pairs, one for the linear side


def test_features_that_share_a_table_share_its_wide_rows() -> None:
    """C9 in `docs/differences.md`."""
    onn = model([A, FRIEND, B])
    configs = onn.second_order_embedding_dict.configs.values()
    assert {c.name: (c.num_embeddings, c.embedding_dim) for c in configs} == {"a": (5, 9), "b": (6, 6)}
    tables = onn.second_order_embedding_dict
    assert tables["a+b"].emb1 is tables["friend+b"].emb1
    state = onn.state_dict()
    prefix = "second_order_embedding_dict."
    assert torch.equal(state[f"{prefix}a+b.emb1.weight"], state[f"{prefix}friend+b.emb1.weight"])
    assert not torch.equal(state[f"{prefix}a+friend.emb1.weight"], state[f"{prefix}a+friend.emb2.weight"])


def test_init_std_reaches_both_tables() -> None:
    """W13 in `docs/differences.md`."""
    big = [SparseFeat("a", 4000, 4), SparseFeat("b", 4000, 4)]
    state = ONN(big, big, init_std=0.02).state_dict()
    layer = Interac(4000, 4000, 4, 0.02)
    tables = [v for k, v in state.items() if "second_order" in k] + [layer.emb1.weight, layer.emb2.weight]
    assert len(tables) == 4
    for table in tables:
        assert table.std().item() == pytest.approx(0.02, rel=0.05)


def test_interac_multiplies() -> None:
    layer = Interac(2, 3, 2, 1.0, sparse=True)
    first, second = torch.tensor([[1], [0]]), torch.tensor([[2], [2]])
    product = layer(first, second)
    torch.testing.assert_close(product, layer.emb1.weight[[1, 0]].unsqueeze(1) * layer.emb2.weight[[2, 2]].unsqueeze(1))
    product.sum().backward()
    assert layer.emb1.weight.grad is not None
    assert layer.emb1.weight.grad.is_sparse


def test_an_old_checkpoint_without_sequences_predicts_the_same() -> None:
    old, new = model([A, B, C, D]), model([A, B, TAGS, C, D])
    state = old.state_dict() | {f"embedding_dict.{n}.weight": torch.rand(2, 3) for n in "abc"}  # never used, dropped
    state["linear_model.embedding_dict.tags.weight"] = torch.zeros(8, 1)
    new.load_state_dict(state)
    x = data(6)
    np.testing.assert_allclose(new.predict(x), old.predict(x), atol=1e-6)
    assert all(weight.abs().sum() > 0 for weight in new.second_order_embedding_dict.weights_of("tags"))


def test_a_checkpoint_with_a_missing_pair_is_refused() -> None:
    onn = model([A, B, D])
    state = onn.state_dict()
    del state["second_order_embedding_dict.a+b.emb2.weight"]
    with pytest.raises(RuntimeError, match=r"a\+b\.emb2"):
        onn.load_state_dict(state)


@pytest.mark.parametrize("columns", [[], [A], [D], [A, D], [TAGS]], ids=str)
def test_fewer_than_two_fields(columns: list[Any]) -> None:
    """C14 in `docs/differences.md`."""
    onn, x = model(columns or [D]), data(4)
    if not columns:
        onn = ONN([A], [])
    onn.compile("adam", "binary_crossentropy")
    onn.fit(x, np.array([0, 1, 1, 0]), verbose=0)
    assert np.isfinite(onn.predict(x)).all()


def test_the_penalty_is_that_of_the_wide_tables_and_the_dnn() -> None:
    onn = model([A, B, D], l2_reg_embedding=0.1, l2_reg_dnn=0.2, l2_reg_linear=0)
    tables = sum(v.square().sum() for k, v in onn.state_dict().items() if "second_order" in k)
    dnn = onn.dnn.linears[0].weight.square().sum() + onn.dnn_linear.weight.square().sum()
    torch.testing.assert_close(onn.get_regularization_loss().squeeze(), 0.1 * tables + 0.2 * dnn)


def test_names_that_only_the_documentation_had_are_refused() -> None:
    with pytest.raises(TypeError, match="dnn_use_bn"):
        ONN([A], [A, B], use_bn=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="reduce_sum"):
        ONN([A], [A, B], reduce_sum=True)  # type: ignore[call-arg]


def test_dimensions_must_agree() -> None:
    """C15 in `docs/differences.md`."""
    with pytest.raises(ValueError, match=r"one embedding_dim.*'c': 4"):
        model([A, B, C._replace(embedding_dim=4)])
