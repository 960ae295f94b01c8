"""Quality of the fast ways to train: dense and sparse updates, fp32 and bf16, with paired seeds.

    python benchmarks/quality.py [--seeds 5] [--rows 1000000] [--tasks criteo] [--arms sparse-fp32,...] [--quick]

DeepFM on MovieLens and on `make_criteo_like` with 1e6 rows in the tables, where the best possible AUC and logloss are
known. Each training is stopped by the logloss of a validation part, looked at twice an epoch, and keeps its best
weights: an update that moves rare rows more slowly gets there later, which is a matter of speed. With one seed all arms
start from the same weights and see the same batches in the same order; the differences of the seeds, not the means, are
compared. An arm passes if its AUC is lower than that of its reference by no more than 0.002, or than one standard error
of the difference. A CPU without bf16 instructions emulates bf16, slowly, so the layers are small.
Writes `quality.json` and `quality.md` to `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from speed_processes import machine

from deepctr_torch.callbacks import EarlyStopping
from deepctr_torch.datasets import load_movielens, make_criteo_like, movielens_features
from deepctr_torch.demo.task import prepare
from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.metrics.registry import get_metric
from deepctr_torch.models.deepfm import DeepFM

RESULTS = Path(__file__).resolve().parent / "results"
ARMS: Mapping[str, Mapping[str, Any]] = {
    f"{update}-{precision}": {"embedding_update": update, "precision": precision}
    for update in ("dense", "sparse")
    for precision in ("fp32", "bf16")
}
PAIRS = (  # arm and what it must not be worse than
    ("sparse-fp32", "dense-fp32"),
    ("dense-bf16", "dense-fp32"),
    ("sparse-bf16", "sparse-fp32"),
)
MARGIN = 0.002
LAYERS, DIMENSION, BATCH = (64, 32), 8, 1024
TEST_ROWS = 200_000


class Task(NamedTuple):
    """A data set with a model for it."""

    name: str
    columns: tuple[Any, Any]
    train: tuple[Any, Any]
    test: tuple[Any, Any]
    fit: dict[str, Any]
    best: dict[str, float] | None = None


def criteo_like(rows: int, tested: int, vocabulary: int, epochs: int) -> Task:
    """Labels drawn from known probabilities; after the rows to train on come a validation part and the test part."""
    data = make_criteo_like(rows + 2 * tested, vocabulary)
    columns: list[Any] = [SparseFeat(n, s, DIMENSION) for n, s in data.vocabulary_sizes.items()]
    columns += [DenseFeat(n) for n in data.x if n[0] == "I"]
    spans = (slice(rows), slice(rows, rows + tested), slice(rows + tested, None))
    train, valid, test = (({n: v[part] for n, v in data.x.items()}, data.y[part]) for part in spans)
    best = scores(test[1], data.probability[spans[2]])
    fit = {"epochs": epochs, "eval_every": 0.5, "validation_data": valid}
    name = f"make_criteo_like, {vocabulary:,} rows in the tables, {rows:,} to train on"
    return Task(name, (columns, columns), train, test, fit, best)


def movielens(epochs: int) -> Task:
    data = movielens_features(load_movielens())
    splits = prepare(data)
    columns = data.columns(DIMENSION)
    fit = {"epochs": epochs, "eval_every": 0.5, "validation_data": (splits.validation, splits.y_validation)}
    name = f"MovieLens, {len(splits.y_fit):,} to train on"
    return Task(name, (columns.linear, columns.dnn), (splits.fit, splits.y_fit), (splits.test, splits.y_test), fit)


def scores(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    return {name: float(get_metric(name)(y, prediction, None, None)) for name in ("auc", "logloss")}


def initial(model: torch.nn.Module) -> float:
    """A number that tells weights apart."""
    return sum(float(p.detach().double().sum()) for p in model.parameters())


def train(task: Task, arm: str, seed: int) -> tuple[dict[str, float], float]:
    """Test metrics of one training, and the sum of the weights that it began with."""
    model = DeepFM(*task.columns, dnn_hidden_units=LAYERS, init_std=0.01, seed=seed)
    start = initial(model)
    model.compile("adam", "binary_crossentropy", ["logloss", "auc"], **ARMS[arm])
    stop = EarlyStopping("val_logloss", patience=2, restore_best_weights=True)
    begin = time.perf_counter()
    history = model.fit(*task.train, batch_size=BATCH, verbose=0, callbacks=[stop], **task.fit)
    seconds = time.perf_counter() - begin
    found = scores(task.test[1], model.predict(task.test[0])[:, 0])
    return {**found, "seconds": seconds, "evaluations": len(history.epoch)}, start


def measure(task: Task, arms: list[str], seeds: int, before: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arms, seed by seed: the results so far after each of them; other arms keep those of `before`."""
    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS if arm in arms or arm in before}
    runs |= {arm: found for arm, found in before.items() if arm not in arms}
    for seed in range(seeds):
        starts = set()
        for arm in arms:
            found, start = train(task, arm, seed)
            runs[arm].append(found)
            starts.add(start)
            print(f"{task.name}, seed {seed}, {arm}:", {k: round(v, 5) for k, v in found.items()}, flush=True)
        if len(starts) > 1:
            raise RuntimeError(f"arms of seed {seed} began with different weights")
        verdicts = [compare(runs, a, b) for a, b in PAIRS if {a, b} <= {*runs}]
        yield {"best": task.best, "runs": runs, "verdicts": verdicts}


