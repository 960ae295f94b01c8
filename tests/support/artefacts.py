"""Saved folders, changed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepctr_torch._whole_files import write_checksums


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change a JSON file of a saved folder, and its checksum too; returns the folder."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    write_checksums(path.parent)
    return path.parent


def overwritten(path: Path, content: str | bytes) -> Path:
    """Write a file of a saved folder, and its checksum too; returns the folder."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    write_checksums(path.parent)
    return path.parent
