"""The first rows of a table, for `infer` to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from ..tables import RowSubset, is_files, read_chunks
from .parallel import is_text

__all__ = ["sample"]


def sample(data: Any, columns: Sequence[str], rows: int, *, part: RowSubset | None = None, **options: Any) -> Any:
    """The first `rows` rows as one pyarrow table.

    Columns of text files are read as strings and get the type that fits all these rows: what looks like numbers at the
    beginning of a file may go on as text.

    Args:
        data: what `read_chunks` takes.
        columns: which to read.
        rows: how many.
        part: the rows to read, if not all.
        options: `schema`, `header`, `null` of `read_chunks`.
    """
    import pyarrow as pa

    given = options.pop("schema", None) or {}
    schema = {**(dict.fromkeys(columns, "string") if is_files(data) else {}), **given}
    tables: list[Any] = []
    texts: list[Any] = []
    left = rows
    for chunk in read_chunks(data, columns, schema=schema, **options):
        table = (chunk if part is None else part.take(chunk)).table.slice(0, left)
        (texts if is_text(chunk) else tables).append(table)
        left -= table.num_rows
        if left <= 0:
            break
    if texts:
        tables.append(_retyped(pa.concat_tables(texts), [name for name in columns if name not in given]))
    if not tables:
        raise ValueError("data to infer kinds from must have at least one row, got none")
    return pa.concat_tables(tables, promote_options="permissive")


def _retyped(table: Any, columns: Sequence[str]) -> Any:
    """Columns of strings as what a reader of text files makes of them."""
    import pyarrow as pa
    from pyarrow import csv

    for name in columns:
        if not table.num_rows:
            break
        text = io.BytesIO()
        csv.write_csv(table.select([name]), text)
        read = csv.read_csv(
            pa.py_buffer(text.getvalue()),
            csv.ReadOptions(block_size=text.tell() + 1, use_threads=False),
            csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False),
        )
        table = table.set_column(table.column_names.index(name), name, read.column(0))
    return table
