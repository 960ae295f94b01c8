"""`CTRClassifier`."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin

from .._typing import Array
from .base import CTREstimator
from .inputs import LabelsLike, TableLike, WeightsLike
from .labels import ClassLabelEncoder

__all__ = ["CTRClassifier"]


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

    label_encoder_class = ClassLabelEncoder
    label_encoder_: ClassLabelEncoder

    @property
    def classes_(self) -> Array | list[Array]:
        if not hasattr(self, "label_encoder_"):
            raise AttributeError("classes_ is there after fit")
        classes = self.label_encoder_.classes
        return classes[0] if len(classes) == 1 else classes

    def predict_proba(self, X: TableLike, *, on_bad_rows: str = "raise") -> Array:
        """Return [N, C], a column for each of `classes_`; of several labels [N, T]: P of the second class of each."""
        scores = self._predict_all(X, on_bad_rows)
        if len(self.labels_) == 1 and scores.shape[1] == 1:
            return np.concatenate([1.0 - scores, scores], axis=1)
        return scores

    def predict(self, X: TableLike, *, on_bad_rows: str = "raise") -> Array:
        """Return the most probable class, [N]; of several labels [N, T]."""
        scores = self.predict_proba(X, on_bad_rows=on_bad_rows)
        if len(self.labels_) == 1:
            return np.asarray(self.label_encoder_.classes[0][scores.argmax(axis=1)])
        columns = zip(self.label_encoder_.classes, scores.T, strict=True)
        chosen = [classes[(column > 0.5).astype(int)] for classes, column in columns]
        return np.stack(chosen, axis=1)

    def score(self, X: TableLike, y: LabelsLike = None, sample_weight: WeightsLike = None) -> float:
        """Return AUC (mean over the labels): where clicks are rare, accuracy says nothing."""
        return float(self.evaluate(X, y, ["auc"], sample_weight=sample_weight)["auc"])
