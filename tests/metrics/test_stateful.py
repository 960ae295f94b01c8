"""Metrics computed block by block: sums are exact, the histogram is close, and float32 columns rank as float64 ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from deepctr_torch.metrics import functional as scores
from deepctr_torch.metrics import stateful
from deepctr_torch.metrics.registry import METRICS
from deepctr_torch.metrics.stateful import BinnedCurve, Calibration, Mean, NormalizedEntropy, RootMean, over_blocks
from tests.support.metrics import click_rates

SUMS: list[tuple[Callable[[], Any], Callable[..., float]]] = [
    (lambda: Mean(stateful.hits), scores.accuracy),
    (lambda: Mean(stateful.log_losses), scores.logloss),
    (lambda: Mean(stateful.squares), scores.mean_squared_error),
    (lambda: Mean(stateful.absolutes), scores.mean_absolute_error),
    (lambda: RootMean(stateful.squares), scores.root_mean_squared_error),
    (Calibration, scores.calibration),
    (NormalizedEntropy, scores.normalized_entropy),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("make", "exact"), SUMS, ids=lambda f: getattr(f, "__name__", "running"))
def test_sums_over_blocks_are_the_metric(make: Any, exact: Any, weighted: bool, monkeypatch: Any) -> None:
    y, p, w = click_rates(1_000)
    weight = w if weighted else None
    whole = exact(y.astype(np.float64), p.astype(np.float64), weight)
    monkeypatch.setattr(stateful, "BLOCK", 64)
    assert over_blocks(make(), y, p, weight) == pytest.approx(whole, rel=1e-12)
    assert exact(y, p, weight) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_histogram_is_close_to_the_exact_measures_of_order(weighted: bool) -> None:
    y, p, w = click_rates(200_000)
    weight = w if weighted else None
    area = over_blocks(BinnedCurve(stateful.roc_area_of_bins), y, p, weight)
    precision = over_blocks(BinnedCurve(stateful.average_precision_of_bins), y, p, weight)
    assert area == pytest.approx(sk.roc_auc_score(y, p, sample_weight=weight), abs=1e-5)
    assert precision == pytest.approx(sk.average_precision_score(y, p, sample_weight=weight), abs=1e-4)


def test_the_histogram_takes_soft_labels_and_the_ends_of_the_scale() -> None:
    histogram = BinnedCurve(stateful.roc_area_of_bins)
    y, p = np.array([0.25, 1.0, 0.0]), np.array([0.0, 1.0, 0.5])
    histogram.update(y, p, np.ones(3))
    assert histogram.positive.sum() == 1.25
    assert histogram.negative.sum() == 1.75
    assert histogram.positive[0] == 0.25
    assert histogram.positive[-1] == 1.0
    assert histogram.negative[stateful.BINS // 2] == 1.0
    assert histogram.compute() == pytest.approx(scores.auc(y, p), rel=1e-12)


def test_undefined_values_are_nan() -> None:
    ones, half = np.ones(2), np.full(2, 0.5)
    for name in ("auc", "pr_auc", "logloss", "acc"):
        made = METRICS.get(name).stateful
        assert made is not None
        assert np.isnan(over_blocks(made(), ones, np.array([0.5, np.nan]), None))
    assert np.isnan(over_blocks(BinnedCurve(stateful.roc_area_of_bins), ones, half, None))
    assert np.isnan(over_blocks(Mean(stateful.squares), ones[:0], half[:0], None))


def test_labels_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\] for this metric, got 2.0"):
        over_blocks(BinnedCurve(stateful.roc_area_of_bins), np.array([0.0, 2.0]), np.array([0.1, 0.2]), None)
