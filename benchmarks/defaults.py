"""The estimators' defaults against the original's defaults, logistic regression and LightGBM.

    python benchmarks/defaults.py [--seeds 3] [--rows 120000]

Three tasks. "MovieLens": the split of the demo, each user's last fifth is the test part, and of the rest each user's
last tenth is validated on. "MovieLens by time": the last fifth of all ratings, mostly of users who have none before,
and the last tenth of the rest. "Criteo-like": rows of `make_criteo_like` as raw strings and skewed numbers with gaps.
Everybody gets the same rows to train on, to validate on and to be measured on. "original" is DeepFM with
DeepCTR-Torch's default arguments on LabelEncoder and MinMaxScaler columns, trained on all training rows as its example
does (summed loss, batches of 256, 10 epochs, adam); values that the training part does not have share one more id.
LightGBM has at most 500 trees, stopped by the validation part, which also chooses the penalty of the logistic
regression. Neither of these three can read the list of movies a user liked. Writes
`benchmarks/results/defaults.json` and `.md`.

    python benchmarks/defaults.py --choose

asks the validation parts of the training rows what other values of each default would do (logloss of DeepFM, mean over
the seeds), and writes `benchmarks/results/defaults_choices.md`; the test rows are not looked at.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from defaults_tasks import Task, criteo_like, movielens

from deepctr_torch import CTRClassifier
from deepctr_torch.metrics.registry import get_metric

RESULTS = Path(__file__).resolve().parent / "results"


# ------------------------------------------------------------------ contestants: task, seed -> probabilities


def fitted(task: Task, **arguments: Any) -> CTRClassifier:
    """Trained on what is not held out, stopped by what is."""
    held, y = task.held, task.y_train
    model = CTRClassifier(**arguments)
    return model.fit(task.train.filter(~held), y[~held], validation=(task.train.filter(held), y[held]))


def ours(name: str, **changes: Any) -> Callable[[Task, int], np.ndarray]:
    def predict(task: Task, seed: int) -> np.ndarray:
        model = fitted(task, model=name, random_state=seed, **changes)
        return model.predict_proba(task.test)[:, 1]

    return predict


def labelled(task: Task) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
    """LabelEncoder and MinMaxScaler, fitted on the training part; values not there share one more id."""
    from sklearn.preprocessing import LabelEncoder, MinMaxScaler

    train: dict[str, np.ndarray] = {}
    test: dict[str, np.ndarray] = {}
    sizes = {}
    for name in task.ids:
        values, later = (t[name].cast(pl.String).fill_null("-1").to_numpy() for t in (task.train, task.test))
        encoder = LabelEncoder().fit(values)
        known = np.isin(later, encoder.classes_)
        train[name] = encoder.transform(values)
        test[name] = np.full(len(later), len(encoder.classes_))
        test[name][known] = encoder.transform(later[known])
        sizes[name] = len(encoder.classes_) + 1
    if task.numbers:
        matrix, later = (t.select(task.numbers).fill_null(0).to_numpy() for t in (task.train, task.test))
        scaler = MinMaxScaler().fit(matrix)
        for i, name in enumerate(task.numbers):
            train[name], test[name] = scaler.transform(matrix)[:, i], scaler.transform(later)[:, i]
    return train, test, sizes


def original(task: Task, seed: int) -> np.ndarray:
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import DeepFM

    train, test, sizes = labelled(task)
    columns = [SparseFeat(n, size, 4) for n, size in sizes.items()] + [DenseFeat(n) for n in task.numbers]
    model = DeepFM(columns, columns, seed=seed)
    model.compile("adam", "binary_crossentropy", embedding_update="dense")
    model.fit(train, task.y_train, batch_size=256, epochs=10, verbose=0)
    return model.predict(test)[:, 0]


def logistic(task: Task, seed: int) -> np.ndarray:
    """Indicators of all values, numbers standardised; the strength of the penalty by the validation part."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train, test, sizes = labelled(task)

    def matrix(x: dict[str, np.ndarray], scaler: Any) -> Any:
        rows = np.arange(len(x[task.ids[0]]))
        parts = [sparse.csr_matrix((np.ones(len(rows)), (rows, x[n])), (len(rows), sizes[n])) for n in task.ids]
        numbers = [scaler.transform(np.column_stack([x[n] for n in task.numbers]))] if task.numbers else []
        return sparse.hstack([*parts, *numbers]).tocsr()

    scaler = StandardScaler().fit(np.column_stack([train[n] for n in task.numbers])) if task.numbers else None
    X, y = matrix(train, scaler), task.y_train
    held = task.held
    tried = {}
    for C in (0.01, 0.1, 1.0):
        model = LogisticRegression(C=C, max_iter=300).fit(X[~held], y[~held])
        tried[get_metric("logloss")(y[held], model.predict_proba(X[held])[:, 1])] = model
    return tried[min(tried)].predict_proba(matrix(test, scaler))[:, 1]


