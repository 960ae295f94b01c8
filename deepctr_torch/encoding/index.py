"""Where values stand in a list of different ones, found for many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..hashing import hash_values

__all__ = ["Index"]

Array = npt.NDArray[Any]


class Index:
    """Positions of values by the hashes of all, sorted; a table says where those begin that start with the same bits.

    Args:
        values: an arrow array of int64 or large_string, no value twice.
    """

    def __init__(self, values: Any) -> None:
        self.values = values
        keys = _keys(values)
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]
        bits = max(1, len(keys).bit_length() + 1)  # two to four times as many starts as keys
        self.shift = np.uint64(64 - bits)
        counts = np.bincount((self.keys >> self.shift).astype(np.int64), minlength=1 << bits)
        self.starts = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=self.starts[1:])

    def find(self, needles: Any) -> Array:
        """int64: the position of each needle, an array of the values' type without nulls; -1 where it is not there."""
        import pyarrow as pa
        import pyarrow.compute as pc

        keys = _keys(needles)
        found = self._where(keys)
        if pa.types.is_int64(self.values.type):  # integers have different hashes
            return found
        hit = np.flatnonzero(found >= 0)
        same = pc.equal(self.values.take(pa.array(found[hit])), needles.take(pa.array(hit)))
        wrong = hit[~same.to_numpy(zero_copy_only=False)]
        if len(wrong):  # two strings of one hash
            exact = pc.index_in(needles.take(pa.array(wrong)), self.values)
            found[wrong] = pc.fill_null(exact, -1).to_numpy()
        return found

    def _where(self, keys: Array) -> Array:
        """The position of the first value with each key; -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        start = (keys >> self.shift).astype(np.int64)
        at, stop = self.starts[start], self.starts[start + 1]
        last = len(self.keys) - 1
        going = np.flatnonzero(at < stop)
        while len(going):
            going = going[self.keys[at[going]] < keys[going]]
            at[going] += 1
            going = going[at[going] < stop[going]]
        at = np.minimum(at, last)
        return np.where(self.keys[at] == keys, self.order[at], -1)


def _keys(values: Any) -> Array:
    """Hashes, equal for equal values within a process; of strings not the hashing module's, which cost more."""
    import pyarrow as pa

    if pa.types.is_int64(values.type):
        return hash_values(values.to_numpy())
    import polars as pl

    keys: Array = pl.Series(pl.from_arrow(values)).hash().to_numpy()
    return keys
