"""Click data made from a known model, so that the best result anybody can reach is known too."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._checks import check_at_least
from ..metrics.functional import auc, logloss

__all__ = ["CriteoLike", "make_criteo_like"]

_NUMBERS, _FIELDS, _FACTORS = 13, 26, 4
_BLOCK = 1 << 16  # rows drawn at a time, each block from a generator of its own
_PILOT = 1 << 40  # the number of the block that scales the model, past the end of every data set
_BASE_RATE = 0.25
_STRENGTH = (0.4, 0.6, 1.6)  # standard deviations of the numbers', the ids' and the pairs' share of the logit
# Which of the sizes C1 to C26 have: Criteo's order.
_RANK = (11, 9, 25, 21, 8, 5, 16, 10, 0, 18, 15, 24, 13, 6, 17, 22, 2, 14, 12, 1, 23, 4, 3, 20, 7, 19)  # fmt: skip

Floats = NDArray[np.float64]
Ids = NDArray[np.int32]


class CriteoLike(NamedTuple):
    """Columns, labels, and what is known about them.

    Attributes:
        x: I1 to I13 (float32, uniform, mean 0, variance 1) and C1 to C26 (int32, from 0, the frequent ids first).
        y: float32, 0 or 1.
        probability: P(y = 1) of each row; nobody predicts better than this.
        best_logloss, best_auc: of `probability` against `y`; the AUC is nan where all labels are equal.
        vocabulary_sizes: C1 to C26 -> number of ids.
    """

    x: dict[str, NDArray[Any]]
    y: NDArray[np.float32]
    probability: Floats
    best_logloss: float
    best_auc: float
    vocabulary_sizes: dict[str, int]


class _Scale(NamedTuple):
    """Divisors that make the shares of the logit comparable, whatever the vocabulary."""

    mean: tuple[float, ...]
    factor: tuple[float, ...]
    bias: float


def make_criteo_like(n: int, vocabulary: int = 1_000_000, seed: int = 0) -> CriteoLike:
    """Rows shaped like Criteo's (13 numbers, 26 ids), with labels drawn from a factorization machine.

    The logit is a bias + numbers + a weight per id + sum over pairs of fields f < g of <v_f(id_f), v_g(id_g)>, with
    hidden vectors v of length 4 (S. Rendle: Factorization Machines, ICDM 2010, eq. 1). Weights and vectors are bits of
    a hash of (seed, field, id). About a quarter of the labels are 1; most of what can be known lies in the pairs.

    Ids follow a Zipf law of exponent 1: P(id = k) = log((k + 2) / (k + 1)) / log(size + 1). Field sizes grow
    geometrically from 3; they sum to `vocabulary`.

    The same arguments give the same ids, numbers and labels on every platform (probabilities up to the last digits),
    and fewer rows are a prefix of more.

    >>> data = make_criteo_like(1000, vocabulary=5000)
    >>> len(data.x), sum(data.vocabulary_sizes.values())
    (39, 5000)
    >>> 0.2 < data.y.mean() < 0.3 and 0.7 < data.best_auc < 1
    True
    """
    check_at_least("n", n, 1)
    check_at_least("vocabulary", vocabulary, 4 * _FIELDS)
    check_at_least("seed", seed, 0)
    if vocabulary >= 2**31:
        raise ValueError(f"vocabulary must be below 2**31 (ids are int32), got {vocabulary}")
    sizes = _field_sizes(vocabulary)
    keys = _keys(seed)
    scale = _calibrate(sizes, keys, seed)
    numbers, ids = np.empty((_NUMBERS, n), np.float32), np.empty((_FIELDS, n), np.int32)
    y, probability = np.empty(n, np.float32), np.empty(n)
    for block, start in enumerate(range(0, n, _BLOCK)):
        rows = slice(start, min(start + _BLOCK, n))
        size = rows.stop - start
        z, c, uniform = _draw(sizes, seed, block)
        numbers[:, rows], ids[:, rows] = z[:, :size], c[:, :size]
        probability[rows] = _sigmoid(_logit(_shares(z[:, :size], c[:, :size], keys), scale))
        y[rows] = uniform[:size] < probability[rows]
    x: dict[str, NDArray[Any]] = {f"I{i + 1}": row for i, row in enumerate(numbers)}
    x.update({f"C{i + 1}": row for i, row in enumerate(ids)})
    named = {f"C{i + 1}": size for i, size in enumerate(sizes)}
    return CriteoLike(x, y, probability, logloss(y, probability), auc(y, probability), named)


def _field_sizes(vocabulary: int) -> list[int]:
    """26 sizes with a constant ratio, 3 the smallest, that sum to `vocabulary`."""
    low, high = 1.0, 3.0
    for _ in range(60):
        ratio = (low + high) / 2
        low, high = (ratio, high) if sum(_geometric(ratio)) < vocabulary else (low, ratio)
    sizes = [round(size) for size in _geometric(low)]
    sizes[-1] += vocabulary - sum(sizes)  # what rounding left over; in small vocabularies it may cost the first place
    sizes.sort()
    return [sizes[rank] for rank in _RANK]


def _geometric(ratio: float) -> list[float]:
    return list(accumulate([3.0] + [ratio] * (_FIELDS - 1), mul))


def _mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function: 64 well mixed bits (Steele, Lea, Flood: Fast Splittable PRNGs, OOPSLA 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _keys(seed: int) -> NDArray[np.uint64]:
    """One random 64-bit number for each number column and each field."""
    return np.random.PCG64(np.random.SeedSequence([seed, _PILOT + 1])).random_raw(_NUMBERS + _FIELDS)


def _hidden(key: np.uint64, ids: NDArray[Any]) -> Floats:
    """Weight and hidden vector of each id [1 + 4, N], values of 12 bits in [-1, 1)."""
    h = _mix(_mix(ids.astype(np.uint64) + key))
    parts = [((h >> np.uint64(12 * i)) & np.uint64(0xFFF)).astype(np.float64) for i in range(1 + _FACTORS)]
    return np.stack(parts) / 2048 - 1


@lru_cache(maxsize=2 * _FIELDS)
def _powers(base: int) -> tuple[Floats, Floats]:
    """`base ** (i / 2**16)` and `base ** (i / 2**32)` for i < 2**16, of products that round alike anywhere."""
    roots = [float(base)]
    for _ in range(32):
        roots.append(float(np.sqrt(roots[-1])))
    tables = []
    for last in (16, 32):
        table = np.ones(1)
        for root in roots[last : last - 16 : -1]:
            table = np.concatenate([table, table * root])
        tables.append(table)
    return tables[0], tables[1]


def _zipf(bits: NDArray[np.uint64], size: int) -> Ids:
    """Ids below `size`: floor((size + 1) ** u) - 1, where `bits` are the first 32 bits of u."""
    high, low = _powers(size + 1)
    value: Floats = high[bits >> np.uint64(16)] * low[bits & np.uint64(0xFFFF)]
    ids: Ids = np.minimum(value.astype(np.int64) - 1, size - 1).astype(np.int32)
    return ids


def _draw(sizes: list[int], seed: int, block: int) -> tuple[NDArray[np.float32], Ids, Floats]:
    """Numbers [13, N], ids [26, N] and the uniform numbers that decide the labels [N] of one block."""
    generator = np.random.PCG64(np.random.SeedSequence([seed, block]))
    raw = generator.random_raw((2 * _NUMBERS + 1) * _BLOCK).reshape(-1, _BLOCK)  # what numpy promises never to change
    unit = (raw[:_NUMBERS] >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    z = (unit - np.float32(0.5)) * np.float32(12**0.5)
    pairs = raw[_NUMBERS:-1]  # 64 bits are the draws of two fields
    bits = np.concatenate([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)])
    ids = np.stack([_zipf(row, size) for row, size in zip(bits, sizes, strict=True)])
    return z, ids, (raw[-1] >> np.uint64(11)).astype(np.float64) * 2**-53


def _shares(z: NDArray[np.float32], ids: Ids, keys: NDArray[np.uint64]) -> list[Floats]:
    """Numbers', ids' and pairs' part of the logit, [N] each and not yet scaled."""
    n = z.shape[1]
    linear, weights = np.zeros(n), np.zeros(n)
    total, squares = np.zeros((_FACTORS, n)), np.zeros((_FACTORS, n))
    for key, number in zip(keys[:_NUMBERS], z, strict=True):
        linear += _hidden(key, np.zeros(1, np.int64))[0, 0] * number.astype(np.float64)
    for key, row in zip(keys[_NUMBERS:], ids, strict=True):
        hidden = _hidden(key, row)
        weights += hidden[0]
        total += hidden[1:]
        squares += hidden[1:] ** 2
    pairs = np.zeros(n)
    for t, s in zip(total, squares, strict=True):
        pairs += (t * t - s) / 2  # sum over f < g of v_f v_g
    return [linear, weights, pairs]


def _calibrate(sizes: list[int], keys: NDArray[np.uint64], seed: int) -> _Scale:
    """Scale the shares to `_STRENGTH` and find the bias of `_BASE_RATE`, on a block that is in no data set."""
    z, ids, _ = _draw(sizes, seed, _PILOT)
    shares = _shares(z, ids, keys)
    mean = tuple(round(float(share.mean()), 6) for share in shares)  # rounded: alike where sums are ordered otherwise
    factor = tuple(round(s / float(share.std()), 6) for s, share in zip(_STRENGTH, shares, strict=True))
    logit = _logit(shares, _Scale(mean, factor, 0.0))
    low, high = -20.0, 20.0
    for _ in range(40):
        bias = (low + high) / 2
        low, high = (bias, high) if _sigmoid(logit + bias).mean() < _BASE_RATE else (low, bias)
    return _Scale(mean, factor, round(low, 6))


def _logit(shares: list[Floats], scale: _Scale) -> Floats:
    logit = np.full(len(shares[0]), scale.bias)
    for share, mean, factor in zip(shares, scale.mean, scale.factor, strict=True):
        logit += (share - mean) * factor
    return logit


def _sigmoid(logit: Floats) -> Floats:
    return 1 / (1 + np.exp(-logit))
