"""`time_split`: validation rows that are all later than the training rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from itertools import compress
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from .._typing import Mask
from ..tables import Chunk, ColumnLike, PathsLike, TableLike, column_names, read_chunks
from ..tables.files import is_files
from ..tables.memory import library_of
from .events import TextOptions, in_memory, same_unit
from .times import NumberArray, Span, TimeNumber, TimeUnit, earlier, span_of, time_numbers

__all__ = ["time_masks", "time_split"]

TimePoint: TypeAlias = "float | str | date | np.datetime64"


def time_split(
    data: TableLike | PathsLike,
    time: str,
    *,
    valid_from: TimePoint | None = None,
    fraction: float | None = None,
    gap: Span = 0,
    schema: Mapping[str, Any] | None = None,
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
) -> tuple[Any, Any]:
    """Split a table by time into training and validation rows: no validation row precedes a training row.

    Validation rows are those with a time of at least `valid_from`; training rows those earlier by more than `gap`
    before it; what lies in the gap is left out. Rows of equal time stay on one side.

    Args:
        data: a pandas, polars or pyarrow table or a dict of arrays; or the path of a file, a folder, a glob, or a list
            of these. In any order.
        time: column of numbers, dates or timestamps, none missing.
        valid_from: where validation begins: a number, or for timestamps a date, a datetime or ISO text such as
            "2024-05-01" (in UTC, if the column has a time zone and the value has none).
        fraction: instead, the share of the rows to validate on, in (0, 1): the latest ones, and all others of the same
            time as the first of these.
        gap: a number in the unit of a numeric time column; for timestamps a `timedelta` or text such as "1d".
        schema: of text files, column -> pyarrow type or its name ("string" for ids such as "007"); other columns have
            what type fits the first MiB of every file.
        header: names of all columns, of text files without a line of names.
        null: fields of text files that mean a missing value.

    Returns:
        (training, validation): tables of the kind given, rows in the order given. For files two iterators of pyarrow
        tables that read the files as they go.

    >>> train, valid = time_split({"day": [3, 1, 2, 4], "click": [1, 0, 0, 1]}, "day", valid_from=3, gap=1)
    >>> train["day"].tolist(), valid["day"].tolist()
    ([1], [3, 4])

    Raises:
        ValueError: neither or both of `valid_from` and `fraction`, a time is missing, or a part would be empty.
    """
    text = TextOptions(schema, header, null)
    names = column_names(data, header=header)
    if time not in names:
        raise ValueError(f"data must have the time column {time!r}, got only {', '.join(names)}")
    chunks = read_chunks(data, [time], **text.reading()) if is_files(data) else iter([in_memory(data, [time])])
    parts = time_masks(chunks, time, valid_from=valid_from, fraction=fraction, gap=gap)
    take = partial(_filtered, text=text) if is_files(data) else _take
    return take(data, parts[0]), take(data, parts[1])


def time_masks(
    chunks: Iterable[Chunk],
    time: str,
    *,
    valid_from: TimePoint | None = None,
    fraction: float | None = None,
    gap: Span = 0,
) -> tuple[Mask, Mask]:
    """Return masks of the rows that `time_split` trains on and validates on, bool [N] each.

    Args:
        chunks: the rows, with the column `time` at least.
        time, valid_from, fraction, gap: as `time_split` has them.
    """
    if (valid_from is None) == (fraction is None):
        raise ValueError("time_split needs either valid_from or fraction, and not both")
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction!r}")
    times, unit = _all_times(chunks, time)
    if fraction is None:
        begin = _position(valid_from, time, unit)
    else:
        first = len(times) - min(max(round(fraction * len(times)), 1), len(times))
        begin = np.partition(times, first)[first]
    end = earlier(np.array([begin]), span_of("gap", gap, time, unit))[0]
    parts = times < end, times >= begin
    for part, name in zip(parts, ("training", "validation"), strict=True):
        if not part.any():
            raise ValueError(
                f"the {name} part must have rows, got none: of {len(times)} rows, column {time!r} goes from "
                f"{_shown(times.min(), unit)} to {_shown(times.max(), unit)}, validation from {_shown(begin, unit)}"
            )
    return parts


def _all_times(chunks: Iterable[Chunk], time: str) -> tuple[NumberArray, TimeUnit]:
    parts, unit = [], None
    for chunk in chunks:
        numbers, its = time_numbers(chunk.table.column(time), time, chunk.where)
        unit = same_unit(unit, its, time, chunk)
        parts.append(numbers)
    if unit is None:
        raise ValueError("a table of events must have at least one row, got none")
    return np.concatenate(parts), unit


def _position(value: TimePoint | None, time: str, unit: TimeUnit) -> TimeNumber:
    """Return `valid_from` as a number of the time column."""
    if not unit.step:
        try:
            number = Decimal(str(value))
            return np.int64(math.ceil(number)) if unit.whole else np.float64(value)  # type: ignore[arg-type]
        except (ArithmeticError, TypeError, ValueError) as error:
            kind = f"as {time!r} holds {unit.type}"
            raise ValueError(f"valid_from must be a finite number, {kind}, got {value!r}") from error
    return _instant(value, time, unit)


def _instant(value: TimePoint | None, time: str, unit: TimeUnit) -> np.int64:
    """Return a date or time in the steps of the column, rounded up."""
    wrong = f"valid_from must be a date, a datetime or ISO text, as {time!r} holds {unit.type}, got {value!r}"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError as error:
            raise ValueError(wrong) from error
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = (value - value.utcoffset()).replace(tzinfo=None)  # type: ignore[operator]  # aware: an offset
    if not isinstance(value, (date, np.datetime64)):
        raise ValueError(wrong)
    exact = np.datetime64(value)
    steps = exact.astype(f"datetime64[{unit.step}]")
    return np.int64(steps.astype(np.int64) + int(steps < exact))


def _shown(value: TimeNumber, unit: TimeUnit) -> str:
    return str(np.asarray(value).astype(f"datetime64[{unit.step}]")) if unit.step else str(value)


def _take(data: TableLike, mask: Mask) -> Any:
    library = library_of(data)
    if library:
        return data[mask] if library == "pandas" else data.filter(mask)
    return {name: _rows_of(values, mask) for name, values in data.items()}


def _rows_of(values: ColumnLike, mask: Mask) -> Any:
    """Return some rows of a column of a dict; arrays, tensors and columns of a library stay, lists become arrays."""
    if isinstance(values, np.ndarray) or hasattr(values, "iloc") or hasattr(values, "detach"):
        return values[mask]
    if hasattr(values, "filter"):  # polars, pyarrow
        return values.filter(mask)
    if not isinstance(values, (list, tuple)):
        return np.asarray(values)[mask]
    kinds = {type(value) for value in values}  # of the whole column, so that both parts have the same type
    if len(kinds) == 1 or kinds == {int, float}:
        try:
            return np.asarray(values)[mask]
        except ValueError:  # lists of several lengths
            pass
    out = np.empty(int(mask.sum()), object)  # numpy would make text of 1 and "a"
    for i, value in enumerate(compress(values, mask)):
        out[i] = value
    return out


def _filtered(data: PathsLike, mask: Mask, text: TextOptions) -> Iterator[pa.Table]:
    first = 0
    for chunk in read_chunks(data, **text.reading()):
        kept = mask[first : first + chunk.table.num_rows]
        first += chunk.table.num_rows
        if kept.any():
            yield chunk.table.filter(pa.array(kept))
