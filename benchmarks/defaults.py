"""The estimators' defaults beside gradient boosting, logistic regression and the original's defaults.

    python benchmarks/defaults.py --choose [--tables flights,votes] [--seeds 2] [--contestants ours,...]
    python benchmarks/defaults.py --test --seeds 5
    python benchmarks/defaults.py --report

The protocol, written before any result was seen:

1. The tables are those of `data.py`. Everybody gets the same rows to train on, to validate on (to stop by, and to
   choose what it chooses by itself) and to be measured on.
2. Defaults are chosen by `--choose`, which sees the training rows alone: their last tenth (by time where the table is
   cut by time) is measured on, and the tenth before it validated on. `--test` measures the rows that are left; it
   runs once a choice is written down in `results/defaults_choices.md`, and its results change no default.
3. A part is on by default if it raises the mean AUC of the classification tables by 0.0005 or more (regression:
   lowers the mean RMSE), over two seeds, and no table loses more than 0.003 ("bandit" does not count: 20 clicks are
   left to choose by); of equal ones the cheaper one is taken. No default knows a table's name, size class or column.
4. Reported are AUC, logloss, calibration (mean prediction over mean label), or RMSE; seconds of processor time with
   one thread; and the standard error of the difference to the best tree, from 200 bootstraps of the rows measured on,
   seeds averaged.

Contestants. "CTRClassifier" is `CTRClassifier()` (`CTRRegressor()`), untouched. "LightGBM" has at most 1,000 trees at
rate 0.05, stopped after 50 without improvement, native categories of all columns or of those up to 1,000 values
(others by how frequent they are), as the validation part says. "CatBoost" has its defaults, stopped after 50 trees.
"logistic" (regression: ridge) has indicators of all values, quantile bins of the numbers, the penalty by the
validation part. "original" is DeepFM with DeepCTR-Torch's defaults as its example uses them. Only "CTRClassifier" can
read columns of lists. Results are kept in `results/defaults.json`, one entry a run; what is there is not run again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from data import TABLES, Task

from deepctr_torch import CTRClassifier, CTRRegressor
from deepctr_torch.metrics.registry import get_metric

RESULTS = Path(__file__).resolve().parent / "results"
PREDICTIONS = (
    Path(os.environ.get("DEEPCTR_TORCH_BENCH", Path.home() / ".cache" / "deepctr-torch-bench")) / "predictions"
)
TREES = ("LightGBM", "CatBoost")
Predict = Callable[[Task, int], np.ndarray]


# ------------------------------------------------------------------ contestants: task, seed -> predictions


def ours(**changes: Any) -> Predict:
    def predict(task: Task, seed: int) -> np.ndarray:
        made = (CTRRegressor if task.regression else CTRClassifier)(random_state=seed, **changes)
        held, y = task.held, task.y_train
        model = made.fit(task.train.filter(~held), y[~held], validation=(task.train.filter(held), y[held]))
        print("   ", {k: v for k, v in model.training_.items() if k not in ("history",)}, flush=True)
        return model.predict(task.test) if task.regression else model.predict_proba(task.test)[:, 1]

    return predict


def as_strings(table: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return table.with_columns(pl.col(names).cast(pl.String).fill_null("missing"))


def score(task: Task, y: np.ndarray, predicted: np.ndarray) -> float:
    """Lower is better."""
    return float(((y - predicted) ** 2).mean()) if task.regression else float(get_metric("logloss")(y, predicted))


def lightgbm(task: Task, seed: int) -> np.ndarray:
    import lightgbm as lgb

    held, y = task.held, task.y_train
    names = [*task.ids, *task.numbers]
    train, test = (as_strings(t, task.ids) for t in (task.train, task.test))
    best: tuple[float, Any, Any] | None = None
    for limit in (1000, None):
        wide = [n for n in task.ids if limit and train[n].n_unique() > limit]
        if limit is None and not any(train[n].n_unique() > 1000 for n in task.ids):
            continue
        frames = [t.select(names).with_columns(frequency(train, n, t) for n in wide).to_pandas() for t in (train, test)]
        for name in task.ids:
            if name not in wide:
                values = frames[0][name].astype("category").cat.categories
                for frame in frames:
                    frame[name] = (
                        frame[name].where(frame[name].isin(values)).astype("category").cat.set_categories(values)
                    )
        cls = lgb.LGBMRegressor if task.regression else lgb.LGBMClassifier
        model = cls(n_estimators=1000, learning_rate=0.05, random_state=seed, n_jobs=1, verbose=-1)
        X = frames[0]
        model.fit(X[~held], y[~held], eval_X=X[held], eval_y=y[held], callbacks=[lgb.early_stopping(50, verbose=False)])
        predict = model.predict if task.regression else lambda x, m=model: m.predict_proba(x)[:, 1]
        found = score(task, y[held], predict(X[held]))
        if best is None or found < best[0]:
            best = found, predict, frames[1]
    assert best is not None
    return np.asarray(best[1](best[2]))


def frequency(train: pl.DataFrame, name: str, table: pl.DataFrame) -> pl.Series:
    counts = train.group_by(name).len()
    return table.select(name).join(counts, on=name, how="left", maintain_order="left")["len"].fill_null(0).alias(name)


def catboost(task: Task, seed: int) -> np.ndarray:
    import catboost

    held, y, names = task.held, task.y_train, [*task.ids, *task.numbers]
    train, test = (as_strings(t, task.ids).select(names).to_pandas() for t in (task.train, task.test))
    cls = catboost.CatBoostRegressor if task.regression else catboost.CatBoostClassifier
    model = cls(random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False, cat_features=task.ids)
    model.fit(train[~held], y[~held], eval_set=(train[held], y[held]), early_stopping_rounds=50)
    return model.predict(test) if task.regression else model.predict_proba(test)[:, 1]


def linear(task: Task, seed: int) -> np.ndarray:
    """Indicators of values and of 20 quantile bins, numbers standardised."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

    held, y, names = task.held, task.y_train, [*task.ids, *task.numbers]
    train, test = (as_strings(t, task.ids).select(names).to_pandas() for t in (task.train, task.test))
    bins = KBinsDiscretizer(20, strategy="quantile", quantile_method="averaged_inverted_cdf")
    parts: list[Any] = [("ids", OneHotEncoder(handle_unknown="ignore"), task.ids)]
    if task.numbers:
        parts.append(("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), task.numbers))
        parts.append(("bins", make_pipeline(SimpleImputer(strategy="median"), bins), task.numbers))
    columns = ColumnTransformer(parts)
    X, later = columns.fit_transform(train), columns.transform(test)
    tried = {}
    for strength in (0.01, 0.1, 1.0):
        model = Ridge(1 / strength) if task.regression else LogisticRegression(C=strength, max_iter=300)
        model.fit(X[~held], y[~held])
        predict = model.predict if task.regression else lambda x, m=model: m.predict_proba(x)[:, 1]
        tried[score(task, y[held], predict(X[held]))] = predict
    return np.asarray(tried[min(tried)](later))


def original(task: Task, seed: int) -> np.ndarray:
    """LabelEncoder and MinMaxScaler columns, summed loss, batches of 256, 10 epochs, adam; new values share an id."""
    from sklearn.preprocessing import LabelEncoder, MinMaxScaler

    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import DeepFM

    train: dict[str, Any] = {}
    test: dict[str, Any] = {}
    columns: list[Any] = []
    frames = [as_strings(t, task.ids) for t in (task.train, task.test)]
    for name in task.ids:
        values, later = (t[name].to_numpy() for t in frames)
        encoder = LabelEncoder().fit(values)
        known = np.isin(later, encoder.classes_)
        train[name], test[name] = encoder.transform(values), np.full(len(later), len(encoder.classes_))
        test[name][known] = encoder.transform(later[known])
        columns.append(SparseFeat(name, len(encoder.classes_) + 1, 4))
    for name in task.numbers:
        values, later = (t[name].cast(pl.Float64).fill_nan(None).fill_null(0).to_numpy()[:, None] for t in frames)
        scaler = MinMaxScaler().fit(values)
        train[name], test[name] = scaler.transform(values)[:, 0], scaler.transform(later)[:, 0]
        columns.append(DenseFeat(name))
    kind, loss = ("regression", "mse") if task.regression else ("binary", "binary_crossentropy")
    model = DeepFM(columns, columns, seed=seed, task=kind)
    model.compile("adam", loss, embedding_update="dense")
    model.fit(train, task.y_train, batch_size=256, epochs=10, verbose=0)
    return model.predict(test)[:, 0]


CONTESTANTS: dict[str, Predict] = {
    "CTRClassifier": ours(),
    "LightGBM": lightgbm,
    "CatBoost": catboost,
    "logistic": linear,
    "original": original,
}
# What `--choose` tries beside the defaults: name -> arguments of the estimator.
CHOICES: dict[str, Mapping[str, Any]] = {}
CONTESTANTS |= {name: ours(**changes) for name, changes in CHOICES.items()}


# ------------------------------------------------------------------ running


def measures(task: Task, predicted: np.ndarray) -> dict[str, float]:
    y = task.y_test
    if task.regression:
        return {"rmse": float(np.sqrt(((y - predicted) ** 2).mean()))}
    found = {name: float(get_metric(name)(y, predicted)) for name in ("auc", "logloss")}
    return {**found, "calibration": float(predicted.mean() / y.mean())}


def run(part: str, names: list[str], contestants: list[str], seeds: int, file: Path) -> None:
    for name in names:
        task: Task | None = None
        for seed in range(seeds):
            for contestant in contestants:
                key = f"{part}/{name}/{contestant}/{seed}"
                if key in load(file) or (
                    contestant in ("CatBoost", "LightGBM", "logistic") and seed > 0 and part == "choose"
                ):
                    continue
                if task is None:
                    task = TABLES[name]() if part == "test" else TABLES[name]().for_choosing()
                begin = time.process_time()
                predicted = CONTESTANTS[contestant](task, seed)
                seconds = round(time.process_time() - begin, 1)
                found = {**measures(task, predicted), "seconds": seconds}
                where = PREDICTIONS / f"{key.replace(' ', '_')}.npy"
                where.parent.mkdir(parents=True, exist_ok=True)
                np.save(where, predicted.astype(np.float32))
                add(file, key, found)
                print(key, {k: round(v, 4) for k, v in found.items()}, flush=True)


def load(file: Path) -> dict[str, dict[str, float]]:
    return json.loads(file.read_text()) if file.exists() else {}


def add(file: Path, key: str, found: dict[str, float]) -> None:
    """Several processes may write to one file."""
    with open(PREDICTIONS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file.write_text(json.dumps({**load(file), key: found}, indent=1, sort_keys=True) + "\n")


# ------------------------------------------------------------------ tables


def means(found: dict[str, dict[str, float]], part: str, name: str, contestant: str) -> dict[str, float]:
    own = [v for k, v in found.items() if k.startswith(f"{part}/{name}/{contestant}/")]
    return {m: statistics.mean(v[m] for v in own) for m in own[0]} if own else {}


def report(found: dict[str, dict[str, float]], part: str, metrics: tuple[str, ...]) -> str:
    """One line a contestant, one column a table: the mean over the seeds."""
    keys = [k.split("/") for k in found if k.startswith(f"{part}/")]
    contestants = [c for c in CONTESTANTS if any(k[2] == c for k in keys)]
    lines: list[str] = []
    for metric in metrics:
        tables = [t for t in TABLES if any(k[1] == t and metric in found["/".join(k)] for k in keys)]
        if not tables:
            continue
        lines += ["", f"| {metric} | {' | '.join(tables)} | mean |", "| --- |" + " --- |" * (len(tables) + 1)]
        for contestant in contestants:
            values = [means(found, part, t, contestant).get(metric) for t in tables]
            known = [v for v in values if v is not None]
            mean = f"{statistics.mean(known):.4f}" if len(known) == len(tables) else ""
            lines.append(f"| {contestant} | {' | '.join('' if v is None else f'{v:.4f}' for v in values)} | {mean} |")
    return "\n".join(lines).strip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    what = parser.add_mutually_exclusive_group(required=True)
    for name in ("choose", "test", "report"):
        what.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--file", type=Path, default=RESULTS / "defaults.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.report:
        part = "test" if options.test else "choose"
        run(part, options.tables.split(","), options.contestants.split(","), options.seeds, options.file)
    metrics = ("auc", "logloss", "calibration", "rmse", "seconds")
    for part in ("choose", "test"):
        print(f"\n{part}\n\n{report(load(options.file), part, metrics)}")
    if options.report:
        (RESULTS / "defaults.md").write_text(report(load(options.file), "test", metrics))


if __name__ == "__main__":
    main()
