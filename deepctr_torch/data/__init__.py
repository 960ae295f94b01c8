"""From what users hold in memory or in files to batches."""

from __future__ import annotations

from .files import Files

__all__ = ["Files"]
