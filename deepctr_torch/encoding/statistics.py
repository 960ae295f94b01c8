"""Statistics of numbers, equal to the last bit however the rows are ordered and cut into chunks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa

from .._typing import Array

__all__ = ["Histogram", "Moments", "exact_sum", "on_grid", "signed_log"]

UNIT = -1126  # sums are integers times 2**UNIT: frexp writes the smallest float64, 2**-1074, as 2**52 * 2**UNIT
_DROPPED = 40  # bits of the 52 of a mantissa


def signed_log(x: Array) -> Array:
    """Compute sign(x) log(1 + |x|)."""
    out: Array = np.copysign(np.log1p(np.abs(x)), x)
    return out


def exact_sum(x: Array) -> int:
    """Sum finite float64 without rounding, so that order does not matter, in units of 2**UNIT.

    It costs 40 ns a number, and a rounded sum 2: see "Decisions" in the design notes.
    """
    if not len(x):
        return 0
    most = float(np.abs(x).max()) * len(x)
    if most < 2**53 and (x == np.trunc(x)).all():  # every sum of some of them is a float64
        return int(x.sum()) << -UNIT
    mantissa, exponent = np.frexp(x)
    whole = np.ldexp(mantissa, 53).astype(np.int64)  # x = whole * 2**(exponent - 53)
    least = int(exponent.min())
    group = exponent - least
    high = np.bincount(group, weights=(whole >> 27).astype(np.float64))  # exact up to 2**26 values
    low = np.bincount(group, weights=(whole & ((1 << 27) - 1)).astype(np.float64))
    shift = least - 53 - UNIT
    return sum(
        ((int(h) << 27) + int(w)) << (shift + i) for i, (h, w) in enumerate(zip(high, low, strict=True)) if h or w
    )


class Moments:
    """Count, mean, standard deviation and range of numbers."""

    def __init__(self) -> None:
        self.count = self.total = self.squares = 0  # the sums in units of 2**UNIT
        self.low, self.high = np.inf, -np.inf

    @staticmethod
    def summarize(x: Array, squares: bool = True) -> tuple[int, int, int, float, float]:
        """Return count, sum, sum of squares (0 if not wanted), least and greatest of finite numbers."""
        square = exact_sum(x * x) if squares else 0
        return len(x), exact_sum(x), square, float(x.min(initial=np.inf)), float(x.max(initial=-np.inf))

    def update(self, summary: tuple[int, int, int, float, float]) -> None:
        count, total, squares, low, high = summary
        self.count += count
        self.total += total
        self.squares += squares
        self.low, self.high = min(self.low, low), max(self.high, high)

    def _mean(self, total: int) -> Fraction:
        return Fraction(total) * Fraction(2) ** UNIT / max(self.count, 1)

    @property
    def mean(self) -> float:
        return float(self._mean(self.total))

    @property
    def std(self) -> float:
        """The standard deviation of the population; 0 where numbers are equal but for the rounding of each square."""
        square = self._mean(self.squares)
        variance = square - self._mean(self.total) ** 2
        return float(variance) ** 0.5 if variance > square * Fraction(1, 10**14) else 0.0


def on_grid(x: Array) -> Array:
    """Keep the first 12 bits of the mantissa of each number: small integers as they are, others within 0.02%."""
    bits = (x + 0.0).view(np.int64) >> _DROPPED << _DROPPED  # + 0.0: -0.0 and 0.0 are equal
    out: Array = bits.view(np.float64)
    return out


class Histogram:
    """Counts of numbers by their place `on_grid`: bounded in memory, and added in any order."""

    def __init__(self) -> None:
        self._values, self._counts = [np.empty(0)], [np.empty(0, np.int64)]

    @staticmethod
    def summarize(x: Array) -> tuple[Array, Array]:
        """Return the grid values of finite numbers, and the count of each."""
        counted = pa.array(on_grid(x).view(np.int64)).value_counts()
        return counted.field("values").to_numpy().view(np.float64), counted.field("counts").to_numpy()

    def update(self, summary: tuple[Array, Array]) -> None:
        self._values.append(summary[0])
        self._counts.append(summary[1])
        if sum(map(len, self._values[1:])) > max(1 << 18, len(self._values[0])):
            self._merge()

    def _merge(self) -> None:
        values, where = np.unique(np.concatenate(self._values), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, where, np.concatenate(self._counts))
        self._values, self._counts = [values], [counts]

    def bounds(self, bins: int) -> Array:
        """Return the lower bounds of buckets with about equally many numbers, but for the first: at most `bins` - 1.

        A value goes to the bucket that the middle of its share belongs to, so that a frequent one has one alone.
        """
        self._merge()
        (values,), (counts,) = self._values, self._counts
        if not len(values):
            return np.empty(0)
        middle = 2 * np.cumsum(counts) - counts  # twice, to stay whole
        bucket = middle * bins // (2 * int(counts.sum()))
        bounds: Array = values[1:][np.diff(bucket) > 0]
        return bounds
