"""One type for each column, whatever the files of a table make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._optional import needs
from .bad_rows import BadRows
from .files import PathsLike, is_files, list_files
from .memory import TableLike
from .parquet import is_parquet, parquet_schema
from .read import Chunk
from .text import TextFormat, TypeLike, text_types

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["common_types", "typed"]


def common_types(
    data: TableLike | PathsLike,
    columns: Sequence[str],
    *,
    schema: Mapping[str, TypeLike] | None = None,
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
    on_bad_rows: str | BadRows = "raise",
) -> dict[str, pa.DataType]:
    """Column -> the arrow type that holds its values of all files; empty for rows in memory.

    Integers of one file and floats of another are floats, nothing but missing values is of any type. Reads names and
    types, no rows of Parquet files. Arguments as `read_chunks` takes them.

    Raises:
        ValueError: a column whose types have none in common; names the column and two files.
    """
    with needs("tables"):
        import pyarrow as pa

    if not is_files(data) or not columns:
        return {}
    paths = list_files(data)
    of_text = text_types(paths, columns, schema or {}, TextFormat(header, null, skip=on_bad_rows != "raise"))
    found: dict[str, pa.DataType] = {}
    first: dict[str, Path] = {}  # a file that has the type found so far
    for path in paths:
        own = {field.name: field.type for field in parquet_schema(path)} if is_parquet(path) else of_text
        for name in columns:
            kind = pa.type_for_alias(own[name]) if isinstance(own[name], str) else own[name]
            before = found.get(name, kind)
            schemas = [pa.schema([(name, one)]) for one in (before, kind)]
            try:
                found[name] = pa.unify_schemas(schemas, promote_options="permissive").field(name).type
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                raise ValueError(
                    f"column {name!r} must be of one type, got {before} in {first[name]} and {kind} in {path}"
                ) from None
            first.setdefault(name, path)
            if found[name] != before:
                first[name] = path
    return found


def typed(chunk: Chunk, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    """These columns of a chunk, of the types that `common_types` found, if no value changes by it."""
    import pyarrow as pa

    table = chunk.table.select(list(columns))
    for i, name in enumerate(columns):
        kind = types.get(name, table.schema.field(i).type)
        if table.schema.field(i).type == kind:
            continue
        try:
            table = table.set_column(i, name, table.column(i).cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(
                f"column {name!r} must be {kind}, as in other files, got in {chunk.file}: {error}"
            ) from error
    return table
