"""A lock between processes that the operating system takes back when its owner ends, however that happens."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock inside the block; it is a file, made here and taken away at the end.

    A file system that knows no locks (some network shares) is written without one.

    Args:
        path: the file, in a folder that is there.

    Raises:
        BlockingIOError: another process (or another block of this one) holds it.
    """
    file = _locked(path)
    try:
        yield
    finally:
        if sys.platform == "win32":  # a file that is open cannot be taken away there
            os.close(file)
        with suppress(OSError):
            path.unlink()
        if sys.platform != "win32":
            os.close(file)


def _locked(path: Path) -> int:
    """The open file, locked, and still the one at `path`: its last owner may have taken it away in between."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
            there = path.stat()
        except FileNotFoundError:
            os.close(file)
            continue
        except OSError as error:
            os.close(file)
            if error.errno in _HELD:
                raise BlockingIOError(f"another process is writing here, and holds {path}: wait for its end") from error
            raise
        if os.path.samestat(there, os.fstat(file)):
            return file
        os.close(file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise
