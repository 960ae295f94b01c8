"""`ColumnEncoder`: the encoder of one feature, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from .._typing import Array
from ..features import FeatureColumn
from ..hashing import hash_values
from .arrow_columns import Factorized
from .specs import FeatureSpec

__all__ = ["ColumnEncoder", "Context", "EmbeddingDim", "auto_dimension", "dropout_mask", "embedding_dim_of"]

EmbeddingDim: TypeAlias = int | str | Callable[[int], int]


class Context(NamedTuple):
    """The origin of the rows of a chunk, and the purpose they are encoded for."""

    text: bool = False  # they come from a text file, where integers and strings look alike
    key: int | None = None  # the seed of dropout, together with row and feature; None for no dropout
    first_row: int = 0  # the number of the first row
    memo: dict[str, Factorized] | None = None  # raw column -> its `factorize`, for a chunk that is read once more


class ColumnEncoder(ABC):
    """The encoder of one feature: its spec, and what it has learned."""

    counted: ClassVar[tuple[str, ...]] = ("rows", "missing")  # numbers that grow with each chunk, and are saved
    rows: int
    missing: int
    spec: FeatureSpec

    def __init__(self, name: str, spec: FeatureSpec) -> None:
        self.name, self.spec = name, spec
        for number in self.counted:
            setattr(self, number, 0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that it reads."""
        return (self.spec.column or self.name,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The inputs that it may give a model."""
        return (self.name,)

    @abstractmethod
    def summarize(self, table: pa.Table, context: Context) -> Any:
        """Summarize what there is to learn from a chunk; change nothing, as several threads do so at a time."""

    @abstractmethod
    def update(self, summary: Any) -> None:
        """Add a summary to what was learned, in the order of the chunks."""

    def compute(self) -> None:  # noqa: B027  # of some there is nothing to settle
        """Settle what was learned, after the last chunk."""

    @abstractmethod
    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        """Encode a chunk as inputs of a model."""

    @abstractmethod
    def encode_missing(self, rows: int) -> dict[str, Array]:
        """Return the inputs of rows where the feature is missing."""

    @abstractmethod
    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        """Return the columns that tell a model of the inputs."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return one row of `FeatureEncoder.describe`."""

    def state(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {name: getattr(self, name) for name in self.counted}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        for number in self.counted:
            setattr(self, number, int(state[number]))


def auto_dimension(rows: int, at_most: int | None = None) -> int:
    """Compute the length of a table's vectors from its rows: twice the fourth root, in steps of 4.

    Args:
        rows: of the table.
        at_most: the longest; None for no limit.

    >>> [auto_dimension(rows) for rows in (3, 100, 10_000, 1_000_000)]
    [4, 8, 20, 64]
    >>> auto_dimension(1_000_000, at_most=16)
    16
    """
    dimension = 4 * max(1, int(np.ceil(rows**0.25 / 2 - 1e-9)))
    return dimension if at_most is None else min(dimension, at_most)


def embedding_dim_of(spec: FeatureSpec, default: EmbeddingDim, rows: int) -> int:
    """Return the length of the vectors of a feature: what its spec says, else what `feature_columns` was given."""
    wanted: EmbeddingDim = default if spec.embedding_dim is None else spec.embedding_dim
    if callable(wanted):
        return int(wanted(rows))
    return auto_dimension(rows) if isinstance(wanted, str) else int(wanted)


def dropout_mask(rate: float, name: str, key: int, cells: Array) -> Array:
    """Draw which cells [N] training replaces, a share of `rate`: a hash of feature, key and cell, bool [N]."""
    start = int(hash_values([name])[0]) ^ int(hash_values([key])[0])
    draws = hash_values(cells.astype(np.uint64) + np.uint64(start)) if len(cells) else np.empty(0, np.uint64)
    out: Array = draws < np.uint64(int(rate * 2**64))
    return out
