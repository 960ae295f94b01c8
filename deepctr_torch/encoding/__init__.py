"""From raw tables to the inputs of a model: `FeatureEncoder` and the kinds of features.

Needs the extra `tables`.
"""

from __future__ import annotations

from .encoder import FeatureEncoder
from .feature import auto_dimension
from .kinds import Categorical, Cross, Dense, Kind, MultiValue, Numeric, Sequence, Timestamp
from .vocabulary import Vocabulary

__all__ = [
    "Categorical",
    "Cross",
    "Dense",
    "FeatureEncoder",
    "Kind",
    "MultiValue",
    "Numeric",
    "Sequence",
    "Timestamp",
    "Vocabulary",
    "auto_dimension",
]
