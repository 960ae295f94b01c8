"""Encoders of ragged columns, several values a row: lists, or strings with a separator, as their elements."""

from __future__ import annotations

import logging
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
from .specs import LONGEST_SEQUENCE, LONGEST_STEP, MultiValue, Sequence

__all__ = ["Ragged", "RaggedEncoder", "flat_of", "holds_steps", "ragged_of"]

log = logging.getLogger("deepctr_torch")


class Ragged(NamedTuple):
    """A ragged column of N rows."""

    flat: pa.Array  # the elements of all rows, without the missing ones
    lengths: Array  # how many elements each row has, int64 [N]
    kept: Array  # the position of each element of `flat` among all, missing ones included, int64
    sizes: Array  # `lengths` with the missing elements, int64 [N]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def holds_steps(array: pa.Array) -> bool:
    """Tell if rows are lists of lists."""
    return _is_list(array.type) and _is_list(array.type.value_type)


def flat_of(array: pa.Array, name: str, separator: str | None) -> tuple[pa.Array, Array]:
    """Return the elements of lists, or of strings with a separator, and the size of each row; missing ones included."""
    types = pa.types
    if types.is_null(array.type):
        array = array.cast(pa.large_list(pa.int64()))
    if not _is_list(array.type):
        if separator is None:
            raise ValueError(
                f"{name!r} must hold lists, got {array.type}: for several values in a string give a separator"
            )
        split = pc.split_pattern(without_empty(array.cast(pa.large_string())), separator)
        flat, sizes = flat_of(split, name, None)
        return pc.utf8_trim_whitespace(flat), sizes
    sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64)
    flat = one_array(pc.list_flatten(array))
    if types.is_nested(flat.type):
        raise ValueError(f"{name!r} must hold lists of single values, got {array.type}")
    return flat, sizes


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
    """A ragged column cut to `maxlen`: the elements that stay, and the cell of each in a matrix [rows, width]."""

    column: Factorized
    row: Array
    position: Array
    rows: int
    longest: int  # steps of the longest row before the cut
    widest: int | None  # values of the longest step before it; None for lists of single values, or if all are empty
    weights: Array | None


def _cells(lengths: Array, width: int | None, latest: bool) -> tuple[Array, Array, Array | None]:
    """Return the list of each element, its place in it, and the elements that stay where lists are cut to `width`.

    All elements stay (None) where no list is longer; of longer ones the first, or the `latest`.
    """
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if width is None or not (lengths > width).any():
        return owner, position, None
    if latest:
        position = position - np.maximum(lengths - width, 0)[owner]
    stay = np.flatnonzero((position >= 0) & (position < width))
    return owner[stay], position[stay], stay


