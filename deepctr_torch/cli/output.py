"""Tables written piece by piece; the file appears when it is whole."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

from ..tables.files import DELIMITERS, suffix_of
from .errors import UsageProblem

__all__ = ["TableWriter", "check_target"]


def check_target(path: Path) -> None:
    """`path` can become a table.

    Raises:
        UsageProblem: its ending is none that can be written.
    """
    if not suffix_of(path):
        raise UsageProblem(f"--out must end in .parquet, .csv, .tsv or .txt, text also with .gz, got {path}")


class TableWriter:
    """Writes arrow tables of one schema to Parquet or text, by the ending; a failure leaves no file behind.

    Args:
        path: where to.
    """

    def __init__(self, path: Path) -> None:
        check_target(path)
        self.path, self.rows = path, 0
        self._part = path.with_name(f"{path.name}.part")
        self._writer: Any = None
        self._sink: Any = None

    def write(self, table: Any) -> None:
        """Add rows.

        Raises:
            ValueError: lists, which text files have no way to write.
        """
        if self._writer is None:
            self._writer = self._open(table.schema)
        self._writer.write_table(table)
        self.rows += table.num_rows

    def _open(self, schema: Any) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq
        from pyarrow import csv

        self.path.parent.mkdir(parents=True, exist_ok=True)
        kind = suffix_of(self.path)
        if kind == ".parquet":
            return pq.ParquetWriter(self._part, schema)
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise ValueError(f"{self.path} cannot hold the lists of {nested}: write .parquet, or choose --columns")
        packed = self.path.name.lower().endswith(".gz")
        self._sink = pa.CompressedOutputStream(str(self._part), "gzip") if packed else pa.OSFile(str(self._part), "wb")
        options = csv.WriteOptions(delimiter=DELIMITERS[kind], quoting_style="needed")
        return csv.CSVWriter(self._sink, schema, write_options=options)

    def _close(self) -> None:
        for part in (self._writer, self._sink):
            if part is not None:
                part.close()
        self._writer = self._sink = None

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()
        if kind is None and self._part.exists():
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)
