"""Feature hashing: any string or 64-bit integer -> a table row, the same on every platform, process and version.

The function is version 1 and will not change; a different one would get another version. All arithmetic is on 64 bits, modulo 2**64.

    mix(z)     = splitmix64's finaliser (Steele et al., 2014): z ^= z >> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >> 27;
                 z *= 0x94D049BB133111EB; z ^= z >> 31
    integer i  -> mix(i + 0x9E3779B97F4A7C15), i in two's complement (so -1 and 2**64 - 1 are the same value)
    string s   -> its n UTF-8 bytes, padded with zero bytes to 8-byte little-endian words w:
                  h = mix(n + 0xD6E8FEB86659FD93); for each w: h = mix(h ^ w)
    row        = 1 + hash % (vocabulary_size - 1)

Row 0 is never the row of a value: it is the padding of sequences. 5 and "5" are different values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["HASH_VERSION", "hash_rows", "hash_values"]

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


def _hash_strings(values: npt.NDArray[Any]) -> UInt64Array:
    encoded = [str(v).encode() for v in values.ravel()]
    size = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    words = max(1, -(-int(size.max(initial=0)) // 8))
    padded = b"".join(e.ljust(8 * words, b"\0") for e in encoded)
    table = np.frombuffer(padded, dtype="<u8").reshape(len(encoded), words).astype(np.uint64)
    out = _mix(size.astype(np.uint64) + _STRING)
    for j in range(words):
        out = np.where(size > 8 * j, _mix(out ^ table[:, j]), out)
    return out.reshape(values.shape)


def hash_values(values: npt.ArrayLike) -> UInt64Array:
    """64-bit hashes of strings or integers, in the shape of `values`.

    >>> [hex(h) for h in hash_values([0, 5, -1])]
    ['0xe220a8397b1dcdaf', '0x63033b0ca389c35a', '0xe4d971771b652c20']
    >>> hex(hash_values(["5"])[0])
    '0xe190bda83268b256'
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        return _hash_integers(array)
    if array.dtype.kind in "UTO":
        return _hash_strings(array)
    raise TypeError(f"values to hash must be strings or integers, got an array of {array.dtype}")


def hash_rows(values: npt.ArrayLike, vocabulary_size: int, *, padded: bool = False) -> npt.NDArray[np.int64]:
    """Table rows in [1, vocabulary_size) of strings or integers, in the shape of `values`.

    Args:
        values: strings or integers.
        vocabulary_size: rows of the table, at least 2; row 0 is left to padding.
        padded: 0 and the empty string are padding and go to row 0, as in sequences.
    """
    array = np.asarray(values)
    rows = (hash_values(array) % np.uint64(vocabulary_size - 1)).astype(np.int64) + 1
    if padded:
        empty = (array == 0) if array.dtype.kind in "iub" else (array == "")
        rows[np.asarray(empty, dtype=bool)] = 0
    return rows
