"""`CTRClassifier`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin

from .base import CTREstimator
from .labels import ClassTargets

__all__ = ["CTRClassifier"]

Array = npt.NDArray[Any]
METRICS = {"binary": ("auc", "logloss", "ne", "calibration"), "multiclass": ("auc", "logloss", "acc")}


class CTRClassifier(ClassifierMixin, CTREstimator):  # type: ignore[misc]
    __doc__ = (
        """Probabilities from raw rows, by any model of the package.

    >>> from deepctr_torch import CTRClassifier
    >>> views = {"city": ["Rome", "Oslo"] * 40, "price": list(range(80)), "click": ["yes", "no", "no", "no"] * 20}
    >>> classifier = CTRClassifier("WDL", epochs=2).fit(views, "click")
    >>> classifier.classes_.tolist(), classifier.predict_proba({"city": ["Bern"], "price": [None]}).shape
    (['no', 'yes'], (1, 2))
    """
        + (CTREstimator.__doc__ or "").split("\n", 1)[1]
        + """    classes_: the classes in order, of several labels a list of them.
    """
    )

    _classifies = True
    targets_: ClassTargets

    @property
    def classes_(self) -> Any:
        targets = getattr(self, "targets_", None)
        if targets is None:
            raise AttributeError("classes_ is there after fit")
        return targets.classes[0] if len(targets.names) == 1 else targets.classes

    def predict_proba(self, X: Any) -> Array:
        """[N, C], a column for each of `classes_`; of several labels [N, T]: P of the second class of each."""
        scores = self._scores(X)
        if len(self.labels_) == 1 and scores.shape[1] == 1:
            return np.concatenate([1.0 - scores, scores], axis=1)
        return scores

    def predict(self, X: Any) -> Array:
        """[N], the most probable class; of several labels [N, T]."""
        scores = self.predict_proba(X)
        if len(self.labels_) == 1:
            return np.asarray(self.classes_[scores.argmax(axis=1)])
        chosen = [c[(s > 0.5).astype(int)] for c, s in zip(self.classes_, scores.T, strict=True)]
        return np.stack(chosen, axis=1)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """AUC (mean over the labels): where clicks are rare, accuracy says nothing."""
        return float(self.evaluate(X, y, ["auc"], sample_weight=sample_weight)["auc"])

    def _metrics(self) -> list[str]:
        return list(METRICS[self.targets_.kind])
