"""Training DeepFM from memory and from Parquet files: rows a second and resident memory, side by side.

    python benchmarks/streaming.py [--rows 10000000] [--batch 4096] [--vocabulary 1000000] [--data DIR] [--repeats 3]

The rows are those of `make_criteo_like` (26 ids, 13 numbers), encoded, in row groups of 65,536. Each training runs in a
process of its own; the two kinds alternate. Only the epoch is timed, not loading into memory. Memory is the largest
resident set of the process while it trains, less that of the model after one batch: optimizer state and libraries are
not counted, data, predictions kept for the metrics, and whatever else is held are. Writes
`benchmarks/results/streaming.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from deepctr_torch.data.loader import make_source
from deepctr_torch.data.parquet_cache import write_encoded
from deepctr_torch.datasets import make_criteo_like
from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models.deepfm import DeepFM
from deepctr_torch.training.loop import FitPlan, Trainer

RESULTS = Path(__file__).resolve().parent / "results"
PART = 1_000_000


def write(rows: int, vocabulary: int, target: Path) -> dict[str, int]:
    """The rows as Parquet files; returns the size of each vocabulary."""
    import pyarrow as pa

    sizes: dict[str, int] = {}

    def tables() -> Any:
        for number, start in enumerate(range(0, rows, PART)):
            part = make_criteo_like(min(PART, rows - start), vocabulary, seed=number)
            sizes.update(part.vocabulary_sizes)
            yield pa.table({**part.x, "click": part.y})

    write_encoded(tables(), target, 65_536)
    return sizes


def resident(which: str) -> float:
    """Resident memory of this process in MB: VmRSS now, VmHWM at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) * 1024 / 1e6


def build(sizes: dict[str, int], seed: int) -> DeepFM:
    columns = [SparseFeat(n, s, 8) for n, s in sizes.items()] + [DenseFeat(f"I{i + 1}") for i in range(13)]
    model = DeepFM(columns, columns, dnn_hidden_units=(256, 128), seed=seed)
    model.compile("adagrad", "binary_crossentropy", ["auc"], embedding_update="sparse")
    return model


def train(kind: str, data: Path, sizes: dict[str, int], batch: int, threads: int) -> dict[str, float]:
    """One epoch in this process."""
    torch.set_num_threads(threads)
    model = build(sizes, 0)
    warm = make_criteo_like(batch, sum(sizes.values()))
    model.fit(warm.x, warm.y, batch, verbose=0)
    before = resident("VmRSS")
    begin = time.perf_counter()
    source = make_source(
        model.schema, load(data) if kind == "memory" else data, "click", model._labels(), training=True
    )
    loaded = time.perf_counter() - begin
    compiled, update = model._needed("fit")
    begin, processor = time.perf_counter(), time.process_time()
    Trainer(model, compiled, update, source, None, FitPlan(batch, verbose=0)).run()
    seconds, processor = time.perf_counter() - begin, time.process_time() - processor
    rows = source.rows or 0
    return {
        "load_seconds": loaded,
        "seconds": seconds,
        "processor_seconds": processor,
        "rows_per_second": rows / seconds,
        "memory_mb": resident("VmHWM") - before,
        "model_mb": before,
        "loss": model.history.history["loss"][-1],
    }


def load(data: Path) -> dict[str, Any]:
    """All columns as arrays."""
    import pyarrow.parquet as pq

    table = pq.read_table(data)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def measure(args: argparse.Namespace, data: Path, sizes: dict[str, int]) -> dict[str, list[dict[str, float]]]:
    """Runs of both kinds, each in a process of its own, in turn."""
    runs: dict[str, list[dict[str, float]]] = {"memory": [], "stream": []}
    for repeat in range(args.repeats):
        for kind in list(runs) if repeat % 2 == 0 else list(reversed(runs)):
            command = [sys.executable, __file__, "--kind", kind, "--data", str(data), "--batch", str(args.batch)]
            command += ["--threads", str(args.threads), "--sizes", json.dumps(sizes)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs[kind].append(json.loads(out.splitlines()[-1]))
            print(kind, {k: round(v, 4) for k, v in runs[kind][-1].items()}, flush=True)
    return runs


def report(args: argparse.Namespace, runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    rate = {kind: statistics.median(r["rows_per_second"] for r in each) for kind, each in runs.items()}
    peak = {kind: max(r["memory_mb"] for r in each) for kind, each in runs.items()}
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__.partition("+")[0],
    }
    result = {"rows": args.rows, "batch": args.batch, "vocabulary": args.vocabulary, "threads": args.threads}
    share = rate["stream"] / rate["memory"]
    return {**result, **machine, "rate": rate, "memory_mb": peak, "share_of_memory_rate": share, "runs": runs}


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "# Training from files against training from memory",
        "",
        f"DeepFM, {result['rows']:,} rows of 39 encoded columns, batches of {result['batch']:,}, one epoch, "
        f"{result['threads']} thread(s) on {result['cores']} cores, torch {result['torch']}. "
        "Median of the rates, largest of the peaks; made by `benchmarks/streaming.py`.",
        "",
        "| | rows a second | peak memory beyond the model |",
        "| --- | ---: | ---: |",
    ]
    for kind, name in (("memory", "arrays in memory"), ("stream", "Parquet files")):
        lines.append(f"| {name} | {result['rate'][kind]:,.0f} | {result['memory_mb'][kind]:,.0f} MB |")
    lines += ["", f"From files at {result['share_of_memory_rate']:.0%} of the rate from memory.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=None, help="folder to write the files to, and to keep")
    parser.add_argument("--kind", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.kind:
        print(json.dumps(train(args.kind, args.data, json.loads(args.sizes), args.batch, args.threads)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        data = args.data or Path(temporary) / "rows"
        data.mkdir(parents=True, exist_ok=True)
        sizes = write(args.rows, args.vocabulary, data)
        result = report(args, measure(args, data, sizes))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "streaming.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "streaming.md").write_text(markdown(result))


if __name__ == "__main__":
    main()
