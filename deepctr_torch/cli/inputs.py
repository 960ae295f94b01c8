"""The files that a command reads: headers, missing values, Criteo's format."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..data import Files
from ..datasets.criteo import CRITEO_COLUMNS
from ..registry import suggest
from ..tables import BadRows, Chunk, TypeLike, column_names, list_files, read_chunks, skipped_rows
from ..tables.bad_rows import ON_BAD_ROWS
from ..tables.files import delimiter_of, suffix_of
from ..tables.parquet import group_sizes
from .console import UsageError

FORMATS = ("auto", "criteo", "table")
_CRITEO_LINE = re.compile(r"([01]\t)?(-?\d*\t){13}(([0-9a-f]{8})?\t){25}([0-9a-f]{8})?")
_SAMPLE = 1 << 20


class Reading(NamedTuple):
    """The way files are read: `--format` ("auto" is the same as None), `--header`, `--null` and `--on-bad-rows`."""

    layout: str | None = None
    header: Sequence[str] | None = None
    null: Sequence[str] | None = None
    on_bad_rows: str | None = None


@dataclass(frozen=True)
class InputFiles:
    """Files of one layout."""

    paths: list[str]  # files, folders or globs
    header: list[str] | None = None  # names of the columns of text files without a line of names
    null: list[str] = field(default_factory=lambda: [""])  # fields of text files that mean a missing value
    on_bad_rows: str = "raise"
    bad: BadRows = field(default_factory=BadRows)  # the lines to leave out

    @property
    def files(self) -> list[Path]:
        return list_files(self.paths)

    @property
    def options(self) -> dict[str, Any]:
        """As `read_chunks`, `Files` and `FeatureEncoder` take them."""
        return {"header": self.header, "null": self.null, "on_bad_rows": self.bad}

    def skipping(self, columns: Sequence[str], schema: Mapping[str, TypeLike]) -> InputFiles:
        """Return the files without lines that cannot be read, if these shall be skipped; warns of their number.

        Args:
            columns: whose types count; none for lines of too few or too many fields alone.
            schema: column -> type.
        """
        found = skipped_rows(self.paths, columns, schema, self.on_bad_rows, self.header, self.null)
        return replace(self, bad=found.warn() if columns else found)

    @property
    def columns(self) -> list[str]:
        return column_names(self.paths, header=self.header)

    def check(self, wanted: Sequence[str], what: str) -> None:
        """Check that columns are there."""
        there = self.columns
        for name in wanted:
            if name not in there:
                raise ValueError(f"{self.files[0]} has no column {name!r} ({what}): {suggest(name, there)}")

    def are_text(self) -> bool:
        """Say whether all files are text."""
        return all(suffix_of(path) != ".parquet" for path in self.files)

    def strings(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield chunks of these columns; those of text files as strings, just as they stand there."""
        return read_chunks(self.paths, columns, schema=dict.fromkeys(columns, "string"), **self.options)

    def dataset(self, label: Sequence[str], weight: str | None, text: Sequence[str] = ()) -> Files:
        """Return the files as estimators take them; columns of `text` that are neither are strings in text files."""
        types = {name: "string" for name in text if name not in (*label, weight)} or None
        one = label[0] if len(label) == 1 else list(label)
        how = {**self.options, "on_bad_rows": self.on_bad_rows}
        return Files(self.paths, label=one, weight=weight, schema=types, **how)

    def estimate_rows(self) -> int | None:
        """Return about how many rows there are: exact for Parquet, from size and first lines for text; None for 0."""
        return sum(_rows_of(path, self.header is None) for path in self.files) or None


def input_files(paths: Sequence[str], reading: Reading = Reading()) -> InputFiles:  # noqa: B008  # never changed
    """Return the files; Criteo's lines are known by their looks."""
    layout, header, null, on_bad_rows = reading
    if layout not in (None, *FORMATS):
        raise UsageError(f"unknown --format {layout!r}: {suggest(str(layout), FORMATS)}")
    if layout == "criteo" and header:
        raise UsageError("--format criteo knows the names of the columns: leave --header out")
    on_bad_rows = on_bad_rows or "raise"
    if on_bad_rows not in ON_BAD_ROWS:
        raise UsageError(f"unknown --on-bad-rows {on_bad_rows!r}: {suggest(on_bad_rows, ON_BAD_ROWS)}")
    nulls = list(dict.fromkeys(["", *(null or [])]))
    found = InputFiles(list(paths), list(header) if header else None, nulls, on_bad_rows)
    texts = [path for path in found.files if suffix_of(path) != ".parquet"]
    if header or layout == "table" or not texts:
        return found.skipping([], {})
    line = first_line(texts[0])
    if layout == "criteo" or _CRITEO_LINE.fullmatch(line):
        unlabelled = len(line.split("\t")) == len(CRITEO_COLUMNS) - 1  # to be scored
        names = CRITEO_COLUMNS[1:] if unlabelled else CRITEO_COLUMNS
        found = replace(found, header=list(names))
    return found.skipping([], {})


def _beginning(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a text file, and how many bytes of the file, which may be packed, hold them."""
    with open(path, "rb") as raw:
        packed = path.name.lower().endswith(".gz")
        file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
        return file.read(_SAMPLE), raw.tell()


def first_line(path: Path) -> str:
    """Return the first line of a text file, without its end."""
    return _beginning(path)[0].partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")


def column_count(path: Path) -> int:
    """Return how many fields the first line of a text file has."""
    return len(first_line(path).split(delimiter_of(path)))


def _rows_of(path: Path, named: bool) -> int:
    if suffix_of(path) == ".parquet":
        return sum(group_sizes(path))
    sample, used = _beginning(path)
    lines = sample.count(b"\n")
    if len(sample) < _SAMPLE:
        rows = lines + (not sample.endswith(b"\n") and bool(sample))
    else:
        rows = round(lines * path.stat().st_size / used)
    return int(max(rows - named, 0))