def lightgbm(task: Task, seed: int) -> np.ndarray:
    """Ids as categories (no more than 1,000 of a column, the others as numbers), early stopping."""
    import lightgbm as lgb

    train, test, sizes = labelled(task)
    names = [*task.ids, *task.numbers]
    X, later = (np.column_stack([x[n] for n in names]).astype(np.float64) for x in (train, test))
    categories = [i for i, n in enumerate(names) if sizes.get(n, 10_000) <= 1000]
    held = task.held
    model = lgb.LGBMClassifier(n_estimators=500, learning_rate=0.05, random_state=seed, n_jobs=1, verbose=-1)
    stop = lgb.early_stopping(30, verbose=False)
    model.fit(X[~held], task.y_train[~held], eval_X=X[held], eval_y=task.y_train[held], callbacks=[stop],
              categorical_feature=categories)  # fmt: skip
    return model.predict_proba(later)[:, 1]


CONTESTANTS: dict[str, Callable[[Task, int], np.ndarray]] = {
    "CTRClassifier(DeepFM)": ours("DeepFM"),
    "CTRClassifier(DCN)": ours("DCN"),
    "CTRClassifier(DIN)": ours("DIN"),
    "DeepFM, original's defaults": original,
    "logistic regression": logistic,
    "LightGBM": lightgbm,
}


# ------------------------------------------------------------------ choosing by the validation parts


def validated(task: Task, seed: int, **changes: Any) -> float:
    """Logloss of the validation part of the training rows, at its best."""
    return min(fitted(task, **{"model": "DeepFM", "random_state": seed, **changes}).history_["val_loss"])


CHOICES: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "all weights N(0, 1e-4), as the original": {"model_args": {"init_std": 1e-4}},
    "all weights N(0, 0.01)": {"model_args": {"init_std": 0.01}},
    "all weights N(0, 0.05)": {"model_args": {"init_std": 0.05}},
    "dnn_dropout 0": {"model_args": {"dnn_dropout": 0.0}},
    "dnn_dropout 0.4": {"model_args": {"dnn_dropout": 0.4}},
    "l2_reg_embedding 1e-5": {"model_args": {"l2_reg_embedding": 1e-5}},
    "l2_reg_embedding 1e-2": {"model_args": {"l2_reg_embedding": 1e-2}},
    "embedding_lr 0.001": {"embedding_lr": 0.001},
    "embedding_lr 0.01": {"embedding_lr": 0.01},
    "embedding_dim 4": {"embedding_dim": 4},
    "embedding_dim 8": {"embedding_dim": 8},
    "batch_size 128": {"batch_size": 128},
    "batch_size 2048": {"batch_size": 2048},
    "eval_every 1.0": {"eval_every": 1.0},
    "eval_every 0.5": {"eval_every": 0.5},
    "early_stopping 6": {"early_stopping": 6},
}


def choose(tasks: dict[str, Task], seeds: int, only: str) -> None:
    lines = [f"| DeepFM with | {' | '.join(tasks)} |", "| --- |" + " --- |" * len(tasks)]
    for choice, changes in CHOICES.items():
        if only in choice:
            found = [statistics.mean(validated(t, s, **changes) for s in range(seeds)) for t in tasks.values()]
            lines.append(f"| {choice} | {' | '.join(f'{value:.4f}' for value in found)} |")
            print(lines[-1], flush=True)
    if not only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "defaults_choices.md").write_text("\n".join(lines) + "\n")


# ------------------------------------------------------------------ the table


def measure(tasks: dict[str, Task], seeds: int) -> list[dict[str, Any]]:
    out = []
    for task_name, task in tasks.items():
        for name, contestant in CONTESTANTS.items():
            if "DIN" in name and "hist_movie" not in task.train.columns:
                continue
            row: dict[str, Any] = {"task": task_name, "model": name, "auc": [], "logloss": [], "seconds": []}
            for seed in range(seeds):
                begin = time.perf_counter()
                p = contestant(task, seed)
                row["seconds"].append(round(time.perf_counter() - begin, 1))
                for metric in ("auc", "logloss"):
                    row[metric].append(get_metric(metric)(task.y_test, p))
            print(as_table([row]).splitlines()[-1], flush=True)
            out.append(row)
    return out


def as_table(rows: list[dict[str, Any]]) -> str:
    lines = ["| task | model | AUC | logloss | seconds |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [f"{statistics.mean(row[m]):.4f} ± {statistics.pstdev(row[m]):.4f}" for m in ("auc", "logloss")]
        lines.append(
            f"| {row['task']} | {row['model']} | {cells[0]} | {cells[1]} | {statistics.mean(row['seconds']):.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {
        "MovieLens": movielens(by_time=False),
        "MovieLens by time": movielens(by_time=True),
        "Criteo-like": criteo_like(options.rows),
    }
    if options.choose:
        choose(tasks, options.seeds, options.only)
        return
    rows = measure(tasks, options.seeds)
    RESULTS.mkdir(exist_ok=True)
    about = {
        "python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
        "machine": platform.machine(),
    }
    sizes = {name: {"train": len(t.y_train), "test": len(t.y_test)} for name, t in tasks.items()}
    content = {"command": f"python benchmarks/defaults.py --seeds {options.seeds} --rows {options.rows}",
               "about": about, "threads": 1, "sizes": sizes, "rows": rows}  # fmt: skip
    (RESULTS / "defaults.json").write_text(json.dumps(content, indent=1))
    (RESULTS / "defaults.md").write_text(as_table(rows))


if __name__ == "__main__":
    main()
