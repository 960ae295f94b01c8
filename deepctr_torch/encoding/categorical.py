"""Features that look values up: `Categorical`, `Cross`, `Sequence`, `MultiValue`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..features import FeatureColumn, SparseFeat
from .arrow_columns import Factorized, as_integers, crossed, factorize, one_array
from .column_encoder import Context, Dimension, dimension_of, dropped
from .specs import Cross, IdKind
from .vocabulary import MISSING, UNSEEN, Counter, Hashed, Vocabulary

__all__ = ["CategoricalEncoder", "SharedVocabulary"]

Array = npt.NDArray[Any]


class SharedVocabulary:
    """The rows that one feature, or several that share them, look values up in.

    Args:
        name: the feature that owns it.
        kind: its kind, which says how much is learned.

    Attributes:
        lookup: `Vocabulary` or `Hashed`, once learned.
        first_rows: rows after `fit`; what `embedding_dim="auto"` goes by, so that it stays when the table grows.
    """

    def __init__(self, name: str, kind: IdKind) -> None:
        self.name, self.kind = name, kind
        self.members: list[CategoricalEncoder] = []
        self.lookup: Vocabulary | Hashed | None = None
        self.first_rows = 0

    @property
    def learned(self) -> Vocabulary | Hashed:
        if self.lookup is None:
            raise RuntimeError(f"the vocabulary of {self.name!r} must be learned first: call fit")
        return self.lookup

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        return np.int32 if self.learned.rows <= 2**31 else np.int64

    def finish(self) -> None:
        """Learn from what the members counted, or add to what was learned."""
        counters = [member.counter for member in self.members]
        limits = self.kind.min_count, self.kind.max_vocabulary
        if self.kind.hash_buckets is not None:
            text = any(member.strings for member in self.members)
            self.lookup = self.lookup or Hashed(self.kind.hash_buckets, "string" if text else "int")
        elif isinstance(self.lookup, Vocabulary):
            left_out = self.lookup.update(counters, *limits)
            if left_out is not None:
                warnings.warn(
                    f"the vocabulary of {self.name!r} is of integers, got {left_out!r}: other values stay unseen",
                    stacklevel=2,
                )
        else:
            self.lookup = Vocabulary.learn(counters, *limits)
        self.first_rows = self.first_rows or self.lookup.rows
        self.lookup.prepare()


class CategoricalEncoder:
    """One id a row."""

    def __init__(self, name: str, kind: IdKind, table: SharedVocabulary) -> None:
        self.name, self.kind, self.table = name, kind, table
        self.rows = self.missing = self.elements = self.rare = 0
        self.counter, self.strings = Counter(), False
        table.members.append(self)

    @property
    def raw(self) -> tuple[str, ...]:
        return self.kind.columns if isinstance(self.kind, Cross) else (self.kind.column or self.name,)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    def _coded(self, table: Any, context: Context) -> Factorized:
        parts = [_remembered(table, column, context) for column in self.raw]
        return crossed(parts) if isinstance(self.kind, Cross) else parts[0]

    def partial(self, table: Any, context: Context) -> tuple[int, int, int, Any]:
        """Rows, rows without a value, elements, and the values counted."""
        column = self._coded(table, context)
        counted, rows = self._counted(column), len(column.codes)
        if isinstance(counted, tuple):
            elements = int(counted[1]["count"].to_numpy().sum())
        else:
            elements = int(column.counts[column.values.is_valid().to_numpy(zero_copy_only=False)].sum())
        return rows, rows - elements, elements, counted

    def _counted(self, column: Factorized) -> Any:
        """Each value with its count; of a table by hash only whether there are values that are no integers."""
        if self.table.kind.hash_buckets is None:
            return Counter.partial(column)
        if column.kind == "text":
            return as_integers(column.values).null_count > column.values.null_count
        return column.kind == "string"

    def add(self, partial: tuple[int, int, int, Any]) -> None:
        rows, missing, elements, counted = partial
        self.rows += rows
        self.missing += missing
        self.elements += elements
        if isinstance(counted, bool):
            self.strings |= counted
        else:
            self.counter.add(counted)

    def finish(self) -> None:
        """After the table's: count what has no row of its own, and forget the rest.

        An update gives rows to values that were rare before. Of a table that features share, the counts are of all of
        them, so that those values stay rare in what is told of each.
        """
        learned = self.table.learned
        if isinstance(learned, Vocabulary) and len(self.table.members) == 1:
            self.rare, self.counter = self.elements - int(learned.counts.sum()), Counter()
            return
        for kind, counts in self.counter.tables().items():
            rows = learned.lookup(Factorized(counts["value"].combine_chunks(), kind, np.empty(0, np.int64)))
            self.rare += int(counts["count"].to_numpy()[rows[:-1] == UNSEEN].sum())
        self.counter = Counter()

    def _rows(self, column: Factorized, context: Context, cells: Array) -> Array:
        """The rows of the values, some replaced in training; `cells` are numbers that tell the values apart."""
        rows: Array = self.table.learned.lookup(column).astype(self.table.dtype)[column.codes]
        if context.key is not None and self.kind.dropout > 0:
            rows[dropped(self.kind.dropout, self.name, context.key, cells) & (rows != MISSING)] = UNSEEN
        return rows

    def encode(self, table: Any, context: Context) -> dict[str, Array]:
        column = self._coded(table, context)
        return {self.name: self._rows(column, context, context.first_row + np.arange(len(column.codes)))}

    def blank(self, rows: int) -> dict[str, Array]:
        return {self.name: np.zeros(rows, self.table.dtype)}

    def _sparse(self, dimension: Dimension) -> SparseFeat:
        width = dimension_of(self.table.kind, dimension, self.table.first_rows)
        return SparseFeat(self.name, self.table.learned.rows, width, embedding_name=self.table.name)

    def columns(self, dimension: Dimension) -> list[FeatureColumn]:
        return [self._sparse(dimension)]

    def describe(self) -> dict[str, Any]:
        lookup = self.table.learned
        cardinality = lookup.table.num_rows if isinstance(lookup, Vocabulary) else None
        covered = 1.0 if not self.elements else 1 - self.rare / self.elements
        return {"table rows": lookup.rows, "cardinality": cardinality, "rare": self.rare, "coverage": covered}

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "missing": self.missing, "elements": self.elements, "rare": self.rare}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows, self.missing = int(state["rows"]), int(state["missing"])
        self.elements, self.rare = int(state["elements"]), int(state["rare"])


def _remembered(table: Any, name: str, context: Context) -> Factorized:
    """A raw column, taken from what the context remembers or put there."""
    if context.memo is not None and name in context.memo:
        return context.memo[name]
    column = factorize(one_array(table[name]), name, context.text)
    if context.memo is not None:
        small = np.min_scalar_type(len(column.values))
        context.memo[name] = column._replace(codes=column.codes.astype(small))
    return column
