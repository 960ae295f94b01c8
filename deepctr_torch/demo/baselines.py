"""The baselines: scikit-learn on the same features, encoded as each model can read them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._typing import Array
from .task import NUMBERS, Inputs, Result, Splits

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.base import ClassifierMixin

INVERSE_L2 = 2.0
HISTORY_SCALE = 0.3  # below 1: the penalty is the harder on the weights of the history
BOOSTING: Mapping[str, Any] = {"learning_rate": 0.05, "max_iter": 500, "max_leaf_nodes": 15, "l2_regularization": 10.0}


def linear_inputs(x: Inputs, vocabulary: Mapping[str, int]) -> csr_matrix:
    """A sparse matrix [N, W]: user, movie and year one-hot, shares of genres and of liked movies, numbers."""
    from scipy import sparse

    def shares(name: str, size: int) -> csr_matrix:
        ids = x[name].reshape(len(x[name]), -1)
        rows, steps = np.nonzero(ids)
        weight = 1.0 / np.maximum((ids > 0).sum(axis=1), 1)
        return sparse.csr_matrix((weight[rows], (rows, ids[rows, steps])), shape=(len(ids), size))

    ids = [shares(name, vocabulary[name]) for name in ("user", "movie", "year", "genres")]
    history = HISTORY_SCALE * shares("hist_movie", vocabulary["movie"])
    return sparse.hstack([*ids, history, np.column_stack([x[name] for name in NUMBERS])]).tocsr()


def boosting_inputs(x: Inputs, vocabulary: Mapping[str, int]) -> Array:
    """[N, W]: the year (a category), ordinal ids, numbers, genres as 0 or 1; of the history its length and last movie.

    User and movie have more ids than scikit-learn's categories may (255), and a tree cannot read a list of movies.
    """
    rows = np.arange(len(x["user"]))
    genres = np.zeros((len(rows), vocabulary["genres"]), np.float32)
    np.put_along_axis(genres, x["genres"], 1.0, axis=1)
    length = x["hist_length"]
    last = x["hist_movie"][rows, np.maximum(length - 1, 0)]
    numbers = [x[name] for name in NUMBERS]
    return np.column_stack([x["year"], x["user"], x["movie"], *numbers, length, last, genres[:, 1:]])


def _trained(
    name: str, model: ClassifierMixin, inputs: Callable[[Inputs, Mapping[str, int]], Any], splits: Splits
) -> Result:
    """Train on one core, as the deep models are."""
    from threadpoolctl import threadpool_limits

    vocabulary = splits.data.vocabulary
    x = inputs(splits.fit, vocabulary)
    begin = time.perf_counter()
    with threadpool_limits(1):
        model.fit(x, splits.y_fit)
    seconds = time.perf_counter() - begin

    def predict(x: Inputs) -> Array:
        return np.asarray(model.predict_proba(inputs(x, vocabulary))[:, 1])

    return Result(name, predict, seconds, len(splits.y_fit) * int(np.ravel(model.n_iter_)[0]) / seconds)


def logistic_regression(splits: Splits) -> Result:
    from sklearn.linear_model import LogisticRegression

    return _trained("logistic_regression", LogisticRegression(C=INVERSE_L2, max_iter=1000), linear_inputs, splits)


def gradient_boosting(splits: Splits, seed: int) -> Result:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fixed = {"early_stopping": False, "categorical_features": [0], "random_state": seed}
    return _trained("gbdt", HistGradientBoostingClassifier(**BOOSTING, **fixed), boosting_inputs, splits)
