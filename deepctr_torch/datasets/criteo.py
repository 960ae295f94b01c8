"""The display advertising data of Criteo, as it is published."""

from __future__ import annotations

import gzip
import io
from collections.abc import Generator
from contextlib import closing
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from .._checks import check_at_least
from .._optional import needs

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CRITEO_COLUMNS", "read_criteo"]

_INTEGERS = ("label", *(f"I{i}" for i in range(1, 14)))
CRITEO_COLUMNS = (*_INTEGERS, *(f"C{i}" for i in range(1, 27)))
_CHUNK = 1 << 25  # bytes


def read_criteo(path: str | PathLike[str], rows: int | None = None) -> pl.DataFrame:
    """Read Criteo's `train.txt`: lines of label, 13 integers and 26 hexadecimal strings between tabs.

    Plain or gzip, told apart by the first bytes, not by the name. A missing value is an empty field.
    Needs the extra `tables`.

    Args:
        rows: read so many lines from the beginning; all of them unless given.

    Returns:
        A polars frame with label, I1 to I13 (Int64) and C1 to C26 (String); what is missing is null.
    """
    if rows is not None:
        check_at_least("rows", rows, 1)
    with needs("tables"):
        import polars as pl
    frames, line = [], 1
    with closing(_chunks(path)) as chunks:
        for chunk in chunks:
            text = chunk if rows is None else _head(chunk, rows + 1 - line)
            _check_fields(text, path, line)
            frames.append(_parse(text, path, line))
            line += len(frames[-1])
            if rows is not None and line > rows:
                break
    if not frames:
        raise ValueError(f"{path} must have at least one line, got an empty file")
    return pl.concat(frames)


def _open(path: str | PathLike[str]) -> BinaryIO:
    with open(path, "rb") as file:
        magic = file.read(2)
    return cast(BinaryIO, gzip.open(path, "rb")) if magic == b"\x1f\x8b" else open(path, "rb")


def _chunks(path: str | PathLike[str]) -> Generator[bytes, None, None]:
    """The file in pieces of whole lines, each ending with a newline and with no carriage return before it."""
    rest = b""
    with _open(path) as file:
        while piece := file.read(_CHUNK):
            text, newline, rest = (rest + piece).rpartition(b"\n")
            if newline:
                yield (text + newline).replace(b"\r\n", b"\n")
    if rest:
        yield (rest + b"\n").replace(b"\r\n", b"\n")


def _head(text: bytes, lines: int) -> bytes:
    """The first `lines` lines."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    return text[: ends[lines - 1] + 1] if lines <= len(ends) else text


def _check_fields(text: bytes, path: str | PathLike[str], line: int) -> None:
    """Check the number of fields of each line; `line` is the number of the first."""
    raw = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    tabs = np.searchsorted(np.flatnonzero(raw == ord("\t")), ends)  # before each end
    fields = np.diff(tabs, prepend=0) + 1
    wrong = np.flatnonzero(fields != len(CRITEO_COLUMNS))
    if len(wrong):
        where = f"line {line + wrong[0]} of {path}"
        raise ValueError(f"{where} must have {len(CRITEO_COLUMNS)} fields between tabs, got {fields[wrong[0]]}")


def _parse(text: bytes, path: str | PathLike[str], line: int) -> pl.DataFrame:
    import polars as pl

    frame = pl.read_csv(
        io.BytesIO(text),
        has_header=False,
        new_columns=list(CRITEO_COLUMNS),
        schema_overrides=[pl.String] * len(CRITEO_COLUMNS),
        separator="\t",
        quote_char=None,
    )
    numbers = frame.with_columns(pl.col(_INTEGERS).cast(pl.Int64, strict=False))
    for name in _INTEGERS:
        bad = numbers[name].is_null() & (frame[name].is_not_null() if name != "label" else True)
        if bad.any():
            row = int(bad.arg_max() or 0)
            where = f"{name} in line {line + row} of {path}"
            raise ValueError(f"{where} must be an integer, got {frame[name][row] or ''!r}")
    return numbers
