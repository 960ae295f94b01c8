"""CCPM against its paper's formula, and what the original gets wrong."""

from __future__ import annotations

import numpy as np
import pytest

from deepctr_torch.features import SparseFeat
from deepctr_torch.models.ccpm import CCPM
from tests.support import reference
from tests.support.cases import CITY, FIELDS, GENRES, ITEM, PRICE, TAGS, USER, Case, inputs

CASE = Case("CCPM", free=("conv_layer.",), start=("conv_layer.",))

DEEP = [USER, ITEM, CITY, GENRES, TAGS]


def convolved(state: reference.State, fields: reference.Array, kept: list[int]) -> reference.Array:
    """Convolution over the fields, tanh, and the largest values: value by value, [F, E] -> [filters, kept, E]."""
    maps = fields[None]  # [channels, F, E]
    for layer, k in enumerate(kept):
        weight = state[f"conv_layer.conv_layer.{3 * layer}.weight"]  # [filters, channels, width, 1]
        bias = state[f"conv_layer.conv_layer.{3 * layer}.bias"]
        before = (weight.shape[2] - 1) // 2
        out = np.zeros((len(weight), maps.shape[1], maps.shape[2]))
        for f, t, e in np.ndindex(*out.shape):
            total = bias[f]
            for c in range(weight.shape[1]):
                for step in range(weight.shape[2]):
                    at = t - before + step
                    if 0 <= at < maps.shape[1]:
                        total += weight[f, c, step, 0] * maps[c, at, e]
            out[f, t, e] = np.tanh(total)
        maps = -np.sort(-out, axis=1)[:, :k]
    return maps


@pytest.mark.parametrize("hidden", [(6, 5), ()])
def test_equals_the_papers_formula(hidden: tuple[int, ...]) -> None:
    model = reference.randomized(CCPM(FIELDS, DEEP, (4, 3), (2, 3), hidden))
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    assert model.dnn_input_dim == 3 * 2 * 4  # filters, kept, E
    for row in range(6):
        pooled = convolved(
            state, reference.vectors(state, DEEP, x, row), [2, 2]
        )  # floor((1 - 1 / 2) * 5), then 3 at most
        logit = state["dnn_linear.weight"] @ reference.dnn(state, "dnn", pooled.reshape(-1))
        expected.append(reference.sigmoid(logit + reference.linear(state, FIELDS, x, row) + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_one_field_or_none() -> None:
    """C13, C14 in `docs/differences.md`."""
    x = inputs(FIELDS, 3)
    assert np.isfinite(CCPM([USER], [USER], dnn_hidden_units=()).predict(x)).all()
    model = reference.randomized(CCPM([PRICE, USER], []))
    state = reference.state_of(model)
    logits = [reference.linear(state, [PRICE, USER], x, row) + state["out.bias"] for row in range(3)]
    np.testing.assert_allclose(model.predict(x), reference.sigmoid(logits), atol=1e-6)


def test_classes() -> None:
    model = reference.randomized(CCPM(FIELDS, DEEP, (2,), (2,), (4,), task="multiclass", num_classes=3))
    np.testing.assert_allclose(model.predict(inputs(FIELDS, 4)).sum(axis=1), 1, atol=1e-6)


def test_dense_features_and_several_widths_are_refused_on_the_deep_side() -> None:
    with pytest.raises(ValueError, match=r"CCPM must be SparseFeat or VarLenSparseFeat, got DenseFeat \['price'\]"):
        CCPM([], [USER, PRICE])
    with pytest.raises(ValueError, match="one embedding_dim"):
        CCPM([], [USER, SparseFeat("wide", 4, 8)])
