"""Lines of text files that are no rows of the table: which they are, and files without them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import check_choice

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ON_BAD_ROWS", "BadLine", "BadRows", "WithoutLines", "bad_lines", "check_on_bad_rows", "text_stream"]

ON_BAD_ROWS = ("raise", "skip")
_BLOCK = 1 << 23  # bytes converted at a time


class BadLine(NamedTuple):
    """A line that cannot be read."""

    line: int  # its number in the file, from 1
    start: int  # its place in the text, in bytes
    stop: int
    reason: str


@dataclass(frozen=True)
class BadRows:
    """The lines to leave out."""

    lines: Mapping[str, tuple[BadLine, ...]] = field(default_factory=dict)  # by path, where there are any

    def __len__(self) -> int:
        return sum(map(len, self.lines.values()))

    def warn(self) -> BadRows:
        """Say how many there are, if there are any; returns these."""
        if self:
            warnings.warn(str(self), UserWarning, stacklevel=3)
        return self

    def __str__(self) -> str:
        path, lines = next(iter(self.lines.items()))
        more = f", and of {len(self.lines) - 1} more files" if len(self.lines) > 1 else ""
        return (
            f"{len(self):,} bad rows are skipped, of {path}{more}; the first is line {lines[0].line}: {lines[0].reason}"
        )


def check_on_bad_rows(value: object) -> None:
    """Check that it is "raise", "skip", or what was found of the rows to skip."""
    if not isinstance(value, BadRows):
        check_choice("on_bad_rows", value, ON_BAD_ROWS)


def text_stream(path: Path) -> pa.NativeFile:
    """The text of a file, unpacked."""
    import pyarrow as pa

    return pa.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)


def bad_lines(path: Path, convert: Callable[[bytes], object], named: bool) -> Iterator[BadLine]:
    """Find the lines of a file that cannot be read, block by block, in a broken block by halving it.

    Args:
        path: the file.
        convert: reads whole lines; raises `pa.ArrowInvalid` where one of them is bad.
        named: the first line holds names.
    """
    import pyarrow as pa

    number, at, rest = 1, 0, b""
    with text_stream(path) as file:
        while block := rest + file.read(_BLOCK):
            end = block.rfind(b"\n") + 1 if len(block) > len(rest) else len(block)
            block, rest = block[:end], block[end:]
            if named and at == 0 and end:
                first = block.find(b"\n") + 1 or end
                number, at, block = 2, first, block[first:]
            if not block and not end:
                continue
            try:
                convert(block)
                number += block.count(b"\n")
            except pa.ArrowInvalid:
                lines = block.splitlines(keepends=True)
                yield from _halved(lines, number, at, convert)
                number += len(lines)
            at += len(block)


def _halved(lines: list[bytes], number: int, at: int, convert: Callable[[bytes], object]) -> Iterator[BadLine]:
    import pyarrow as pa

    text = b"".join(lines)
    if not text.strip(b"\r\n"):
        return
    try:
        convert(text)
    except pa.ArrowInvalid as error:
        if len(lines) == 1:
            reason = str(error).replace("Row #1: ", "").replace("CSV parse error: ", "").strip()
            yield BadLine(number, at, at + len(text), reason)
            return
        half = len(lines) // 2
        yield from _halved(lines[:half], number, at, convert)
        yield from _halved(lines[half:], number + half, at + sum(map(len, lines[:half])), convert)


class WithoutLines:
    """The text of a file without some lines, to be read as a file."""

    closed = False

    def __init__(self, path: Path, lines: tuple[BadLine, ...]) -> None:
        self._file: Any = text_stream(path)
        self._left, self._at = list(lines[::-1]), 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end."""
        while self._left and self._left[-1].start == self._at:
            line = self._left.pop()
            self._file.read(line.stop - line.start)
            self._at = line.stop
        block: bytes = self._file.read(min(size, self._left[-1].start - self._at) if self._left else size)
        self._at += len(block)
        return block

    def close(self) -> None:
        self._file.close()
        self.closed = True
