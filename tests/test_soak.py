"""Hours of work in one process: memory does not grow, and nothing stays open.

Runs for a minute; `DEEPCTR_SOAK_MINUTES=30` for longer.
"""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch import CTRClassifier, load_model
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIN, DeepFM
from tests.support.estimators import frame, inputs

MINUTES = float(os.environ.get("DEEPCTR_SOAK_MINUTES", "1"))


def resident() -> int:
    """Bytes that this process holds after what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def model_work(folder: Path) -> Callable[[], object]:
    """Fit, evaluate, predict, save and load models over arrays."""
    rng = np.random.default_rng(0)
    item = VarLenSparseFeat(SparseFeat("hist_item", 500, 8, embedding_name="item"), 5, length_name="length")
    columns: list[Any] = [SparseFeat("user", 2000, 8), SparseFeat("item", 500, 8), item, DenseFeat("price", 2)]
    x = {
        "user": rng.integers(0, 2000, 2000),
        "item": rng.integers(0, 500, 2000),
        "hist_item": rng.integers(1, 500, (2000, 5)),
        "length": rng.integers(0, 6, 2000),
        "price": rng.random((2000, 2)),
    }
    y = rng.integers(0, 2, 2000)

    def work() -> None:
        for made in (DeepFM(columns, columns), DIN(columns, ["item"])):
            made.compile("adam", "binary_crossentropy", metrics=["auc"])
            made.fit(x, y, batch_size=256, epochs=1, verbose=0, validation_split=0.2)
            made.evaluate(x, y)
            made.save(folder / "model")
            np.testing.assert_array_equal(load_model(folder / "model").predict(x), made.predict(x))

    return work


def estimator_work(folder: Path) -> Callable[[], object]:
    """The same from raw tables in memory and in files, with checkpoints."""
    table = frame(2000)
    inputs(table).with_columns(table["click"]).select(pl.exclude("hist_movie")).write_csv(folder / "rows.csv")
    number = [0]

    def work() -> None:
        number[0] += 1
        for X, y in ((inputs(table), table["click"]), (folder / "rows.csv", "click")):
            fitted = CTRClassifier(epochs=1).fit(X, y)
            fitted.evaluate(X, y)
            fitted.save(folder / "estimator")
            CTRClassifier.load(folder / "estimator").predict_proba(X)

    return work


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("make", [model_work, estimator_work])
def test_memory_and_handles_stay(make: Callable[[Path], Callable[[], object]], tmp_path: Path) -> None:
    work = make(tmp_path)
    begin, sizes = time.monotonic(), []
    while time.monotonic() - begin < MINUTES * 30 or len(sizes) < 12:  # half of the minutes for each
        work()
        sizes.append(resident())
        if len(sizes) == 6:
            open_files, threads = handles(), threading.active_count()
    third = len(sizes) // 3
    warm, last = statistics.median(sizes[third : 2 * third]), statistics.median(sizes[-third:])
    print(f"{len(sizes)} rounds, {warm / 1e6:.1f} MB after warm-up, {last / 1e6:.1f} MB at the end")
    assert last < 1.01 * warm, [round(size / 1e6, 1) for size in sizes]
    assert handles() == open_files
    assert threading.active_count() == threads
