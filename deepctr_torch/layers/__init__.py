"""Layers: torch alone, knowing no column and no training loop."""

from .._star_names import lend_names
from .activation import BatchNorm, Dice, Identity, activation_layer
from .core import DNN, Conv2dSame, LocalActivationUnit, PredictionLayer
from .interaction import (
    CIN,
    FM,
    AFMLayer,
    BilinearInteraction,
    ConvLayer,
    CrossNet,
    CrossNetMix,
    InnerProductLayer,
    InteractingLayer,
    LogTransformLayer,
    OutterProductLayer,
    SENETLayer,
)
from .interaction.fm import BiInteractionPooling
from .parallel import ParallelDNN, ParallelLinear
from .sequence import (
    AGRUCell,
    AttentionSequencePoolingLayer,
    AUGRUCell,
    DynamicGRU,
    KMaxPooling,
    SequencePoolingLayer,
    pool,
)
from .utils import concat_fun, sequence_mask, slice_arrays

__all__ = [
    "CIN",
    "DNN",
    "FM",
    "AFMLayer",
    "AGRUCell",
    "AUGRUCell",
    "AttentionSequencePoolingLayer",
    "BatchNorm",
    "BiInteractionPooling",
    "BilinearInteraction",
    "Conv2dSame",
    "ConvLayer",
    "CrossNet",
    "CrossNetMix",
    "Dice",
    "DynamicGRU",
    "Identity",
    "InnerProductLayer",
    "InteractingLayer",
    "KMaxPooling",
    "LocalActivationUnit",
    "LogTransformLayer",
    "OutterProductLayer",
    "ParallelDNN",
    "ParallelLinear",
    "PredictionLayer",
    "SENETLayer",
    "SequencePoolingLayer",
    "activation_layer",
    "concat_fun",
    "pool",
    "sequence_mask",
    "slice_arrays",
]

lend_names(__name__)
