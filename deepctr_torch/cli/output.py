"""What a command writes: never in the place of what it reads, and by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .._lock import file_lock
from .console import UsageError

__all__ = ["LOCK", "check_apart", "output_folder"]

LOCK = ".lock"


def check_apart(out: Path, files: Iterable[Path]) -> None:
    """Check that `out` is none of the files that are read, nor a folder around one, however it is spelled or linked."""
    if not out.exists():
        return
    inputs = list(files)
    places = {place: file for file in inputs for place in (*file.absolute().parents, *file.resolve().parents)}
    for place, file in {**places, **{file: file for file in inputs}}.items():
        if os.path.samefile(place, out):
            raise UsageError(f"--out must not be the place of its own input, got {out}, where {file} is: name another")


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """Make a folder and hold it against other processes that would write there; one that stays empty goes again."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with file_lock(out / LOCK):
            yield
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()
