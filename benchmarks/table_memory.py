"""Peak memory of one large table: built, compiled, trained for one step, copied, and read as a state dict.

    python benchmarks/table_memory.py [--rows 10000000] [--dim 16]

Prints a line of JSON: for each stage, resident memory after it and the largest during it, in MB, each less what the
process held with the imports alone. The table has `rows * dim * 4` bytes. Linux only. Another checkout:
`PYTHONPATH=CHECKOUT`.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import held

from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import WDL


def stages(rows: int, dim: int) -> dict[str, dict[str, float]]:
    """Run each stage after the one before, in this process."""
    x, y = {"id": np.arange(1024) * (rows // 1024)}, np.arange(1024) % 2
    kept: dict[str, Any] = {}

    def build() -> None:
        kept["model"] = WDL([], [SparseFeat("id", rows, dim)], dnn_hidden_units=(8,))

    todo: dict[str, Callable[[], Any]] = {
        "build": build,
        "compile": lambda: kept["model"].compile("adam", "binary_crossentropy", embedding_update="sparse"),
        "fit, one step": lambda: kept["model"].fit(x, y, batch_size=1024, epochs=1, verbose=0),
        "state_dict": lambda: kept["model"].state_dict(),
        "deepcopy": lambda: kept.update(copy=copy.deepcopy(kept["model"])),
        "lookup in the copy": lambda: kept["copy"].predict(x),
    }
    found, start = {}, held("VmRSS")
    for name, work in todo.items():
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        work()
        found[name] = {"after_mb": round(held("VmRSS") - start), "peak_mb": round(held("VmHWM") - start)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=16)
    arguments = parser.parse_args()
    result = stages(arguments.rows, arguments.dim)
    table = arguments.rows * arguments.dim * 4 / 1e6
    print(json.dumps({"torch": torch.__version__.partition("+")[0], "table_mb": table, "stages": result}))


if __name__ == "__main__":
    main()