class RaggedEncoder(CategoricalEncoder):
    """Several ids a row, padded with 0: int32 [N, width]."""

    spec: Sequence | MultiValue
    counted = (*CategoricalEncoder.counted, "longest", "widest")

    def __init__(self, name: str, spec: Sequence | MultiValue, shared: SharedVocabulary) -> None:
        super().__init__(name, spec, shared)
        self.longest = self.widest = 0
        self.weights = spec.weights if isinstance(spec, MultiValue) else None

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.spec.column or self.name, *([self.weights] if self.weights else []))

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, *([f"{self.name}_weight"] if self.weights else []))

    @property
    def maxlen(self) -> int:
        """The steps of the input, at least 1."""
        return self.spec.maxlen or max(self.longest, 1)

    @property
    def step_width(self) -> int:
        """The values of a step, at least 1."""
        given = self.spec.step_width if isinstance(self.spec, Sequence) else 1
        return given or max(self.widest, 1)

    @property
    def nested(self) -> bool | None:
        """True if steps are lists; None before there was a value."""
        return self.widest > 0 if self.elements else None

    @property
    def width(self) -> int:
        """The width of the input."""
        return self.maxlen * self.step_width

    def _cut(self, table: pa.Table, context: Context, maxlen: int | None, step_width: int) -> _Cut:
        """Return the elements of a chunk, cut to `maxlen` steps of `step_width`; all of them if `maxlen` is None."""
        column = self.spec.column or self.name
        array, latest = one_array(table[column]), isinstance(self.spec, Sequence) and self.spec.keep == "latest"
        if isinstance(self.spec, Sequence) and holds_steps(array):
            return self._cut_steps(array, column, context, maxlen, step_width, latest)
        ragged = ragged_of(array, column, self.spec.separator)
        if (self.nested or self.step_width > 1) and len(ragged.flat):
            at = int(ragged.lengths.argmax())
            raise RowError(
                f"{column!r} must hold lists of lists, with steps of {self.step_width}, got {array.type}", at
            )
        row, position, stay = _cells(ragged.lengths, maxlen, latest)
        flat, kept = (ragged.flat, ragged.kept) if stay is None else (ragged.flat.take(stay), ragged.kept[stay])
        weights = self._weights(table, ragged.sizes)
        values = factorize(flat, column, context.text or self.spec.separator is not None)
        longest, rows = int(ragged.lengths.max(initial=0)), len(ragged.lengths)
        return _Cut(values, row, position, rows, longest, None, None if weights is None else weights[kept])

    def _cut_steps(
        self, array: pa.Array, column: str, context: Context, maxlen: int | None, step_width: int, latest: bool
    ) -> _Cut:
        """`_cut` of rows that are lists of steps, which are lists."""
        sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64)
        row, step, stay = _cells(sizes, maxlen, latest)
        steps = one_array(pc.list_flatten(array))
        ragged = ragged_of(steps if stay is None else steps.take(stay), column, None)
        if self.nested is False and len(ragged.flat):
            at = int(row[ragged.lengths.argmax()])
            raise RowError(f"{column!r} must hold lists of single values, as those learned from, got {array.type}", at)
        owner, place, stay = _cells(ragged.lengths, step_width, latest)
        values = factorize(ragged.flat if stay is None else ragged.flat.take(stay), column, context.text)
        longest, widest = int(sizes.max(initial=0)), int(ragged.lengths.max(initial=0)) or None
        return _Cut(values, row[owner], step[owner] * step_width + place, len(sizes), longest, widest, None)

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
        learned = self.shared.fitted or (isinstance(self.spec, Sequence) and self.spec.step_width is not None)
        cut = self._cut(table, context, limit, self.step_width if learned else LONGEST_STEP)
        empty = cut.rows - len(np.unique(cut.row))
        longest = cut.longest if limit is None else min(cut.longest, limit)
        return (cut.rows, empty, len(cut.row), self._count(cut.column)), longest, cut.widest

    def update(self, summary: Any) -> None:
        counts, longest, widest = summary
        if counts[2] and self.nested not in (None, widest is not None):
            raise ValueError(f"{self.inputs[0]!r} must hold lists of single values or lists of lists, got both")
        super().update(counts)
        if not self.shared.fitted:  # an update does not change the width
            self.longest, self.widest = max(self.longest, longest), max(self.widest, widest or 0)
        elif widest is not None:
            self.widest = max(self.widest, 1)

    def compute(self) -> None:
        super().compute()
        if self.widest > LONGEST_STEP:
            if isinstance(self.spec, Sequence) and self.spec.step_width is None:
                log.warning(
                    "%r has steps of up to %d values, of which %d are read: a step_width reads more",
                    self.name,
                    self.widest,
                    LONGEST_STEP,
                )
            self.widest = LONGEST_STEP

    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        cut = self._cut(table, context, self.maxlen, self.step_width)
        cells = (context.first_row + cut.row) * self.width + cut.position
        ids = np.zeros((cut.rows, self.width), self.shared.id_dtype)
        ids[cut.row, cut.position] = self._rows(cut.column, context, cells)
        if cut.weights is None:
            return {self.name: ids}
        weights = np.zeros((cut.rows, self.maxlen), np.float32)
        weights[cut.row, cut.position] = cut.weights
        return {self.name: ids, self.outputs[1]: weights}

    def encode_missing(self, rows: int) -> dict[str, Array]:
        out: dict[str, Array] = {self.name: np.zeros((rows, self.width), self.shared.id_dtype)}
        if self.weights:
            out[self.outputs[1]] = np.zeros((rows, self.maxlen), np.float32)
        return out

    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        weights = self.outputs[1] if self.weights else None
        column = VarLenSparseFeat(self._sparse(embedding_dim), self.maxlen, self.spec.combiner, weight_name=weights)
        if isinstance(self.spec, Sequence):
            column = column._replace(step_width=self.step_width, step_combiner=self.spec.step_combiner)
        return [column]

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore({"widest": 0, **state})  # encoders saved earlier knew no steps
