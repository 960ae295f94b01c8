"""CSV and TSV files as streams of pyarrow tables whose types are settled before the first row is given out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .files import DELIMITERS, suffix_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

__all__ = ["TextFormat", "TypeLike", "text_columns", "text_tables", "text_types"]

TypeLike: TypeAlias = "pa.DataType | str"  # or its name: "string", "int64", "float64", ...

_BLOCK = 1 << 23  # bytes of text converted at a time: tens of thousands of rows of Criteo's width
_HINT = ': if it means a missing value, name it in null, as null=("", "NA"); if it is text, name its type in schema'
_SAMPLE = 1 << 20  # bytes at the beginning of a file that types are inferred from


class TextFormat(NamedTuple):
    """The way text files are written; their ending says the rest."""

    header: Sequence[str] | None = None  # names of the columns, of files without a line of names
    null: Sequence[str] = ("",)  # fields that mean a missing value


def _open(
    path: Path,
    written: TextFormat,
    block: int,
    columns: list[str] | None = None,
    types: Mapping[str, TypeLike] | None = None,
    threads: bool = True,
) -> csv.CSVStreamingReader:
    """A streaming reader; every error names the file."""
    import pyarrow as pa
    from pyarrow import csv

    names = None if written.header is None else list(written.header)
    convert = csv.ConvertOptions(
        include_columns=columns or None, column_types=types, null_values=list(written.null), strings_can_be_null=True
    )
    try:
        return csv.open_csv(
            str(path),
            read_options=csv.ReadOptions(block_size=block, column_names=names, use_threads=threads),
            parse_options=csv.ParseOptions(delimiter=DELIMITERS[suffix_of(path)]),
            convert_options=convert,
        )
    except pa.ArrowInvalid as error:
        raise _problem(path, error) from error


def _problem(path: Path, error: Exception) -> ValueError:
    hint = _HINT if "conversion error" in str(error) else ""
    return ValueError(f"{path} must be a text table separated by {DELIMITERS[suffix_of(path)]!r}, got: {error}{hint}")


def text_columns(path: Path, header: Sequence[str] | None) -> list[str]:
    """The names in the first line, or `header`."""
    names = list(_open(path, TextFormat(header), _SAMPLE).schema.names)
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} must have columns of different names, got {twice!r} twice")
    return names


def text_types(
    paths: Sequence[Path], columns: Sequence[str], schema: Mapping[str, TypeLike], written: TextFormat
) -> dict[str, pa.DataType]:
    """Column -> arrow type, the same for all text files among `paths`; empty if there is none.

    A type that `schema` names holds. Any other is what fits the beginning of every file: integers and floats are
    floats, other types that differ are strings, and so is a column without a value.
    """
    texts = [path for path in paths if suffix_of(path) in DELIMITERS]
    types = {name: schema[name] for name in columns if name in schema} if texts else {}
    rest = [name for name in columns if name not in schema]
    if not rest or not texts:
        return types
    import pyarrow as pa

    seen: dict[str, pa.DataType] = {}
    for path in texts:
        found = _open(path, written, _SAMPLE, rest).schema
        for name in rest:
            seen[name] = _join(seen.get(name, pa.null()), found.field(name).type)
    types.update({name: pa.string() if pa.types.is_null(kind) else kind for name, kind in seen.items()})
    return types


def _join(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    numbers = all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in (a, b))
    return pa.float64() if numbers else pa.string()


def text_tables(
    path: Path, columns: Sequence[str], types: Mapping[str, TypeLike], written: TextFormat
) -> Iterator[pa.Table]:
    """The tables of one file, one for each block of text."""
    try:
        yield from _read(path, list(columns), dict(types), written)
    except ValueError as error:
        if "conversion error" in str(error):  # once more, row by row, for an error that names the row
            for _ in _read(path, list(columns), dict(types), written, threads=False):
                pass
        raise


def _read(
    path: Path, columns: list[str], types: dict[str, TypeLike], written: TextFormat, threads: bool = True
) -> Iterator[pa.Table]:
    import pyarrow as pa

    reader = _open(path, written, _BLOCK, columns=columns, types=types, threads=threads)
    try:
        for batch in reader:
            yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise _problem(path, error) from error
    finally:
        reader.close()
