"""`CTRRegressor`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from ..data.values import to_numpy
from .base import CTREstimator

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
        """R^2 (mean over the labels)."""
        from sklearn.metrics import r2_score

        if isinstance(y, str) or y is None:
            from .data import open_data

            opened = open_data(X, self.labels_ if y is None else y, sample_weight)
            y = np.stack([to_numpy(c) for _, c, _, _ in opened.pieces()], axis=1)
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))

    def _metrics(self) -> list[str]:
        return ["rmse", "mae"]
