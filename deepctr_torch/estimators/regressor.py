"""`CTRRegressor`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from .base import CTREstimator
from .predict import seen

__all__ = ["CTRRegressor"]

Array = npt.NDArray[Any]


class CTRRegressor(RegressorMixin, CTREstimator):  # type: ignore[misc]
    __doc__ = """Numbers from raw rows, by any model of the package.

    Labels are standardised for the model; predictions are in their own units.

    >>> from deepctr_torch import CTRRegressor
    >>> ratings = {"movie": ["a", "b"] * 40, "rating": [4.0, 2.0] * 40}
    >>> CTRRegressor("WDL", epochs=1).fit(ratings, "rating").predict({"movie": ["a", "never seen"]}).shape
    (2,)
    """ + (CTREstimator.__doc__ or "").split("\n", 1)[1]

    def predict(self, X: Any) -> Array:
        """[N]; of several labels [N, T]."""
        scores = self._scores(X)
        return scores[:, 0] if len(self.labels_) == 1 else scores

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R^2 (mean over the labels, each of the rows where it was observed); arguments as in `evaluate`."""
        from sklearn.metrics import r2_score

        observed, predicted, weight, _ = seen(self, self._opened_with(X, y, sample_weight))
        found = []
        for truth, guess in zip(observed.T, predicted.T, strict=True):
            there = ~np.isnan(truth)
            weights = None if weight is None else weight[there]
            found.append(r2_score(truth[there], guess[there], sample_weight=weights))
        return float(np.mean(found))

    def _metrics(self) -> list[str]:
        return ["rmse", "mae"]
