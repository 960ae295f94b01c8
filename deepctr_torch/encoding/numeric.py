"""Encoders of numbers: `Numeric`, one a row, and `Dense`, a vector a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from .._typing import Array
from ..features import DenseFeat, FeatureColumn, SparseFeat
from .arrow_columns import RowError, numbers_of, one_array
from .column_encoder import ColumnEncoder, Context, EmbeddingDim, embedding_dim_of
from .ragged import flat_of
from .specs import Dense, Numeric
from .statistics import Histogram, Moments, on_grid, signed_log
from .vocabulary import FIRST, MISSING, UNSEEN

__all__ = ["NumericEncoder", "VectorEncoder"]

_FLOAT32 = float(np.finfo(np.float32).max)


class NumericEncoder(ColumnEncoder):
    """One number a row: scaled, float32 [N], or the id of a bucket, int32 [N]."""

    counted = ("rows", "missing", "infinite")
    infinite: int
    spec: Numeric

    def __init__(self, name: str, spec: Numeric) -> None:
        super().__init__(name, spec)
        self.moments, self.histogram = Moments(), Histogram()
        self.statistics: dict[str, float] = {}
        self.bounds = np.empty(0)
        self.indicator = bool(spec.indicator)
        self.learned = False

    @property
    def bucketed(self) -> bool:
        return self.spec.scaling == "quantile"

    @property
    def table_rows(self) -> int:
        return FIRST + len(self.bounds) + 1

    @property
    def outputs(self) -> tuple[str, ...]:
        if self.bucketed or self.spec.indicator is False or (self.learned and not self.indicator):
            return (self.name,)
        return (self.name, f"{self.name}_missing")

    def _read(self, table: pa.Table) -> Array:
        (column,) = self.inputs
        return numbers_of(one_array(table[column]), column)

    def summarize(self, table: pa.Table, context: Context) -> Any:
        """Return the numbers of rows, missing and infinite ones, moments, and a histogram where one is needed."""
        x = self._read(table)
        finite = x[np.isfinite(x)]
        missing = int(np.isnan(x).sum())
        logged = self.spec.scaling == "standard"
        moments = Moments.summarize(signed_log(finite) if logged else finite, squares=logged)
        histogram = Histogram.summarize(finite) if self.bucketed else None
        return len(x), missing, len(x) - missing - len(finite), moments, histogram

    def update(self, summary: Any) -> None:
        rows, missing, infinite, moments, histogram = summary
        self.rows += rows
        self.missing += missing
        self.infinite += infinite
        if not self.learned:
            self.moments.update(moments)
            if histogram is not None:
                self.histogram.update(histogram)

    def compute(self) -> None:
        """Settle the scale; learning more leaves it, so that old rows keep their numbers."""
        if self.learned:
            return
        m = self.moments
        low, high = (m.low, m.high) if m.count else (0.0, 0.0)
        self.statistics = {"count": float(m.count), "mean": m.mean, "std": m.std, "low": low, "high": high}
        if self.bucketed:
            self.bounds = self.histogram.bounds(self.spec.bins)
        if self.spec.indicator is None:
            self.indicator = not self.bucketed and self.missing > 0
        self.moments, self.histogram, self.learned = Moments(), Histogram(), True

    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        return self.encode_numbers(self._read(table))

    def encode_numbers(self, x: Array) -> dict[str, Array]:
        """`encode` of numbers, float64 [N], NaN where missing."""
        missing = np.isnan(x)
        if self.bucketed:
            return {self.name: self._bucket(x, missing)}
        out = {self.name: self._scale(x, missing)}
        if self.indicator:
            out[f"{self.name}_missing"] = missing.astype(np.float32)
        return out

    def _bucket(self, x: Array, missing: Array) -> Array:
        if not self.statistics["count"]:  # there was no number to learn from
            return np.where(missing, MISSING, UNSEEN).astype(np.int32)
        ids = FIRST + np.searchsorted(self.bounds, on_grid(x), side="right")
        return np.where(missing, MISSING, ids).astype(np.int32)

    def _scale(self, x: Array, missing: Array) -> Array:
        n, scaling = self.statistics, self.spec.scaling
        z = signed_log(x) if scaling == "standard" else x
        infinite = np.isinf(x)
        if infinite.any():
            z = np.where(infinite, np.where(x > 0, n["high"], n["low"]), z)
        z = np.where(missing, n["mean"], z)
        with np.errstate(over="ignore"):  # what becomes infinite is cut off
            if scaling == "standard":
                z = (z - n["mean"]) / (n["std"] or 1.0)
            elif scaling == "minmax":
                width = n["high"] / 2 - n["low"] / 2  # halves: the width of all numbers is infinite
                z = np.clip((z / 2 - n["low"] / 2) / width, 0.0, 1.0) if width else np.zeros_like(z)
        return np.clip(z, -_FLOAT32, _FLOAT32).astype(np.float32)

    def encode_missing(self, rows: int) -> dict[str, Array]:
        if self.bucketed:
            return {self.name: np.zeros(rows, np.int32)}
        nothing = np.full(rows, np.nan)
        out = {self.name: self._scale(nothing, np.isnan(nothing))}
        if self.indicator:
            out[f"{self.name}_missing"] = np.ones(rows, np.float32)
        return out

    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        if self.bucketed:
            width = embedding_dim_of(self.spec, embedding_dim, self.table_rows)
            return [SparseFeat(self.name, self.table_rows, width)]
        return [DenseFeat(name) for name in self.outputs]

    def describe(self) -> dict[str, Any]:
        n = self.statistics
        keep = ("mean", "std", "low", "high") if self.spec.scaling == "standard" else ("mean", "low", "high")
        out: dict[str, Any] = {key: n[key] for key in keep}
        if self.bucketed:
            out["table rows"] = self.table_rows
        return {**out, "infinite": self.infinite}

    def state(self) -> dict[str, Any]:
        bounds = self.bounds.tolist() if self.bucketed else None
        return {**super().state(), "indicator": self.indicator, "numbers": self.statistics, "bounds": bounds}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.indicator = bool(state["indicator"])
        self.statistics = {key: float(state["numbers"][key]) for key in ("count", "mean", "std", "low", "high")}
        self.bounds = np.array(state["bounds"] or [], np.float64)
        self.learned = True


class VectorEncoder(ColumnEncoder):
    """A vector of numbers a row, float32 [N, dimension]; [N] where the dimension is 1."""

    spec: Dense

    def __init__(self, name: str, spec: Dense) -> None:
        super().__init__(name, spec)
        self.dimension = self.settled = spec.dimension or 0

    def _read(self, table: pa.Table, dimension: int) -> tuple[Array, Array, int]:
        """Return the numbers of all rows, how many each row has, and how many it should have."""
        (column,) = self.inputs
        flat, sizes = flat_of(one_array(table[column]), column, self.spec.separator)
        wanted = dimension or int(sizes.max(initial=0))
        wrong = (sizes != wanted) & (sizes != 0)
        if wrong.any():
            row = int(wrong.argmax())
            raise RowError(f"{column!r} must hold {wanted} number(s) or nothing, got {sizes[row]}", row)
        return numbers_of(flat, column), sizes, wanted

    def summarize(self, table: pa.Table, context: Context) -> tuple[int, int, int]:
        """Return the numbers of rows, of missing ones, and of numbers in a row."""
        _, sizes, found = self._read(table, self.settled)
        return len(sizes), int((sizes == 0).sum()), found

    def update(self, summary: tuple[int, int, int]) -> None:
        rows, missing, found = summary
        self.rows += rows
        self.missing += missing
        if self.dimension and found and found != self.dimension:
            message = f"{self.inputs[0]!r} must hold {self.dimension} number(s), as in rows before, got {found}"
            raise RowError(message, 0)  # all rows of a chunk have as many
        self.dimension = self.dimension or found

    def compute(self) -> None:
        self.dimension = self.settled = self.dimension or 1

    def encode(self, table: pa.Table, context: Context) -> dict[str, Array]:
        numbers, sizes, _ = self._read(table, self.dimension)
        out = np.zeros((len(sizes), self.dimension), np.float32)
        limited = np.clip(np.nan_to_num(numbers, nan=0.0), -_FLOAT32, _FLOAT32)
        out[sizes > 0] = limited.astype(np.float32).reshape(-1, self.dimension)
        return {self.name: out if self.dimension > 1 else out[:, 0]}

    def encode_missing(self, rows: int) -> dict[str, Array]:
        shape = (rows, self.dimension) if self.dimension > 1 else rows
        return {self.name: np.zeros(shape, np.float32)}

    def feature_columns(self, embedding_dim: EmbeddingDim) -> list[FeatureColumn]:
        return [DenseFeat(self.name, self.dimension)]

    def describe(self) -> dict[str, Any]:
        return {"dimension": self.dimension}

    def state(self) -> dict[str, Any]:
        return {**super().state(), "dimension": self.dimension}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.dimension = self.settled = int(state["dimension"])
