"""Tables written piece by piece; the file appears when it is whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from ..tables.files import DELIMITERS, suffix_of
from .errors import UsageError

__all__ = ["TableWriter", "check_target"]


def check_target(path: Path) -> None:
    """`path` can become a table.

    Raises:
        UsageError: its ending is none that can be written.
    """
    if not suffix_of(path):
        raise UsageError(f"--out must end in .parquet, .csv, .tsv or .txt, text also with .gz, got {path}")


class TableWriter:
    """Writes arrow tables of one schema to Parquet or text, by the ending; a failure leaves no file behind.

    Args:
        path: where to.
    """

    def __init__(self, path: Path) -> None:
        check_target(path)
        self.path, self.rows = path, 0
        self._part = path.with_name(f"{path.name}.part")
        self._write: Callable[[Any], None] | None = None
        self._closing = ExitStack()

    def write(self, table: Any) -> None:
        """Add rows.

        Raises:
            ValueError: lists, which text files have no way to write.
        """
        if self._write is None:
            self._write = self._open(table.schema)
        self._write(table)
        self.rows += table.num_rows

    def _open(self, schema: Any) -> Callable[[Any], None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if suffix_of(self.path) == ".parquet":
            import pyarrow.parquet as pq

            writer = pq.ParquetWriter(self._part, schema)
            self._closing.callback(writer.close)
            return lambda table: writer.write_table(table)
        return self._open_text(schema)

    def _open_text(self, schema: Any) -> Callable[[Any], None]:
        import polars as pl
        import pyarrow as pa

        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise ValueError(f"{self.path} cannot hold the lists of {nested}: write .parquet, or choose --columns")
        opener: Any = gzip.open if self.path.name.lower().endswith(".gz") else open
        sink = self._closing.enter_context(opener(self._part, "wb"))
        delimiter = DELIMITERS[suffix_of(self.path)]

        def write(table: Any) -> None:
            frame: Any = pl.from_arrow(table)
            frame.write_csv(sink, include_header=self.rows == 0, separator=delimiter)

        return write

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._closing.close()
        if kind is None and self._part.exists():
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)
