"""Files that are there whole or not at all: written beside their place, checksummed, and put there at the end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ._json_files import check_plain_file, read_json, write_json
from ._lock import file_lock

__all__ = ["CHECKSUMS", "check_files", "flush", "replaced", "replaced_files", "write_checksums"]

CHECKSUMS = "checksums.json"
FORMAT = 1
_PART, _LOCK = ".saving", ".saving.lock"
_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; at the end of the block the file there takes its place.

    A failure leaves what was at `path`, and nothing beside it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        flush(part)
        os.replace(part, path)
        flush(path.parent)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


@contextmanager
def replaced_files(folder: Path) -> Iterator[Path]:
    """Give a folder to write files to; at the end of the block they take their places in `folder`, with checksums.

    A failure inside the block leaves `folder` as it was. The new checksums take their place first: a process that ends
    between two files leaves a folder that `check_files` refuses. Folders inside lose files that are not written again.

    Raises:
        BlockingIOError: another process is writing there.
        OSError: the files cannot be written.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with file_lock(folder / _LOCK):
            part = folder / _PART
            if part.exists() or part.is_symlink():  # of a process that was ended
                shutil.rmtree(part)
            part.mkdir()
            try:
                yield part
                _put(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except BaseException as error:
        if made:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            reason = error.strerror or error
            raise OSError(error.errno, f"cannot be saved, and is as it was before: {reason}", str(folder)) from error
        raise


def _put(part: Path, folder: Path) -> None:
    """Move all files of `part` to their places in `folder`."""
    names = _names(part)
    places = {folder / name for name in names}
    inner = [folder / path.name for path in part.iterdir() if path.is_dir()]
    for place in inner:
        if place.is_symlink():
            raise ValueError(f"{place} must be a folder, got a symbolic link")
        place.mkdir(exist_ok=True)
    old = [file for place in inner for file in place.iterdir() if file.is_file() and file not in places]
    known = _listed(folder) if (folder / CHECKSUMS).exists() else {}
    gone = {file.relative_to(folder).as_posix() for file in old}
    kept = {name: about for name, about in known.items() if name not in gone and (folder / name).is_file()}
    write_checksums(part, kept)
    for name in (CHECKSUMS, *names):
        flush(part / name)
    for name in (CHECKSUMS, *names):
        os.replace(part / name, folder / name)
    for file in old:
        file.unlink()
    for place in (*inner, folder):
        flush(place)


def _names(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.startswith("."))


def flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    if os.name != "posix" and path.is_dir():  # a folder cannot be opened there
        return
    file = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_checksums(folder: Path, others: dict[str, Any] | None = None) -> None:
    """Write the sizes and SHA-256 sums of all files of a folder into its `checksums.json`; `others` are kept in it."""
    own = {name: _summed(folder / name) for name in _names(folder) if name != CHECKSUMS}
    files = {**(others or {}), **own}
    write_json(folder / CHECKSUMS, {"format": FORMAT, "files": files, "sha256": _sum_of(files)})


def _sum_of(files: object) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _summed(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def _listed(folder: Path) -> dict[str, Any]:
    """Name -> size and sum of each file that `checksums.json` lists."""
    path = folder / CHECKSUMS
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{path} must be of format {FORMAT}, got {content.get('format')!r}: written by a newer version"
        )
    files = content.get("files")
    if content.get("sha256") != _sum_of(files):
        raise ValueError(f"{path} must be as it was saved, but its own checksum differs: it is broken or changed")
    if not isinstance(files, dict) or not all(_NAME.fullmatch(name) for name in files):
        raise ValueError(f"{path} must list files of its folder, got others")
    return files


def check_files(folder: Path, *names: str) -> None:
    """Check files of a saved folder against its checksums; a folder of an older version, without, is not checked.

    Args:
        folder: with a `checksums.json`.
        names: of the files, in it or not; one that ends in "/" is of a folder.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not what was saved, or is a symbolic link; names it.
    """
    if not (folder / CHECKSUMS).exists() and not (folder / CHECKSUMS).is_symlink():
        return
    for name, expected in _listed(folder).items():
        if name not in names and not name.startswith(tuple(n for n in names if n.endswith("/"))):
            continue
        path = folder / name
        if path.parent.is_symlink() and path.parent != folder:
            raise ValueError(f"{path.parent} must be a folder, got a symbolic link")
        try:
            check_plain_file(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{folder} must be whole, but lacks {name}") from None
        if _summed(path) != expected:
            raise ValueError(
                f"{path} must be as it was saved, but its {path.stat().st_size:,} bytes have another checksum: it is "
                f"broken or changed (a folder that was changed on purpose loads without its {CHECKSUMS})"
            )
