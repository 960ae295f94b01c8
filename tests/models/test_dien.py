"""DIEN against loops written from the paper, and its repaired faults."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIEN
from deepctr_torch.models.dien import InterestEvolving, InterestExtractor
from deepctr_torch.training.evaluation import predict_batch
from tests.support import cases

CASE = cases.Case(
    "DIEN",
    columns=(cases.SEQUENTIAL + cases.NEGATIVES,),
    # not with softmax: it cancels the bias of the attention's scores, which then has no gradient
    kwargs={"att_hidden_units": (4, 3), "att_weight_normalization": False},
    together={"alpha": {"use_negsampling": True}},
    free=("interest_",),
)

TYPES = ("GRU", "AIGRU", "AGRU", "AUGRU")
STEPS = 4
USER, ITEM, CATE, PRICE = (
    SparseFeat("user", 7, 3),
    SparseFeat("item", 9, 4),
    SparseFeat("cate", 6, 2),
    DenseFeat("price", 2),
)
TAGS = VarLenSparseFeat(SparseFeat("tags", 8, 3), 3, "sum")


def history(name: str, like: SparseFeat, length_name: str | None = None) -> VarLenSparseFeat:
    inner = SparseFeat(name, like.vocabulary_size, like.embedding_dim, embedding_name=like.name)
    return VarLenSparseFeat(inner, STEPS, length_name=length_name)


HISTORIES = [history("hist_item", ITEM), history("hist_cate", CATE)]
NEGATIVES = [history("neg_hist_item", ITEM), history("neg_hist_cate", CATE)]
BASE: list[Any] = [USER, ITEM, CATE, PRICE, *HISTORIES]


def model(columns: list[Any] | None = None, names: tuple[str, ...] = ("item", "cate"), **kwargs: Any) -> DIEN:
    options = {"init_std": 0.5, "dnn_hidden_units": (5,), "att_hidden_units": (3,)} | kwargs
    return DIEN(columns or BASE, list(names), **options)


def data(rows: int, seed: int = 0, lengths: list[int] | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    length = rng.integers(0, STEPS + 1, rows) if lengths is None else np.array(lengths)
    valid = np.arange(STEPS) < length[:, None]
    x: dict[str, np.ndarray] = {"user": rng.integers(0, 7, rows), "price": rng.random((rows, 2)), "length": length}
    for name, size in (("item", 9), ("cate", 6)):
        x[name] = rng.integers(0, size, rows)
        for prefix in ("hist_", "neg_hist_"):
            x[prefix + name] = np.where(valid, rng.integers(1, size, (rows, STEPS)), 0)
    return x | {"tags": rng.integers(0, 8, (rows, 3))}


def randomized(module: Any) -> Any:
    """Biases too, so that a test sees each of them."""
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(0.0, 0.6)
    return module


def gates(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Update gate and candidate of one step of one sample; the blocks are reset, update, candidate."""
    i, s = (w_ih @ x + b_ih).chunk(3), (w_hh @ h + b_hh).chunk(3)
    reset = torch.sigmoid(i[0] + s[0])
    return torch.sigmoid(i[1] + s[1]), torch.tanh(i[2] + reset * s[2])


def gru(module: Any, steps: list[Tensor]) -> list[Tensor]:
    h, out = torch.zeros_like(steps[0]), []
    for x in steps:
        keep, candidate = gates(*module.parameters(), x, h)  # torch's update gate says what is kept
        h = keep * h + (1 - keep) * candidate
        out.append(h)
    return out


def attention(module: Any, query: Tensor, keys: list[Tensor], normalized: bool) -> list[Tensor]:
    unit = module.local_att
    scores = []
    for k in keys:
        h = torch.cat([query, k, query - k, query * k])
        for linear in unit.dnn.linears:
            h = torch.relu(linear(h))
        scores.append(unit.dense(h).squeeze())
    return list(torch.softmax(torch.stack(scores), dim=0)) if normalized else scores


