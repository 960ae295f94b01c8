"""Resident memory that `fit(metrics=["auc"])` adds to a warmed-up process that holds the data.

    python benchmarks/memory.py [--rows 2000000] [--peer-python PYTHON]

DeepFM on 26 ids (int32) and 13 numbers (float32), 312 MB for 2,000,000 rows. The process holds the data and has trained
on a few of the rows, so that the model, its optimizer and the libraries are there; then Linux is asked to forget the
peak, and an epoch over all rows is trained. What counts is the new peak over what was held before, as a share of the
size of the data. Linux only. `speed.py` runs this too, and writes what it finds to `benchmarks/results/speed.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from speed_worker import FIELDS, NUMBERS, build

COLUMNS = FIELDS + NUMBERS
JOB = {"model": "DeepFM", "rows": 100_000, "dim": 8}
BATCH, WARM_ROWS = 4096, 40_960


def held(which: str) -> float:
    """Resident memory of this process in MB: VmRSS now, VmHWM at its peak."""
    return int(Path("/proc/self/status").read_text().split(f"{which}:")[1].split()[0]) * 1024 / 1e6


def make_data(rows: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Uniform ids and numbers: only their size counts."""
    rng = np.random.default_rng(0)
    size = JOB["rows"] // FIELDS  # type: ignore[operator]
    x: dict[str, np.ndarray] = {f"C{i}": rng.integers(0, size, rows, dtype=np.int32) for i in range(FIELDS)}
    x.update({f"I{i}": rng.random(rows, dtype=np.float32) for i in range(NUMBERS)})
    return x, (rng.random((rows, 1)) < 0.25).astype(np.float32)


def work(rows: int, threads: int) -> dict[str, float]:
    """In a process of its own, under either package."""
    import torch

    torch.set_num_threads(threads)
    x, y = make_data(rows)
    model = build(JOB)
    model.compile("adam", "binary_crossentropy", metrics=["auc"])
    few = {name: values[:WARM_ROWS].copy() for name, values in x.items()}
    # verbose=2: at 0 deepctr-torch computes no metrics
    model.fit(few, y[:WARM_ROWS], batch_size=BATCH, epochs=1, verbose=2)
    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    begin = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=1, verbose=2)
    return {
        "seconds": time.perf_counter() - begin,
        "before_mb": before,
        "added_mb": held("VmHWM") - before,
        "data_mb": rows * COLUMNS * 4 / 1e6,
    }


def measure(python: str, rows: int, threads: int, environment: dict[str, str]) -> dict[str, Any]:
    """Run `work` under a Python; `times_data` is the result."""
    command = [python, __file__, "--work", "--rows", str(rows), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "times_data": found["added_mb"] / found["data_mb"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-python", help="Python of an environment with deepctr-torch 0.3.0")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        warnings.filterwarnings("ignore")
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # the packages print
        with contextlib.closing(answers):
            json.dump(work(arguments.rows, arguments.threads), answers)
        return
    from speed_processes import environment

    sides = {"this package": sys.executable, "deepctr-torch 0.3.0": arguments.peer_python}
    for name, python in sides.items():
        if python:
            print(name, measure(python, arguments.rows, arguments.threads, environment(python)))


if __name__ == "__main__":
    main()
