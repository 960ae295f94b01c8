"""The work of `deepctr-torch demo`: two deep models and two baselines on real data, one split and one set of features.

The design notes say how the settings in `deep.py` and `baselines.py` were chosen ("The settings of the demo").
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
    """Train, compare, draw, save and load; tell the story on the console.

    Returns the test part's numbers by model, with "seconds"; and whether the loaded models predict the same.
    """
    begin = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    splits = prepare(movielens_features(load_movielens()))
    show.introduction(splits, console)
    results = _train_all(splits, seed, console, epochs)
    numbers: dict[str, Any] = {}
    for result in results:
        values = score(splits.y_test, result.predict(splits.test), splits.test[splits.data.group])
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
        console.print(f"\n[bold]{name}[/]: {text}", highlight=False)
        results.append(training())
        console.print(f"trained in {results[-1].seconds:.1f} s", highlight=False)
    return results


def _save_and_load(result: Result, splits: Splits, out: Path, console: Console) -> bool:
    if result.model is None:
        return True
    folder = out / result.name
    result.model.save(folder)
    loaded = load_model(folder).predict(splits.test)[:, 0]
    difference = float(np.abs(loaded - result.predict(splits.test)).max())
    verdict = "[green]equal[/]" if difference <= EQUAL else "[bold red]NOT equal[/]"
    console.print(f"{result.name} saved and loaded again: predictions {verdict}, largest difference {difference:.1g}")
    return difference <= EQUAL