def evolved(module: InterestEvolving, query: Tensor, keys: list[Tensor], normalized: bool) -> Tensor:
    """Equations of "Interest Evolving Layer" for one sample."""
    if not keys:
        return torch.zeros_like(query)
    inner = module.interest_evolution
    if module.gru_type == "GRU":
        states = gru(inner, keys)
        scores = attention(module.attention, query, states, normalized)
        return sum((a * h for a, h in zip(scores, states, strict=True)), torch.zeros_like(query))
    scores = attention(module.attention, query, keys, normalized)
    if module.gru_type == "AIGRU":
        return gru(inner, [a * k for a, k in zip(scores, keys, strict=True)])[-1]
    h = torch.zeros_like(query)
    for a, k in zip(scores, keys, strict=True):
        update, candidate = gates(*inner.rnn.parameters(), k, h)  # type: ignore[union-attr]
        update = a if module.gru_type == "AGRU" else a * update
        h = (1 - update) * h + update * candidate
    return h


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("kind", TYPES)
def test_interest_evolving_is_the_paper_s(kind: str, normalized: bool) -> None:
    module = randomized(
        InterestEvolving(3, kind, att_hidden_size=(4,), att_activation="relu", att_weight_normalization=normalized)
    )
    query, keys, lengths = torch.randn(4, 3), torch.randn(4, 5, 3), torch.tensor([5, 2, 0, 1])
    expected = torch.stack(
        [evolved(module, q, list(k[:n]), normalized) for q, k, n in zip(query, keys, lengths, strict=True)]
    )
    torch.testing.assert_close(module(query.unsqueeze(1), keys, lengths.unsqueeze(1)), expected)
    torch.testing.assert_close(module(query, keys, lengths), expected)


@pytest.mark.parametrize("kind", TYPES)
def test_a_mask_may_have_holes(kind: str) -> None:
    module = randomized(InterestEvolving(3, kind))
    query, keys = torch.randn(2, 1, 3), torch.randn(2, 4, 3)
    mask = torch.tensor([[False, True, False, True], [True, True, False, False]])
    compact = torch.stack([torch.stack([keys[0, 1], keys[0, 3]]), keys[1, :2]])
    torch.testing.assert_close(
        module(query, keys, torch.tensor([[4], [4]]), mask), module(query, compact, torch.tensor([[2], [2]]))
    )


def test_interest_extractor_is_a_gru_and_its_loss_that_of_equation_6() -> None:
    module = randomized(InterestExtractor(2, use_neg=True))
    keys, negatives, lengths = torch.randn(4, 4, 2), torch.randn(4, 4, 2), torch.tensor([4, 2, 1, 0])
    interests, loss = module(keys, lengths.unsqueeze(1), negatives)
    for b, n in enumerate(lengths.tolist()):
        states = gru(module.gru, list(keys[b, :n])) if n else []
        torch.testing.assert_close(interests[b], torch.stack([*states, *[torch.zeros(2)] * (4 - n)]))
        terms = []
        for t in range(n - 1):
            chosen = module.auxiliary_net(torch.cat([states[t], keys[b, t + 1]]))
            not_chosen = module.auxiliary_net(torch.cat([states[t], negatives[b, t + 1]]))
            terms.append(-torch.log(chosen) - torch.log(1 - not_chosen))
        torch.testing.assert_close(loss[b], torch.cat(terms).mean() if terms else torch.tensor(0.0))


def test_negatives_need_a_network() -> None:
    keys = torch.rand(1, 2, 3)
    with pytest.raises(ValueError, match="use_neg"):
        InterestExtractor(3)(keys, torch.tensor([2]), keys)


@pytest.mark.parametrize("kind", TYPES)
def test_dien_is_interest_then_features_then_dnn(kind: str) -> None:
    dien = randomized(model([*BASE, TAGS], gru_type=kind)).eval()
    x = data(9)
    table = {n: dien.embedding_dict[n].weight.detach() for n in ("user", "item", "cate", "tags")}
    logits = []
    for b in range(9):
        query = torch.cat([table["item"][x["item"][b]], table["cate"][x["cate"][b]]])
        pairs = zip(x["hist_item"][b], x["hist_cate"][b], strict=True)
        steps = [torch.cat([table["item"][i], table["cate"][c]]) for i, c in pairs if i]
        interests = gru(dien.interest_extractor.gru, steps) if steps else []
        interest = evolved(dien.interest_evolution, query, interests, True)
        tags = table["tags"][[t for t in x["tags"][b] if t]].sum(dim=0)
        row = torch.cat(
            [interest, table["user"][x["user"][b]], query, tags, torch.tensor(x["price"][b], dtype=torch.float32)]
        )
        logits.append(dien.linear(torch.relu(dien.dnn.linears[0](row))) + dien.out.bias)
    np.testing.assert_allclose(dien.predict(x), torch.sigmoid(torch.stack(logits)).detach().numpy(), atol=1e-5)


