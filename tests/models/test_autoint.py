"""AutoInt against equations 5 to 9 of its paper, and what the original gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models.autoint import AutoInt
from tests.support import reference
from tests.support.cases import CITY, FIELDS, ITEM, PRICE, STATS, USER, Case, inputs

CASE = Case("AutoInt", free=("int_layers.", "dnn_linear."), start=("int_layers.",))


def deep_input(state: reference.State, x: dict[str, np.ndarray], row: int) -> reference.Array:
    numbers = [np.atleast_1d(x[c.name][row]) for c in FIELDS if isinstance(c, DenseFeat)]
    return np.concatenate([reference.vectors(state, FIELDS, x, row).reshape(-1), *numbers])


@pytest.mark.parametrize(
    ("layers", "heads", "residual", "hidden"), [(2, 2, True, (6, 5)), (1, 4, False, ()), (0, 2, True, (3,))]
)
def test_equals_the_papers_formula(layers: int, heads: int, residual: bool, hidden: tuple[int, ...]) -> None:
    model = reference.randomized(AutoInt(FIELDS, FIELDS, layers, heads, residual, hidden))
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    for row in range(6):
        parts = []
        if layers:
            fields = reference.vectors(state, FIELDS, x, row)
            for i in range(layers):
                fields = reference.interacting(state, f"int_layers.{i}", fields, heads, residual, scaling=False)
            parts.append(fields.reshape(-1))
        if hidden:
            parts.append(reference.dnn(state, "dnn", deep_input(state, x, row)))
        logit = reference.linear(state, FIELDS, x, row) + state["dnn_linear.weight"] @ np.concatenate(parts)
        expected.append(reference.sigmoid(logit + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_keys_come_in_the_order_of_the_original() -> None:
    keys = [
        key for key in AutoInt([USER], [USER], 1, dnn_hidden_units=(3,)).state_dict() if "embedding_dict" not in key
    ]
    layer = [f"int_layers.0.{name}" for name in ("W_Query", "W_key", "W_Value", "W_Res")]
    assert keys == ["out.bias", "dnn_linear.weight", "dnn.linears.0.weight", "dnn.linears.0.bias", *layer]


def test_the_linear_side_can_have_a_penalty() -> None:
    """W12 in `docs/differences.md`."""
    model = AutoInt(FIELDS, FIELDS, l2_reg_embedding=0, l2_reg_linear=0.5)
    expected = 0.5 * sum(p.detach().square().sum() for p in model.linear_model.parameters())
    torch.testing.assert_close(model.get_regularization_loss().detach(), expected.reshape(1))
    assert AutoInt(FIELDS, FIELDS, l2_reg_embedding=0).get_regularization_loss().item() == 0.0


def test_fields_that_share_a_table_are_fields_of_their_own() -> None:
    """C8 in `docs/differences.md`."""
    shared = SparseFeat("friend", 13, 4, embedding_name="user")
    model = reference.randomized(AutoInt([], [USER, shared], 1, dnn_hidden_units=()))
    x, state, expected = {"user": np.array([1, 2]), "friend": np.array([3, 3])}, reference.state_of(model), []
    for row in range(2):
        fields = reference.interacting(
            state, "int_layers.0", reference.vectors(state, [USER, shared], x, row), 2, True, False
        )
        expected.append(reference.sigmoid(state["dnn_linear.weight"] @ fields.reshape(-1) + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)


def test_dense_features_alone() -> None:
    """C14 in `docs/differences.md`."""
    columns = [PRICE, STATS]
    model = reference.randomized(AutoInt(columns, columns, dnn_hidden_units=(3,)))
    x, state, expected = inputs(FIELDS, 3), reference.state_of(model), []
    for row in range(3):
        numbers = np.concatenate([np.atleast_1d(x[c.name][row]) for c in columns])
        logit = reference.linear(state, columns, x, row) + state["dnn_linear.weight"] @ reference.dnn(
            state, "dnn", numbers
        )
        expected.append(reference.sigmoid(logit + state["out.bias"]))
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-6)
    assert not [key for key in state if key.startswith("int_layers")]
    linear = AutoInt(columns, columns, dnn_hidden_units=())
    assert list(linear.state_dict()) == ["linear_model.weight", "out.bias"]


def test_classes_and_kept_scores() -> None:
    model = AutoInt(FIELDS, FIELDS, 1, task="multiclass", num_classes=3)
    prediction = model.predict(inputs(FIELDS, 4))
    np.testing.assert_allclose(prediction.sum(axis=1), 1, atol=1e-6)
    assert model.int_layers[0].normalized_att_scores.shape == (2, 4, 5, 5)


def test_neither_attention_nor_dnn_is_refused() -> None:
    with pytest.raises(ValueError, match="att_layer_num must be at least 1"):
        AutoInt([USER], [USER], att_layer_num=0, dnn_hidden_units=())
    with pytest.raises(ValueError, match="multiple of head_num"):
        AutoInt([], [USER, ITEM, CITY], att_head_num=3)


def test_attention_weights_are_those_of_the_formula_and_sum_to_one() -> None:
    columns = [SparseFeat(name, 6, 4) for name in "abc"]
    model = AutoInt(columns, columns, att_layer_num=2, att_head_num=2, init_std=1.0)
    x = {name: np.arange(7) % 6 if name == "a" else np.arange(7) % 5 for name in "abc"}
    weights = model.attention_weights(x)["int_layers"]
    assert weights.shape == (7, 2, 2, 3, 3)
    v = np.stack([model.embedding_dict[name].weight.detach().numpy()[x[name]] for name in "abc"], axis=1)
    for layer, found in zip(model.int_layers, weights.transpose(1, 0, 2, 3, 4), strict=True):
        query, key = (v @ getattr(layer, n).detach().numpy() for n in ("W_Query", "W_key"))
        for head in range(2):
            part = slice(2 * head, 2 * head + 2)
            score = np.exp(query[..., part] @ key[..., part].transpose(0, 2, 1))
            np.testing.assert_allclose(found[:, head], score / score.sum(-1, keepdims=True), rtol=1e-4, atol=1e-6)
        v = layer(torch.from_numpy(v)).detach().numpy()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)
