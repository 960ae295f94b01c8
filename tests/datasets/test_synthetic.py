"""The Criteo-like data: the model is the one described, the best result is the best, the same everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from deepctr_torch.datasets import CriteoLike, make_criteo_like
from deepctr_torch.datasets.synthetic import _BLOCK, _calibrate, _field_sizes, _keys

MASK = 2**64 - 1


@pytest.fixture(scope="module")
def data() -> CriteoLike:
    return make_criteo_like(100_000, vocabulary=3000)


def test_columns_and_types(data: CriteoLike) -> None:
    assert list(data.x) == [f"I{i}" for i in range(1, 14)] + [f"C{i}" for i in range(1, 27)]
    for name, values in data.x.items():
        assert values.shape == (100_000,)
        if name.startswith("I"):
            assert values.dtype == np.float32
            assert abs(values.mean()) < 0.02
            assert abs(values.std() - 1) < 0.02
        else:
            assert values.dtype == np.int32
            assert values.min() == 0
            assert values.max() < data.vocabulary_sizes[name]
    assert data.y.dtype == np.float32
    assert set(np.unique(data.y)) == {0, 1}


def test_the_same_data_on_every_platform() -> None:
    """The bytes of a small data set, once and for all: ids, numbers and labels use nothing that rounds differently."""
    data = make_criteo_like(500, vocabulary=2000, seed=4)
    digest = hashlib.sha256()
    for values in (*data.x.values(), data.y):
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest() == "6c5398ec8eb5f589528976fa1fbf52bdec3359fed1897c1df0aa6eb363d85d22"


def test_fewer_rows_are_a_prefix() -> None:
    longer = make_criteo_like(_BLOCK + 1500, vocabulary=500, seed=2)
    for n in (1, 1000, _BLOCK, _BLOCK + 7):
        shorter = make_criteo_like(n, vocabulary=500, seed=2)
        for name, values in shorter.x.items():
            np.testing.assert_array_equal(values, longer.x[name][:n])
        np.testing.assert_array_equal(shorter.y, longer.y[:n])
        np.testing.assert_array_equal(shorter.probability, longer.probability[:n])
    head, tail = longer.x["C3"][:1000], longer.x["C3"][_BLOCK : _BLOCK + 1000]
    assert (head != tail).any()  # blocks differ


def test_the_seed_changes_data_and_model() -> None:
    one, two = (make_criteo_like(2000, vocabulary=500, seed=seed) for seed in (0, 1))
    assert (one.x["C1"] != two.x["C1"]).mean() > 0.5
    assert (_keys(0) != _keys(1)).all()


# ------------------------------------------------------------------------------------------------------ the model


def hidden(key: int, item: int) -> list[float]:
    """Weight and vector of an id, by Python's own integers."""
    h = (item + key) & MASK
    for _ in range(2):
        h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
        h ^= h >> 31
    return [((h >> (12 * i)) & 4095) / 2048 - 1 for i in range(5)]


def test_probabilities_are_those_of_a_factorization_machine() -> None:
    data = make_criteo_like(30, vocabulary=700, seed=5)
    keys = [int(key) for key in _keys(5)]
    scale = _calibrate(list(data.vocabulary_sizes.values()), _keys(5), 5)
    for row in range(30):
        numbers = sum(hidden(keys[i], 0)[0] * float(data.x[f"I{i + 1}"][row]) for i in range(13))
        parts = [hidden(keys[13 + f], int(data.x[f"C{f + 1}"][row])) for f in range(26)]
        weights = sum(part[0] for part in parts)
        pairs = sum(a * b for f in range(26) for g in range(f) for a, b in zip(parts[f][1:], parts[g][1:], strict=True))
        shares = (numbers, weights, pairs)
        logit = scale.bias + sum((s - m) * k for s, m, k in zip(shares, scale.mean, scale.factor, strict=True))
        assert data.probability[row] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-9)


def test_labels_are_drawn_from_the_probabilities(data: CriteoLike) -> None:
    assert data.y.mean() == pytest.approx(0.25, abs=0.01)
    order = np.argsort(data.probability)
    for rows in np.array_split(order, 20):
        p = data.probability[rows]
        assert abs(data.y[rows].mean() - p.mean()) < 4 * np.sqrt((p * (1 - p)).mean() / len(rows))


