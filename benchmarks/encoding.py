"""Raw columns -> ids and numbers: `FeatureEncoder` against LabelEncoder + MinMaxScaler, time and additional memory.

    python benchmarks/encoding.py [--rows 2000000] [--repeat 3] [--out benchmarks/results]

Rows of `make_criteo_like` are made raw: 26 categorical columns, 20 of hexadecimal strings and 6 of integers, and 13
numbers, with gaps. Each side is a process of its own that reads the table, waits, and does its work; its resident
memory is sampled from outside. What counts is the time of the work, and the peak over what the process held before it:
the frame, for the sides that start from one. The baseline is what the examples of the original do: fillna, LabelEncoder
column by column, MinMaxScaler, a dict of columns. The sides that start from files read them twice, once to learn.
Writes `benchmarks/results/encoding.json` and `.md`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS = [f"I{i}" for i in range(1, 14)]
CATEGORIES = [f"C{i}" for i in range(1, 27)]
INTEGERS = CATEGORIES[20:]  # the rest are strings
SIDES = ("scikit-learn, frame", "encoder, frame", "encoder, Parquet", "encoder, CSV")


def make_raw(rows: int, folder: Path) -> None:
    """Write the raw rows as Parquet and CSV."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    from deepctr_torch.datasets import make_criteo_like

    data = make_criteo_like(rows, vocabulary=1_000_000)
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {"label": data.y.astype(np.int64)}
    for i, name in enumerate(NUMBERS):
        heavy = np.floor(
            np.exp(1.5 * data.x[name].astype(np.float64) + 2 + i % 4)
        )  # counts with a long tail, as Criteo's
        columns[name] = pa.array(heavy, mask=random.random(rows) < 0.02 * i)
    for i, name in enumerate(CATEGORIES):
        size = data.vocabulary_sizes[name]
        codes = pa.array(data.x[name], mask=random.random(rows) < 0.01 * (i % 5))
        values = (np.arange(size, dtype=np.uint64) + np.uint64(1)) * np.uint64(2654435761) % np.uint64(2**32)
        if name in INTEGERS:
            columns[name] = pa.array(values.astype(np.int64)).take(codes)
        else:
            columns[name] = pa.array([f"{v:08x}" for v in values.tolist()]).take(codes)
    table = pa.table(columns)
    pa.parquet.write_table(table, folder / "raw.parquet", row_group_size=100_000)
    pa.csv.write_csv(table, folder / "raw.csv")


def baseline(frame: Any) -> dict[str, Any]:
    """As in the examples of the original."""
    from sklearn.preprocessing import LabelEncoder, MinMaxScaler

    strings = [name for name in CATEGORIES if name not in INTEGERS]
    frame[strings] = frame[strings].fillna("-1")
    frame[INTEGERS] = frame[INTEGERS].fillna(-1)
    frame[NUMBERS] = frame[NUMBERS].fillna(0)
    for name in CATEGORIES:
        frame[name] = LabelEncoder().fit_transform(frame[name])
    frame[NUMBERS] = MinMaxScaler(feature_range=(0, 1)).fit_transform(frame[NUMBERS])
    return {name: frame[name] for name in NUMBERS + CATEGORIES}


def encoder(data: Any) -> dict[str, Any]:
    from deepctr_torch.encoding import Categorical, FeatureEncoder, Numeric

    kinds: dict[str, Any] = {name: Numeric("minmax", indicator=False) for name in NUMBERS}
    kinds.update({name: Categorical() for name in CATEGORIES})
    return FeatureEncoder(kinds).fit_transform(data)


def work(side: str, folder: Path) -> None:
    """One side, in a process of its own: prints when the work began and ended, and a few numbers about its result."""
    import pandas as pd

    for module in ("pyarrow.csv", "pyarrow.parquet", "polars", "sklearn.preprocessing", "deepctr_torch.encoding"):
        importlib.import_module(module)  # before the clock starts
    library, source = side.split(", ")
    data: Any = folder / {"frame": "raw.parquet", "Parquet": "raw.parquet", "CSV": "raw.csv"}[source]
    if source == "frame":
        data = pd.read_parquet(data)
    release()
    time.sleep(0.5)
    begin, busy = time.time(), time.process_time()
    result = baseline(data) if library == "scikit-learn" else encoder(data)
    end, busy = time.time(), time.process_time() - busy
    shape = [len(next(iter(result.values()))), len(result)]
    print(json.dumps({"begin": begin, "end": end, "cpu": busy, "shape": shape}), flush=True)
    time.sleep(0.1)


def release() -> None:
    """Give back what reading the frame left free, or the work would find it there and seem to need nothing."""
    import pyarrow as pa

    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(side: str, folder: Path) -> dict[str, float]:
    """Run a side once: seconds, and MB over what it held before."""
    command = [sys.executable, __file__, "--work", side, "--folder", str(folder)]
    samples: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def watch() -> None:
            while process.poll() is None:
                try:
                    samples.append((time.time(), resident(process.pid)))
                except (OSError, IndexError):
                    return
                time.sleep(0.005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        out, _ = process.communicate()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{side} failed")
    found = json.loads(out.splitlines()[-1])
    before = [held for at, held in samples if at <= found["begin"]][-1]
    during = [held for at, held in samples if found["begin"] <= at <= found["end"]]
    return {
        "seconds": found["end"] - found["begin"],
        "cpu": found["cpu"],
        "mb": (max(during) - before) / 1e6,
        "held_mb": before / 1e6,
    }


def report(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    base = next(iter(results["sides"].values()))
    lines = [
        f"{results['rows']:,} rows of 26 raw categories and 13 numbers; {results['machine']}. Median of "
        f"{results['repeat']} run(s), each a process of its own; memory is the peak over what the process held before.",
        "",
        "| | seconds | (all runs) | times faster | seconds of all cores | additional MB | share of the baseline's |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for side, found in results["sides"].items():
        runs = ", ".join(f"{s:.1f}" for s in found["all_seconds"])
        faster, share = base["seconds"] / found["seconds"], found["mb"] / base["mb"]
        took = f"{found['seconds']:.1f} | {runs} | {faster:.1f} | {found['cpu']:.1f}"
        lines.append(f"| {side} | {took} | {found['mb']:,.0f} | {share:.2f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--folder", type=Path, help="where the raw files are, or are made")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "raw.csv").exists():
            make_raw(arguments.rows, folder)
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in arguments.sides}
        for _ in range(arguments.repeat):  # one after the other, so that what disturbs the machine disturbs all sides
            for side in arguments.sides:
                runs[side].append(measure(side, folder))
                print(side, runs[side][-1], flush=True)
    sides = {
        side: {
            **{key: statistics.median(r[key] for r in found) for key in ("seconds", "cpu", "mb", "held_mb")},
            "all_seconds": [r["seconds"] for r in found],
            "all_mb": [r["mb"] for r in found],
        }
        for side, found in runs.items()
    }
    load = f"load {os.getloadavg()[0]:.1f} at the end"  # of what else was running
    machine = f"{os.cpu_count()} cores, {load}, Python {platform.python_version()}"
    results = {"rows": arguments.rows, "columns": 39, "repeat": arguments.repeat, "machine": machine, "sides": sides}
    (arguments.out / "encoding.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.out / "encoding.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
