"""Test AUC on MovieLens against deepctr-torch 0.3.0: equal settings, initial weights and order, paired over seeds.

    python benchmarks/parity_movielens.py [--peer-python PYTHON] [--seeds 5] [--epochs 1]

The original is a black box: this script runs once more under PYTHON, an environment that holds it (without the option
one is made with `pip install deepctr-torch==0.3.0 requests`), loads the initial weights that this package drew, and
trains on the same rows in the same order with the same named optimizer. Both sides have each model's default settings;
this package runs with `embedding_update="auto"`, its default, and once more with "dense", the original's way. A model
passes if its mean AUC is no more than 0.002, or one standard error of the paired difference, below the original's.
Writes `benchmarks/results/parity_movielens.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
MODELS = ("DeepFM", "WDL", "DCN", "DIN", "MMOE")
BATCH, OPTIMIZER, DIMENSION, TOLERANCE = 256, "adam", 8, 0.002


def build(name: str, columns: list[list[Any]], seed: int) -> Any:
    """The model of whichever `deepctr_torch` is installed, from plain descriptions of the columns."""
    import deepctr_torch.models as models
    from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat

    def column(kind: str, *values: Any) -> Any:
        if kind == "dense":
            return DenseFeat(*values)
        column_name, rows, table, maxlen, length = values
        sparse = SparseFeat(column_name, rows, DIMENSION, embedding_name=table)
        return sparse if kind == "sparse" else VarLenSparseFeat(sparse, maxlen, "mean", length)

    linear, dnn = ([column(*c) for c in group] for group in columns)
    cls = getattr(models, name)
    if name == "DIN":
        return cls(dnn, ["movie"], seed=seed)
    return cls(dnn, task_names=["liked", "loved"], seed=seed) if name == "MMOE" else cls(linear, dnn, seed=seed)


def train(name: str, columns: list[list[Any]], folder: Path, seed: int, epochs: int, options: dict[str, Any]) -> float:
    """Train from the weights in `folder` on its rows, write the test predictions; returns seconds of `fit`."""
    import torch

    torch.set_num_threads(1)  # batches are small; more threads only add noise to the seconds
    data = np.load(folder / "data.npz")
    inputs = {part: {k[len(part) :]: data[k] for k in data if k.startswith(part)} for part in ("train:", "test:")}
    model = build(name, columns, seed)
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    y = data["y2" if name == "MMOE" else "y1"]
    loss = ["binary_crossentropy"] * 2 if name == "MMOE" else "binary_crossentropy"
    model.compile(OPTIMIZER, loss, **options)
    torch.manual_seed(seed)
    begin = time.perf_counter()
    model.fit(inputs["train:"], y, batch_size=BATCH, epochs=epochs, verbose=0, shuffle=False)
    seconds = time.perf_counter() - begin
    np.save(folder / "prediction.npy", model.predict(inputs["test:"], 4096))
    return seconds


def describe(columns: Any) -> list[list[Any]]:
    """Columns as plain lists, which the other process can read."""
    from deepctr_torch.features import DenseFeat, SparseFeat

    out = []
    for c in columns:
        if isinstance(c, DenseFeat):
            out.append(["dense", c.name, c.dimension])
        elif isinstance(c, SparseFeat):
            out.append(["sparse", c.name, c.vocabulary_size, c.embedding_name, 0, None])
        else:
            out.append(["varlen", c.name, c.vocabulary_size, c.embedding_name, c.maxlen, c.length_name])
    return out


def compare(name: str, data: Any, peer: str, given: argparse.Namespace) -> dict[str, Any]:
    """AUC and seconds of both sides for every seed."""
    import torch

    from deepctr_torch.metrics.registry import get_metric

    columns = [describe(group) for group in data.columns(DIMENSION)]
    truth = data.multitask_labels((4, 5))[1] if name == "MMOE" else data.y_test
    runs: dict[str, Any] = {"original": [], "auto": [], "dense": [], "seconds_original": [], "seconds_auto": []}

    def auc(folder: Path) -> float:
        prediction = np.load(folder / "prediction.npy")
        labels = np.asarray(truth).reshape(len(prediction), -1)
        return statistics.mean(get_metric("auc")(labels[:, t], prediction[:, t]) for t in range(labels.shape[1]))

    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            order = np.random.default_rng(seed).permutation(len(data.y_train))
            arrays = {f"train:{k}": v[order] for k, v in data.train.items()} | {
                f"test:{k}": v for k, v in data.test.items()
            }
            two = data.multitask_labels((4, 5))[0]
            np.savez(folder / "data.npz", y1=data.y_train[order].reshape(-1, 1), y2=two[order], **arrays)
            torch.save(dict(build(name, columns, seed).state_dict()), folder / "weights.pt")
            job = {"name": name, "columns": columns, "folder": temporary, "seed": seed, "epochs": given.epochs}
            command = [peer, __file__, "--as-peer", json.dumps(job)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs["seconds_original"].append(float(done.stdout.splitlines()[-1]))
            runs["original"].append(auc(folder))
            runs["seconds_auto"].append(train(name, columns, folder, seed, given.epochs, {}))
            runs["auto"].append(auc(folder))
            train(name, columns, folder, seed, given.epochs, {"embedding_update": "dense"})
            runs["dense"].append(auc(folder))
    return runs | {mode: judge(runs[mode], runs["original"]) | {"auc": runs[mode]} for mode in ("auto", "dense")}


def judge(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """Mean and standard error of the paired difference, and the verdict."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return {"difference": mean, "standard_error": error, "passes": mean >= -max(TOLERANCE, error)}


