"""Layers over sequences, one family a file."""

from .attention import AttentionSequencePoolingLayer
from .kmax import KMaxPooling
from .pooling import SequencePoolingLayer, pool
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
