"""The task of the demo: the splits that all models are trained and tested on, and their metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from .._typing import Array
from ..datasets import MovieLens
from ..datasets.movielens import last_of_each
from ..metrics.registry import get_metric
from ..models import BaseModel

Inputs: TypeAlias = dict[str, Array]

METRICS = {"auc": "AUC", "gauc": "GAUC", "logloss": "logloss", "ne": "NE", "calibration": "calibration"}
NUMBERS = ("user_rate", "user_count", "movie_rate", "movie_count")


class Splits(NamedTuple):
    """Three parts of the ratings; numbers are standardised by what `fit` holds."""

    fit: Inputs
    y_fit: Array
    validation: Inputs
    y_validation: Array
    test: Inputs
    y_test: Array
    data: MovieLens


class Result(NamedTuple):
    """One trained model; `history` and `model` of the deep ones."""

    name: str
    predict: Callable[[Inputs], Array]  # inputs -> probabilities [N]
    seconds: float
    samples_per_s: float
    history: dict[str, list[float]] | None = None
    model: BaseModel | None = None


def prepare(data: MovieLens) -> Splits:
    """Take the last tenth of each user's training ratings for validation, as the test part is the last fifth of all.

    Not the last tenth of all users' ratings together: 93% of those belong to users who have no earlier rating, which is
    another question than the test part asks.
    """
    late = last_of_each(data.train["user"], 10)
    fit, validation = ({name: values[rows] for name, values in data.train.items()} for rows in (~late, late))
    test = dict(data.test)
    for name in NUMBERS:
        mean, std = fit[name].mean(), max(fit[name].std(), 1e-6)
        for part in (fit, validation, test):
            part[name] = ((part[name] - mean) / std).astype(np.float32)
    return Splits(fit, data.y_train[~late], validation, data.y_train[late], test, data.y_test, data)


def score(y: Array, prediction: Array, users: Array) -> dict[str, float]:
    """Every metric of the table.

    >>> score(np.array([0, 1, 0, 1]), np.array([0.2, 0.7, 0.4, 0.8]), np.array([1, 1, 2, 2]))["gauc"]
    1.0
    """
    groups = {"gauc": users}
    return {name: get_metric(name)(y, prediction, None, groups.get(name)) for name in METRICS}
