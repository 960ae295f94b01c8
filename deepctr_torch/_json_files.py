"""Files of JSON: read with limits, so that a file of somebody else can neither fill the memory nor end the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["check_plain_file", "parse_json", "read_json", "write_json"]

SIZE_LIMIT = 1 << 26  # bytes
DEPTH_LIMIT = 64


def check_plain_file(path: Path) -> None:
    """Check that a file of a saved folder is a file in that folder, and no link to another place.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is a symbolic link, a folder or a device.
    """
    if path.is_symlink():
        raise ValueError(f"{path} must be a file, got a symbolic link")
    if not path.is_file():
        raise ValueError(f"{path} must be a file") if path.exists() else FileNotFoundError(f"there is no file {path}")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no JSON object, is longer than 64 MiB or nested deeper than 64, or is a symbolic link.
    """
    check_plain_file(path)
    size = path.stat().st_size
    if size > SIZE_LIMIT:
        raise ValueError(f"{path} must hold at most {SIZE_LIMIT:,} bytes of JSON, got {size:,}")
    return parse_json(path.read_bytes(), str(path))


def parse_json(text: str | bytes, name: str) -> dict[str, Any]:
    """Return the object that a text says.

    Args:
        text: UTF-8.
        name: what it is, for messages.

    Raises:
        ValueError: it is no JSON object, or is nested deeper than 64.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nesting without end" if isinstance(error, RecursionError) else error
        raise ValueError(f"{name} must be JSON, got: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} must be a JSON object, got {type(content).__name__}")
    level: list[Any] = [content]
    for _ in range(DEPTH_LIMIT):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return content
    raise ValueError(f"{name} must be JSON nested at most {DEPTH_LIMIT} deep, got more")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object that `read_json` reads.

    Raises:
        ValueError: it is longer than 64 MiB.
    """
    text = json.dumps(content, indent=1)
    if len(text) > SIZE_LIMIT:  # of ASCII alone
        raise ValueError(f"{path.name} must hold at most {SIZE_LIMIT:,} bytes of JSON, got {len(text):,}")
    path.write_text(text, encoding="utf-8")
