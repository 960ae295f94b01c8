"""Clicks in Parquet files, the same rows in a frame, and a small model that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from deepctr_torch.data import Files, FileSource
from deepctr_torch.data.batch import DataSource, LabelSpec
from deepctr_torch.data.loader import make_source
from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat, VarLenSparseFeat
from deepctr_torch.models.deepfm import DeepFM

COLUMNS = [
    SparseFeat("a", 50, 4),
    VarLenSparseFeat(SparseFeat("s", 20, 4), 3, "mean"),
    DenseFeat("d"),
    DenseFeat("v", 2),
]
SCHEMA = FeatureSchema(COLUMNS)
LABELS = LabelSpec([("", "binary")])
ROWS = 103
NUMBERED = FeatureSchema([SparseFeat("row", 10_000)])


def frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    lists = [rng.integers(1, 20, rng.integers(0, 4)).tolist() for _ in range(rows)]
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "a": rng.integers(0, 50, rows),
            "s": lists,
            "d": rng.normal(size=rows),
            "v": list(rng.normal(size=(rows, 2)).astype(np.float32)),
            "click": rng.integers(0, 2, rows),
            "buy": 0,
            "weight": rng.random(rows),
            "user": rng.integers(0, 5, rows),
        }
    )


def write(folder: Path, data: pd.DataFrame, files: int = 3, group: int = 10) -> Path:
    """The rows in several Parquet files of row groups of 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(data)), files)):
        table = pa.Table.from_pandas(data.iloc[part], preserve_index=False)
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=group)
    return folder


def rows_of(source: DataSource, size: int, seed: Any = None) -> list[list[int]]:
    """The numbers of the rows in each batch."""
    return [e.batch.ids[:, 0].tolist() for e in source.batches(size, seed)]


def numbered(files: Any, **options: Any) -> FileSource:
    source = make_source(NUMBERED, Files(files, **options), "click", LABELS, training=True)
    assert isinstance(source, FileSource)
    return source


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def model(cls: Any = DeepFM, **options: Any) -> Any:
    out = cls(COLUMNS, COLUMNS, dnn_hidden_units=(8,), **options)
    out.compile("adam", "binary_crossentropy", ["auc", "gauc:user"])
    return out


def weights(trained: Any) -> list[torch.Tensor]:
    return list(trained.state_dict().values())


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))
