"""What checkpoints cost: ten million rows of 16 numbers, Adam, on the disk of this machine.

    python benchmarks/checkpoint.py [--rows 10000000] [--dim 16] [--folder DIR]

Protocol, written before the first measurement:

- A WDL with one table of `rows` rows and `dim` numbers, its linear weights, and Adam by rows: a state of
  `rows * (dim + 1) * 3 * 4` bytes, 2.04 GB. Batches of 4,096 rows with ids that follow a Zipf law.
- One training of 60 steps with a checkpoint after every tenth, flushed to the disk; `keep=1`, so that each also takes
  an older one away. A checkpoint is timed from the end of its step to the beginning of the next one: seconds on the
  clock and of the processor, and how far the resident memory rises above that of the training. The first one is left
  out as warm-up; the result is the median of the others, with the smallest and largest.
- Its share of the time at the default interval is seconds / (600 + seconds). The promise is less than 3%.
- The disk by itself: the same number of bytes from memory into one file, flushed; the median of three.
- Going on: from the call of `fit(resume=True)` to the first step, in a new model, once.

Writes `results/checkpoint.json` and prints it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from memory import held

from deepctr_torch.callbacks import Callback
from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import WDL
from deepctr_torch.training.checkpoint import Checkpoints

BATCH, STEPS, EVERY, INTERVAL = 4096, 60, 10, 600
RESULT = Path(__file__).parent / "results" / "checkpoint.json"


class FirstStep(Callback):
    """Keeps the moment before the first step."""

    moment = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.moment = self.moment or time.perf_counter()


def build(rows: int, dim: int) -> WDL:
    columns = [SparseFeat("id", rows, dim)]
    model = WDL(columns, columns, dnn_hidden_units=(64,))
    model.compile("adam", "binary_crossentropy", ["auc"], embedding_update="sparse")
    return model


def timed_writes(times: list[dict[str, float]]) -> Any:
    """`Checkpoints.write` that adds what it took to `times`."""
    write = Checkpoints.write

    def measured(self: Checkpoints, *how: Any) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before = held("VmRSS")
        clock, processor = time.perf_counter(), time.process_time()
        write(self, *how)
        times.append(
            {
                "seconds": time.perf_counter() - clock,
                "processor_seconds": time.process_time() - processor,
                "memory_mb": held("VmHWM") - before,
            }
        )

    return measured


def raw_write(folder: Path, size: int) -> float:
    """Seconds to write `size` bytes and flush them."""
    block = np.random.default_rng(0).bytes(1 << 24)
    begin = time.perf_counter()
    with (folder / "raw").open("wb") as file:
        for _ in range(size >> 24):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begin
    (folder / "raw").unlink()
    return seconds


def measure(rows: int, dim: int, folder: Path) -> dict[str, Any]:
    ids = np.random.default_rng(0).zipf(1.2, (STEPS + 5) * BATCH) % rows
    y = ids % 2
    times: list[dict[str, float]] = []
    write, Checkpoints.write = Checkpoints.write, timed_writes(times)  # type: ignore[method-assign]
    how = {"batch_size": BATCH, "verbose": 0, "shuffle": False, "checkpoint_dir": folder / "c", "keep": 1}
    build(rows, dim).fit({"id": ids}, y, max_steps=STEPS, checkpoint_every=EVERY, **how)
    Checkpoints.write = write  # type: ignore[method-assign]
    size = sum(path.stat().st_size for path in (folder / "c").glob("step-*/*"))
    first, model = FirstStep(), build(rows, dim)
    begin = time.perf_counter()
    model.fit({"id": ids}, y, epochs=2, max_steps=STEPS + 1, callbacks=[first], resume=True, **how)
    own = {name: [each[name] for each in times[1:]] for name in times[0]}
    seconds = statistics.median(own["seconds"])
    return {
        "rows": rows,
        "dim": dim,
        "checkpoint_bytes": size,
        **{name: {"median": statistics.median(v), "min": min(v), "max": max(v)} for name, v in own.items()},
        "share_at_10min": seconds / (INTERVAL + seconds),
        "raw_write_seconds": statistics.median(raw_write(folder, size) for _ in range(3)),
        "resume_seconds": first.moment - begin,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        found = measure(options.rows, options.dim, folder)
    finally:
        shutil.rmtree(folder)
    text = json.dumps(found, indent=1)
    print(text)
    if options.rows == 10_000_000 and options.dim == 16:
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
