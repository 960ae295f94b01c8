"""What every feature at work does: count a chunk, take in the counts, encode a chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..features import FeatureColumn
from ..hashing import hash_values
from .arrow_columns import Factorized
from .specs import FeatureSpec

__all__ = ["ColumnEncoder", "Context", "Dimension", "auto_dimension", "dimension_of", "dropped"]

Array = npt.NDArray[Any]
Dimension: TypeAlias = int | str | Callable[[int], int]


class Context(NamedTuple):
    """Where the rows of a chunk are from, and what they are encoded for.

    Attributes:
        text: they are of a text file, where integers and strings look alike.
        key: what dropout is drawn from, with row and feature; None for none.
        first_row: number of the first row.
        memo: raw column -> what `coded` made of it, for a chunk that is read once more.
    """

    text: bool = False
    key: int | None = None
    first_row: int = 0
    memo: dict[str, Factorized] | None = None


class ColumnEncoder(Protocol):
    """One feature of an encoder, with what it has learned."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> FeatureSpec: ...

    @property
    def raw(self) -> tuple[str, ...]:
        """The raw columns it reads."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The inputs it may give a model."""

    def partial(self, table: Any, context: Context) -> Any:
        """What there is to learn from a chunk; changes nothing."""

    def add(self, partial: Any) -> None:
        """Take in what `partial` found, in the order of the chunks."""

    def finish(self) -> None:
        """All chunks are there."""

    def encode(self, table: Any, context: Context) -> dict[str, Array]:
        """Inputs of a model from a chunk."""

    def blank(self, rows: int) -> dict[str, Array]:
        """Inputs where the feature is missing in every row."""

    def columns(self, dimension: Dimension) -> list[FeatureColumn]:
        """How models are told."""

    def describe(self) -> dict[str, Any]:
        """One row for `FeatureEncoder.describe`."""

    def state(self) -> dict[str, Any]:
        """What was learned, as plain data."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""


def auto_dimension(rows: int) -> int:
    """Length of the vectors of a table by its rows: twice the fourth root, in steps of 4.

    >>> [auto_dimension(rows) for rows in (3, 100, 10_000, 1_000_000)]
    [4, 8, 20, 64]
    """
    return 4 * max(1, int(np.ceil(rows**0.25 / 2 - 1e-9)))


def dimension_of(kind: FeatureSpec, given: Dimension, rows: int) -> int:
    """Length of the vectors of a feature: what its kind says, else what `feature_columns` was given."""
    wanted: Dimension = given if kind.embedding_dim is None else kind.embedding_dim
    if callable(wanted):
        return int(wanted(rows))
    return auto_dimension(rows) if isinstance(wanted, str) else int(wanted)


def dropped(rate: float, name: str, key: int, cells: Array) -> Array:
    """Which of the cells (numbers of rows, or of elements) training replaces: drawn from a hash of them and `key`."""
    start = int(hash_values([name])[0]) ^ int(hash_values([key])[0])
    draws = hash_values(cells.astype(np.uint64) + np.uint64(start)) if len(cells) else np.empty(0, np.uint64)
    out: Array = draws < np.uint64(int(rate * 2**64))
    return out
