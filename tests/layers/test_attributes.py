"""The attributes of the original's layers that users read: for reports, copies of a layer, and loops of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from deepctr_torch import layers

NAMES = json.loads((Path(__file__).resolve().parents[1] / "original_names.json").read_text())
WANTED = {
    name: [*found, *NAMES["methods"].get(name, [])]
    for name, found in NAMES["attributes"].items()
    if hasattr(layers, name)
}
# The mean is divided by the number of valid steps, or by one, and masks come from `sequence_mask`.
GONE = {"SequencePoolingLayer": ["eps", "_sequence_mask"]}
BUILT: dict[str, nn.Module] = {
    "AFMLayer": layers.AFMLayer(4, dropout_rate=0.5, seed=3),
    "AGRUCell": layers.AGRUCell(2, 2),
    "AUGRUCell": layers.AUGRUCell(2, 2),
    "AttentionSequencePoolingLayer": layers.AttentionSequencePoolingLayer(),
    "BilinearInteraction": layers.BilinearInteraction(3, 4, "each"),
    "CIN": layers.CIN(3, (4, 2)),
    "Conv2dSame": layers.Conv2dSame(1, 1, 2),
    "ConvLayer": layers.ConvLayer(5, [2], [2]),
    "CrossNet": layers.CrossNet(3),
    "CrossNetMix": layers.CrossNetMix(3),
    "DNN": layers.DNN(3, (2,), use_bn=True, dropout_rate=0.25, l2_reg=0.5, seed=7),
    "Dice": layers.Dice(3),
    "DynamicGRU": layers.DynamicGRU(2, 2),
    "InnerProductLayer": layers.InnerProductLayer(),
    "InteractingLayer": layers.InteractingLayer(6, head_num=3),
    "KMaxPooling": layers.KMaxPooling(1, 1),
    "LocalActivationUnit": layers.LocalActivationUnit(),
    "LogTransformLayer": layers.LogTransformLayer(3, 4, 5),
    "OutterProductLayer": layers.OutterProductLayer(3, 4),
    "PredictionLayer": layers.PredictionLayer(),
    "SENETLayer": layers.SENETLayer(7, 3),
    "SequencePoolingLayer": layers.SequencePoolingLayer(),
}


@pytest.mark.parametrize("name", WANTED)
def test_attributes_and_methods_of_the_original_are_here(name: str) -> None:
    missing = [n for n in WANTED[name] if not hasattr(BUILT[name], n)]
    assert missing == GONE.get(name, [])


def test_they_say_what_the_layer_was_built_with() -> None:
    dnn, senet, cin = BUILT["DNN"], BUILT["SENETLayer"], BUILT["CIN"]
    assert (dnn.dropout_rate, dnn.l2_reg, dnn.seed) == (0.25, 0.5, 7)
    assert (senet.filed_size, senet.reduction_size) == (7, 2)
    assert (cin.layer_size, cin.field_nums) == ((4, 2), [3, 2])
    assert BUILT["InteractingLayer"].att_embedding_size == 2
    assert (BUILT["AFMLayer"].dropout_rate, BUILT["AFMLayer"].seed) == (0.5, 3)