def test_the_best_result_is_that_of_the_probabilities(data: CriteoLike) -> None:
    assert data.best_logloss == pytest.approx(log_loss(data.y, data.probability), rel=1e-9)
    assert data.best_auc == pytest.approx(roc_auc_score(data.y, data.probability), rel=1e-9)
    assert 0.8 < data.best_auc < 0.9


def one_hot(data: CriteoLike) -> csr_matrix:
    sizes = list(data.vocabulary_sizes.values())
    start = np.cumsum([0, *sizes[:-1]])
    ids = np.stack([data.x[f"C{i + 1}"] + start[i] for i in range(26)], axis=1)
    n = len(ids)
    return csr_matrix((np.ones(n * 26), ids.reshape(-1), np.arange(0, n * 26 + 1, 26)), (n, sum(sizes)))


def test_weights_per_id_are_not_enough(data: CriteoLike) -> None:
    ids, half = one_hot(data), 60_000
    model = LogisticRegression(C=0.1, max_iter=200).fit(ids[:half], data.y[:half])
    auc = roc_auc_score(data.y[half:], model.decision_function(ids[half:]))
    best = roc_auc_score(data.y[half:], data.probability[half:])
    assert 0.55 < auc < best - 0.1


def test_pairs_are_what_is_missing(data: CriteoLike) -> None:
    """Logistic regression on the true share of the pairs, of the ids and on the numbers reaches the best result."""
    keys = _keys(0)
    table = [
        np.array([hidden(int(key), i) for i in range(int(data.x[f"C{f + 1}"].max()) + 1)])
        for f, key in enumerate(keys[13:])
    ]
    parts = np.stack([rows[data.x[f"C{f + 1}"]] for f, rows in enumerate(table)])  # [F, N, 5]
    total = parts[..., 1:].sum(axis=0)
    pairs = (total**2 - (parts[..., 1:] ** 2).sum(axis=0)).sum(axis=-1) / 2
    features = np.column_stack([parts[..., 0].sum(axis=0), pairs, *(data.x[f"I{i + 1}"] for i in range(13))])
    model = LogisticRegression(max_iter=200).fit(features, data.y)
    assert roc_auc_score(data.y, model.decision_function(features)) == pytest.approx(data.best_auc, abs=2e-3)


# -------------------------------------------------------------------------------------------------------- the ids


@pytest.mark.parametrize("field", ["C3", "C9", "C12", "C20"])
def test_ids_follow_the_stated_zipf_law(data: CriteoLike, field: str) -> None:
    size = data.vocabulary_sizes[field]
    k = np.arange(size)
    expected = np.log((k + 2) / (k + 1)) / np.log(size + 1) * len(data.y)
    assert expected.sum() == pytest.approx(len(data.y))
    counts = np.bincount(data.x[field], minlength=size)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < size - 1 + 5 * np.sqrt(2 * size)


def test_fields_are_independent_and_large_ids_are_reached() -> None:
    data = make_criteo_like(50_000, vocabulary=10**8)
    largest = max(data.vocabulary_sizes, key=lambda name: data.vocabulary_sizes[name])
    assert largest == "C3"
    assert data.x[largest].max() > 0.99 * data.vocabulary_sizes[largest]
    both = np.corrcoef(np.stack([np.log1p(data.x[f"C{i}"]) for i in range(1, 27)])) - np.eye(26)
    assert np.abs(both).max() < 0.03


@given(st.integers(104, 2**31 - 1))
@example(297)
@example(123)
def test_field_sizes_sum_to_the_vocabulary(vocabulary: int) -> None:
    sizes = _field_sizes(vocabulary)
    assert sum(sizes) == vocabulary
    assert len(sizes) == 26
    assert min(sizes) == 3
    assert sizes[2] == max(sizes)


# -------------------------------------------------------------------------------------------------------- the rest


def test_one_class_has_no_auc() -> None:
    data = make_criteo_like(1, vocabulary=104)
    assert np.isnan(data.best_auc)
    assert data.best_logloss > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "n must be an integer of at least 1, got 0"),
        ((10, 100), "vocabulary must be an integer of at least 104, got 100"),
        ((10, 2**31), r"vocabulary must be below 2\*\*31"),
        ((10, 200, -1), "seed must be an integer of at least 0, got -1"),
    ],
)
def test_wrong_arguments(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_criteo_like(*arguments)
