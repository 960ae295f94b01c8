"""Raw tables of any kind, read as a stream of pyarrow tables: frames, dicts, CSV, TSV, Parquet, folders, globs.

Needs the extra `tables`.
"""

from __future__ import annotations

from .files import is_files, list_files
from .memory import row_count
from .read import Chunk, column_names, read_chunks
from .row_subset import RowSubset
from .types import common_types, typed

__all__ = [
    "Chunk",
    "RowSubset",
    "column_names",
    "common_types",
    "is_files",
    "list_files",
    "read_chunks",
    "row_count",
    "typed",
]
