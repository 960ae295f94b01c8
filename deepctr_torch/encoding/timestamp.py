"""Encoder of moments: the hour, the weekday and other parts of each as ids."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._typing import Array
from ..features import FeatureColumn, SparseFeat
from .arrow_columns import RowError, one_array, without_words
from .column_encoder import ColumnEncoder, Context, EmbeddingDim, embedding_dim_of
from .specs import TIMESTAMP_PARTS, Timestamp
from .vocabulary import FIRST, MISSING

__all__ = ["TimestampEncoder"]

_SECONDS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class TimestampEncoder(ColumnEncoder):
    """A moment a row, as one id for each part, int32 [N] each."""

    spec: Timestamp

    def __init__(self, name: str, spec: Timestamp) -> None:
        super().__init__(name, spec)
        if spec.timezone is not None:
            _check_zone(spec.timezone)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{part}" for part in self.spec.parts)

    def _read(self, table: pa.Table) -> pa.TimestampArray:
        """Return moments on the clock of the zone: timestamps in seconds, without a zone."""
        (column,) = self.inputs
        moments = moments_of(one_array(table[column]), column, self.spec.unit)
        if self.spec.timezone is None:
            return moments
        return pc.local_timestamp(moments.cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("s", self.spec.timezone)))

    def summarize(self, table: pa.Table, context: Context) -> tuple[int, int]:
        """Return the numbers of rows and of missing moments."""
        moments = self._read(table)
        return len(moments), moments.null_count

    def update(self, summary: tuple[int, int]) -> None:
        self.rows += summary[0]
        self.missing += summary[1]

    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        moments = self._read(table)
        missing = moments.is_null().to_numpy(zero_copy_only=False)
        return {
            output: np.where(missing, MISSING, FIRST + _part(moments, part)).astype(np.int32)
            for output, part in zip(self.outputs, self.spec.parts, strict=True)
        }

    def encode_missing(self, rows: int) -> dict[str, Array]:
        return {output: np.zeros(rows, np.int32) for output in self.outputs}

    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        sizes = [FIRST + TIMESTAMP_PARTS[part] for part in self.spec.parts]
        return [
            SparseFeat(output, size, embedding_dim_of(self.spec, embedding_dim, size))
            for output, size in zip(self.outputs, sizes, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        return {"table rows": sum(FIRST + TIMESTAMP_PARTS[part] for part in self.spec.parts)}


def _check_zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f'timezone must be the name of a zone, such as "Europe/Paris", got {name!r}') from None


def moments_of(array: pa.Array, name: str, unit: str) -> pa.TimestampArray:
    """Convert moments of any type to arrow timestamps [s], in UTC without saying so; null where missing.

    Args:
        array: timestamps, dates, numbers of `unit` since 1970, or ISO strings; strings of digits are numbers.
        name: the name of the column in messages.
        unit: "s", "ms", "us" or "ns".
    """
    types = pa.types
    if types.is_null(array.type) or types.is_date(array.type):
        return array.cast(pa.timestamp("s"))
    if types.is_timestamp(array.type):
        return _naive(array)
    if types.is_string(array.type) or types.is_large_string(array.type):
        return _from_text(array.cast(pa.large_string()), name, unit)
    if types.is_floating(array.type):
        x = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        whole = np.where(np.isfinite(x), np.floor(x / _SECONDS[unit]), 0)
        return _bounded(pa.array(whole, mask=~np.isfinite(x)))
    if types.is_integer(array.type):
        return _from_ticks(array, unit)
    raise ValueError(f"{name!r} must hold times, got {array.type}")


def _from_ticks(ticks: pa.Array, unit: str) -> pa.TimestampArray:
    seconds = np.floor_divide(ticks.fill_null(0).to_numpy().astype(np.int64), _SECONDS[unit])
    return _bounded(pa.array(seconds, mask=ticks.is_null().to_numpy(zero_copy_only=False)))


def _bounded(seconds: pa.Array) -> pa.TimestampArray:
    """Convert seconds to timestamps; those beyond years of four digits become missing."""
    known = pc.and_(pc.greater_equal(seconds, -62_135_596_800), pc.less(seconds, 253_402_300_800))
    return pc.if_else(known, seconds, pa.scalar(None, seconds.type)).cast(pa.int64()).cast(pa.timestamp("s"))


def _naive(array: pa.TimestampArray) -> pa.TimestampArray:
    """Convert timestamps of any unit and zone to seconds in UTC."""
    unit = array.type.unit
    return _from_ticks(array.cast(pa.timestamp(unit)).cast(pa.int64()), unit)  # of a zone: what UTC's clock shows


def _from_text(strings: pa.StringArray, name: str, unit: str) -> pa.TimestampArray:
    trimmed = without_words(strings)
    if pc.all(pc.match_substring_regex(trimmed, r"^-?[0-9]+(\.[0-9]*)?$"), min_count=0).as_py():
        return moments_of(trimmed.cast(pa.float64()), name, unit)
    try:
        return _naive(trimmed.cast(pa.timestamp("us")))
    except pa.ArrowInvalid:
        return _from_iso(trimmed.dictionary_encode(), name)


def _from_iso(encoded: pa.DictionaryArray, name: str) -> pa.TimestampArray:
    """Parse ISO strings that arrow does not read, such as those with a zone."""
    seconds: list[int] = []
    for position, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            row = int((encoded.indices.fill_null(-1).to_numpy() == position).argmax())
            raise RowError(f"{name!r} must hold ISO times or numbers, got {value!r}", row) from None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        seconds.append(int(aware.timestamp() // 1))
    return pa.array(seconds, pa.int64()).take(encoded.indices).cast(pa.timestamp("s"))


def _part(moments: pa.TimestampArray, part: str) -> Array:
    """Return a part of moments, counted from 0; anything where missing."""

    def number(values: pa.Array) -> Array:
        out: Array = pc.fill_null(values, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        return out

    if part == "weekend":
        return (number(pc.day_of_week(moments)) >= 5).astype(np.int64)
    if part == "hour_of_week":
        return number(pc.day_of_week(moments)) * 24 + number(pc.hour(moments))
    parts = {"minute": pc.minute, "hour": pc.hour, "weekday": pc.day_of_week, "day": pc.day, "month": pc.month}
    return number(parts[part](moments)) - (part in ("day", "month"))
