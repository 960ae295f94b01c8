"""Negatives: their distribution, and what is never drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepctr_torch.datasets import sample_negatives


def chi_square_is_plausible(drawn: NDArray[np.int64], expected: NDArray[np.float64]) -> bool:
    counts = np.bincount(drawn, minlength=len(expected))
    possible = expected > 0
    if counts[~possible].any():
        return False
    share = expected[possible] / expected.sum() * len(drawn)
    degrees = possible.sum() - 1
    return bool(((counts[possible] - share) ** 2 / share).sum() < degrees + 5 * np.sqrt(2 * degrees))


COUNTS = np.array([50, 400, 0, 81, 16, 1, 256])


@pytest.mark.parametrize("power", [0.0, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("positive", [1, 5, 6])
def test_the_distribution_is_that_of_the_items_without_the_positive(power: float, positive: int) -> None:
    history = np.full((400, 100), positive)
    drawn = sample_negatives(history, COUNTS, power=power, seed=1)
    expected = np.where(COUNTS > 0, COUNTS.astype(float) ** power, 0)
    expected[[0, positive]] = 0
    assert chi_square_is_plausible(drawn.reshape(-1), expected)


def test_the_distribution_with_more_to_avoid() -> None:
    history = np.full((30_000, 1), 4)
    drawn = sample_negatives(history, COUNTS, power=1, avoid=np.tile([1, 0, 4, 1], (30_000, 1)))
    expected = COUNTS.astype(float)
    expected[[0, 1, 4]] = 0
    assert chi_square_is_plausible(drawn[:, 0], expected)


def test_a_vocabulary_size_draws_all_items_alike() -> None:
    drawn = sample_negatives(np.full((20_000, 1), 2), 9)
    assert chi_square_is_plausible(drawn[:, 0], np.array([0, 1, 0, 1, 1, 1, 1, 1, 1.0]))


@given(st.data())
def test_guarantees(data: st.DataObject) -> None:
    vocabulary = data.draw(st.integers(5, 9))
    n, t = data.draw(st.integers(0, 4)), data.draw(st.integers(1, 5))
    row = st.lists(st.integers(0, vocabulary - 1), min_size=t, max_size=t)
    history = np.array(data.draw(st.lists(row, min_size=n, max_size=n)), np.int32).reshape(n, t)
    avoid = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=n, max_size=n)))
    avoid = avoid.astype(np.int64).reshape(n, 2)
    big = st.sampled_from([1, 3, 10**6, 10**15])  # an item that is a trillion times as frequent as another
    counts = np.array(data.draw(st.lists(big, min_size=vocabulary, max_size=vocabulary)))
    before = history.copy()
    negatives = sample_negatives(history, counts, avoid=avoid, seed=data.draw(st.integers(0, 99)), power=1)
    np.testing.assert_array_equal(history, before)
    assert negatives.dtype == np.int32
    assert negatives.shape == (n, t)
    np.testing.assert_array_equal(negatives == 0, history == 0)
    there = history > 0
    assert (negatives[there] != history[there]).all()
    assert (negatives < vocabulary).all()
    for k in range(2):
        assert not ((negatives == avoid[:, k : k + 1]) & there).any()


def test_with_one_item_left_it_is_drawn() -> None:
    history = np.array([[1, 2, 1], [2, 0, 0]])
    np.testing.assert_array_equal(sample_negatives(history, [0, 9, 1, 0]), [[2, 1, 2], [1, 0, 0]])


def test_the_seed_decides() -> None:
    history = np.full((50, 20), 3)
    one, same, other = (sample_negatives(history, 1000, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    generator = np.random.default_rng(0)
    assert (sample_negatives(history, 1000, seed=generator) != sample_negatives(history, 1000, seed=generator)).any()


@pytest.mark.parametrize(
    ("history", "counts", "more", "error", "message"),
    [
        ([[1.5]], 5, {}, TypeError, "history must hold integers, got float64"),
        ([1, 2], 5, {}, ValueError, r"history must have shape \[N, T\], got \(2,\)"),
        ([[1, 5]], 5, {}, ValueError, r"history must be in \[0, 5\), got 5 at \[0, 1\]"),
        ([[-1]], 5, {}, ValueError, r"history must be in \[0, 5\), got -1 at \[0, 0\]"),
        ([[1]], 1, {}, ValueError, "item_counts must be an integer of at least 2, got 1"),
        ([[1]], [1, -2, 3], {}, ValueError, "item_counts must be a vector of numbers >= 0"),
        ([[1]], [[1, 2]], {}, ValueError, "item_counts must be a vector of numbers >= 0"),
        ([[1]], [1, np.nan], {}, ValueError, "item_counts must be a vector of numbers >= 0"),
        ([[1]], [4, 0, 0], {}, ValueError, "item_counts must be positive for at least one id above 0"),
        ([[0, 1]], [4, 2, 0], {}, ValueError, r"must leave an item to draw for history\[0, 1\]"),
        ([[1]], 3, {"avoid": [2]}, ValueError, r"must leave an item to draw for history\[0, 0\]"),
        ([[1]], 3, {"avoid": [1, 2]}, ValueError, r"avoid must have shape \[1\] or \[1, K\], got \(2,\)"),
        ([[1]], 3, {"avoid": [3]}, ValueError, r"avoid must be in \[0, 3\), got 3 at \[0\]"),
        ([[1]], 3, {"power": -1}, ValueError, "power must be a number >= 0, got -1"),
    ],
)
def test_wrong_arguments(
    history: object, counts: object, more: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample_negatives(history, counts, **more)  # type: ignore[arg-type]
