"""Time of one `CTRClassifier.predict_proba` of raw rows, the encoder's work included, one thread.

    python benchmarks/latency.py [--before CHECKOUT] [--rounds 5]

A DeepFM is fitted once on rows of `encoding.py` (13 numbers, 26 columns of strings, with gaps) and saved. In each round
a fresh process of each checkout, which must know what this one saves, loads it, and calls it for 1 and 500 rows of a
pandas frame, a polars frame and a list of dicts, one kind after the other. A round gives the median of the calls'
processor and wall times; what counts is the median of the rounds. Writes `benchmarks/results/latency.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from encoding import INTEGERS, make_raw
from speed_processes import HERE, busy, machine

RESULTS = HERE / "results"
CALLS = {1: 200, 500: 30}  # rows -> calls of a round
TRAINED = 50_000


def fit(folder: Path) -> None:
    """Write raw rows, and an estimator that was fitted on the first of them."""
    from deepctr_torch import CTRClassifier

    make_raw(TRAINED + max(CALLS), folder)
    rows = pl.read_parquet(folder / "raw.parquet").with_columns(pl.col(INTEGERS).cast(pl.String))
    CTRClassifier("DeepFM", epochs=1).fit(rows[:TRAINED], "label").save(folder / "artefact")
    rows[TRAINED:].drop("label").write_parquet(folder / "rows.parquet")


def timed(call: Callable[[], Any], calls: int) -> dict[str, float]:
    """The median times of a call, in ms."""
    for _ in range(5):
        call()
    cpu, wall = [], []
    for _ in range(calls):
        began, before = time.perf_counter(), time.process_time()
        call()
        cpu.append(time.process_time() - before)
        wall.append(time.perf_counter() - began)
    return {"cpu": float(np.median(cpu)) * 1e3, "wall": float(np.median(wall)) * 1e3}


def work(folder: Path) -> None:
    """One round of one side; prints its times."""
    from deepctr_torch import CTRClassifier

    torch.set_num_threads(1)
    model = CTRClassifier.load(folder / "artefact")
    rows = pl.read_parquet(folder / "rows.parquet")
    found = {}
    for size, calls in CALLS.items():
        part = rows[:size]
        for name, table in {"pandas": part.to_pandas(), "polars": part, "list of dicts": part.to_dicts()}.items():
            found[f"{size}, {name}"] = timed(lambda table=table: model.predict_proba(table), calls)
    print(json.dumps(found))


def measure(folder: Path, checkouts: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Medians of the rounds, and their spread, by case and side."""
    times: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, path in checkouts.items():
            env = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
            command = [sys.executable, __file__, "--work", str(folder)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
            times[name].append(json.loads(done.stdout))
    cases: dict[str, Any] = {}
    for case in times["now"][0]:
        for name, found in times.items():
            for clock in ("cpu", "wall"):
                each = [f[case][clock] for f in found]
                spread = {"median": statistics.median(each), "low": min(each), "high": max(each)}
                cases.setdefault(case, {}).setdefault(name, {})[clock] = spread
    return cases


def report(results: dict[str, Any]) -> str:
    sides = list(next(iter(results["cases"].values())))
    columns = [(side, clock) for clock in ("cpu", "wall") for side in sides]
    titles = [f"{'processor' if clock == 'cpu' else 'wall'}, {side}" for side, clock in columns]
    lines = [
        f"Milliseconds of one `predict_proba` of raw rows: median of {results['rounds']} rounds (smallest to largest). "
        "DeepFM, 13 numbers and 26 columns of strings, one thread.",
        "",
        f"| rows, table | {' | '.join(titles)} |",
        f"| --- |{' ---: |' * len(titles)}",
    ]
    for case, found in results["cases"].items():
        cells = [found[side][clock] for side, clock in columns]
        lines.append(f"| {case} | {' | '.join('{median:.2f} ({low:.2f} to {high:.2f})'.format(**c) for c in cells)} |")
    return "\n".join([*lines, "", f"{results['machine']}, {results['date']}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of an older version to measure beside this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(given.work)
        return
    checkouts = {"now": HERE.parent, **({"before": given.before.resolve()} if given.before else {})}
    with tempfile.TemporaryDirectory() as folder:
        fit(Path(folder))
        about = {
            "rounds": given.rounds,
            "machine": machine(1),
            "busy_before": busy(),
            "date": time.strftime("%Y-%m-%d"),
        }
        results = {**about, "cases": measure(Path(folder), checkouts, given.rounds)}
    (RESULTS / "latency.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "latency.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
