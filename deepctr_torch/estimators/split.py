"""Which rows to train on and which to validate on, known before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._checks import check_fraction
from ..hashing import hash_values
from ..registry import suggest
from ..tables import RowSubset
from ..temporal import time_masks
from .build import VALIDATION_ROWS
from .inputs import Data

__all__ = ["Split", "split", "time_column"]

TIME_OPTIONS = ("column", "fraction", "gap", "valid_from")


class Split(NamedTuple):
    """Rows to train on (None: all) and to validate on (None: none), and how many rows there are in all."""

    train: RowSubset | None
    validation: RowSubset | None
    rows: int

    @property
    def train_rows(self) -> int:
        return self.rows if self.train is None else self.train.rows


def time_column(time: Any) -> str | None:
    """The column that `time` names."""
    column: str | None = time.get("column") if isinstance(time, Mapping) else time
    return column


def _time_options(time: Any, fraction: float, rows: int) -> dict[str, Any]:
    """The arguments of `time_masks`; only the column where nothing is to be cut off."""
    given = dict(time) if isinstance(time, Mapping) else {"column": time}
    for name in given:
        if name not in TIME_OPTIONS:
            raise ValueError(f"unknown option {name!r} of time: {suggest(name, TIME_OPTIONS)}")
    if not isinstance(given.get("column"), str):
        raise TypeError(f"time must be the name of a column, or a dict with 'column', got {time!r}")
    if given.get("valid_from") is None and given.get("fraction") is None:
        given["fraction"] = min(fraction, VALIDATION_ROWS / rows)
    if given.get("fraction") == 0 and given.get("valid_from") is None:
        if given.get("gap"):
            raise ValueError(f"gap lies before the rows to validate on, got {given['gap']!r} with a fraction of 0")
        return {"column": given["column"]}
    return given


def _whole(data: Data, column: str, rows: int) -> Split:
    if column not in data.names:
        raise ValueError(f"data must have the time column {column!r}: {suggest(column, data.names)}")
    return Split(None, None, rows)


def split(data: Data, fraction: float, time: Any, seed: int) -> Split:
    """Cut the validation part off: the last rows by `time`, or rows drawn by a hash of their number and `seed`.

    Files are numbered through, so that the same rows are drawn of a frame and of files that hold it.

    Raises:
        ValueError: a fraction out of [0, 1), or a time column that cannot be split by.
    """
    check_fraction("validation_fraction", fraction)
    starts, rows = data.starts()
    if not rows:
        raise ValueError("Found array with 0 sample(s): X must have at least one row")
    if time is not None:
        options = _time_options(time, fraction, rows)
        column = options.pop("column")
        if not options:
            return _whole(data, column, rows)
        train, valid = time_masks(data.where, column, header=data.options.get("header"), **options)
        return Split(RowSubset(train, starts), RowSubset(valid, starts), rows)
    share = min(fraction, VALIDATION_ROWS / rows)
    key = hash_values([f"validation/{seed}"])[0]
    drawn = (hash_values(np.arange(rows, dtype=np.uint64) ^ key) >> np.uint64(11)) * 2.0**-53 < share
    if not drawn.any() or drawn.all():
        return Split(None, None, rows)
    return Split(RowSubset(~drawn, starts), RowSubset(drawn, starts), rows)
