"""A small schema, its samples, and the ids of batches, for the tests of data sources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from deepctr_torch.data.batch import LabeledBatch, LabelSpec
from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat

SCHEMA = FeatureSchema([SparseFeat("a", 100), DenseFeat("d")])
LABELS = LabelSpec([("", "binary")])
BY_USER = LABELS._replace(group_columns=["a"])


def data(rows: int) -> dict[str, Any]:
    """Samples of `SCHEMA`, the number of each row as its id."""
    return {"a": np.arange(rows), "d": np.arange(rows) / 2}


def ids(batches: Iterable[LabeledBatch]) -> list[list[int]]:
    """The first id of each row of each batch."""
    return [labeled.batch.ids[:, 0].tolist() for labeled in batches]
