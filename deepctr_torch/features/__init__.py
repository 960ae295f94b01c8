"""The columns a user declares, and what they resolve to: `FeatureSchema`, the layout of every batch."""

from __future__ import annotations

from .columns import (
    DenseFeat,
    FeatureColumn,
    SparseColumn,
    SparseFeat,
    VarLenSparseFeat,
    build_input_features,
    get_feature_names,
    input_width,
)
from .packing import check_exact, checkable, merged, packed_ids, rows_packed
from .schema import Batch, FeatureSchema

__all__ = [
    "Batch",
    "DenseFeat",
    "FeatureColumn",
    "FeatureSchema",
    "SparseColumn",
    "SparseFeat",
    "VarLenSparseFeat",
    "build_input_features",
    "check_exact",
    "checkable",
    "get_feature_names",
    "input_width",
    "merged",
    "packed_ids",
    "rows_packed",
]
