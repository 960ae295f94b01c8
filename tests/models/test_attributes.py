"""The attributes of the original's models that users read: for explanations, weights, and loops of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.all_models import CASES, every_model
from tests.support.cases import HISTORIES, NEGATIVES, SEQUENTIAL, TAGS, Case, inputs

NAMES = json.loads((Path(__file__).resolve().parents[1] / "original_names.json").read_text())
ATTRIBUTES, METHODS = ({n: v for n, v in NAMES[kind].items() if n in CASES} for kind in ("attributes", "methods"))
# Steps of the original's forward passes, which ours do not have: `logits` does their work.
STEPS = {
    "DIEN": "_compute_dnn_dim _compute_interest_dim _get_deep_input_emb _get_emb _split_columns",
    "DIN": "_compute_interest_dim",
    "ONN": "_ONN__compute_nffm_dnn_dim _ONN__create_second_order_embedding_matrix _ONN__input_from_second_order_column",
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_and_methods_of_the_original_are_here(name: str) -> None:
    model = CASES[name].make()
    wanted = [*ATTRIBUTES[name], *METHODS[name]]
    assert [n for n in wanted if not hasattr(model, n)] == [n for n in wanted if n in STEPS.get(name, "").split()]


@every_model
def test_what_user_loops_read(case: Case) -> None:
    model = case.make()
    assert model.embedding_size == 4
    assert list(model.feature_index) == list(dict.fromkeys(model.feature_index))
    for weights, l1, l2 in model.regularization_weight:
        assert all(isinstance(p, torch.nn.Parameter) for p in weights)
        assert l1 == 0.0 <= l2


def test_the_columns_of_a_sequential_model() -> None:
    din = CASES["DIN"].make()
    assert (din.history_feature_list, din.history_fc_names) == (["item", "cate"], ["hist_item", "hist_cate"])
    assert din.history_feature_columns == HISTORIES
    assert din.varlen_sparse_feature_columns == [*HISTORIES, TAGS]
    assert din.sparse_varlen_feature_columns == [TAGS]
    dien = CASES["DIEN"].make()
    assert dien.item_features == ["item", "cate"]
    assert dien.varlen_sparse_feature_columns == [*HISTORIES, TAGS, *NEGATIVES]
    for model in (din, dien):
        assert [c.name for c in model.sparse_feature_columns] == ["user", "item", "cate"]
    assert [c.name for c in dien.dense_feature_columns] == ["price"]
    assert din.dnn_feature_columns == SEQUENTIAL


SCORES: list[Any] = [  # model, layer, attribute, dimension that adds up to one
    ("AFM", lambda m: m.fm, "normalized_att_score", 1, (5, 10, 1)),
    ("AutoInt", lambda m: m.int_layers[0], "normalized_att_scores", 3, (2, 5, 5, 5)),
    ("DIFM", lambda m: m.vector_wise_net, "normalized_att_scores", 3, (4, 5, 5, 5)),
]


@pytest.mark.parametrize(("name", "layer", "attribute", "axis", "shape"), SCORES)
def test_attention_is_kept_for_explanations(name: str, layer: Any, attribute: str, axis: int, shape: Any) -> None:
    case = CASES[name]
    model = case.make()
    model.predict(inputs(case.all_columns, 5))
    scores = getattr(layer(model), attribute)
    assert scores.shape == shape
    torch.testing.assert_close(scores.sum(dim=axis), torch.ones_like(scores.sum(dim=axis)))
    assert not scores.requires_grad