def compare(runs: dict[str, list[dict[str, float]]], arm: str, reference: str) -> dict[str, Any]:
    """How much lower the AUC of an arm is than that of its reference, over the seeds that both have."""
    both = list(zip(runs[arm], runs[reference], strict=False))
    lower = [b["auc"] - a["auc"] for a, b in both]
    more = [a["logloss"] - b["logloss"] for a, b in both]
    error = statistics.stdev(lower) / math.sqrt(len(lower)) if len(lower) > 1 else 0.0
    mean = statistics.mean(lower)
    passed = mean <= max(MARGIN, error)
    more_loss = statistics.mean(more)
    names = {"arm": arm, "reference": reference, "seeds": len(both)}
    return {**names, "lower_auc": mean, "error": error, "logloss": more_loss, "ok": passed}


def mean_and_deviation(values: list[float], digits: int) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def report(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    m = results["machine"]
    emulated = "bf16 in hardware" if m["bf16"] else "bf16 emulated: its seconds say nothing about speed"
    lines = [
        f"DeepFM {'-'.join(map(str, LAYERS))}, dimension {DIMENSION}, batches of {BATCH:,}, Adam; paired "
        f"seeds; {m['processor']}, {m['cores']} cores ({emulated}); torch {results['torch']}.",
        "",
    ]
    if results["quick"]:
        lines += ["Made with --quick: these numbers mean nothing.", ""]
    for name, task in results["tasks"].items():
        lines += [f"**{name}**", "", "| | seeds | test AUC | test logloss | seconds, median |"]
        lines += ["| --- | ---: | ---: | ---: | ---: |"]
        for arm, runs in task["runs"].items():
            cells = [mean_and_deviation([r[k] for r in runs], 4) for k in ("auc", "logloss")]
            seconds = statistics.median(r["seconds"] for r in runs)
            lines.append(f"| {arm} | {len(runs)} | {' | '.join(cells)} | {seconds:.1f} |")
        if best := task["best"]:
            lines.append(f"| best possible | | {best['auc']:.4f} | {best['logloss']:.4f} | |")
        if left_out := [arm for arm in ARMS if arm not in task["runs"]]:
            lines += ["", f"Left out: {', '.join(left_out)}."]
        lines += ["", "| | AUC lower by | logloss higher by | no worse |", "| --- | ---: | ---: | --- |"]
        for v in task["verdicts"]:
            lower = f"{v['lower_auc']:+.4f} ± {v['error']:.4f}"
            verdict = "yes" if v["ok"] else "**no**"
            lines.append(f"| {v['arm']} than {v['reference']} | {lower} | {v['logloss']:+.4f} | {verdict} |")
        lines.append("")
    lines += [
        f"No worse: lower by at most {MARGIN} AUC, or by at most one standard error (after ±) of the mean difference.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of make_criteo_like to train on")
    parser.add_argument("--epochs", type=int, default=6, help="at most")
    parser.add_argument("--arms", default=",".join(ARMS), help="which of " + ", ".join(ARMS))
    parser.add_argument(
        "--tasks", default="movielens,criteo", help="of these; results of others, and of other arms, stay"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see whether it runs; the numbers are void")
    parser.add_argument("--out", type=Path, help="folder of the results; with --quick not those of the repository")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    arms = given.arms.split(",")
    if unknown := [arm for arm in arms if arm not in ARMS]:
        raise SystemExit(f"--arms must be of {', '.join(ARMS)}, got {unknown}")
    seeds = min(given.seeds, 2) if given.quick else given.seeds
    out = given.out or (Path(tempfile.gettempdir()) / "quality-quick" if given.quick else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    sizes = (8192, 8192, 20_000) if given.quick else (given.rows, TEST_ROWS, 1_000_000)
    tasks: dict[str, Callable[[], Task]] = {
        "movielens": lambda: movielens(1 if given.quick else given.epochs),
        "criteo": lambda: criteo_like(*sizes, 1 if given.quick else given.epochs),
    }
    results: dict[str, Any] = {
        "machine": machine(given.threads),
        "torch": torch.__version__.partition("+")[0],
        "seeds": seeds,
        "quick": given.quick,
        "arms": arms,
        "tasks": {},
    }
    before = out / "quality.json"
    if (set(given.tasks.split(",")) < set(tasks) or set(arms) < set(ARMS)) and before.exists() and not given.quick:
        results["tasks"] = json.loads(before.read_text())["tasks"]
    for name in given.tasks.split(","):
        task = tasks[name]()
        before_arms = results["tasks"].get(task.name, {}).get("runs", {})
        for found in measure(task, arms, seeds, before_arms):
            results["tasks"][task.name] = found
            (out / "quality.json").write_text(json.dumps(results, indent=1) + "\n")
            (out / "quality.md").write_text(report(results), encoding="utf-8")
    print(report(results))
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
