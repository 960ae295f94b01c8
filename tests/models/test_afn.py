"""AFN against its paper's formula, and what the original gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models.afn import AFN
from tests.support import reference
from tests.support.cases import FIELDS, PRICE, USER, Case, inputs

CASE = Case("AFN", free=("ltl.",), start=("ltl.",))


def products(state: reference.State, fields: reference.Array) -> reference.Array:
    """The logarithmic neurons of one sample, by embedding dimension, then neuron."""
    logs = reference.batch_norm(state, "ltl.bn.0", np.log(np.maximum(np.abs(fields), 1e-7)))  # [F, E]
    weights, biases = state["ltl.ltl_weights"], state["ltl.ltl_biases"][0, 0]
    powers = [
        np.exp(sum(w * v for w, v in zip(weights[:, n], logs, strict=True)) + biases[n]) for n in range(len(biases))
    ]
    return reference.batch_norm(state, "ltl.bn.1", np.array(powers)).T.reshape(-1)


@pytest.mark.parametrize("hidden", [(6, 5), ()])
@pytest.mark.parametrize("classes", [None, 3])
def test_equals_the_papers_formula(hidden: tuple[int, ...], classes: int | None) -> None:
    task = "binary" if classes is None else "multiclass"
    model = reference.randomized(AFN(FIELDS, FIELDS, 3, hidden, task=task, num_classes=classes), std=0.3)
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    x["tags_len"][0], x["genres"][0, 0] = 1, 1  # an empty sequence is a zero, whose logarithm is far off
    for row in range(6):
        out = reference.dnn(state, "afn_dnn", products(state, reference.vectors(state, FIELDS, x, row)))
        logit = state["afn_dnn_linear.weight"] @ out + state["afn_dnn_linear.bias"]
        logit = logit + reference.linear(state, FIELDS, x, row) + state["out.bias"]
        expected.append(reference.sigmoid(logit) if classes is None else reference.softmax(logit))
    np.testing.assert_allclose(model.predict(x), np.array(expected), rtol=1e-4, atol=1e-5)


def test_the_penalty_reaches_the_dnn() -> None:
    """W12 in `docs/differences.md`."""
    model = AFN(FIELDS, FIELDS, 3, (4, 2), l2_reg_linear=0, l2_reg_embedding=0, l2_reg_dnn=0.5)
    parts = ["afn_dnn.linears.0.weight", "afn_dnn.linears.1.weight", "afn_dnn_linear.weight"]
    expected = 0.5 * sum(model.get_parameter(name).detach().square().sum() for name in parts)
    torch.testing.assert_close(model.get_regularization_loss().detach(), expected.reshape(1))


def test_dense_features_are_only_on_the_linear_side() -> None:
    """W23 in `docs/differences.md`."""
    model = reference.randomized(AFN([], FIELDS, 3, (4,)))
    x = inputs(FIELDS, 4)
    np.testing.assert_array_equal(model.predict(x), model.predict({**x, "price": x["price"] + 1}))


def test_fields_that_share_a_table_are_fields_of_their_own() -> None:
    """C8 in `docs/differences.md`."""
    shared = SparseFeat("friend", 13, 4, embedding_name="user")
    assert AFN([], [USER, shared], 3).state_dict()["ltl.ltl_weights"].shape == (2, 3)


def test_without_fields_it_is_the_linear_side() -> None:
    """C14 in `docs/differences.md`."""
    model = reference.randomized(AFN([PRICE, USER], [PRICE]))
    x, state = inputs(FIELDS, 3), reference.state_of(model)
    assert [key for key in state if "linear_model" not in key] == ["out.bias"]
    logits = [reference.linear(state, [PRICE, USER], x, row) + state["out.bias"] for row in range(3)]
    np.testing.assert_allclose(model.predict(x), reference.sigmoid(logits), atol=1e-6)
