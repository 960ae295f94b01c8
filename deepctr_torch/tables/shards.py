"""Shards: the parts that files are read in, row groups of Parquet files and whole text files, which have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .files import PathsLike, list_files
from .parquet import group_sizes, is_parquet, parquet_tables
from .read import Chunk, column_names, read_chunks
from .text import TextFormat, TypeLike, text_types

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Shard", "list_shards", "missing_columns", "read_shard", "shard_types"]


class Shard(NamedTuple):
    """Rows of a file that are read together."""

    path: Path
    group: int | None  # number of the row group; None for a text file
    first_row: int  # number of the first row in the file
    rows: int | None  # number of rows; None for a text file, of which nobody knows before its end


def list_shards(paths: PathsLike) -> list[Shard]:
    """Every row group with rows of every Parquet file, and every text file, in the order of the files."""
    shards = []
    for path in list_files(paths):
        if not is_parquet(path):
            shards.append(Shard(path, None, 0, None))
            continue
        first = 0
        for group, rows in enumerate(group_sizes(path)):
            if rows:
                shards.append(Shard(path, group, first, rows))
            first += rows
    return shards


def missing_columns(shards: Sequence[Shard], columns: Sequence[str], header: Sequence[str] | None) -> str:
    """The first file that lacks a column, in words; "" if none does."""
    for path in dict.fromkeys(shard.path for shard in shards):
        there = column_names(path, header=header)
        missing = [name for name in columns if name not in there]
        if missing:
            return f"{path} lacks the column(s) {missing}; it has {there}"
    return ""


def shard_types(
    shards: Sequence[Shard], columns: Sequence[str], schema: Mapping[str, TypeLike], written: TextFormat
) -> dict[str, pa.DataType]:
    """Column -> type, the same for all text files whichever of them is read first; empty if there is none."""
    return text_types([shard.path for shard in shards], columns, schema, written)


def read_shard(
    shard: Shard, columns: Sequence[str], rows: int, types: Mapping[str, TypeLike], written: TextFormat
) -> Iterator[Chunk]:
    """The rows of a shard in chunks of at most `rows`; `types` are those of `shard_types`."""
    if shard.group is None:
        yield from read_chunks(
            shard.path, columns, rows, schema=types, header=written.header, null=written.null, on_bad_rows=written.bad
        )
        return
    first = shard.first_row
    for group, table in parquet_tables(shard.path, columns, rows, shard.group, threads=False):
        yield Chunk(table, str(shard.path), group, first)
        first += table.num_rows
