"""Parquet files as streams of pyarrow tables, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._optional import needs
from .memory import plain

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["group_sizes", "is_parquet", "parquet_schema", "parquet_tables"]


def is_parquet(path: Path) -> bool:
    """True if the name says so."""
    return path.name.lower().endswith(".parquet")


def _metadata(path: Path) -> pq.FileMetaData:
    with needs("tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        return pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} must be a Parquet file, got: {error}") from error


def group_sizes(path: Path) -> list[int]:
    """Number of rows of each row group."""
    metadata = _metadata(path)
    return [int(metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)]


def parquet_schema(path: Path) -> pa.Schema:
    """Names and types of the columns, as `parquet_tables` returns them."""
    return plain(_metadata(path).schema.to_arrow_schema().empty_table()).schema


def parquet_tables(
    path: Path, columns: Sequence[str], rows: int, group: int | None = None, *, threads: bool = True
) -> Iterator[tuple[int, pa.Table]]:
    """Tables of at most `rows` rows of a row group (None: of all), each with its number; `threads` decode columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, number = list(columns), group
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups) if group is None else [group]:
                for batch in file.iter_batches(rows, row_groups=[number], columns=names, use_threads=threads):
                    yield number, plain(pa.Table.from_batches([batch]).select(names))
    except (pa.ArrowException, OSError) as error:
        where = path if number is None else f"{path}, row group {number}:"
        raise ValueError(f"{where} cannot be read as Parquet: {error}") from error
