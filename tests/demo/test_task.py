"""The splits of the demo, and the metrics of its table."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from deepctr_torch.demo.task import NUMBERS, Splits, score


def test_validation_is_the_last_tenth_of_each_user(splits: Splits) -> None:
    train = splits.data.train
    for user in np.unique(train["user"]):
        rows = np.flatnonzero(train["user"] == user)  # in the order of time
        late = rows[len(rows) - len(rows) // 10 :]
        mine = splits.validation["user"] == user
        np.testing.assert_array_equal(splits.validation["movie"][mine], train["movie"][late])
        np.testing.assert_array_equal(splits.y_validation[mine], splits.data.y_train[late])
        assert (splits.fit["user"] == user).sum() == len(rows) - len(late)
    np.testing.assert_array_equal(splits.test["movie"], splits.data.test["movie"])


def test_numbers_are_standardised_by_the_fit_part_alone(splits: Splits) -> None:
    for name in NUMBERS:
        assert abs(splits.fit[name].mean()) < 1e-4
        assert abs(splits.fit[name].std() - 1) < 1e-4
        slope, offset = np.polyfit(splits.data.test[name], splits.test[name], 1)
        again = slope * splits.data.train[name] + offset  # the line that the test part went through
        assert again.min() == pytest.approx(min(splits.fit[name].min(), splits.validation[name].min()), abs=1e-3)
        assert again.max() == pytest.approx(max(splits.fit[name].max(), splits.validation[name].max()), abs=1e-3)


def test_score_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, p, users = rng.integers(0, 2, 400), rng.random(400), rng.integers(0, 5, 400)
    values = score(y, p, users)
    assert list(values) == ["auc", "gauc", "logloss", "ne", "calibration"]
    base = y.mean()
    entropy = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    aucs = [roc_auc_score(y[users == u], p[users == u]) for u in range(5)]
    assert values["auc"] == pytest.approx(roc_auc_score(y, p))
    assert values["gauc"] == pytest.approx(np.average(aucs, weights=np.bincount(users)))
    assert values["logloss"] == pytest.approx(log_loss(y, p))
    assert values["ne"] == pytest.approx(log_loss(y, p) / entropy)
    assert values["calibration"] == pytest.approx(p.sum() / y.sum())
