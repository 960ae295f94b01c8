"""Feature hashing: any string or 64-bit integer -> a table row, the same on every platform, process and version.

The function is version 1 and will not change; a different one would get another version. All arithmetic is on 64 bits,
modulo 2**64.

    mix(z)     = splitmix64's finaliser (Steele et al., 2014): z ^= z >> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >> 27;
                 z *= 0x94D049BB133111EB; z ^= z >> 31
    integer i  -> mix(i + 0x9E3779B97F4A7C15), i in two's complement (so -1 and 2**64 - 1 are the same value)
    string s   -> its n UTF-8 bytes, padded with zero bytes to 8-byte little-endian words w:
                  h = mix(n + 0xD6E8FEB86659FD93); for each w: h = mix(h ^ w)
    row        = 1 + hash % (vocabulary_size - 1)

Row 0 is never the row of a value: it is the padding of sequences. 5 and "5" are different values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["HASH_VERSION", "hash_rows", "hash_utf8", "hash_values"]

HASH_VERSION = 1

UInt64Array = npt.NDArray[np.uint64]
_INTEGER = np.uint64(0x9E3779B97F4A7C15)
_STRING = np.uint64(0xD6E8FEB86659FD93)


def _mix(z: UInt64Array) -> UInt64Array:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _hash_integers(values: npt.NDArray[Any]) -> UInt64Array:
    return _mix(values.astype(np.uint64, casting="unsafe") + _INTEGER)


def hash_utf8(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> UInt64Array:
    """Compute the 64-bit hashes [N] of strings that lie one after the other, as in an Arrow column.

    Args:
        data: their UTF-8 bytes.
        offsets: where each begins, and where the last one ends, [N + 1].
    """
    starts, size = offsets[:-1], np.diff(offsets)
    padded = np.zeros(len(data) + 8, np.uint8)
    padded[: len(data)] = data
    words = np.ndarray((len(data) + 1,), "<u8", padded, 0, (1,))  # the eight bytes from each position on
    out = _mix(size.astype(np.uint64) + _STRING)
    at = np.arange(len(size))
    for first in range(0, int(size.max(initial=0)), 8):
        at = at[size[at] > first]
        n = np.minimum(size[at] - first, 8).astype(np.uint64)
        word = words[starts[at] + first].astype(np.uint64) & (
            np.uint64(2**64 - 1) >> (np.uint64(64) - n * np.uint64(8))
        )
        out[at] = _mix(out[at] ^ word)
    return out


def _hash_strings(values: Sequence[str]) -> UInt64Array:
    encoded = [v.encode() for v in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)), out=offsets[1:])
    return hash_utf8(np.frombuffer(b"".join(encoded), np.uint8), offsets)


def _hash_objects(values: Sequence[Any]) -> UInt64Array:
    """Hash strings and integers, mixed at will."""
    text = np.fromiter((isinstance(v, str) for v in values), dtype=bool, count=len(values))
    if text.all():
        return _hash_strings(values)
    integers = [v for v in values if not isinstance(v, str)]
    wrong = [v for v in integers if not isinstance(v, (int, np.integer, np.bool_))]
    if wrong:
        raise TypeError(f"values to hash must be strings or integers, got {wrong[0]!r}")
    wrong = [v for v in integers if not -(2**63) <= v < 2**64]
    if wrong:
        raise ValueError(f"integers to hash must have 64 bits, got {wrong[0]}")
    out = np.empty(len(values), dtype=np.uint64)
    out[text] = _hash_strings([v for v in values if isinstance(v, str)])
    out[~text] = _hash_integers(np.array([int(v) % 2**64 for v in integers], dtype=np.uint64))
    return out


def _as_given(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return an array; of a list one of objects, where numpy would make text or floats of integers."""
    return np.asarray(values) if hasattr(values, "dtype") else np.array(values, dtype=object)


def hash_values(values: npt.ArrayLike) -> UInt64Array:
    """Compute the 64-bit hashes of strings or integers, in the shape of `values`.

    >>> [hex(h) for h in hash_values([0, 5, -1])]
    ['0xe220a8397b1dcdaf', '0x63033b0ca389c35a', '0xe4d971771b652c20']
    >>> hex(hash_values(["5"])[0])
    '0xe190bda83268b256'

    Raises:
        TypeError: other values.
    """
    array = _as_given(values)
    flat = array.reshape(-1)
    if array.dtype.kind in "iub":
        return _hash_integers(flat).reshape(array.shape)
    if array.dtype.kind in "UTO":
        return _hash_objects(flat.tolist()).reshape(array.shape)
    raise TypeError(f"values to hash must be strings or integers, got an array of {array.dtype}")


def hash_rows(values: npt.ArrayLike, vocabulary_size: int, *, padded: bool = False) -> npt.NDArray[np.int64]:
    """Hash strings or integers to table rows in [1, vocabulary_size), in the shape of `values`.

    Args:
        values: strings or integers.
        vocabulary_size: rows of the table, at least 2; row 0 is left to padding.
        padded: 0 and the empty string are padding and go to row 0, as in sequences.
    """
    array = _as_given(values)
    rows = (hash_values(array) % np.uint64(vocabulary_size - 1)).astype(np.int64) + 1
    if padded:
        empty = array == 0 if array.dtype.kind in "iub" else array == ""
        if array.dtype.kind == "O":
            empty = empty | (array == 0)
        rows = np.where(empty, 0, rows)
    return rows
