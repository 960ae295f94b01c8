"""From raw tables to the inputs of a model: `FeatureEncoder` and the kinds of features.

Needs the extra `tables`.
"""

from __future__ import annotations

from .._optional import needs

with needs("tables"):
    import pyarrow as _  # noqa: F401  # every module here does

from .column_encoder import auto_dimension
from .encoder import FeatureEncoder
from .few_rows import FEW_ROWS
from .specs import Categorical, Cross, Dense, FeatureSpec, MultiValue, Numeric, Sequence, Timestamp
from .vocabulary import Vocabulary

__all__ = [
    "FEW_ROWS",
    "Categorical",
    "Cross",
    "Dense",
    "FeatureEncoder",
    "FeatureSpec",
    "MultiValue",
    "Numeric",
    "Sequence",
    "Timestamp",
    "Vocabulary",
    "auto_dimension",
]
