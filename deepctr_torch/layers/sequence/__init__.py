"""Layers over sequences, one family a file."""

from .attention import AttentionSequencePoolingLayer
from .pooling import KMaxPooling, SequencePoolingLayer, pool, pool_steps, valid_steps
from .recurrent import AGRUCell, AUGRUCell, DynamicGRU

__all__ = [
    "AGRUCell",
    "AUGRUCell",
    "AttentionSequencePoolingLayer",
    "DynamicGRU",
    "KMaxPooling",
    "SequencePoolingLayer",
    "pool",
    "pool_steps",
    "valid_steps",
]
