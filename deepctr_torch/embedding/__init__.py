"""Embedding tables and their lookup.

`EmbeddingCollection` owns the weights. `EmbeddingLookup` is the seam between lookup and model: it turns a `Batch` into
rows; everything after it sees rows only. Tables sharded over processes are another `EmbeddingLookup`.
"""

from __future__ import annotations

from .collection import EmbeddingCollection, EmbeddingConfig, EmbeddingSlice, FusedTable, embedding_configs
from .lookup import EmbeddingLookup, FusedGroup, LookupSpec

__all__ = [
    "EmbeddingCollection",
    "EmbeddingConfig",
    "EmbeddingLookup",
    "EmbeddingSlice",
    "FusedGroup",
    "FusedTable",
    "LookupSpec",
    "embedding_configs",
]
