"""Columns of lists, or of strings with separators, as their elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..features import FeatureColumn, VarLenSparseFeat
from .arrow_columns import Factorized, RowError, factorize, numbers_of, one_array, without_empty
from .categorical import CategoricalEncoder, SharedVocabulary
from .column_encoder import Context, Dimension
from .specs import MultiValue, Sequence

__all__ = ["Lists", "RaggedEncoder", "flat_of", "lists_of"]


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


class _Cut(NamedTuple):
    """Lists cut to `maxlen`: the elements that stay, and where they go in a matrix [rows, maxlen]."""

    column: Factorized
    row: Array
    position: Array
    rows: int
    longest: int
    weights: Array | None


class RaggedEncoder(CategoricalEncoder):
    """Several ids a row."""

    kind: Sequence | MultiValue

    def __init__(self, name: str, kind: Sequence | MultiValue, table: SharedVocabulary) -> None:
        super().__init__(name, kind, table)
        self.longest = 0
        self.weights = kind.weights if isinstance(kind, MultiValue) else None

    @property
    def raw(self) -> tuple[str, ...]:
        return (self.kind.column or self.name, *([self.weights] if self.weights else []))

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, *([f"{self.name}_weight"] if self.weights else []))

    @property
    def maxlen(self) -> int:
        """Width of the input; what was learned is at least 1."""
        return self.kind.maxlen or max(self.longest, 1)

    def _cut(self, table: Any, context: Context, maxlen: int | None) -> _Cut:
        """The elements of a chunk; all of them where `maxlen` is None."""
        column = self.kind.column or self.name
        lists = lists_of(one_array(table[column]), column, self.kind.separator)
        lengths, rows = lists.lengths, len(lists.lengths)
        row = np.repeat(np.arange(rows), lengths)
        position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        flat, kept = lists.flat, lists.kept
        if maxlen is not None and (lengths > maxlen).any():
            if isinstance(self.kind, Sequence) and self.kind.keep == "latest":
                position = position - np.maximum(lengths - maxlen, 0)[row]
            stay = np.flatnonzero((position >= 0) & (position < maxlen))
            row, position, flat, kept = row[stay], position[stay], flat.take(stay), kept[stay]
        weights = self._weights(table, lists.sizes)
        values = factorize(flat, column, context.text or self.kind.separator is not None)
        longest = int(lengths.max(initial=0))
        return _Cut(values, row, position, rows, longest, None if weights is None else weights[kept])

    def _weights(self, table: Any, sizes: Array) -> Array | None:
        """One number for each raw element; ones for rows that have none."""
        if self.weights is None:
            return None
        flat, given = flat_of(one_array(table[self.weights]), self.weights, self.kind.separator)
        wrong = (given != sizes) & (given > 0)
        if wrong.any():
            row = int(wrong.argmax())
            message = f"{self.weights!r} must hold one weight for each of {sizes[row]} element(s), got {given[row]}"
            raise RowError(message, row)
        numbers = np.nan_to_num(numbers_of(flat, self.weights), nan=0.0, posinf=np.inf, neginf=-np.inf)
        bad = ~(np.isfinite(numbers.astype(np.float32)) & (numbers >= 0))
        if bad.any():
            row = int(np.repeat(np.arange(len(given)), given)[bad.argmax()])
            raise RowError(f"{self.weights!r} must hold finite numbers >= 0, got {numbers[bad.argmax()]}", row)
        out = np.ones(int(sizes.sum()), np.float32)
        out[np.repeat(given > 0, sizes)] = numbers
        return out

    def partial(self, table: Any, context: Context) -> Any:
        cut = self._cut(table, context, self.kind.maxlen)
        empty = cut.rows - len(np.unique(cut.row))
        return (cut.rows, empty, len(cut.row), self._counted(cut.column)), cut.longest

    def add(self, partial: Any) -> None:
        counted, longest = partial
        super().add(counted)
        if self.table.lookup is None:  # an update does not change the width
            self.longest = max(self.longest, longest)

    def encode(self, table: Any, context: Context) -> dict[str, Array]:
        cut = self._cut(table, context, self.maxlen)
        cells = (context.first_row + cut.row) * self.maxlen + cut.position
        ids = np.zeros((cut.rows, self.maxlen), self.table.dtype)
        ids[cut.row, cut.position] = self._rows(cut.column, context, cells)
        if cut.weights is None:
            return {self.name: ids}
        weights = np.zeros((cut.rows, self.maxlen), np.float32)
        weights[cut.row, cut.position] = cut.weights
        return {self.name: ids, self.outputs[1]: weights}

    def blank(self, rows: int) -> dict[str, Array]:
        out: dict[str, Array] = {self.name: np.zeros((rows, self.maxlen), self.table.dtype)}
        if self.weights:
            out[self.outputs[1]] = np.zeros((rows, self.maxlen), np.float32)
        return out

    def columns(self, dimension: Dimension) -> list[FeatureColumn]:
        weights = self.outputs[1] if self.weights else None
        return [VarLenSparseFeat(self._sparse(dimension), self.maxlen, self.kind.combiner, weight_name=weights)]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "longest": self.longest}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.longest = int(state["longest"])
