"""From what users hold in memory or in files to batches."""

from __future__ import annotations

from .encoded import encode
from .files import Files
from .streaming import FileSource, Position

__all__ = ["FileSource", "Files", "Position", "encode"]
