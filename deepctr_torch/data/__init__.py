"""From what users hold in memory or in files to batches."""

from __future__ import annotations

from .file_source import FileSource, Position
from .files import Files
from .parquet_cache import encode

__all__ = ["FileSource", "Files", "Position", "encode"]
