"""DIN against a loop over the steps of the history, and its repaired faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepctr_torch import load_model
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIN
from tests.support.cases import Case
from tests.support.reference import randomized

CASE = Case("DIN", kwargs={"att_hidden_size": (4, 3)}, free=("attention.",))

STEPS = 4
USER, ITEM, CATE, PRICE = (
    SparseFeat("user", 7, 3),
    SparseFeat("item", 9, 4),
    SparseFeat("cate", 6, 2),
    DenseFeat("price", 2),
)
TAGS = VarLenSparseFeat(SparseFeat("tags", 8, 3), 3, "sum")


def history(like: SparseFeat, length_name: str | None = None) -> VarLenSparseFeat:
    inner = SparseFeat(f"hist_{like.name}", like.vocabulary_size, like.embedding_dim, embedding_name=like.name)
    return VarLenSparseFeat(inner, STEPS, length_name=length_name)


COLUMNS: list[Any] = [USER, ITEM, CATE, PRICE, history(ITEM), history(CATE), TAGS]


def model(columns: list[Any] | None = None, names: tuple[str, ...] = ("item", "cate"), **kwargs: Any) -> DIN:
    options = {"init_std": 0.5, "dnn_hidden_units": (5,), "att_hidden_size": (3,), "att_activation": "sigmoid"} | kwargs
    return DIN(columns or COLUMNS, list(names), **options)


def data(rows: int, lengths: list[int] | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    length = rng.integers(0, STEPS + 1, rows) if lengths is None else np.array(lengths)
    valid = np.arange(STEPS) < length[:, None]
    x = {"user": rng.integers(0, 7, rows), "price": rng.random((rows, 2)), "tags": rng.integers(0, 8, (rows, 3))}
    for name, size in (("item", 9), ("cate", 6)):
        x |= {
            name: rng.integers(0, size, rows),
            f"hist_{name}": np.where(valid, rng.integers(1, size, (rows, STEPS)), 0),
        }
    return x


def matrix(din: DIN, x: dict[str, np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([x[n].reshape(len(x["user"]), -1) for n in din.feature_index], axis=1))


def interest(attention: nn.Module, query: Tensor, steps: list[Tensor], normalized: bool) -> Tensor:
    """Equation 3 for one sample."""
    if not steps:
        return torch.zeros_like(query)
    unit: Any = attention.local_att
    scores = []
    for k in steps:
        hidden = torch.sigmoid(unit.dnn.linears[0](torch.cat([query, k, query - k, query * k])))
        scores.append(unit.dense(hidden))
    weights = torch.softmax(torch.stack(scores), dim=0) if normalized else scores
    return sum((w * k for w, k in zip(weights, steps, strict=True)), torch.zeros_like(query))


@pytest.mark.parametrize("normalized", [False, True])
def test_din_is_equation_3(normalized: bool) -> None:  # W9: an empty history is no interest, normalised or not
    din, x = model(att_weight_normalization=normalized).eval(), data(9, [0, 1, 2, 3, 4, 0, 1, 2, 4])
    table = {n: din.embedding_dict[n].weight.detach() for n in ("user", "item", "cate", "tags")}
    for b in range(9):
        query = torch.cat([table["item"][x["item"][b]], table["cate"][x["cate"][b]]])
        pairs = zip(x["hist_item"][b], x["hist_cate"][b], strict=True)
        steps = [torch.cat([table["item"][i], table["cate"][c]]) for i, c in pairs if i]
        tags = table["tags"][[t for t in x["tags"][b] if t]].sum(dim=0)
        numbers = torch.tensor(x["price"][b], dtype=torch.float32)
        row = torch.cat(
            [table["user"][x["user"][b]], query, tags, interest(din.attention, query, steps, normalized), numbers]
        )
        logit = din.dnn_linear(torch.relu(din.dnn.linears[0](row))) + din.out.get_parameter("bias")
        np.testing.assert_allclose(din.predict(x)[b], torch.sigmoid(logit).detach().numpy(), atol=1e-5)


def test_targets_and_histories_are_paired_by_name() -> None:
    """W4 in `docs/differences.md`."""
    a, b = model(), model([TAGS, history(CATE), history(ITEM), USER, ITEM, CATE, PRICE], ("cate", "item"))
    b.load_state_dict(a.state_dict())
    x = data(8)
    np.testing.assert_allclose(a.predict(x), b.predict(x), atol=1e-6)


def test_every_history_has_its_own_length() -> None:
    """W5 in `docs/differences.md`."""
    din = model([USER, ITEM, CATE, PRICE, history(ITEM, "n_item"), history(CATE, "n_cate")])
    x = data(6, [4] * 6)
    base = din.predict(x | {"n_item": np.full(6, 2), "n_cate": np.full(6, 4)})
    assert (base != din.predict(x | {"n_item": np.full(6, 2), "n_cate": np.full(6, 3)})).all()
    beyond = x | {"hist_item": np.where(np.arange(STEPS) < 2, x["hist_item"], 1)}
    np.testing.assert_array_equal(base, din.predict(beyond | {"n_item": np.full(6, 2), "n_cate": np.full(6, 4)}))


def test_beyond_its_own_length_a_history_is_zeros() -> None:
    """W5: Where the longer history goes on alone, zeros stand beside it, not the vectors of ids that pad the other."""
    columns = [USER, ITEM, CATE, PRICE, history(ITEM, "n_item"), history(CATE, "n_cate")]
    din, x = model(columns), data(6, [4] * 6)
    x |= {"n_item": np.full(6, 2), "n_cate": np.full(6, 4)}
    batch = din.schema.unpack(matrix(din, x))
    keys, mask = din.pairs.keys(din.fields(batch, din.embedding.lookup(batch)))
    item, cate = (din.embedding_dict[n].weight[torch.from_numpy(x[f"hist_{n}"])] for n in ("item", "cate"))
    beyond = torch.arange(STEPS).reshape(1, -1, 1) >= 2
    torch.testing.assert_close(keys, torch.cat([item.masked_fill(beyond, 0.0), cate], dim=-1))
    assert mask.all()


def test_dice_does_not_see_padding() -> None:
    """W10: Steps that are padding leave no trace in the running statistics of the attention."""
    x, means = data(6, [1, 2, 3, 4, 2, 1]), []
    for steps in (STEPS, STEPS + 3):
        columns = [c._replace(maxlen=steps) if c.name.startswith("hist_") else c for c in COLUMNS]
        din = model(columns, att_activation="dice")
        padded = {k: np.pad(v, ((0, 0), (0, steps - STEPS))) if k.startswith("hist_") else v for k, v in x.items()}
        packed = np.concatenate([padded[n].reshape(6, -1) for n in din.feature_index], axis=1)
        din.train()(torch.from_numpy(packed))
        means.append({k: v for k, v in din.state_dict().items() if "running" in k})
    assert means[0].keys() == means[1].keys()
    assert len(means[0]) == 2
    for key, value in means[0].items():
        torch.testing.assert_close(value, means[1][key])


def test_penalty_and_initial_scale() -> None:
    """W12, W13 in `docs/differences.md`."""
    din = model(l2_reg_dnn=0.1, l2_reg_embedding=0)
    expected = 0.1 * (din.dnn.linears[0].weight.square().sum() + din.dnn_linear.weight.square().sum())
    torch.testing.assert_close(din.get_regularization_loss().squeeze(), expected)
    wide = model(dnn_hidden_units=(400,), att_hidden_size=(400,), init_std=0.3)
    for weight in (wide.dnn.linears[0].weight, wide.attention.local_att.dnn.linears[0].weight):
        assert weight.std().item() == pytest.approx(0.3, rel=0.1)


def test_each_of_several_histories_has_an_interest_of_its_own(tmp_path: Path) -> None:
    """The target's first histories are read together, then the second one of `item` by a unit of its own."""
    long = history(ITEM)._replace(sparsefeat=SparseFeat("long", 9, 4, embedding_name="item"), maxlen=6)
    names = {"item": ["hist_item", "long"], "cate": "hist_cate"}
    options: dict[str, Any] = {"dnn_hidden_units": (5,), "att_hidden_size": (3,), "att_activation": "sigmoid"}
    din = randomized(DIN([*COLUMNS, long], names, **options)).eval()
    x = data(5) | {"long": np.random.default_rng(1).integers(0, 9, (5, 6))}
    table = {n: din.embedding_dict[n].weight.detach() for n in ("user", "item", "cate", "tags")}
    for b in range(5):
        item, cate = table["item"][x["item"][b]], table["cate"][x["cate"][b]]
        pairs = zip(x["hist_item"][b], x["hist_cate"][b], strict=True)
        steps = [torch.cat([table["item"][i], table["cate"][c]]) for i, c in pairs if i]
        first = interest(din.attention, torch.cat([item, cate]), steps, False)
        second = interest(din.further_attention[0], item, [table["item"][i] for i in x["long"][b] if i], False)
        tags = table["tags"][[t for t in x["tags"][b] if t]].sum(dim=0)
        numbers = torch.tensor(x["price"][b], dtype=torch.float32)
        row = torch.cat([table["user"][x["user"][b]], item, cate, tags, first, second, numbers])
        logit = din.dnn_linear(torch.relu(din.dnn.linears[0](row))) + din.out.get_parameter("bias")
        np.testing.assert_allclose(din.predict(x)[b], torch.sigmoid(logit).detach().numpy(), atol=1e-5)
    din.save(tmp_path)
    np.testing.assert_array_equal(load_model(tmp_path).predict(x), din.predict(x))


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        (COLUMNS, ("itm",), "names no SparseFeat 'itm'.*'item'"),
        ([USER, ITEM], ("item",), "must be a VarLenSparseFeat 'hist_item'"),
        ([ITEM._replace(embedding_dim=3), history(ITEM)], ("item",), "agree on its embedding_dim|one embedding_dim"),
        (COLUMNS, (), "at least one feature name"),
    ],
)
def test_wrong_histories_are_named(columns: list[Any], names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(columns, names)


@pytest.mark.parametrize("normalized", [False, True])
def test_attention_weights_pool_the_history_to_what_the_model_reads(normalized: bool) -> None:
    item = SparseFeat("item", 9, 3)
    history = VarLenSparseFeat(SparseFeat("hist_item", 9, 3, embedding_name="item"), 5, length_name="n")
    model = DIN([item, history], ["item"], att_weight_normalization=normalized, init_std=1.0)
    length = np.array([2, 0, 5, 1])
    x = {"item": np.array([1, 2, 3, 4]), "hist_item": np.arange(20).reshape(4, 5) % 9, "n": length}
    weights = model.attention_weights(x)["attention"]
    _, layers = model.predict(x, return_layers=["attention"])
    vectors = model.embedding_dict["item"].weight.detach().numpy()[x["hist_item"]]
    np.testing.assert_allclose(
        np.einsum("nt,nte->ne", weights, vectors), layers["attention"][:, 0], rtol=1e-4, atol=1e-6
    )
    valid = np.arange(5) < length[:, None]
    assert not weights[~valid].any()
    unit, table = model.attention.local_att, model.embedding_dict["item"].weight
    with torch.no_grad():
        score = unit(table[x["item"]].unsqueeze(1), table[x["hist_item"]]).squeeze(2).numpy()
    score = np.where(valid, np.exp(score) if normalized else score, 0.0)
    total = score.sum(1, keepdims=True)
    expected = np.divide(score, total, out=np.zeros_like(score), where=total > 0) if normalized else score
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    short = {**x, "n": np.array([1, 0, 1, 1])}
    assert model.attention_weights(short)["attention"].shape == (4, 5)


SEVERAL = VarLenSparseFeat(SparseFeat("tags", 9, 4), 3)
HIST_TAGS = VarLenSparseFeat(SparseFeat("hist_tags", 9, 4, embedding_name="tags"), 5, step_width=3)
STEPPED = [SparseFeat("user", 6, 4), SEVERAL, HIST_TAGS]


def stepped(rows: int, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(seed)
    hist = [[rng.integers(1, 9, rng.integers(0, 4)).tolist() for _ in range(rng.integers(0, 6))] for _ in range(rows)]
    tags = [rng.integers(1, 9, rng.integers(1, 4)).tolist() for _ in range(rows)]
    return {"user": rng.integers(0, 6, rows), "tags": tags, "hist_tags": hist}, rng.integers(0, 2, rows).astype(float)


def test_a_target_of_several_ids_meets_steps_of_several_ids() -> None:
    """The formula of the model with the mean of the ids of the target, and of each step."""
    model = DIN(STEPPED, ["tags"], att_activation="sigmoid", init_std=0.3)
    x, _ = stepped(7)
    table, user = model.embedding_dict["tags"].weight, model.embedding_dict["user"].weight
    logits = []
    for row in range(7):
        target = table[torch.tensor(x["tags"][row])].mean(dim=0)
        kept = [step for step in x["hist_tags"][row] if step]
        keys = [table[torch.tensor(step)].mean(dim=0) for step in kept]
        scores = [model.attention.local_att(target.view(1, 1, 4), key.view(1, 1, 4)).flatten() for key in keys]
        interest = sum((s * k for s, k in zip(scores, keys, strict=True)), torch.zeros(4))
        inputs = torch.cat([user[int(x["user"][row])], target, interest])
        logits.append(model.dnn_linear(model.dnn(inputs.view(1, -1))) + model.out.bias)
    expected = torch.sigmoid(torch.cat(logits)).detach().numpy()
    np.testing.assert_allclose(model.predict(x), expected, atol=1e-6)


def test_steps_of_several_ids_train_alike_by_rows_and_by_tables(tmp_path: Any) -> None:
    x, y = stepped(60)
    made = []
    for update in ("dense", "sparse"):
        model = DIN(STEPPED, ["tags"], l2_reg_embedding=0, init_std=0.1)
        model.compile("sgd", "binary_crossentropy", embedding_update=update, learning_rate=0.1)
        before = model.predict(x)
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
        assert not np.allclose(before, model.predict(x), atol=1e-4)
        made.append(model)
    for one, other in zip(made[0].state_dict().values(), made[1].state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    made[0].save(tmp_path)
    loaded: Any = load_model(tmp_path)
    assert loaded.dnn_feature_columns == STEPPED
    assert np.array_equal(loaded.predict(x), made[0].predict(x))


def test_steps_of_several_ids_can_be_exported() -> None:
    model = DIN(STEPPED, ["tags"], init_std=0.3).eval()
    matrix = torch.randint(0, 6, (4, 1 + 3 + 15)).double()
    rows = {"X": {0: torch.export.Dim("rows", min=2)}}
    program = torch.export.export(model, (matrix,), dynamic_shapes=rows)
    torch.testing.assert_close(program.module()(matrix[:3]), model(matrix[:3]))
