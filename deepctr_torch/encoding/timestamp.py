"""Features of moments: `Timestamp`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from ..features import FeatureColumn, SparseFeat
from .arrow_columns import RowError, one_array
from .column_encoder import Context, Dimension, dimension_of
from .specs import PARTS, Timestamp
from .vocabulary import FIRST, MISSING

__all__ = ["TimestampEncoder"]

Array = npt.NDArray[Any]
_SECONDS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class TimestampEncoder:
    """A moment a row, as one id for each part."""

    def __init__(self, name: str, kind: Timestamp) -> None:
        self.name, self.kind = name, kind
        self.rows = self.missing = 0
        if kind.timezone is not None:
            _check_zone(kind.timezone)

    @property
    def raw(self) -> tuple[str, ...]:
        return (self.kind.column or self.name,)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{part}" for part in self.kind.parts)

    def _read(self, table: Any) -> Any:
        """Moments on the clock of the zone, an arrow array of timestamps in seconds without a zone."""
        import pyarrow.compute as pc

        (column,) = self.raw
        moments = moments_of(one_array(table[column]), column, self.kind.unit)
        return moments if self.kind.timezone is None else pc.local_timestamp(_in_zone(moments, self.kind.timezone))

    def partial(self, table: Any, context: Context) -> tuple[int, int]:
        moments = self._read(table)
        return len(moments), moments.null_count

    def add(self, partial: tuple[int, int]) -> None:
        self.rows += partial[0]
        self.missing += partial[1]

    def finish(self) -> None:
        """Nothing to learn."""

    def encode(self, table: Any, context: Context) -> dict[str, Array]:
        moments = self._read(table)
        missing = moments.is_null().to_numpy(zero_copy_only=False)
        return {
            output: np.where(missing, MISSING, FIRST + _part(moments, part)).astype(np.int32)
            for output, part in zip(self.outputs, self.kind.parts, strict=True)
        }

    def blank(self, rows: int) -> dict[str, Array]:
        return {output: np.zeros(rows, np.int32) for output in self.outputs}

    def columns(self, dimension: Dimension) -> list[FeatureColumn]:
        sizes = [FIRST + PARTS[part] for part in self.kind.parts]
        return [
            SparseFeat(output, size, dimension_of(self.kind, dimension, size))
            for output, size in zip(self.outputs, sizes, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        return {"table rows": sum(FIRST + PARTS[part] for part in self.kind.parts)}

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "missing": self.missing}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows, self.missing = int(state["rows"]), int(state["missing"])


def _check_zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f'timezone must be the name of a zone, such as "Europe/Paris", got {name!r}') from None


def _in_zone(moments: Any, zone: str) -> Any:
    import pyarrow as pa

    return moments.cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("s", zone))


def moments_of(array: Any, name: str, unit: str) -> Any:
    """Moments of any type as arrow timestamps [s], UTC without saying so; null where missing.

    Args:
        array: timestamps, dates, numbers since 1970, or ISO strings; strings of digits are numbers.
        name: how messages call the column.
        unit: what numbers count.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    types, seconds = pa.types, pa.timestamp("s")
    if types.is_null(array.type):
        return array.cast(seconds)
    if types.is_timestamp(array.type):
        return _naive(array)
    if types.is_date(array.type):
        return array.cast(seconds)
    if types.is_string(array.type) or types.is_large_string(array.type):
        return _from_text(array.cast(pa.large_string()), name, unit)
    if not (types.is_integer(array.type) or types.is_floating(array.type)):
        raise ValueError(f"{name!r} must hold times, got {array.type}")
    numbers = array.cast(pa.float64(), safe=False) if types.is_floating(array.type) else array
    if types.is_floating(array.type):
        x = numbers.to_numpy(zero_copy_only=False)
        whole = np.where(np.isfinite(x), np.floor(x / _SECONDS[unit]), 0)
        return _bounded(pa.array(whole, mask=~np.isfinite(x)))
    whole = np.floor_divide(pc.fill_null(numbers, 0).to_numpy().astype(np.int64), _SECONDS[unit])
    return _bounded(pa.array(whole, mask=numbers.is_null().to_numpy(zero_copy_only=False)))


def _bounded(seconds: Any) -> Any:
    """Seconds as timestamps; those that no calendar of four digits has are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.and_(pc.greater_equal(seconds, -62_135_596_800), pc.less(seconds, 253_402_300_800))
    return pc.if_else(known, seconds, pa.scalar(None, seconds.type)).cast(pa.int64()).cast(pa.timestamp("s"))


def _naive(array: Any) -> Any:
    """Timestamps of any unit and zone, in UTC."""
    import pyarrow as pa

    ticks = array.cast(pa.timestamp(array.type.unit)).cast(pa.int64())  # of a zone: what UTC's clock shows
    seconds = np.floor_divide(ticks.fill_null(0).to_numpy(), _SECONDS[array.type.unit])
    return _bounded(pa.array(seconds, mask=array.is_null().to_numpy(zero_copy_only=False)))


def _from_text(strings: Any, name: str, unit: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(strings)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)
    if pc.all(pc.match_substring_regex(trimmed, r"^-?[0-9]+(\.[0-9]*)?$"), min_count=0).as_py():
        return moments_of(trimmed.cast(pa.float64()), name, unit)
    try:
        return _naive(trimmed.cast(pa.timestamp("us")))
    except pa.ArrowInvalid:
        return _by_python(trimmed.dictionary_encode(), name)


def _by_python(coded: Any, name: str) -> Any:
    """ISO strings that arrow does not read, such as those with a zone."""
    import pyarrow as pa

    seconds: list[int] = []
    for position, value in enumerate(coded.dictionary.to_pylist()):
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            row = int((coded.indices.fill_null(-1).to_numpy() == position).argmax())
            raise RowError(f"{name!r} must hold ISO times or numbers, got {value!r}", row) from None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        seconds.append(int(aware.timestamp() // 1))
    return pa.array(seconds, pa.int64()).take(coded.indices).cast(pa.timestamp("s"))


def _part(moments: Any, part: str) -> Array:
    """The number of a part of moments, from 0; anything where missing."""
    import pyarrow.compute as pc

    def number(values: Any) -> Array:
        out: Array = pc.fill_null(values, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        return out

    if part == "weekend":
        return (number(pc.day_of_week(moments)) >= 5).astype(np.int64)
    if part == "hour_of_week":
        return number(pc.day_of_week(moments)) * 24 + number(pc.hour(moments))
    if part in ("day", "month"):
        return number(pc.day(moments) if part == "day" else pc.month(moments)) - 1
    return number({"minute": pc.minute, "hour": pc.hour, "weekday": pc.day_of_week}[part](moments))
