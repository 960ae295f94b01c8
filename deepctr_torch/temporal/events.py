"""The ways events come and go: tables in memory, files and streams, each returned as the kind it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..tables import Chunk, PathsLike, TableLike, column_names, list_files, read_chunks
from ..tables.files import is_files
from ..tables.memory import library_of
from .times import NumberArray, Span, TimeNumber, TimeUnit, earlier, first_of, span_of, time_numbers

__all__ = [
    "EventFeature",
    "EventRows",
    "NewColumns",
    "TextOptions",
    "add_columns",
    "in_memory",
    "label_numbers",
    "same_unit",
]

_CHUNK = 262_144  # rows: state is merged with each chunk, so chunks are larger than those of training
_EVERYTHING = 2**62

Events: TypeAlias = "TableLike | PathsLike | Iterator[pa.Table]"
NewColumns: TypeAlias = "dict[str, pa.Array | NDArray[Any]]"


class TextOptions(NamedTuple):
    """The options of text files, as `read_chunks` has them."""

    schema: Mapping[str, Any] | None = None
    header: Sequence[str] | None = None
    null: Sequence[str] = ("",)

    def reading(self, strings: Sequence[str] = ()) -> dict[str, Any]:
        """Options of `read_chunks`; the columns `strings` are read as such unless `schema` names their type."""
        schema = {**dict.fromkeys(strings, "string"), **(self.schema or {})}
        return {"schema": schema, "header": self.header, "null": self.null}


class EventRows(NamedTuple):
    """Rows in the order of time."""

    table: pa.Table
    time: NumberArray  # their times, as numbers
    bound: NumberArray  # what happened before this is known to a row
    where: Callable[[int], str]  # number in `table` -> where the row is, for messages


class EventFeature(Protocol):
    """New columns that are computed from rows in the order of time."""

    needed: list[str]
    ids: list[str]  # of these, users, items and the like; strings where text files do not say: "007" is not 7
    made: list[str]

    def step(self, rows: EventRows, once: bool) -> NewColumns:
        """Compute the new columns of `rows`, by name. `once`: these are all the rows there are."""


class Clock:
    """Reader of the times of chunk after chunk: one type for all, and a delay in its unit."""

    def __init__(self, column: str, delay: Span) -> None:
        self.column, self.delay = column, delay
        self.unit: TimeUnit | None = None
        self._latest: TimeNumber | None = None

    def read(self, chunk: Chunk) -> EventRows:
        time, unit = time_numbers(chunk.table.column(self.column), self.column, chunk.where)
        self.unit = same_unit(self.unit, unit, self.column, chunk)
        span = span_of("delay", self.delay, self.column, unit)
        return EventRows(chunk.table, time, earlier(time, span), chunk.where)

    def check_sorted(self, rows: EventRows) -> None:
        """Raise if a row is earlier than one before it in the stream."""
        before = np.append(rows.time[:1] if self._latest is None else self._latest, rows.time[:-1])
        if (rows.time < before).any():
            row = first_of(rows.time < before)
            at = rows.table.column(self.column)[row].as_py()
            raise ValueError(
                f"a stream of events must be sorted by time, but column {self.column!r} goes back to {at} in "
                f"{rows.where(row)}; sort it first, as with polars: "
                f"scan_parquet(files).sort({self.column!r}).sink_parquet(file)"
            )
        self._latest = rows.time[-1]


def add_columns(
    events: Events, feature: EventFeature, time: str, delay: Span, out: str | os.PathLike[str] | None, text: TextOptions
) -> Any:
    """Add the columns that `feature` makes: return `events` as it came, a stream, or the path of the file written."""
    clock = Clock(time, delay)
    chunks: Iterator[Chunk]
    if isinstance(events, Iterator):
        chunks = _numbered(events)
    else:
        check_columns(column_names(events, header=text.header), [*feature.needed, time], feature.made)
        if not is_files(events):
            if out is not None:
                raise ValueError("out is for events in files: a table in memory is returned with its new columns")
            return with_columns(events, _at_once(events, feature, clock))
        if out is not None and Path(out).resolve() in {file.resolve() for file in list_files(events)}:
            raise ValueError(f"out must be another file than those read, got {out}")
        options = text.reading([name for name in feature.ids if name != time])
        chunks = read_chunks(events, rows=_CHUNK, **options)
    tables = _streamed(chunks, feature, clock)
    return tables if out is None else _write(tables, Path(out))


def check_columns(names: Sequence[str], needed: Sequence[str], made: Sequence[str]) -> None:
    """Raise unless all columns needed are there, and none that would be made."""
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(f"events must have the columns {', '.join(needed)}, got none named {missing[0]!r}")
    taken = [name for name in made if name in names]
    if taken:
        raise ValueError(f"events must have no column {taken[0]!r} yet, as it is about to be added")


def same_unit(before: TimeUnit | None, unit: TimeUnit, column: str, chunk: Chunk) -> TimeUnit:
    """Return `unit`; raise if the chunks before had another."""
    if before is not None and unit != before:
        types = f"{unit.type} after {before.type}"
        raise ValueError(f"the time column {column!r} must have one type, got {types} in {chunk.where(0)}")
    return unit


def in_memory(data: TableLike, columns: Sequence[str]) -> Chunk:
    """Return columns of a table in memory, which must have rows, as one pyarrow table."""
    chunk = next(read_chunks(data, list(columns), rows=_EVERYTHING), None)
    if chunk is None:
        raise ValueError("a table of events must have at least one row, got none")
    return chunk


def _at_once(events: TableLike, feature: EventFeature, clock: Clock) -> NewColumns:
    rows = clock.read(in_memory(events, list(dict.fromkeys([*feature.needed, clock.column]))))
    if (rows.time[1:] >= rows.time[:-1]).all():
        return feature.step(rows, once=True)
    order = np.argsort(rows.time, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    ordered = EventRows(
        rows.table.take(order), rows.time[order], rows.bound[order], lambda i: rows.where(int(order[i]))
    )
    made = feature.step(ordered, once=True)
    return {k: v[back] if isinstance(v, np.ndarray) else v.take(back) for k, v in made.items()}


def _numbered(events: Iterable[Chunk | pa.Table]) -> Iterator[Chunk]:
    """Number the chunks of a stream, and their rows."""
    first = 0
    for number, one in enumerate(events):
        chunk = one if isinstance(one, Chunk) else Chunk(one, "", number, first)
        first += chunk.table.num_rows
        yield chunk


def _streamed(chunks: Iterator[Chunk], feature: EventFeature, clock: Clock) -> Iterator[pa.Table]:
    for chunk in chunks:
        check_columns(chunk.table.column_names, [*feature.needed, clock.column], feature.made)
        if chunk.table.num_rows:
            rows = clock.read(chunk)
            clock.check_sorted(rows)
            yield with_columns(chunk.table, feature.step(rows, once=False))


def _write(tables: Iterator[pa.Table], path: Path) -> Path:
    """Write all tables into one Parquet file, which appears under its name when it is complete."""
    part = path.with_name(f"{path.name}.part")
    first = next(tables, None)
    if first is None:
        raise ValueError("a table of events must have at least one row, got none")
    try:
        with pq.ParquetWriter(part, first.schema, compression="zstd") as writer:
            for table in chain([first], tables):
                writer.write_table(table)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def with_columns(data: TableLike, made: NewColumns) -> Any:
    """Return `data` with further columns, as the kind of table it is."""
    library = library_of(data)
    if library == "pyarrow":
        table = data if isinstance(data, pa.Table) else pa.Table.from_batches([data])
        for name, values in made.items():
            table = table.append_column(name, pa.array(values) if isinstance(values, np.ndarray) else values)
        return table
    if library == "polars":
        import polars as pl

        return data.with_columns(
            pl.Series(name, values) if isinstance(values, np.ndarray) else pl.Series(name, pl.from_arrow(values))
            for name, values in made.items()
        )
    arrays = {k: v if isinstance(v, np.ndarray) else v.to_numpy(zero_copy_only=False) for k, v in made.items()}
    return {**data, **arrays} if isinstance(data, Mapping) else data.assign(**arrays)


def label_numbers(rows: EventRows, name: str, *, binary: bool) -> NDArray[np.float64]:
    """Return a column of labels, `binary` ones in [0, 1], as float64; NaN where there is none."""
    column = rows.table.column(name)
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise ValueError(f"the label column {name!r} must hold numbers, got {kind}")
    labels: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    if binary and ((labels < 0) | (labels > 1)).any():
        row = first_of((labels < 0) | (labels > 1))
        raise ValueError(f"labels must lie in [0, 1], got {labels[row]:g} in column {name!r}, {rows.where(row)}")
    return labels