def report(results: dict[str, Any], about: dict[str, Any]) -> str:
    lines = [
        "# MovieLens against deepctr-torch 0.3.0",
        "",
        "Equal settings (defaults of each model), initial weights and order of rows; optimizer adam, batches of 256.",
        f"{about['seeds']} seeds, {about['epochs']} epoch(s). Test AUC (MMOE: mean over its two tasks); the difference",
        "is ours minus theirs, paired by seed, with its standard error. A model passes if it is no worse than 0.002 or",
        "one standard error.",
        "",
        f"`{about['command']}`, {about['machine']}, torch {about['torch']} on both sides.",
        "",
        "| model | original | ours (auto) | difference | ours (dense) | difference | time ratio | passes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, r in results.items():
        cells = [name, f"{statistics.mean(r['original']):.4f}"]
        for mode in ("auto", "dense"):
            one = r[mode]
            cells += [f"{statistics.mean(one['auc']):.4f}", f"{one['difference']:+.5f} ± {one['standard_error']:.5f}"]
        cells.append(f"{statistics.median(r['seconds_original']) / statistics.median(r['seconds_auto']):.1f}")
        cells.append("yes" if r["auto"]["passes"] and r["dense"]["passes"] else "no")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def peer_environment(folder: Path) -> str:
    """The Python of a fresh virtual environment with the original in it."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = ["torch==2.13.0", "deepctr-torch==0.3.0", "requests", "pandas"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default="")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--as-peer", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_peer:
        job = json.loads(given.as_peer)
        print(train(job["name"], job["columns"], Path(job["folder"]), job["seed"], job["epochs"], {}))
        return 0
    import torch

    from deepctr_torch.datasets import load_movielens, movielens_features

    data = movielens_features(load_movielens())
    with tempfile.TemporaryDirectory() as temporary:
        peer = given.peer_python or peer_environment(Path(temporary))
        results = {}
        for name in MODELS:
            results[name] = compare(name, data, peer, given)
            print(name, {mode: results[name][mode] for mode in ("auto", "dense")}, flush=True)
    about = {
        "command": f"python benchmarks/parity_movielens.py --seeds {given.seeds} --epochs {given.epochs}",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, 1 thread",
        "torch": torch.__version__.split("+")[0],
        "seeds": given.seeds,
        "epochs": given.epochs,
    }
    (RESULTS / "parity_movielens.json").write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    (RESULTS / "parity_movielens.md").write_text(report(results, about))
    return 0 if all(r[mode]["passes"] for r in results.values() for mode in ("auto", "dense")) else 1


if __name__ == "__main__":
    sys.exit(main())
