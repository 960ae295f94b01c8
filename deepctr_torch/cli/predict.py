"""`predict`: files in, the same rows with scores out, one chunk after the other."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .._lock import file_lock
from ..encoding.arrow_columns import without_words
from ..tables import Chunk, common_types, read_chunks, typed
from ..tables.files import DELIMITERS, suffix_of
from ..tables.text import TextFormat, text_types
from .console import Progress, UsageError, print_facts, print_json
from .inputs import InputFiles, Reading, input_files
from .output import check_apart
from .run_config import load_run, reading_of

if TYPE_CHECKING:
    from ..estimators.base import CTREstimator


def predict(
    run: Path, files: Sequence[str], out: Path, columns: Sequence[str] | None, reading: Reading, as_json: bool
) -> None:
    """Write the scores, behind these columns of the files (None: all)."""
    check_target(out)
    estimator = load_run(run)
    found = input_files(files, reading_of(run, reading, files))
    check_apart(out, found.files)
    found.check(estimator.encoder_.serving_inputs, "a feature of the model")
    found = found.skipping(estimator.encoder_.serving_inputs, estimator.encoder_.schema())
    kept = found.columns if columns is None else list(columns)
    found.check(kept, "to be written")
    names = _score_names(estimator)
    twice = [name for name in names if name in kept]
    if twice:
        raise ValueError(f"the files have a column {twice[0]!r} already: leave it out with --columns")
    begin = time.perf_counter()
    with Progress(not as_json) as progress, TableWriter(out) as writer:
        progress.begin("predicting", found.estimate_rows())
        for table in _predicted(estimator, found, kept, names, keep_text=out.suffix != ".parquet"):
            writer.write(table)
            progress.advance(table.num_rows)
        if not writer.rows:
            raise ValueError(f"{found.files[0]} must hold at least one row, got none")
    seconds = time.perf_counter() - begin
    result = {"rows": writer.rows, "out": str(out), "seconds": seconds, "rows_per_s": writer.rows / seconds}
    if as_json:
        print_json({**result, "columns": [*kept, *names]})
    else:
        print_facts({"wrote": f"{out}: {writer.rows:,} rows, {result['rows_per_s']:,.0f} a second", "scores": names})


def _score_names(estimator: CTREstimator) -> list[str]:
    """The names of the columns of the scores."""
    names = list(estimator.labels_)
    if len(names) > 1:
        return [f"prediction_{name}" for name in names]
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) > 2:
        return [f"prediction_{value}" for value in classes]
    return ["prediction"]


def _predicted(
    estimator: CTREstimator, found: InputFiles, kept: Sequence[str], names: Sequence[str], keep_text: bool
) -> Iterator[pa.Table]:
    """The kept columns and the scores, a table for each block."""
    columns = list(dict.fromkeys([*estimator.encoder_.serving_inputs, *kept]))
    text = found.are_text()
    written = TextFormat(found.header, found.null, found.bad)
    types = text_types(found.files, kept, {}, written) if text and not keep_text else {}
    chunks = found.strings(columns) if text else read_chunks(found.paths, columns, **found.options)
    common = {} if text else common_types(found.paths, kept, **found.options)

    def keep(chunk: Chunk) -> pa.Table:
        return typed(chunk, kept, common)

    for table, scores in estimator.predict_chunks(chunks, keep):
        for i, name in enumerate(kept):
            if name in types and types[name] != table.schema.field(i).type:
                table = table.set_column(i, name, _cast(table.column(i), types[name], name))
        for name, column in zip(names, scores.T, strict=True):
            table = table.append_column(name, pa.array(column))
        yield table


def _cast(column: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.ChunkedArray:
    """Text as what the beginning of the files shows it to be."""
    try:
        return column.cast(kind) if pa.types.is_string(kind) else without_words(column.cast("large_string")).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{name!r} looked like {kind} at the beginning of the files, but: {error}; write .csv, where text stays as "
            "it is, or choose --columns"
        ) from error


def check_target(path: Path) -> None:
    """Check that `path` has the ending of a table that can be written."""
    if not suffix_of(path):
        raise UsageError(f"--out must end in .parquet, .csv, .tsv or .txt, text also with .gz, got {path}")


class TableWriter:
    """Writes arrow tables of one schema to Parquet or text, by the ending; a failure leaves no file behind."""

    def __init__(self, path: Path) -> None:
        check_target(path)
        self.path, self.rows = path, 0
        self._part = path.with_name(f"{path.name}.part")
        self._write: Callable[[pa.Table], None] | None = None
        self._closing, self._lock = ExitStack(), ExitStack()  # of the file, of its place

    def write(self, table: pa.Table) -> None:
        """Add rows; lists only to Parquet, as text files have no way to write them."""
        if self._write is None:
            self._write = self._open(table.schema)
        self._write(table)
        self.rows += table.num_rows

    def _open(self, schema: pa.Schema) -> Callable[[pa.Table], None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock.enter_context(file_lock(self.path.with_name(f".{self.path.name}.lock")))
        self._lock.callback(self._part.unlink, missing_ok=True)
        if suffix_of(self.path) == ".parquet":
            import pyarrow.parquet as pq

            writer = self._closing.enter_context(pq.ParquetWriter(self._part, schema))
            return lambda table: writer.write_table(table)
        return self._open_text(schema)

    def _open_text(self, schema: pa.Schema) -> Callable[[pa.Table], None]:
        import polars as pl

        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise ValueError(f"{self.path} cannot hold the lists of {nested}: write .parquet, or choose --columns")
        opener: Any = gzip.open if self.path.name.lower().endswith(".gz") else open
        sink = self._closing.enter_context(opener(self._part, "wb"))
        delimiter = DELIMITERS[suffix_of(self.path)]

        def write(table: pa.Table) -> None:
            frame = pl.DataFrame(pl.from_arrow(table))
            frame.columns = table.column_names  # which polars gives to one without a name
            frame.write_csv(sink, include_header=self.rows == 0, separator=delimiter)

        return write

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._lock:  # given back last
            self._closing.close()
            if kind is None and self._part.exists():
                os.replace(self._part, self.path)
