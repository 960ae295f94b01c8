"""The estimators' defaults; docs/estimators.md gives the reasons, benchmarks/defaults.py the numbers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "EMBEDDING_DIM",
    "MODEL",
    "TABLE_RATE",
    "VALIDATION_ROWS",
    "batch_rows",
    "eval_steps",
    "model_defaults",
    "one_dimension",
    "table_dimension",
]

MODEL: Mapping[str, Any] = {"init_std": 0.001, "l2_reg_embedding": 1e-3, "dnn_dropout": 0.2}
TABLE_RATE = 3  # learning rate of the tables over that of the rest
VALIDATION_ROWS = 1_000_000  # a validation part cut off the training data is not larger
EMBEDDING_DIM = 16  # the longest vectors of embedding_dim="auto"
EVALUATIONS = 4  # in an epoch
STEPS = 100  # fewer in an epoch make smaller batches


def model_defaults(cls: type) -> dict[str, Any]:
    """Those of `MODEL` that a model has."""
    known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return {name: value for name, value in MODEL.items() if name in known}


def batch_rows(rows: int) -> int:
    """The power of two that makes at least `STEPS` steps of an epoch, from 32 to 4096.

    >>> [batch_rows(n) for n in (500, 20_000, 80_000, 10_000_000)]
    [32, 128, 512, 4096]
    """
    return min(max(1 << int(math.log2(max(rows / STEPS, 1))), 32), 4096)


def eval_steps(rows: int, batch: int, wanted: float | int | str) -> int:
    """Steps between two evaluations: `wanted` steps (int), part of an epoch (float in (0, 1]), or "auto"."""
    steps = math.ceil(rows / batch)
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return wanted
    if isinstance(wanted, float) and 0 < wanted <= 1:
        return max(1, math.ceil(wanted * steps))
    if wanted != "auto":
        raise ValueError(f'eval_every must be steps (int), a part of an epoch (float) or "auto", got {wanted!r}')
    return max(1, math.ceil(steps / EVALUATIONS))


def table_dimension(rows: int) -> int:
    """Length of the vectors of a table by its rows: about `2 * rows ** 0.25`, in steps of 4, at most `EMBEDDING_DIM`.

    >>> [table_dimension(n) for n in (3, 100, 1000, 1_000_000)]
    [4, 8, 12, 16]
    """
    return min(4 * max(1, math.ceil(math.sqrt(math.sqrt(rows)) / 2 - 1e-9)), EMBEDDING_DIM)


def one_dimension(rows: list[int]) -> int:
    """The one length for models whose vectors meet each other: that of the largest table."""
    return table_dimension(max(rows, default=1))
