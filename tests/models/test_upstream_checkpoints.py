"""Checkpoints of the original: their keys and shapes are facts in `upstream_keys.json`, their numbers are made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepctr_torch.models as models
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from tests.support.all_models import ORIGINAL
from tests.support.cases import inputs

KEYS: dict[str, dict[str, list[int]]] = json.loads(Path(__file__).with_name("upstream_keys.json").read_text())

A, B, S = SparseFeat("a", 5, 4), SparseFeat("b", 6, 4), VarLenSparseFeat(SparseFeat("s", 7, 4), 3)
D1, D2 = DenseFeat("d1"), DenseFeat("d2", 2)
ALL = [A, B, S, D1, D2]
ITEM, CATE = SparseFeat("item", 5, 4), SparseFeat("cate", 6, 4)


def steps(prefix: str) -> list[Any]:
    return [
        VarLenSparseFeat(c._replace(name=prefix + c.name, embedding_name=c.name), 3, length_name="seq_length")
        for c in (ITEM, CATE)
    ]


HISTORY = [SparseFeat("user", 4, 4), ITEM, CATE, DenseFeat("score"), *steps("hist_")]

BOTH, NO_DENSE, ONE = (ALL, ALL), (ALL, [A, B, S]), (ALL,)
SEQUENCES, WITH_NEGATIVES = (HISTORY, ["item", "cate"]), ([*HISTORY, *steps("neg_hist_")], ["item", "cate"])
DEEP: dict[str, Any] = {"dnn_hidden_units": (3, 2)}
TOWER: dict[str, Any] = {"tower_dnn_hidden_units": (2,)}
EXPERTS: dict[str, Any] = {"expert_dnn_hidden_units": (3, 2), "gate_dnn_hidden_units": (2,), **TOWER}
DIEN: dict[str, Any] = {**DEEP, "att_hidden_units": (4, 2)}

# case -> positional arguments and keywords that give a model of these shapes
BUILD: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "DeepFM": (BOTH, DEEP),
    "DeepFM bn dice prelu": (([A, B], [A, B]), {**DEEP, "dnn_use_bn": True, "dnn_activation": "prelu"}),
    "WDL": (BOTH, DEEP),
    "xDeepFM": (BOTH, {**DEEP, "cin_layer_size": (4, 2)}),
    "AFM": (NO_DENSE, {"attention_factor": 8}),
    "DIFM": (BOTH, DEEP),
    "IFM": (BOTH, DEEP),
    "AutoInt": (BOTH, {**DEEP, "att_layer_num": 2}),
    "AutoInt no res": (BOTH, {"dnn_hidden_units": (), "att_layer_num": 1, "att_res": False}),
    "DCN vec": (BOTH, DEEP),
    "DCN mat": (BOTH, {**DEEP, "cross_parameterization": "matrix"}),
    "DCNMix": (BOTH, {**DEEP, "low_rank": 2, "num_experts": 2}),
    "FiBiNET all": (BOTH, {**DEEP, "bilinear_type": "all"}),
    "FiBiNET each": (BOTH, {**DEEP, "bilinear_type": "each"}),
    "FiBiNET interaction": (BOTH, {**DEEP, "bilinear_type": "interaction"}),
    "NFM": (BOTH, DEEP),
    "MLR": (ONE, {"region_num": 2}),
    "MLR bias": (([A, B], [D1, D2], [D1]), {"region_num": 2}),
    "ONN": (BOTH, DEEP),
    "PNN": (ONE, {**DEEP, "use_outter": True, "kernel_type": "mat"}),
    "PNN vec": (ONE, {**DEEP, "use_outter": True, "kernel_type": "vec"}),
    "PNN num": (ONE, {**DEEP, "use_outter": True, "kernel_type": "num"}),
    "CCPM": (NO_DENSE, {**DEEP, "conv_kernel_width": (2, 2), "conv_filters": (2, 1)}),
    "AFN": (BOTH, {"ltl_hidden_size": 3, "afn_dnn_hidden_units": (3, 2)}),
    "DIN": (SEQUENCES, {**DEEP, "att_hidden_size": (4, 2)}),
    "DIEN GRU": (SEQUENCES, DIEN),
    "DIEN AIGRU": (SEQUENCES, {**DIEN, "gru_type": "AIGRU"}),
    "DIEN AGRU": (SEQUENCES, {**DIEN, "gru_type": "AGRU"}),
    "DIEN AUGRU": (SEQUENCES, {**DIEN, "gru_type": "AUGRU"}),
    "DIEN neg": (WITH_NEGATIVES, {**DIEN, "gru_type": "AUGRU", "use_negsampling": True}),
    "SharedBottom": (ONE, {"bottom_dnn_hidden_units": (3, 2), **TOWER}),
    "ESMM": (ONE, {"tower_dnn_hidden_units": (3, 2)}),
    "MMOE": (ONE, {"num_experts": 2, **EXPERTS}),
    "PLE": (ONE, EXPERTS),
}
# keys of the original for parts that no forward uses; and what is here and not there: docs/differences.md
OBSOLETE: dict[str, tuple[str, ...]] = {
    "FiBiNET each": ("Bilinear.bilinear.2.",),
    "MLR": ("embedding_dict.", "linear_model.", "out."),
    "MLR bias": ("embedding_dict.", "linear_model.", "out."),
    "ONN": ("embedding_dict.",),
    "PLE": ("shared_gate_dnn.1.", "shared_gate_dnn_final_layer.1."),
    "ESMM": ("out.",),
}
NEW: dict[str, tuple[str, ...]] = {
    "ONN": ("second_order_embedding_dict.a+s.", "second_order_embedding_dict.b+s."),
    "ESMM": ("out.",),
}
WIDENED = {"ONN": "dnn.linears.0.weight"}  # the products with sequences get columns of zeros


def built(case: str) -> Any:
    positional, keywords = BUILD[case]
    return getattr(models, case.split()[0])(*positional, **keywords)


def checkpoint(case: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.rand(shape, generator=generator) for key, shape in KEYS[case].items()}
    return {key: v.long() if key.endswith("num_batches_tracked") else v for key, v in state.items()}


def test_every_model_of_the_original_and_every_case_is_here() -> None:
    assert list(BUILD) == list(KEYS)
    assert {case.split()[0] for case in KEYS} == ORIGINAL


@pytest.mark.parametrize("case", KEYS)
def test_keys_and_shapes_are_the_originals_in_its_order(case: str) -> None:
    ours = {key: list(v.shape) for key, v in built(case).state_dict().items() if not key.startswith(NEW.get(case, "-"))}
    theirs = {key: shape for key, shape in KEYS[case].items() if not key.startswith(OBSOLETE.get(case, "-"))}
    assert list(ours) == list(theirs)
    assert {k for k in ours if ours[k] != theirs[k]} == {v for k, v in WIDENED.items() if k == case}


@pytest.mark.parametrize("case", KEYS)
def test_a_checkpoint_loads_strictly_number_by_number(case: str) -> None:
    model, state = built(case), checkpoint(case)
    given = dict(state)
    result = model.load_state_dict(given, strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert given.keys() == state.keys(), "the caller's dict is not changed"
    for key, value in model.state_dict().items():
        if key.startswith("out.") and case == "ESMM":
            torch.testing.assert_close(value, state["out.bias"])
        elif key == WIDENED.get(case):
            torch.testing.assert_close(value[value != 0], state[key].flatten())
        elif not key.startswith(NEW.get(case, "-")):
            torch.testing.assert_close(value, state[key])
    assert np.isfinite(
        model.predict(inputs([c for group in BUILD[case][0] for c in group if hasattr(c, "name")], 4))
    ).all()
