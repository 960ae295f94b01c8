"""Features of several values a row: `Sequence` and `MultiValue`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..features import FeatureColumn, VarLenSparseFeat
from .elements import flat_of, lists_of
from .feature import Context, Dimension
from .ids import IdFeature, Table
from .kinds import MultiValue, Sequence
from .values import Coded, RowError, coded, numbers_of, one_array

__all__ = ["ListFeature"]

Array = npt.NDArray[Any]


class _Cut(NamedTuple):
    """Lists cut to `maxlen`: the elements that stay, and where they go in a matrix [rows, maxlen]."""

    column: Coded
    row: Array
    position: Array
    rows: int
    longest: int
    weights: Array | None


class ListFeature(IdFeature):
    """Several ids a row."""

    kind: Sequence | MultiValue

    def __init__(self, name: str, kind: Sequence | MultiValue, table: Table) -> None:
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
        values = coded(flat, column, context.text or self.kind.separator is not None)
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
