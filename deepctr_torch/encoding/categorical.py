"""Encoders of categorical features: a value becomes the id of its row in a vocabulary that features may share."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from .._typing import Array
from ..features import FeatureColumn, SparseFeat
from .arrow_columns import Factorized, as_integers, cross, factorize, one_array
from .column_encoder import ColumnEncoder, Context, EmbeddingDim, dropout_mask, embedding_dim_of
from .specs import CategoricalSpec, Cross
from .vocabulary import MISSING, UNSEEN, Counter, HashedVocabulary, Vocabulary

__all__ = ["CategoricalEncoder", "SharedVocabulary"]


class SharedVocabulary:
    """A vocabulary of the feature `name`, whose spec limits what is learned, with all that look values up in it."""

    def __init__(self, name: str, spec: CategoricalSpec) -> None:
        self.name, self.spec = name, spec
        self.members: list[CategoricalEncoder] = []
        self._vocabulary: Vocabulary | HashedVocabulary | None = None
        self.first_rows = 0  # after `fit`; `embedding_dim="auto"` follows from them, and stays when the table grows

    @property
    def fitted(self) -> bool:
        return self._vocabulary is not None

    @property
    def learned(self) -> Vocabulary | HashedVocabulary:
        """The vocabulary, once there is one."""
        if self._vocabulary is None:
            raise RuntimeError(f"the vocabulary of {self.name!r} must be learned first: call fit")
        return self._vocabulary

    @property
    def id_dtype(self) -> type[np.signedinteger[Any]]:
        return np.int32 if self.learned.rows <= 2**31 else np.int64

    def restore(self, vocabulary: Vocabulary | HashedVocabulary, first_rows: int) -> None:
        """Take over what was learned elsewhere."""
        self._vocabulary, self.first_rows = vocabulary, first_rows

    def compute(self) -> None:
        """Learn from the counts of the members, or add them to what was learned."""
        counters = [member.counter for member in self.members]
        limits = self.spec.min_count, self.spec.max_vocabulary
        if self.spec.hash_buckets is not None:
            text = any(member.strings for member in self.members)
            self._vocabulary = self._vocabulary or HashedVocabulary(self.spec.hash_buckets, "string" if text else "int")
        elif isinstance(self._vocabulary, Vocabulary):
            left_out = self._vocabulary.update(counters, *limits)
            if left_out is not None:
                warnings.warn(
                    f"the vocabulary of {self.name!r} is of integers, got {left_out!r}: other values stay unseen",
                    stacklevel=2,
                )
        else:
            self._vocabulary = Vocabulary.learn(counters, *limits)
        self.first_rows = self.first_rows or self._vocabulary.rows
        self._vocabulary.prepare()


class CategoricalEncoder(ColumnEncoder):
    """One id a row."""

    counted: ClassVar[tuple[str, ...]] = ("rows", "missing", "elements", "rare")
    elements: int
    rare: int
    spec: CategoricalSpec

    def __init__(self, name: str, spec: CategoricalSpec, shared: SharedVocabulary) -> None:
        super().__init__(name, spec)
        self.shared = shared
        self.counter, self.strings = Counter(), False
        shared.members.append(self)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.spec.columns if isinstance(self.spec, Cross) else super().inputs

    def _factorize(self, table: pa.Table, context: Context) -> Factorized:
        columns = [_factorize_once(table, name, context) for name in self.inputs]
        return cross(columns) if isinstance(self.spec, Cross) else columns[0]

    def summarize(self, table: pa.Table, context: Context) -> Any:
        """Return the numbers of rows, of rows without a value and of elements, and the counts of the values."""
        column = self._factorize(table, context)
        counted, rows = self._count(column), len(column.codes)
        if isinstance(counted, tuple):
            elements = int(counted[1]["count"].to_numpy().sum())
        else:
            elements = int(column.counts[column.values.is_valid().to_numpy(zero_copy_only=False)].sum())
        return rows, rows - elements, elements, counted

    def _count(self, column: Factorized) -> tuple[str, pa.Table] | bool:
        """Count each value; for a table by hash, tell if there are values that are no integers."""
        if self.shared.spec.hash_buckets is None:
            return Counter.summarize(column)
        if column.dtype == "text":
            return bool(as_integers(column.values).null_count > column.values.null_count)
        return column.dtype == "string"

    def update(self, summary: Any) -> None:
        rows, missing, elements, counted = summary
        self.rows += rows
        self.missing += missing
        self.elements += elements
        if isinstance(counted, bool):
            self.strings |= counted
        else:
            self.counter.update(counted)

    def compute(self) -> None:
        """Count the elements that have no row of their own, after the vocabulary is settled; forget the rest.

        An update gives rows to values that were rare before. A vocabulary that features share has the counts of all of
        them, so that those values stay rare in what `describe` says of each.
        """
        learned = self.shared.learned
        if isinstance(learned, Vocabulary) and len(self.shared.members) == 1:
            self.rare, self.counter = self.elements - int(learned.counts.sum()), Counter()
            return
        for dtype, counts in self.counter.compute().items():
            rows = learned.lookup(Factorized(counts["value"].combine_chunks(), dtype, np.empty(0, np.int64)))
            self.rare += int(counts["count"].to_numpy()[rows[:-1] == UNSEEN].sum())
        self.counter = Counter()

    def _rows(self, column: Factorized, context: Context, cells: Array) -> Array:
        """Return the rows of the values, some replaced in training; `cells` numbers the values, for dropout."""
        rows: Array = self.shared.learned.lookup(column).astype(self.shared.id_dtype)[column.codes]
        if context.key is not None and self.spec.dropout > 0:
            rows[dropout_mask(self.spec.dropout, self.name, context.key, cells) & (rows != MISSING)] = UNSEEN
        return rows

    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        column = self._factorize(table, context)
        return {self.name: self._rows(column, context, context.first_row + np.arange(len(column.codes)))}

    def encode_missing(self, rows: int) -> dict[str, Array]:
        return {self.name: np.zeros(rows, self.shared.id_dtype)}

    def _sparse(self, embedding_dim: EmbeddingDim) -> SparseFeat:
        width = embedding_dim_of(self.shared.spec, embedding_dim, self.shared.first_rows)
        return SparseFeat(self.name, self.shared.learned.rows, width, embedding_name=self.shared.name)

    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        return [self._sparse(embedding_dim)]

    def describe(self) -> dict[str, Any]:
        lookup = self.shared.learned
        cardinality = lookup.table.num_rows if isinstance(lookup, Vocabulary) else None
        covered = 1.0 if not self.elements else 1 - self.rare / self.elements
        return {"table rows": lookup.rows, "cardinality": cardinality, "rare": self.rare, "coverage": covered}


def _factorize_once(table: pa.Table, name: str, context: Context) -> Factorized:
    """Factorize a raw column, or take it from the memo of the context."""
    if context.memo is not None and name in context.memo:
        return context.memo[name]
    column = factorize(one_array(table[name]), name, context.text)
    if context.memo is not None:
        small = np.min_scalar_type(len(column.values))
        context.memo[name] = column._replace(codes=column.codes.astype(small))
    return column