def test_augru_has_two_biases() -> None:
    """W3 in `docs/differences.md`."""
    rnn = model(gru_type="AUGRU").interest_evolution.interest_evolution.rnn  # type: ignore[union-attr]
    assert rnn.bias_ih is not rnn.bias_hh
    assert len(list(rnn.parameters())) == 4


@pytest.mark.parametrize("kind", TYPES)
def test_initial_scale_of_the_recurrences(kind: str) -> None:
    wide = InterestEvolving(150, kind, init_std=0.3).interest_evolution
    for name, parameter in wide.named_parameters():
        if "weight" in name:
            assert parameter.std().item() == pytest.approx(0.3, rel=0.02), name
        elif kind in ("AGRU", "AUGRU"):
            assert parameter.count_nonzero() == 0, name
        else:  # as in `nn.GRU`
            assert 0.9 * 150**-0.5 < parameter.abs().max() <= 150**-0.5, name


def test_targets_and_histories_are_paired_by_name() -> None:
    """W4 in `docs/differences.md`."""
    a, b = model(), model([USER, ITEM, CATE, PRICE, *HISTORIES[::-1]], names=("cate", "item"))
    b.load_state_dict(a.state_dict())
    x = data(8)
    np.testing.assert_allclose(a.predict(x), b.predict(x), atol=1e-6)


def test_every_history_has_its_own_length() -> None:
    """W5 in `docs/differences.md`."""
    columns = [USER, ITEM, CATE, PRICE, history("hist_item", ITEM, "n_item"), history("hist_cate", CATE, "n_cate")]
    dien = model(columns)
    x = data(6, lengths=[4] * 6)
    before = dien.predict(x | {"n_item": np.full(6, 2), "n_cate": np.full(6, 4)})
    after = dien.predict(x | {"n_item": np.full(6, 2), "n_cate": np.full(6, 3)})
    assert (before != after).all()
    same = x | {"hist_item": np.where(np.arange(STEPS) < 2, x["hist_item"], 1)}
    np.testing.assert_array_equal(dien.predict(same | {"n_item": np.full(6, 2), "n_cate": np.full(6, 4)}), before)


def test_other_sequences_are_read_and_old_checkpoints_predict_the_same() -> None:
    """W6 in `docs/differences.md`."""
    old, new = model(), model([*BASE, TAGS])
    state = old.state_dict() | {"embedding_dict.tags.weight": torch.randn(8, 3)}
    new.load_state_dict(state)
    x = data(6)
    np.testing.assert_allclose(new.predict(x), old.predict(x), atol=1e-6)
    randomized(new)
    assert (new.predict(x) != new.predict(x | {"tags": (x["tags"] + 1) % 8})).all()
    bare = model([*BASE, TAGS], dnn_hidden_units=())
    bare.load_state_dict(model(dnn_hidden_units=()).state_dict() | {"embedding_dict.tags.weight": torch.randn(8, 3)})
    assert (bare.linear.weight[0, 15:18] == 0).all()
    assert (bare.linear.weight[0, :15] != 0).all()


