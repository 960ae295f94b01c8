"""Encoders of ragged columns, several values a row: lists, or strings with a separator, as their elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._typing import Array
from ..features import FeatureColumn, VarLenSparseFeat
from .arrow_columns import Factorized, RowError, factorize, numbers_of, one_array, without_empty
from .categorical import CategoricalEncoder, SharedVocabulary
from .column_encoder import Context, EmbeddingDim
from .specs import LONGEST_SEQUENCE, MultiValue, Sequence

__all__ = ["Ragged", "RaggedEncoder", "flat_of", "ragged_of"]


class Ragged(NamedTuple):
    """A ragged column of N rows.

    Attributes:
        flat: the elements of all rows, without the missing ones.
        lengths: how many elements each row has, int64 [N].
        kept: the position of each element of `flat` among all, missing ones included, int64.
        sizes: `lengths` with the missing elements, int64 [N].
    """

    flat: pa.Array
    lengths: Array
    kept: Array
    sizes: Array


def flat_of(array: pa.Array, name: str, separator: str | None) -> tuple[pa.Array, Array]:
    """Return the elements of lists, or of strings with a separator, and the size of each row; missing ones included."""
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


def ragged_of(array: pa.Array, name: str, separator: str | None) -> Ragged:
    """Return the elements of lists, or of strings with a separator, without the missing ones."""
    flat, sizes = flat_of(array, name, separator)
    valid = flat.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
        valid = valid & pc.fill_null(pc.not_equal(flat, ""), False).to_numpy(zero_copy_only=False)
    elif pa.types.is_floating(flat.type):
        valid = valid & ~np.isnan(flat.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if valid.all():
        return Ragged(flat, sizes, np.arange(len(flat)), sizes)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    lengths = np.bincount(rows[valid], minlength=len(sizes))
    return Ragged(flat.filter(pa.array(valid)), lengths, np.flatnonzero(valid), sizes)


class _Cut(NamedTuple):
    """A ragged column cut to `maxlen`: the elements that stay, and the cell of each in a matrix [rows, maxlen]."""

    column: Factorized
    row: Array
    position: Array
    rows: int
    longest: int
    weights: Array | None


class RaggedEncoder(CategoricalEncoder):
    """Several ids a row, padded with 0: int32 [N, maxlen]."""

    spec: Sequence | MultiValue

    def __init__(self, name: str, spec: Sequence | MultiValue, shared: SharedVocabulary) -> None:
        super().__init__(name, spec, shared)
        self.longest = 0
        self.weights = spec.weights if isinstance(spec, MultiValue) else None

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.spec.column or self.name, *([self.weights] if self.weights else []))

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, *([f"{self.name}_weight"] if self.weights else []))

    @property
    def maxlen(self) -> int:
        """The width of the input, at least 1."""
        return self.spec.maxlen or max(self.longest, 1)

    def _cut(self, table: pa.Table, context: Context, maxlen: int | None) -> _Cut:
        """Return the elements of a chunk, cut to `maxlen`; all of them if that is None."""
        column = self.spec.column or self.name
        ragged = ragged_of(one_array(table[column]), column, self.spec.separator)
        lengths, rows = ragged.lengths, len(ragged.lengths)
        row = np.repeat(np.arange(rows), lengths)
        position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        flat, kept = ragged.flat, ragged.kept
        if maxlen is not None and (lengths > maxlen).any():
            if isinstance(self.spec, Sequence) and self.spec.keep == "latest":
                position = position - np.maximum(lengths - maxlen, 0)[row]
            stay = np.flatnonzero((position >= 0) & (position < maxlen))
            row, position, flat, kept = row[stay], position[stay], flat.take(stay), kept[stay]
        weights = self._weights(table, ragged.sizes)
        values = factorize(flat, column, context.text or self.spec.separator is not None)
        longest = int(lengths.max(initial=0))
        return _Cut(values, row, position, rows, longest, None if weights is None else weights[kept])

    def _weights(self, table: pa.Table, sizes: Array) -> Array | None:
        """Return one weight for each raw element; 1 in rows without weights."""
        if self.weights is None:
            return None
        flat, given = flat_of(one_array(table[self.weights]), self.weights, self.spec.separator)
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

    @property
    def _limit(self) -> int | None:
        """The width that learning cuts to, None for none; an update knows the width already."""
        if self.spec.maxlen is None and isinstance(self.spec, Sequence):
            return self.maxlen if self.shared.fitted else LONGEST_SEQUENCE
        return self.spec.maxlen

    def summarize(self, table: pa.Table, context: Context) -> Any:
        limit = self._limit
        cut = self._cut(table, context, limit)
        empty = cut.rows - len(np.unique(cut.row))
        longest = cut.longest if limit is None else min(cut.longest, limit)
        return (cut.rows, empty, len(cut.row), self._count(cut.column)), longest

    def update(self, summary: Any) -> None:
        counts, longest = summary
        super().update(counts)
        if not self.shared.fitted:  # an update does not change the width
            self.longest = max(self.longest, longest)

    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        cut = self._cut(table, context, self.maxlen)
        cells = (context.first_row + cut.row) * self.maxlen + cut.position
        ids = np.zeros((cut.rows, self.maxlen), self.shared.id_dtype)
        ids[cut.row, cut.position] = self._rows(cut.column, context, cells)
        if cut.weights is None:
            return {self.name: ids}
        weights = np.zeros((cut.rows, self.maxlen), np.float32)
        weights[cut.row, cut.position] = cut.weights
        return {self.name: ids, self.outputs[1]: weights}

    def encode_missing(self, rows: int) -> dict[str, Array]:
        out: dict[str, Array] = {self.name: np.zeros((rows, self.maxlen), self.shared.id_dtype)}
        if self.weights:
            out[self.outputs[1]] = np.zeros((rows, self.maxlen), np.float32)
        return out

    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        weights = self.outputs[1] if self.weights else None
        return [VarLenSparseFeat(self._sparse(embedding_dim), self.maxlen, self.spec.combiner, weight_name=weights)]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "longest": self.longest}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.longest = int(state["longest"])
