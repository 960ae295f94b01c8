"""What files are cut into for reading: row groups of Parquet files, and whole text files, which have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .._optional import needs
from ..tables import Chunk, column_names, list_files, read_chunks

__all__ = ["Shard", "list_shards", "missing_columns", "read_shard", "text_schema"]


class Shard(NamedTuple):
    """Rows that are read together.

    Attributes:
        path: the file.
        group: number of the row group; None for a text file.
        first_row: number of the first row in the file.
        rows: how many there are; None for a text file, of which nobody knows before its end.
    """

    path: Path
    group: int | None
    first_row: int
    rows: int | None


def list_shards(paths: Any) -> list[Shard]:
    """Every row group of every Parquet file, every text file, in the order of the files.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: an unknown ending, or a file that is no Parquet file.
    """
    return [unit for path in list_files(paths) for unit in _units_of(path)]


def is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _units_of(path: Path) -> Iterator[Shard]:
    if not is_parquet(path):
        yield Shard(path, None, 0, None)
        return
    with needs("tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        metadata = pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} must be a Parquet file, got: {error}") from error
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if rows:
            yield Shard(path, group, first, rows)
        first += rows


def missing_columns(units: Sequence[Shard], columns: Sequence[str], header: Sequence[str] | None) -> str:
    """The first file that lacks a column, in words; "" if none does."""
    for path in dict.fromkeys(unit.path for unit in units):
        there = column_names(path, header=header)
        missing = [name for name in columns if name not in there]
        if missing:
            return f"{path} lacks the column(s) {missing}; it has {there}"
    return ""


def text_schema(
    units: Sequence[Shard],
    columns: Sequence[str],
    schema: Mapping[str, Any],
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
) -> dict[str, Any]:
    """Column -> type, the same for all text files whichever of them is read first; empty if there is none."""
    from ..tables.text import text_types

    texts = [unit.path for unit in units if unit.group is None]
    return text_types(texts, list(columns), dict(schema), header, null) if texts else {}


def read_shard(
    unit: Shard,
    columns: Sequence[str],
    rows: int,
    schema: Mapping[str, Any],
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
) -> Iterator[Chunk]:
    """The rows of a unit in chunks of at most `rows`."""
    if unit.group is None:
        yield from read_chunks(unit.path, columns, rows, schema=schema, header=header, null=null)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ..tables.memory import plain

    first = unit.first_row
    try:
        with pq.ParquetFile(unit.path) as file:
            for batch in file.iter_batches(rows, row_groups=[unit.group], columns=list(columns), use_threads=False):
                yield Chunk(plain(pa.Table.from_batches([batch])), str(unit.path), unit.group, first)
                first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{unit.path}, row group {unit.group}: cannot be read as Parquet: {error}") from error
