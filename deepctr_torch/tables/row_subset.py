"""`RowSubset`: some rows of a table, such as those to train on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._typing import Mask
from .read import Chunk

__all__ = ["RowSubset"]


class _SomeRows(Chunk):
    """Rows of a table that need not be consecutive; messages name their numbers."""

    numbers: npt.NDArray[np.int64]

    def _replace(self, **fields: Any) -> _SomeRows:
        some = _SomeRows(**{**self._asdict(), **fields})
        some.numbers = self.numbers
        return some

    def where(self, row: int) -> str:
        return Chunk(None, self.file, self.group, 0).where(int(self.numbers[row]))


class RowSubset:
    """The rows where `mask` is true.

    Args:
        mask: [N], one a row of the table, files one after the other.
        starts: file -> number of its first row in `mask`; empty for rows in memory.

    >>> RowSubset(np.array([True, False, True])).of(Chunk(None, "", 1, 1), 2)
    array([False,  True])
    """

    def __init__(self, mask: Mask, starts: Mapping[str, int] | None = None) -> None:
        self.mask = mask
        self.starts = dict(starts or {})
        self.rows = int(mask.sum())

    def of(self, chunk: Chunk, rows: int) -> Mask:
        """True for each of the first `rows` rows of a chunk that belongs to it."""
        first = self.starts.get(chunk.file, 0) + chunk.first_row
        return self.mask[first : first + rows]

    def take(self, chunk: Chunk) -> Chunk:
        """These rows of a chunk; they keep their numbers for messages."""
        import pyarrow as pa

        kept = self.of(chunk, chunk.table.num_rows)
        if kept.all():
            return chunk
        some = _SomeRows(chunk.table.filter(pa.array(kept)), chunk.file, chunk.group, chunk.first_row)
        some.numbers = chunk.first_row + np.flatnonzero(kept)
        return some
