"""`read_chunks`: any table, in memory or in files, as a stream of chunks in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import check_at_least
from .._optional import needs
from .bad_rows import BadRows, check_on_bad_rows
from .files import PathsLike, is_files, list_files
from .memory import TableLike, memory_columns, memory_tables, memory_values
from .parquet import is_parquet, parquet_schema, parquet_tables
from .text import TextFormat, TypeLike, find_bad_rows, text_columns, text_tables, text_types

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "column_names", "read_chunks", "read_values", "skipped_rows"]


class Chunk(NamedTuple):
    """Consecutive rows of a table.

    Attributes:
        table: the rows, a `pyarrow.Table`.
        file: path of the file they are from; "" for rows in memory.
        group: row group (Parquet) or number of the block in the file or table.
        first_row: number of the first row in the file or table, from 0.
    """

    table: pa.Table
    file: str
    group: int
    first_row: int

    def where(self, row: int) -> str:
        """The place of row `row` of the chunk, for messages."""
        return f"row {self.first_row + row}" + (f" of {self.file}" if self.file else "")


def column_names(data: TableLike | PathsLike, *, header: Sequence[str] | None = None) -> list[str]:
    """Names of the columns of `data`; of several files, those of the first."""
    if not is_files(data):
        return memory_columns(data)
    return _file_columns(list_files(data)[0], header)


def _file_columns(path: Path, header: Sequence[str] | None) -> list[str]:
    return list(parquet_schema(path).names) if is_parquet(path) else text_columns(path, header)


def read_chunks(
    data: TableLike | PathsLike,
    columns: Sequence[str] | None = None,
    rows: int = 65_536,
    *,
    schema: Mapping[str, TypeLike] | None = None,
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
    keep_nan: bool = False,
    on_bad_rows: str | BadRows = "raise",
) -> Iterator[Chunk]:
    """The rows of `data` in chunks, always in the same order; no more than a chunk or a row group is in memory.

    Files come in the order of `list_files`, their row groups or blocks as they lie in the file. What is missing is
    null: None, NaN in pandas and numpy columns, an empty field of text.

    Types of Parquet and of tables in memory are kept (categoricals become their values; a column of Python objects of
    several types becomes text). Types of CSV and TSV files are those of `schema`, else what fits the first MiB of every
    file: integers and floats together are floats, other types that differ are strings.

    Args:
        data: a pandas or polars frame, a pyarrow table, a dict of arrays, or a file, a folder, a glob, or a list of
            these. Files end in .csv (commas), .tsv or .txt (tabs), each also with .gz, or .parquet. Text with another
            separator in its first two lines than the ending says is read with that.
        columns: which to read, in this order; all those of the first file unless given.
        rows: at most so many in a chunk.
        schema: column -> pyarrow type or its name ("string", "int64", "float64", ...), for text files.
        header: names of all columns, for text files without a line of names.
        null: fields of text files that mean a missing value.
        keep_nan: NaN in float columns of pandas and numpy stays NaN, which costs no copy.
        on_bad_rows: "skip" reads text files once before, leaves lines out that have more or fewer fields than there are
            names, are not UTF-8, or have a field that is not of its type, and warns of their number.

    >>> chunks = list(read_chunks({"user": [7, 8, None], "city": ["a", None, "b"]}, rows=2))
    >>> [(c.first_row, c.table.num_rows) for c in chunks]
    [(0, 2), (2, 1)]

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a file cannot be read, or a field does not have its type; names the file.
        TypeError: `data` is no table.
    """
    check_at_least("rows", rows, 1)
    check_on_bad_rows(on_bad_rows)
    types = _types(schema or {})
    if not is_files(data):
        return _from_memory(data, _wanted(memory_columns(data), columns, "the table"), rows, keep_nan)
    paths = list_files(data)
    names = _wanted(_file_columns(paths[0], header), columns, str(paths[0]))
    for path in paths[1:]:
        _wanted(_file_columns(path, header), names, str(path))
    bad = skipped_rows(paths, names, types, on_bad_rows, header, null)
    if on_bad_rows == "skip":
        bad.warn()
    return _from_files(paths, names, rows, types, TextFormat(header, null, bad))


def skipped_rows(
    paths: PathsLike,
    columns: Sequence[str],
    schema: Mapping[str, TypeLike],
    on_bad_rows: str | BadRows,
    header: Sequence[str] | None,
    null: Sequence[str],
) -> BadRows:
    """Return the lines of files that readers leave out; "skip" says to look for them."""
    if isinstance(on_bad_rows, BadRows):
        return on_bad_rows
    if on_bad_rows == "raise":
        return BadRows()
    return find_bad_rows(list_files(paths), columns, schema, TextFormat(header, null))


def read_values(data: TableLike, columns: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The columns of a table in memory as Python values, for few rows: a chunk costs several calls a column.

    None, NaN or pandas' NA is missing. Values that Python has no type for stay those of the table's library.

    Raises:
        ValueError: a column is missing, or columns differ in length.
    """
    return memory_values(data, _wanted(memory_columns(data), columns, "the table"))


def _types(schema: Mapping[str, TypeLike]) -> dict[str, pa.DataType]:
    with needs("tables"):
        import pyarrow as pa
    types = {}
    for name, kind in schema.items():
        try:
            types[name] = pa.type_for_alias(kind) if isinstance(kind, str) else kind
        except ValueError:
            raise ValueError(f"the type of {name!r} must be one of pyarrow's, got {kind!r}") from None
    return types


def _wanted(there: Sequence[str], columns: Sequence[str] | None, where: str) -> list[str]:
    if columns is None:
        return list(there)
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got the string {columns!r}")
    missing = [name for name in columns if name not in set(there)]
    if missing:
        raise ValueError(f"{where} lacks {missing}; it has {list(there)}")
    return list(columns)


def _from_memory(data: TableLike, columns: Sequence[str], rows: int, keep_nan: bool) -> Iterator[Chunk]:
    first = 0
    for block, table in enumerate(memory_tables(data, columns, rows, keep_nan)):
        yield Chunk(table, "", block, first)
        first += table.num_rows


def _from_files(
    paths: Sequence[Path], columns: Sequence[str], rows: int, schema: Mapping[str, pa.DataType], written: TextFormat
) -> Iterator[Chunk]:
    types = text_types(paths, columns, schema, written)
    for path in paths:
        first = 0
        tables = (
            parquet_tables(path, columns, rows)
            if is_parquet(path)
            else enumerate(text_tables(path, columns, types, written))
        )
        for group, table in tables:
            for start in range(0, table.num_rows, rows):
                yield Chunk(table.slice(start, rows), str(path), group, first + start)
            first += table.num_rows
