"""Columns of lists, or of strings with separators, as their elements."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .values import one_array, without_empty

__all__ = ["Lists", "flat_of", "lists_of"]

Array = npt.NDArray[Any]


class Lists(NamedTuple):
    """A column of lists.

    Attributes:
        flat: an arrow array, the elements of all rows, those missing left out.
        lengths: int64 [N].
        kept: int64, the position of each element among all, those missing included.
        sizes: int64 [N], lengths with the missing elements.
    """

    flat: Any
    lengths: Array
    kept: Array
    sizes: Array


def flat_of(array: Any, name: str, separator: str | None) -> tuple[Any, Array]:
    """The elements of lists or, with a separator, of strings, and how many each row has; missing ones included."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = pa.types
    if types.is_null(array.type):
        array = array.cast(pa.large_list(pa.int64()))
    if not (types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type)):
        if separator is None:
            raise ValueError(
                f"{name!r} must hold lists, got {array.type}: for several values in a string give a separator"
            )
        array = pc.split_pattern(without_empty(array.cast(pa.large_string())), separator)
        split = True
    else:
        split = False
    sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64)
    flat = one_array(pc.list_flatten(array))
    if types.is_nested(flat.type):
        raise ValueError(f"{name!r} must hold lists of single values, got {array.type}")
    return (pc.utf8_trim_whitespace(flat) if split else flat), sizes


def lists_of(array: Any, name: str, separator: str | None) -> Lists:
    """The elements of lists or, with a separator, of strings; missing ones are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    flat, sizes = flat_of(array, name, separator)
    valid = flat.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
        valid = valid & pc.fill_null(pc.not_equal(flat, ""), False).to_numpy(zero_copy_only=False)
    elif pa.types.is_floating(flat.type):
        valid = valid & ~np.isnan(flat.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if valid.all():
        return Lists(flat, sizes, np.arange(len(flat)), sizes)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    lengths = np.bincount(rows[valid], minlength=len(sizes))
    return Lists(flat.filter(pa.array(valid)), lengths, np.flatnonzero(valid), sizes)
