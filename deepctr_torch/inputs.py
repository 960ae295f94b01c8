"""The import path of DeepCTR-Torch for columns and lookup helpers. Nothing inside the package imports it."""

from __future__ import annotations

from ._star_names import lend_names
from .features import DenseFeat, SparseFeat, VarLenSparseFeat, build_input_features, get_feature_names
from .models._compat import (
    combined_dnn_input,
    create_embedding_matrix,
    embedding_lookup,
    get_dense_input,
    get_varlen_pooling_list,
    maxlen_lookup,
    varlen_embedding_lookup,
)

__all__ = [
    "DenseFeat",
    "SparseFeat",
    "VarLenSparseFeat",
    "build_input_features",
    "combined_dnn_input",
    "create_embedding_matrix",
    "embedding_lookup",
    "get_dense_input",
    "get_feature_names",
    "get_varlen_pooling_list",
    "maxlen_lookup",
    "varlen_embedding_lookup",
]

lend_names(__name__)