@pytest.mark.parametrize("rows", [1, 6])
def test_the_auxiliary_loss_is_one_number_a_sample(rows: int) -> None:
    """W7 in `docs/differences.md`."""
    dien = randomized(model([*BASE, *NEGATIVES], use_negsampling=True, alpha=0.5)).train()
    x = data(rows, lengths=[4, 3, 2, 1, 0, 4][:rows])
    batch = dien.schema.unpack(
        torch.from_numpy(np.concatenate([x[n].reshape(rows, -1) for n in dien.feature_index], axis=1))
    )
    loss = predict_batch(dien, batch)[1]
    assert loss is not None
    assert loss.shape == (rows,)
    assert (loss[x["length"] < 2] == 0).all()
    assert (loss[x["length"] > 1] > 0).all()
    dien.alpha = 1.0
    torch.testing.assert_close(predict_batch(dien, batch)[1], 2 * loss)
    one = batch._replace(ids=batch.ids[:1], dense=batch.dense[:1])
    torch.testing.assert_close(predict_batch(dien, one)[1], 2 * loss[:1])
    assert predict_batch(dien.eval(), batch)[1] is None


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_history_holds_the_auxiliary_loss_reduced_like_the_loss(reduction: str) -> None:
    """W7 in `docs/differences.md`."""
    x, y = data(6), np.array([0, 1, 1, 0, 1, 0])
    losses = []
    for alpha in (0.0, 2.0):
        dien = model([*BASE, *NEGATIVES], use_negsampling=True, alpha=alpha, l2_reg_embedding=0)
        dien.compile("sgd", "binary_crossentropy", loss_reduction=reduction)
        batch = dien.schema.unpack(
            torch.from_numpy(np.concatenate([x[n].reshape(6, -1) for n in dien.feature_index], axis=1))
        )
        extra = predict_batch(dien.train(), batch)[1]
        losses.append((dien.fit(x, y, batch_size=6, verbose=0).history["loss"][0], extra))
    assert losses[1][1] is not None
    np.testing.assert_allclose(losses[1][0] - losses[0][0], losses[1][1].mean().item(), rtol=1e-4)


@pytest.mark.parametrize("kind", TYPES)
def test_a_batch_of_empty_histories(kind: str) -> None:
    """C5 in `docs/differences.md`."""
    dien = model([*BASE, *NEGATIVES], gru_type=kind, use_negsampling=True)
    x = data(3, lengths=[0, 0, 0])
    dien.compile("adam", "binary_crossentropy")
    assert np.isfinite(dien.fit(x, np.array([0, 1, 1]), verbose=0).history["loss"]).all()
    assert np.isfinite(dien.predict(x)).all()


def test_a_model_with_negatives_can_be_copied_after_a_step() -> None:
    """C20 in `docs/differences.md`."""
    dien = model([*BASE, *NEGATIVES], use_negsampling=True)
    dien.compile("adam", "binary_crossentropy")
    x = data(5)
    dien.fit(x, np.array([0, 1, 1, 0, 1]), verbose=0)
    np.testing.assert_array_equal(copy.deepcopy(dien).predict(x), dien.predict(x))


def test_where_id_0_pads_it_may_stand_anywhere() -> None:
    dien = model([*BASE, *NEGATIVES], use_negsampling=True)
    x = data(5, lengths=[2, 3, 1, 4, 0])
    moved = {k: v[:, ::-1] if v.ndim == 2 and v.shape[1] == STEPS else v for k, v in x.items()}
    front = {
        k: np.stack([np.concatenate([r[r == 0], r[r != 0]]) for r in v]) if "hist" in k else v for k, v in x.items()
    }
    np.testing.assert_allclose(dien.predict(front), dien.predict(x), atol=1e-6)
    assert (dien.predict(moved)[[0, 1, 3]] != dien.predict(x)[[0, 1, 3]]).all(), "the order of the steps matters"


def test_the_penalty_of_the_dnn_counts() -> None:  # W12
    dien = model(l2_reg_dnn=0.1, l2_reg_embedding=0)
    weights = (dien.dnn.linears[0].weight, dien.linear.weight)
    expected = 0.1 * sum(w.square().sum() for w in weights)
    torch.testing.assert_close(dien.get_regularization_loss().squeeze(), expected)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"gru_type 'AUGUR'.*AUGRU"):
        model(gru_type="AUGUR")
    with pytest.raises(ValueError, match="neg_hist_item"):
        model(use_negsampling=True)


def test_further_histories_are_pooled_and_the_error_says_so() -> None:
    long = history("long", ITEM)
    with pytest.raises(ValueError, match=r"one history a target.*leave the further ones out.*pooled.*or choose DIN"):
        DIEN([*BASE, long], {"item": ["hist_item", "long"], "cate": "hist_cate"})
    assert model([*BASE, long]).features == ["user", "item", "cate", "long"]
