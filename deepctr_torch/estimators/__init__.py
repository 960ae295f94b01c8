"""Estimators with the conventions of scikit-learn: raw tables in, predictions out.

Needs the extra `tables`.
"""

from __future__ import annotations

from .base import load_artefact
from .classifier import CTRClassifier
from .regressor import CTRRegressor

__all__ = ["CTRClassifier", "CTRRegressor", "load_artefact"]
