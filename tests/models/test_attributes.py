"""The attributes of the original's models that users read: for explanations, weights, and loops of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.all_models import CASES, every_model
from tests.support.cases import HISTORIES, NEGATIVES, SEQUENTIAL, TAGS, Case, inputs

COMMON = """
_ckpt_saved_epoch _in_multi_worker_mode _is_graph_network aux_loss device dnn_feature_columns feature_index gpus history
linear_model out reg_loss regularization_weight stop_training
"""
TABLES = " embedding_dict"  # not in MLR and ONN, whose forward would never use it
DEEP = " dnn dnn_linear"
OWN = {
    "AFM": "fm use_attention" + TABLES,
    "AFN": "afn_dnn afn_dnn_linear ltl" + TABLES,
    "AutoInt": "att_layer_num dnn_hidden_units int_layers use_dnn" + DEEP + TABLES,
    "CCPM": "conv_layer dnn_input_dim" + DEEP + TABLES,
    "DCN": "cross_num crossnet dnn_hidden_units" + DEEP + TABLES,
    "DCNMix": "cross_num crossnet dnn_hidden_units" + DEEP + TABLES,
    "DIEN": "alpha dense_feature_columns dnn interest_evolution interest_extractor item_features linear "
    "sparse_feature_columns use_negsampling varlen_sparse_feature_columns" + TABLES,
    "DIFM": "bit_wise_net fm sparse_feat_num transform_matrix_P_bit transform_matrix_P_vec vector_wise_net" + TABLES,
    "DIN": "attention history_fc_names history_feature_columns history_feature_list sparse_feature_columns "
    "sparse_varlen_feature_columns varlen_sparse_feature_columns" + DEEP + TABLES,
    "DeepFM": "fm use_dnn use_fm" + DEEP + TABLES,
    "ESMM": "ctr_dnn ctr_dnn_final_layer cvr_dnn cvr_dnn_final_layer input_dim num_tasks tower_dnn_hidden_units"
    + TABLES,
    "FiBiNET": "Bilinear SE field_size linear_feature_columns" + DEEP + TABLES,
    "IFM": "factor_estimating_net fm sparse_feat_num transform_weight_matrix_P" + TABLES,
    "MLR": "base_feature_columns base_linear_model bias_feature_columns init_std l2_reg_linear prediction_layer "
    "region_feature_columns region_linear_model region_num seed",
    "MMOE": "expert_dnn expert_dnn_hidden_units gate_dnn gate_dnn_final_layer gate_dnn_hidden_units input_dim "
    "num_experts num_tasks task_names tower_dnn tower_dnn_final_layer tower_dnn_hidden_units" + TABLES,
    "NFM": "bi_dropout bi_pooling" + DEEP + TABLES,
    "ONN": "second_order_embedding_dict" + DEEP,
    "PLE": "cgc_net expert_dnn_hidden_units gate_dnn_hidden_units input_dim num_levels num_tasks shared_expert_num "
    "shared_experts specific_expert_num specific_experts task_names tower_dnn tower_dnn_hidden_units" + TABLES,
    "PNN": "innerproduct kernel_type task use_inner use_outter" + DEEP + TABLES,
    "SharedBottom": "bottom_dnn bottom_dnn_hidden_units input_dim num_tasks task_names tower_dnn tower_dnn_final_layer "
    "tower_dnn_hidden_units" + TABLES,
    "WDL": "use_dnn" + DEEP + TABLES,
    "xDeepFM": "cin cin_layer_size cin_linear dnn_hidden_units featuremap_num use_cin use_dnn" + DEEP + TABLES,
}


@every_model
def test_the_attributes_are_here(case: Case) -> None:
    model = case.make()
    assert [name for name in (COMMON + OWN[case.name]).split() if not hasattr(model, name)] == []
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
