"""The files that a path, a folder, a glob or a list of them means, in a fixed order."""

from __future__ import annotations

import glob
import gzip
import re
import zlib
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

__all__ = ["DELIMITERS", "PathsLike", "delimiter_of", "is_files", "list_files", "suffix_of"]

PathsLike: TypeAlias = (
    "str | PathLike[str] | Sequence[str | PathLike[str]]"  # a file, a folder, a glob, or a list of them
)

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}  # of text files, by ending; each also with .gz after it
_OTHERS = (";", "\t", "|", ",")
_QUOTED = re.compile(r'"[^"]*"')
_LINE = 1 << 20
ENDINGS = (*DELIMITERS, *(f"{ending}.gz" for ending in DELIMITERS), ".parquet")


def is_files(data: object) -> TypeGuard[PathsLike]:
    """True if `data` names files rather than holding rows."""
    if isinstance(data, (str, PathLike)):
        return True
    return isinstance(data, (list, tuple)) and bool(data) and all(isinstance(d, (str, PathLike)) for d in data)


def suffix_of(path: Path) -> str:
    """The ending that says how to read a file, without `.gz`; "" if it is none of ours."""
    name = path.name.lower()
    found = next((e for e in sorted(ENDINGS, key=len, reverse=True) if name.endswith(e)), "")
    return found.removesuffix(".gz")


def delimiter_of(path: Path) -> str:
    """The separator of a text file: that of its ending, unless the first two lines have another instead.

    Such as semicolons in a .csv file: as many of them in both lines, outside of quotes, and none of the ending's.
    """
    usual = DELIMITERS[suffix_of(path)]
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            lines = [file.readline(_LINE) for _ in range(2)]
    except (OSError, EOFError, zlib.error):  # which the reader tells of
        return usual
    first, second = (_QUOTED.sub("", line.decode("utf-8", "replace")) for line in lines)
    counts = {other: first.count(other) for other in _OTHERS if first.count(other) == second.count(other)}
    return usual if usual in first else next((other for other, count in counts.items() if count), usual)


def list_files(data: PathsLike) -> list[Path]:
    """The files that `data` means.

    Args:
        data: a file, a folder (all files below it with a known ending, except those whose name starts with `.` or
            `_`), a glob (`**` for folders of any depth), or a list of these. Files of a folder or glob are sorted by
            path as text; the parts of a list keep their order.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: an ending that is not known, or a file named twice.
    """
    parts = [data] if isinstance(data, (str, PathLike)) else list(data)
    if not parts:
        raise ValueError("a list of files must name at least one, got an empty list")
    found = [file for part in parts for file in _expand(Path(fspath(part)))]
    for file in found:
        if not suffix_of(file):
            raise ValueError(f"files must end in one of {', '.join(ENDINGS)}, got {file}")
    twice = next((f for i, f in enumerate(found) if f in found[:i]), None) if len(set(found)) < len(found) else None
    if twice is not None:
        raise ValueError(f"each file must be named once, got {twice} twice")
    return found


def _expand(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = [p for p in path.rglob("*") if p.is_file() and suffix_of(p)]
        shown = [p for p in inside if not any(n.startswith((".", "_")) for n in p.relative_to(path).parts)]
        if not shown:
            raise FileNotFoundError(f"the folder {path} must hold files ending in one of {', '.join(ENDINGS)}")
        return sorted(shown, key=lambda p: p.as_posix())
    matches = [Path(p) for p in glob.glob(str(path), recursive=True)] if glob.has_magic(str(path)) else []
    files = [p for p in matches if p.is_file()]
    if not files:
        raise FileNotFoundError(f"there is no file, folder or glob match at {path}")
    return sorted(files, key=lambda p: p.as_posix())
