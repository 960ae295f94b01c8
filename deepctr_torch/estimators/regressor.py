"""`CTRRegressor`."""

from __future__ import annotations

import numpy as np
from sklearn.base import RegressorMixin

from .._typing import Array
from .base import CTREstimator
from .inputs import LabelsLike, TableLike, WeightsLike
from .labels import NumberLabelEncoder

__all__ = ["CTRRegressor"]


class CTRRegressor(RegressorMixin, CTREstimator):  # type: ignore[misc]
    __doc__ = """Numbers from raw rows, by any model of the package.

    Labels are standardised for the model; predictions are in their own units.

    >>> from deepctr_torch import CTRRegressor
    >>> ratings = {"movie": ["a", "b"] * 40, "rating": [4.0, 2.0] * 40}
    >>> CTRRegressor("WDL", epochs=1).fit(ratings, "rating").predict({"movie": ["a", "never seen"]}).shape
    (2,)
    """ + (CTREstimator.__doc__ or "").split("\n", 1)[1]

    label_encoder_class = NumberLabelEncoder
    label_encoder_: NumberLabelEncoder

    def predict(self, X: TableLike, *, on_bad_rows: str = "raise") -> Array:
        """Return the numbers, [N]; of several labels [N, T]."""
        scores = self._predict_all(X, on_bad_rows)
        return scores[:, 0] if len(self.labels_) == 1 else scores

    def score(self, X: TableLike, y: LabelsLike = None, sample_weight: WeightsLike = None) -> float:
        """Return R^2 (mean over the labels, each of the rows where it was observed); arguments as in `evaluate`."""
        from sklearn.metrics import r2_score

        rows = self.predict_labeled(X, y, sample_weight=sample_weight)
        scores = []
        for truth, predicted in zip(rows.y.T, rows.p.T, strict=True):
            observed = ~np.isnan(truth)
            weight = None if rows.weight is None else rows.weight[observed]
            scores.append(r2_score(truth[observed], predicted[observed], sample_weight=weight))
        return float(np.mean(scores))
