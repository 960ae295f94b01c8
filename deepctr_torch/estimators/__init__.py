"""Estimators with the conventions of scikit-learn: raw tables in, predictions out.

Needs the extra `tables`.
"""

from __future__ import annotations

from .classifier import CTRClassifier
from .regressor import CTRRegressor
from .serialization import load_artefact

__all__ = ["CTRClassifier", "CTRRegressor", "load_artefact"]
