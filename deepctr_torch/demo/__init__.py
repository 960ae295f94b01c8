"""The work of `deepctr-torch demo`: two deep models and two baselines on real data, one split and one set of features.

How the settings in `deep.py` and `baselines.py` were chosen: by the logloss of the validation part (the last tenth of
each user's training ratings), with about 150 runs of the deep models and 27 of the baselines, mostly of one or two
seeds, so that differences below 0.002 mean little. The test part was not looked at before they stood. The choice, its
validation logloss (of the deep models the mean of five seeds), and what was tried:

- logistic regression, 0.565: C from 0.5 to 5, the history's columns scaled by 0, 0.3, 0.5 or 1.
- gradient boosting, 0.572: learning rate 0.03 to 0.1, L2 0 to 30, 15 to 63 leaves, 150 to 800 trees.
- DeepFM, 0.556: learning rate of the tables 0.001 to 0.03 and their L2 1e-5 to 0.3, batches of 256 to 1,024,
  dimension 8 and 16, dropout 0.2 to 0.5, initial scale 0.001 to 0.1, Adam and Adagrad. What matters most is a learning
  rate of the tables ten times that of the DNN, with a strong penalty: with one rate of 0.001 for both, the DNN is
  overfitted (0.570) before the tables have learned.
- DIN, 0.564: the same; softmax over the history in the attention (0.571 against 0.580 with raw scores, other settings
  equal, one seed); the paper's layer sizes with batch normalisation (0.562 against 0.567 with DeepFM's DNN, two seeds).
  Dice or ReLU in the attention makes no difference here, and ReLU is faster. Within a user (GAUC) DIN orders the
  validation part worse than logistic regression, 0.653 against 0.675; a missing linear part may be why.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import load_model
from ..datasets import load_movielens, movielens_features
from . import show
from .baselines import gradient_boosting, logistic_regression
from .deep import EPOCHS, deepfm, din, train
from .task import Result, Splits, prepare, score

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run"]

EQUAL = 1e-6  # what saving and loading may change in a probability; it is 0 unless the machine sums in another order


def run(out: Path, seed: int, console: Console, epochs: int = EPOCHS) -> tuple[dict[str, Any], bool]:
    """Train, compare, draw, save and load.

    Args:
        out: folder for the learning curves and the models.
        seed: of initial weights, dropout and shuffling.
        console: gets the story.
        epochs: at most so many for the deep models.

    Returns:
        The test part's numbers by model, with "seconds"; and whether the loaded models predict the same.
    """
    begin = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    splits = prepare(movielens_features(load_movielens()))
    show.introduction(splits, console)
    results = _train_all(splits, seed, console, epochs)
    numbers: dict[str, Any] = {}
    for result in results:
        values = score(splits.y_test, result.predict(splits.test), splits.test_users)
        numbers[result.name] = {**values, "samples_per_s": result.samples_per_s}
    show.table(numbers, results, splits, console)
    show.curves(results, splits, out / "learning_curves.png")
    equal = [_save_and_load(result, splits, out, console) for result in results]
    numbers["seconds"] = time.perf_counter() - begin
    show.farewell(out, numbers["seconds"], console)
    return numbers, all(equal)


def _train_all(splits: Splits, seed: int, console: Console, epochs: int) -> list[Result]:
    data, results = splits.data, []
    trainings: list[tuple[str, str, Callable[[], Result]]] = [
        ("DeepFM", "a linear part, a factorization machine, a DNN", lambda: train(deepfm(data, seed), splits, epochs)),
        ("DIN", "attention over the user's last liked movies", lambda: train(din(data, seed), splits, epochs)),
        ("Logistic regression", "of scikit-learn, on one-hot ids", lambda: logistic_regression(splits)),
        ("Gradient boosting", "of scikit-learn, on ordinal ids", lambda: gradient_boosting(splits, seed)),
    ]
    for name, text, training in trainings:
        show.heading(name, text, console)
        results.append(training())
        show.finished(results[-1], console)
    return results


def _save_and_load(result: Result, splits: Splits, out: Path, console: Console) -> bool:
    if result.model is None:
        return True
    folder = out / result.name
    result.model.save(folder)
    loaded = load_model(folder).predict(splits.test)[:, 0]
    difference = float(np.abs(loaded - result.predict(splits.test)).max())
    show.loaded(result.name, difference, difference <= EQUAL, console)
    return difference <= EQUAL
