"""Which rows to train on and which to validate on, known before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .._checks import check_fraction
from ..data.interop import to_numpy
from ..hashing import hash_values
from ..registry import suggest
from ..tables import Chunk, RowSubset, list_files, read_chunks
from ..temporal import time_masks
from .build import VALIDATION_ROWS
from .inputs import RawData, row_name
from .labels import LabelLearner

__all__ = ["Scan", "Split", "SplitOptions", "TimeLike", "scan", "split"]

TimeLike: TypeAlias = str | Mapping[str, Any] | None  # a column, or options with one
TIME_OPTIONS = ("column", "fraction", "gap", "valid_from")


@dataclass(frozen=True)
class SplitOptions:
    """The way in which rows to validate on are chosen."""

    fraction: float  # share of the rows; 0 for none
    time: str | None = None  # the column by which the last rows are taken; None to draw them
    valid_from: Any = None  # time of the first of them, instead of `fraction`
    gap: Any = 0  # time to leave out before them
    capped: bool = True  # take at most `VALIDATION_ROWS`

    @classmethod
    def parse(cls, fraction: float, time: TimeLike) -> SplitOptions:
        """Return the options that `fit` was given, if they fit together."""
        check_fraction("validation_fraction", fraction)
        if time is None:
            return cls(fraction)
        given: dict[str, Any] = dict(time) if isinstance(time, Mapping) else {"column": time}
        for name in given:
            if name not in TIME_OPTIONS:
                raise ValueError(f"unknown option {name!r} of time: {suggest(name, TIME_OPTIONS)}")
        column, valid_from, own = (given.get(name) for name in ("column", "valid_from", "fraction"))
        if not isinstance(column, str):
            raise TypeError(f"time must be the name of a column, or a dict with 'column', got {time!r}")
        if valid_from is not None and own is not None:
            raise ValueError("time must have either valid_from or fraction, and not both")
        share: Any = fraction if own is None else own
        options = cls(share, column, valid_from, gap=given.get("gap") or 0, capped=own is None)
        if options.gap and not options.cuts:
            raise ValueError(f"gap lies before the rows to validate on, got {options.gap!r} with a fraction of 0")
        return options

    @property
    def cuts(self) -> bool:
        """True if any rows are cut off."""
        return self.valid_from is not None or self.fraction != 0

    def share(self, rows: int) -> float:
        """Return the share of so many rows."""
        return min(self.fraction, VALIDATION_ROWS / rows) if self.capped else self.fraction


@dataclass(frozen=True)
class Scan:
    """Findings of one pass over the labels and times."""

    rows: int  # how many there are
    starts: dict[str, int] = field(default_factory=dict)  # file -> number of its first row among all; empty in memory
    times: list[Chunk] = field(default_factory=list)  # the column to split by, chunk by chunk

    def files(self) -> dict[str, slice]:
        """Return where the rows of each file lie."""
        ends = [*list(self.starts.values())[1:], self.rows]
        return {file: slice(start, end) for (file, start), end in zip(self.starts.items(), ends, strict=True)}


def scan(data: RawData, labels: LabelLearner, time: str | None) -> Scan:
    """Number the rows, give their labels to the learner, and keep their times: one pass over files."""
    if time is not None and time not in data.names:
        raise ValueError(f"data must have the time column {time!r}: {suggest(time, data.names)}")
    if not data.in_files:
        for name, values in zip(data.labels, data.y, strict=True):
            labels.update(name, values, row_name)
        rows = data.count_rows()
        found = Scan(rows, times=list(read_chunks(data.source, [time], rows)) if time is not None and rows else [])
    else:
        found = _scan_files(data, labels, time)
    if not found.rows:
        raise ValueError("Found array with 0 sample(s): X must have at least one row")
    return found


def _scan_files(data: RawData, labels: LabelLearner, time: str | None) -> Scan:
    columns = list(dict.fromkeys([*data.labels, *([] if time is None else [time])]))
    counts = {str(path): 0 for path in list_files(data.source)}
    times: list[Chunk] = []
    for chunk in read_chunks(data.source, columns, **data.options):
        counts[chunk.file] += chunk.table.num_rows
        for name in data.labels:
            labels.update(name, to_numpy(chunk.table.column(name)), chunk.where)
        if time is not None:
            times.append(chunk._replace(table=chunk.table.select([time])))
    ends = np.cumsum(list(counts.values())).tolist()
    starts = {file: end - count for (file, count), end in zip(counts.items(), ends, strict=True)}
    return Scan(ends[-1], starts, times)


class Split(NamedTuple):
    """Rows to train on (None: all) and to validate on (None: none)."""

    train: RowSubset | None
    validation: RowSubset | None


def split(found: Scan, options: SplitOptions, seed: int) -> Split:
    """Cut the validation part off: the last rows by time, or rows drawn by a hash of their number and `seed`.

    Files are numbered through, so that the same rows are drawn of a frame and of files that hold it.
    """
    if not options.cuts:
        return Split(None, None)
    share = options.share(found.rows)
    if options.time is not None:
        begin = {"fraction": share} if options.valid_from is None else {"valid_from": options.valid_from}
        train, valid = time_masks(found.times, options.time, gap=options.gap, **begin)
        return Split(RowSubset(train, found.starts), RowSubset(valid, found.starts))
    key = hash_values([f"validation/{seed}"])[0]
    drawn = (hash_values(np.arange(found.rows, dtype=np.uint64) ^ key) >> np.uint64(11)) * 2.0**-53 < share
    if not drawn.any() or drawn.all():
        return Split(None, None)
    return Split(RowSubset(~drawn, found.starts), RowSubset(drawn, found.starts))
