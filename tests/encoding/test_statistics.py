from __future__ import annotations

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from deepctr_torch.encoding.statistics import UNIT, Histogram, Moments, exact_sum, on_grid, signed_log

FINITE = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30)


@given(FINITE, st.integers(0, 30))
def test_sums_are_exact_and_do_not_depend_on_how_they_are_cut(values: list[float], cut: int) -> None:
    exact = exact_sum(np.array(values[:cut])) + exact_sum(np.array(values[cut:]))
    assert exact * Fraction(2) ** UNIT == sum(map(Fraction, values), Fraction(0))


def test_moments_of_a_tiny_sample() -> None:
    moments = Moments()
    for part in ([1.0, 2.0], [], [6.0]):
        moments.update(Moments.summarize(np.array(part)))
    assert (moments.count, moments.mean, moments.low, moments.high) == (3, 3.0, 1.0, 6.0)
    assert moments.std == math.sqrt(14 / 3)


def test_moments_against_numpy_where_the_mean_is_far_from_zero() -> None:
    x = np.random.default_rng(0).normal(1e6, 1.0, 1000)
    moments = Moments()
    moments.update(Moments.summarize(x))
    np.testing.assert_allclose([moments.mean, moments.std], [x.mean(), x.std()], rtol=1e-5)


def test_equal_numbers_do_not_vary_though_squares_are_rounded() -> None:
    moments = Moments()
    moments.update(Moments.summarize(np.full(1000, 0.1)))
    assert moments.std == 0.0
    assert Moments().std == Moments().mean == 0.0


def test_signed_log() -> None:
    np.testing.assert_allclose(signed_log(np.array([0.0, math.e - 1, 1 - math.e])), [0, 1, -1])


def test_the_grid_keeps_small_integers_and_short_fractions() -> None:
    x = np.array([0.0, -0.0, 1.0, -3.0, 4095.0, 0.125, 1e9, -1e-9, 1 / 3])
    grid = on_grid(x)
    np.testing.assert_array_equal(grid[:6], x[:6])
    np.testing.assert_allclose(grid, x, rtol=2.0**-12)
    assert not np.signbit(grid[1])


def bounds(values: list[float], bins: int, cuts: int = 1) -> list[float]:
    histogram = Histogram()
    for part in np.array_split(np.array(values, float), cuts):
        histogram.update(Histogram.summarize(part))
    return histogram.bounds(bins).tolist()


def test_buckets_hold_about_equally_many_numbers() -> None:
    assert bounds([1, 2, 3, 4], 2) == [3]
    assert bounds([1, 2, 3, 4], 4) == [2, 3, 4]
    assert bounds([1, 2, 3, 4], 100) == [2, 3, 4]
    assert bounds([], 4) == bounds([7, 7], 4) == []
    x = np.random.default_rng(0).normal(size=4096)
    edges = bounds(x.tolist(), 8)
    sizes = np.bincount(np.searchsorted(edges, on_grid(x), side="right"))
    assert len(sizes) == 8
    assert np.abs(sizes - 512).max() <= 2


def test_a_frequent_number_has_a_bucket_alone() -> None:
    assert bounds([0] * 90 + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10) == [1]
    assert bounds([-1] * 5 + [0] * 90 + [1] * 5, 10) == [0, 1]


@given(FINITE, st.integers(1, 5))
def test_buckets_do_not_depend_on_how_the_numbers_are_cut(values: list[float], cuts: int) -> None:
    assert bounds(values, 4, cuts) == bounds(sorted(values), 4)
