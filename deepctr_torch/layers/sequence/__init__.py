"""Layers over sequences, one family a file."""

from .attention import AttentionSequencePoolingLayer
from .pooling import KMaxPooling, SequencePoolingLayer, pool
from .recurrent import AGRUCell, AUGRUCell, DynamicGRU

__all__ = [
    "AGRUCell",
    "AUGRUCell",
    "AttentionSequencePoolingLayer",
    "DynamicGRU",
    "KMaxPooling",
    "SequencePoolingLayer",
    "pool",
]
