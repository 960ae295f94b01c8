"""CSV and TSV files as streams of pyarrow tables whose types are settled before the first row is given out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .bad_rows import BadLine, BadRows, WithoutLines, bad_lines
from .files import DELIMITERS, delimiter_of, suffix_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

__all__ = ["MISSING_WORDS", "TextFormat", "TypeLike", "find_bad_rows", "text_columns", "text_tables", "text_types"]

TypeLike: TypeAlias = "pa.DataType | str"  # or its name: "string", "int64", "float64", ...

_BLOCK = 1 << 23  # bytes of text converted at a time: tens of thousands of rows of Criteo's width
_HINT = (
    ': if it means a missing value, name it in null, as null=("", "unknown"); if it is text, name its type in schema'
)
MISSING_WORDS = (  # of a column where all else is no text, as programs and people write them
    "-", "--", "?", "\\N", "#N/A", "N/A", "n/a", "NA", "na", "NaN", "nan", "NAN", "NULL", "null", "Null", "NONE",
    "None", "none",
)  # fmt: skip
_SAMPLE = 1 << 20  # bytes at the beginning of a file that types are inferred from


class TextFormat(NamedTuple):
    """The way text files are written; their ending says the rest."""

    header: Sequence[str] | None = None  # names of the columns, of files without a line of names
    null: Sequence[str] = ("",)  # fields that mean a missing value; among numbers and times `MISSING_WORDS` do, too
    bad: BadRows = BadRows()  # lines to leave out
    skip: bool = False  # leave lines of more or fewer fields out


def _open(
    path: Path, columns: Sequence[str], types: Mapping[str, TypeLike], written: TextFormat
) -> csv.CSVStreamingReader:
    """A streaming reader; every error names the file."""
    import pyarrow as pa
    from pyarrow import csv

    bad = written.bad.lines.get(str(path))
    try:
        return csv.open_csv(
            str(path) if bad is None else pa.PythonFile(WithoutLines(path, bad), mode="r"),
            **_options(path, written.header, written, columns, types, block_size=_BLOCK),
        )
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise _problem(path, error, lambda: _bad_lines(path, columns, types, written)) from error


def _options(
    path: Path,
    names: Sequence[str] | None,
    written: TextFormat,
    columns: Sequence[str] | None,
    types: Mapping[str, TypeLike] | None,
    **reading: Any,
) -> dict[str, Any]:
    """The options of pyarrow's readers."""
    from pyarrow import csv

    return {
        "read_options": csv.ReadOptions(column_names=None if names is None else list(names), **reading),
        "parse_options": csv.ParseOptions(
            delimiter=delimiter_of(path), invalid_row_handler=(lambda row: "skip") if written.skip else None
        ),
        "convert_options": csv.ConvertOptions(
            include_columns=list(columns) if columns else None,
            column_types=types,
            null_values=[*written.null, *MISSING_WORDS],
        ),
    }


def _problem(path: Path, error: Exception, bad_lines: Callable[[], Iterator[BadLine]] | None = None) -> Exception:
    """The error of a file, with the number of the first bad line if there is one."""
    import pyarrow as pa

    if isinstance(error, OSError) and error.errno is not None:  # such as a file that is not there
        return error
    bad = next(bad_lines(), None) if bad_lines is not None and isinstance(error, pa.ArrowInvalid) else None
    where, reason = (path, str(error)) if bad is None else (f"{path}, line {bad.line},", bad.reason)
    hint = _HINT if "conversion error" in reason and "UTF8" not in reason else ""
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            hint = ": it looks like UTF-16, and must be UTF-8"
    return ValueError(f"{where} must be a text table separated by {delimiter_of(path)!r}, got: {reason}{hint}")


