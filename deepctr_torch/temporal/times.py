"""Time columns as numbers, and spans of time in the unit of a column."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .._checks import check_non_negative
from ..encoding.arrow_columns import RowError, one_array, without_words
from ..encoding.timestamp import moments_of

__all__ = ["NumberArray", "Span", "TimeNumber", "TimeUnit", "earlier", "first_of", "span_of", "time_numbers"]

NumberArray: TypeAlias = NDArray[Any]  # int64 or float64
TimeNumber: TypeAlias = "np.int64 | np.float64"  # one of them
Span: TypeAlias = "float | str | timedelta | np.timedelta64"

_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "D": 86_400 * 10**9}
_WORDS = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "min": 60, "m": 60, "s": 1}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|us|ns|w|d|h|min|m|s|)\s*", re.IGNORECASE)


class TimeUnit(NamedTuple):
    """The type and the unit of the numbers of a time column."""

    type: str  # the arrow type, as text
    step: str  # "ns", "us", "ms", "s" or "D" of dates and timestamps; "" of numbers, whose unit only the user knows
    whole: bool  # the numbers are integers


def time_numbers(column: pa.ChunkedArray, name: str, where: Callable[[int], str]) -> tuple[NumberArray, TimeUnit]:
    """Return the times of a column, none of which is missing or infinite, as int64 or float64, and their unit.

    Text is of numbers, or of ISO dates and times, then in whole seconds.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _from_text(column, name, where)
    kind = column.type
    step = kind.unit if pa.types.is_timestamp(kind) else {"date32[day]": "D", "date64[ms]": "ms"}.get(str(kind), "")
    if not (step or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ValueError(f"the time column {name!r} must hold numbers, dates or timestamps, got {kind}")
    if column.null_count:
        row = first_of(pc.is_null(column).to_numpy(zero_copy_only=False))
        raise ValueError(f"every row must have a time, got none in column {name!r}, {where(row)}")
    if pa.types.is_floating(kind):
        numbers = column.to_numpy().astype(np.float64)
        if not np.isfinite(numbers).all():
            row = first_of(~np.isfinite(numbers))
            raise ValueError(f"times must be finite, got {numbers[row]} in column {name!r}, {where(row)}")
        return numbers, TimeUnit(str(kind), "", False)
    if str(kind) == "date32[day]":
        column = column.cast(pa.int32())
    try:
        return column.cast(pa.int64()).to_numpy(), TimeUnit(str(kind), step, True)
    except pa.ArrowInvalid as error:
        raise ValueError(f"times must lie below 2**63, got more in column {name!r}") from error


def _from_text(column: pa.ChunkedArray, name: str, where: Callable[[int], str]) -> pa.ChunkedArray:
    strings = without_words(one_array(column))
    try:
        return pa.chunked_array([strings.cast(pa.float64())])
    except pa.ArrowInvalid:
        pass
    try:
        return pa.chunked_array([moments_of(strings, name, "s")])
    except RowError as error:
        raise ValueError(f"{error.message} in {where(error.row)}") from None


def first_of(wrong: NDArray[np.bool_]) -> int:
    """Return the position of the first True."""
    return int(np.argmax(wrong))


def span_of(name: str, value: Span, column: str, unit: TimeUnit) -> float:
    """Return the argument `name` in the unit of the time column; rounded down to whole steps where times are integers.

    Rounding changes nothing: of integer times, t < now - 1.5 are those with t < now - 1.
    """
    duration = _nanoseconds(name, value)
    if unit.step:
        if duration is None and value != 0:
            raise ValueError(f"{name} must be a duration such as '1d', as {column!r} holds {unit.type}, got {value!r}")
        return int((duration or 0) // _NANOSECONDS[unit.step])
    if duration is not None:
        raise ValueError(f"{name} must be a number, as the time column {column!r} holds {unit.type}, got {value!r}")
    number = float(value)  # type: ignore[arg-type]  # a number, or the text of one
    return math.floor(number) if unit.whole else number


def _nanoseconds(name: str, value: Span) -> int | None:
    """Return a duration in nanoseconds; None for a number."""
    if isinstance(value, str):
        match = _TEXT.fullmatch(value)
        if match is None:
            raise ValueError(f"{name} must be a duration such as '1d', '12h' or '30min', got {value!r}")
        number, word = float(match[1]), match[2].lower()
        if not word:
            return None
        return int(number * (_NANOSECONDS[word] if word in _NANOSECONDS else _WORDS[word] * 10**9))
    if isinstance(value, timedelta):
        result = value // timedelta(microseconds=1) * 1000
    elif isinstance(value, np.timedelta64):
        result = int(value.astype("timedelta64[ns]").astype(np.int64))
    else:
        check_non_negative(name, value)
        return None
    if result < 0:
        raise ValueError(f"{name} must be a duration >= 0, got {value!r}")
    return result


def earlier(time: NumberArray, span: float) -> NumberArray:
    """Return `time - span`, without overflow at the lower end."""
    if time.dtype.kind == "f":
        return time - span
    lowest = np.iinfo(np.int64).min
    return np.maximum(time, lowest + int(span)) - int(span)
