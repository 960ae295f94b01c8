"""Raw tables of any kind, read as a stream of pyarrow tables: frames, dicts, CSV, TSV, Parquet, folders, globs.

Needs the extra `tables`.
"""

from __future__ import annotations

from .bad_rows import BadRows, check_on_bad_rows
from .files import PathsLike, is_files, list_files
from .memory import ColumnLike, TableLike, column_label, is_missing, library_of, row_count
from .read import Chunk, column_names, read_chunks, read_values, skipped_rows
from .rechunk import rechunk
from .row_subset import RowSubset
from .shards import Shard, list_shards, missing_columns, read_shard, shard_types
from .text import MISSING_WORDS, TextFormat, TypeLike
from .types import common_types, typed

__all__ = [
    "MISSING_WORDS",
    "BadRows",
    "Chunk",
    "ColumnLike",
    "PathsLike",
    "RowSubset",
    "Shard",
    "TableLike",
    "TextFormat",
    "TypeLike",
    "check_on_bad_rows",
    "column_label",
    "column_names",
    "common_types",
    "is_files",
    "is_missing",
    "library_of",
    "list_files",
    "list_shards",
    "missing_columns",
    "read_chunks",
    "read_shard",
    "read_values",
    "rechunk",
    "row_count",
    "shard_types",
    "skipped_rows",
    "typed",
]
