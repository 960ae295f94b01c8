"""What `fit(metrics=["auc"])` adds to the peak memory of a warmed-up process that holds the data.

2,000,000 rows of 26 ids and 13 numbers, 312 MB as int32 and float32; the bar is 1.4 times that.

    python benchmarks/memory.py [--ids int32] [--rows 2000000] [--results benchmarks/results]

Linux only: the peak is `VmHWM`, which `/proc/self/clear_refs` sets back. `--trace` shows where it was reached.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

IDS, NUMBERS = 26, 13
BAR = 1.4


def status(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) * 1024 / 1e6


def make_data(rows: int, ids: str) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    x: dict[str, Any] = {f"C{i}": rng.integers(0, 1000, rows, dtype=ids) for i in range(IDS)}
    x |= {f"I{i}": rng.random(rows, dtype=np.float32) for i in range(NUMBERS)}
    return x, (rng.random(rows, dtype=np.float32) < 0.25).astype(np.float32)


class Trace(threading.Thread):
    """Where the main thread is whenever the memory reaches a new high."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.top, self.over = 0.0, False
        self.main = threading.main_thread().ident

    def run(self) -> None:
        while not self.over:
            now = status("VmRSS")
            if now > self.top + 5:
                self.top = now
                frame, where = sys._current_frames()[self.main], []  # type: ignore[index]
                while frame is not None and len(where) < 6:
                    where.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                    frame = frame.f_back  # type: ignore[assignment]
                print(f"{now:8.0f} MB  {'  '.join(where)}", file=sys.stderr)
            time.sleep(0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--ids", choices=["int32", "int64"], default="int64")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    columns = [SparseFeat(f"C{i}", 1000, 4) for i in range(IDS)] + [DenseFeat(f"I{i}", 1) for i in range(NUMBERS)]
    model = DeepFM(columns, columns, dnn_hidden_units=(16,))
    model.compile("adagrad", "binary_crossentropy", metrics=["auc"])
    x, y = make_data(args.rows, args.ids)
    model.fit({k: v[:20_000] for k, v in x.items()}, y[:20_000], batch_size=4096, verbose=0)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    trace = Trace()
    if args.trace:
        trace.start()
    history = model.fit(x, y, batch_size=4096, epochs=1, verbose=0)
    trace.over = True
    added, data = status("VmHWM") - before, args.rows * (IDS + NUMBERS) * 4 / 1e6
    result = {
        "rows": args.rows,
        "ids": args.ids,
        "data_mb": round(data, 1),
        "before_mb": round(before, 1),
        "added_mb": round(added, 1),
        "ratio": round(added / data, 3),
        "bar": BAR,
        "auc": history.history["auc"][0],
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    print(json.dumps(result))
    if args.results:
        args.results.mkdir(parents=True, exist_ok=True)
        (args.results / "memory.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
