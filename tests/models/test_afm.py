"""AFM against equation 6 of its paper, and what the original gets wrong."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models.afm import AFM
from tests.support import reference
from tests.support.cases import CITY, FIELDS, GENRES, ITEM, PRICE, STATS, TAGS, USER, Case, inputs

CASE = Case("AFM", kwargs={"attention_factor": 4}, free=("fm.projection",), start=("fm.",))

DEEP = [USER, ITEM, CITY, GENRES, TAGS]


def second_order(state: reference.State, fields: reference.Array) -> Any:
    pairs = [fields[i] * fields[j] for i, j in combinations(range(len(fields)), 2)]
    hidden = [reference.relu(p @ state["fm.attention_W"] + state["fm.attention_b"]) for p in pairs]
    weights = reference.softmax([float(h @ state["fm.projection_h"][:, 0]) for h in hidden])
    return sum(w * p for w, p in zip(weights, pairs, strict=True)) @ state["fm.projection_p"]


def test_equals_the_papers_formula() -> None:
    model = reference.randomized(AFM(FIELDS, DEEP, attention_factor=3))
    x, state = inputs(FIELDS, 6), reference.state_of(model)
    expected = []
    for row in range(6):
        logit = reference.linear(state, FIELDS, x, row) + second_order(state, reference.vectors(state, DEEP, x, row))
        expected.append(reference.sigmoid(logit + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_each_class_has_its_own_projection() -> None:
    model = reference.randomized(AFM(FIELDS, DEEP, attention_factor=3, task="multiclass", num_classes=3))
    x, state = inputs(FIELDS, 4), reference.state_of(model)
    assert state["fm.projection_p"].shape == (4, 3)
    expected = []
    for row in range(4):
        logits = reference.linear(state, FIELDS, x, row) + second_order(state, reference.vectors(state, DEEP, x, row))
        expected.append(reference.softmax(logits + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_without_attention_it_is_a_factorization_machine() -> None:
    model = reference.randomized(AFM(FIELDS, DEEP, use_attention=False))
    x, state = inputs(FIELDS, 5), reference.state_of(model)
    assert not [key for key in state if key.startswith("fm.")]
    expected = []
    for row in range(5):
        fields = reference.vectors(state, DEEP, x, row)
        pairs = sum(float(fields[i] @ fields[j]) for i, j in combinations(range(len(fields)), 2))
        expected.append(reference.sigmoid(reference.linear(state, FIELDS, x, row) + pairs + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_the_attention_penalty_is_on_its_hidden_layer_only() -> None:
    model = AFM(FIELDS, DEEP, l2_reg_linear=0, l2_reg_embedding=0, l2_reg_att=0.5)
    expected = 0.5 * model.fm.attention_W.detach().square().sum()
    torch.testing.assert_close(model.get_regularization_loss().detach(), expected.reshape(1))


@pytest.mark.parametrize("attention", [True, False])
def test_one_field_or_none(attention: bool) -> None:
    """C14 in `docs/differences.md`."""
    x = inputs(FIELDS, 3)
    for deep in ([USER], []):
        model = reference.randomized(AFM([USER, PRICE], deep, use_attention=attention))
        state = reference.state_of(model)
        logits = [reference.linear(state, [USER, PRICE], x, row) + state["out.bias"] for row in range(3)]
        np.testing.assert_allclose(model.predict(x), reference.sigmoid(logits), atol=1e-6)


def test_the_scores_of_the_pairs_are_kept() -> None:
    model = AFM(FIELDS, DEEP)
    model.predict(inputs(FIELDS, 3))
    scores = model.fm.normalized_att_score
    assert scores.shape == (3, 10, 1)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(3, 1))


def test_dense_features_of_the_deep_side_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"AFM must be SparseFeat or VarLenSparseFeat, got DenseFeat \['price', 'stats'\]"
    ):
        AFM([], [USER, PRICE, STATS])


@pytest.mark.parametrize("attention", [True, False])
def test_fields_of_several_widths_are_refused(attention: bool) -> None:
    with pytest.raises(ValueError, match="one embedding_dim"):
        AFM([], [USER, SparseFeat("wide", 4, 8)], use_attention=attention)


def test_attention_weights_are_those_of_the_formula_and_sum_to_one() -> None:
    columns = [SparseFeat(name, 6, 3) for name in "abc"]
    model = AFM(columns, columns, attention_factor=4, init_std=1.0)
    x = {name: np.arange(7) % 6 if name == "a" else np.arange(7) % 5 for name in "abc"}
    weights = model.attention_weights(x)["fm"]
    tables = [model.embedding_dict[name].weight.detach().numpy()[x[name]] for name in "abc"]
    w, b, h = (getattr(model.fm, n).detach().numpy() for n in ("attention_W", "attention_b", "projection_h"))
    score = np.stack([np.maximum(tables[i] * tables[j] @ w + b, 0) @ h[:, 0] for i, j in ((0, 1), (0, 2), (1, 2))], 1)
    np.testing.assert_allclose(weights, np.exp(score) / np.exp(score).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