def _schema(path: Path, written: TextFormat, columns: Sequence[str] | None = None) -> pa.Schema:
    """Names and types of the beginning of a file.

    It is read by this thread alone: arrow's threads would read on while the process ends, and abort it if they then
    have to let go of a Python function, such as that of the lines to skip.
    """
    import pyarrow as pa
    from pyarrow import csv

    text = b""
    with contextlib.closing(WithoutLines(path, written.bad.lines.get(str(path), ()))) as file:
        while len(text) < _SAMPLE and (block := file.read(_SAMPLE - len(text))):
            text += block
    lines = text if len(text) < _SAMPLE else text[: text.rfind(b"\n") + 1] or text
    options = _options(path, written.header, written, columns, None, use_threads=False, block_size=2 * _SAMPLE)
    return csv.read_csv(pa.BufferReader(lines), **options).schema


def text_columns(path: Path, header: Sequence[str] | None) -> list[str]:
    """The names in the first line, or `header`."""
    import pyarrow as pa

    try:
        names = list(_schema(path, TextFormat(header, skip=True)).names)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise _problem(path, error) from error
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
        try:
            found = _schema(path, written, rest)
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
            raise _problem(path, error, partial(_bad_lines, path, rest, None, written)) from error
        for name in rest:
            seen[name] = _join(seen.get(name, pa.null()), found.field(name).type)
    no_type = (pa.types.is_null, pa.types.is_binary)  # the latter of text that is not UTF-8
    types.update({name: pa.string() if any(is_(kind) for is_ in no_type) else kind for name, kind in seen.items()})
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
    """The tables of one file, one for each block of text.

    Raises:
        ValueError: a line that cannot be read; names the file and the line.
    """
    import pyarrow as pa

    reader = _open(path, columns, types, written)
    try:
        for batch in reader:
            yield pa.Table.from_batches([_without_null(batch, written.null)])
    except (pa.ArrowInvalid, OSError) as error:
        raise _problem(path, error, lambda: _bad_lines(path, columns, types, written)) from error
    finally:
        reader.close()


def _without_null(batch: pa.RecordBatch, null: Sequence[str]) -> pa.RecordBatch:
    """The rows with null for the fields of text that mean a missing value; other columns have it from the reader."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = batch.columns
    for i, column in enumerate(columns):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)) or not null:
            continue
        given = [pc.not_equal(column, word) if word else pc.greater(pc.binary_length(column), 0) for word in null]
        valid = reduce(pc.and_, given).buffers()[1]  # a bit a row, as arrow says what is valid: no text is copied
        columns[i] = pa.Array.from_buffers(column.type, len(column), [valid, *column.buffers()[1:]])
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _bad_lines(
    path: Path, columns: Sequence[str] | None, types: Mapping[str, TypeLike] | None, written: TextFormat
) -> Iterator[BadLine]:
    import pyarrow as pa
    from pyarrow import csv

    names = text_columns(path, written.header)
    options = _options(path, names, written, columns, types, block_size=2 * _BLOCK)

    def convert(text: bytes) -> None:
        csv.read_csv(pa.BufferReader(text), **options)

    return bad_lines(path, convert, named=written.header is None)


def find_bad_rows(
    paths: Sequence[Path], columns: Sequence[str], schema: Mapping[str, TypeLike], written: TextFormat
) -> BadRows:
    """Read text files once, and find the lines that are no rows.

    Such a line has more or fewer fields than there are names, is not UTF-8, or has a field of `columns` that is not of
    its type.

    Args:
        paths: the files; others than text files have no such lines.
        columns: whose types count.
        schema: column -> type; of others it is what fits the beginning of every file.
        written: the way the files are written.
    """
    import pyarrow as pa

    texts = [path for path in paths if suffix_of(path) in DELIMITERS]
    types = text_types(texts, columns, schema, written._replace(skip=True))
    lines = {}
    for path in texts:
        names = text_columns(path, written.header)
        of_file = {name: types.get(name, pa.string()) for name in names}
        lines[str(path)] = tuple(_bad_lines(path, names, of_file, written))
    return BadRows({path: found for path, found in lines.items() if found})
