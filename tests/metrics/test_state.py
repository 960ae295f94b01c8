"""What an epoch keeps for its metrics: all rows up to a limit, beyond it sums and a histogram."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.metrics import state as state_module
from deepctr_torch.metrics.state import MetricState, TensorBuffer
from deepctr_torch.metrics.task_metrics import TaskMetrics
from tests.support.training import deepfm, inputs, labels, mmoe

ONE = (("", "binary"),)
TWO = (("click", "binary"), ("spend", "regression"))
ALL = ["acc", "auc", "calibration", "logloss", "mae", "mse", "ne", "pr_auc", "rmse"]


Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, dict[str, Any]]  # what `update` takes


def batches(y: Any, p: Any, weight: Any = None, groups: Any = None, size: int = 7) -> list[Rows]:
    out: list[Rows] = []
    for start in range(0, len(y), size):
        rows = slice(start, start + size)
        w = None if weight is None else torch.from_numpy(weight[rows])
        named = {} if groups is None else {"groups": groups[rows]}
        out.append((torch.from_numpy(y[rows]), torch.from_numpy(p[rows]), w, named))
    return out


def result(metrics: TaskMetrics, given: list[Rows]) -> dict[str, float]:
    state = MetricState(metrics)
    for rows in given:
        state.update(*rows)
    assert state.rows == sum(len(y) for y, *_ in given)
    return state.compute()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(state_module, "BLOCK_ROWS", 16)
    monkeypatch.setattr(state_module, "PARTS", 3)
    return monkeypatch


@pytest.fixture
def data() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    p = rng.random((300, 2)).astype(np.float32) ** 3
    y = np.stack([rng.random(300) < p[:, 0], rng.normal(size=300)], axis=1).astype(np.float32)
    y[rng.random((300, 2)) < 0.2] = np.nan
    return y, p, rng.random(300).astype(np.float32)


@pytest.mark.parametrize("sizes", [(16,), (5, 30), (16, 16), (1, 40, 3)])
@pytest.mark.parametrize("width", [None, 2])
def test_a_column_is_its_rows_in_order(sizes: Any, width: int | None, small_blocks: Any) -> None:
    parts = [torch.randn(n) if width is None else torch.randn(n, width) for n in sizes]
    column = TensorBuffer()
    for part in parts:
        column.add(part)
    assert column.rows == sum(sizes)
    np.testing.assert_array_equal(column.joined(), torch.cat(parts, dim=0).numpy())
    assert column.rows == 0
    assert len(column.joined()) == 0


def test_a_column_hands_out_full_blocks_and_goes_on(small_blocks: Any) -> None:
    column = TensorBuffer()
    column.add(torch.arange(20.0))
    column.add(torch.arange(20.0, 33.0))
    assert [block.tolist() for block in column.full_blocks()] == [list(range(16)), list(range(16, 32))]
    column.add(torch.tensor([7.0]))
    column.fill(1.0, 2, torch.device("cpu"))
    assert column.joined().tolist() == [32.0, 7.0, 1.0, 1.0]


def test_a_column_takes_bfloat16_and_float64_as_float32(small_blocks: Any) -> None:
    column = TensorBuffer()
    column.add(torch.tensor([0.5], dtype=torch.bfloat16))
    column.add(torch.tensor([0.1], dtype=torch.float64))
    np.testing.assert_array_equal(column.joined(), np.array([0.5, 0.1], dtype=np.float32))


def test_blocks_do_not_change_the_metrics(data: Any, small_blocks: Any) -> None:
    y, p, w = data
    y = np.nan_to_num(y[:, :1])
    groups = np.arange(300) % 7
    how = TaskMetrics(ONE, [*ALL, "gauc"])
    exact = how.evaluate(y, p[:, :1], w, {"groups": groups})
    assert result(how, batches(y, p[:, :1], w, groups)) == exact


def test_without_metrics_nothing_is_kept(data: Any) -> None:
    y, p, _ = data
    state = MetricState(TaskMetrics(ONE))
    for rows in batches(y, p):
        state.update(*rows)
    assert state.compute() == {}
    assert state._predictions.rows == state._labels.rows == 0
    assert state.rows == 300


def test_batches_without_weights_weigh_one(data: Any, small_blocks: Any) -> None:
    y, p, w = data
    y, p = np.nan_to_num(y[:, :1]), p[:, :1]
    rows = batches(y[:100], p[:100]) + batches(y[100:200], p[100:200], w[100:200]) + batches(y[200:], p[200:])
    weight = np.r_[np.ones(100), w[100:200], np.ones(100)].astype(np.float32)
    how = TaskMetrics(ONE, ALL)
    exact = how.evaluate(y, p, weight, {})
    assert result(how, rows) == exact
    small_blocks.setattr(state_module, "EXACT_ROWS", 60)  # weights begin after some rows are counted and forgotten
    assert result(how, rows) == pytest.approx(exact, abs=1e-3)
    sums = [name for name in ALL if "auc" not in name]
    assert {n: result(how, rows)[n] for n in sums} == pytest.approx({n: exact[n] for n in sums}, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("limit", [0, 50, 299])
def test_beyond_the_limit_sums_are_exact_and_order_is_close(
    data: Any, small_blocks: Any, caplog: Any, weighted: bool, limit: int
) -> None:
    y, p, w = data
    how = TaskMetrics(TWO, {"click": ALL, "spend": ["mse", "mae", "calibration"]})
    rows = batches(y, p, w if weighted else None)
    exact = result(how, rows)
    assert exact["click_auc"] != exact["auc"] or exact["auc"] > 0
    small_blocks.setattr(state_module, "EXACT_ROWS", limit)
    with caplog.at_level(logging.INFO, logger="deepctr_torch"):
        found = result(how, rows)
    assert list(found) == list(exact)
    for name, value in exact.items():
        tolerance = {"abs": 1e-4} if "auc" in name else {"rel": 1e-12}
        assert found[name] == pytest.approx(value, **tolerance), name
    assert caplog.messages == [
        f"more than {limit} rows: predictions are not kept; auc, pr_auc from a histogram of 65,536 bins"
    ]


def test_beyond_the_limit_only_the_last_block_stays(data: Any, small_blocks: Any) -> None:
    y, p, w = data
    small_blocks.setattr(state_module, "EXACT_ROWS", 50)
    state = MetricState(TaskMetrics(ONE, ["auc"]))
    for rows in batches(np.nan_to_num(y[:, :1]), p[:, :1], w):
        state.update(*rows)
        assert state._predictions.rows <= (50 if state.rows <= 50 else 16)


def test_sums_alone_say_so(data: Any, small_blocks: Any, caplog: Any) -> None:
    y, p, _ = data
    small_blocks.setattr(state_module, "EXACT_ROWS", 50)
    with caplog.at_level(logging.INFO, logger="deepctr_torch"):
        result(TaskMetrics(ONE, ["mse"]), batches(np.nan_to_num(y[:, :1]), p[:, :1]))
    assert caplog.messages == ["more than 50 rows: predictions are not kept; the metrics are sums"]


def mean_prediction(y_true: Any, y_pred: Any) -> float:
    return float(y_pred.mean())


@pytest.mark.parametrize("other", ["gauc", "ndcg@3", mean_prediction])
def test_metrics_that_need_every_row_keep_them(data: Any, small_blocks: Any, caplog: Any, other: Any) -> None:
    y, p, _ = data
    y, p, groups = np.nan_to_num(y[:, :1]), p[:, :1], np.arange(300) % 7
    how = TaskMetrics(ONE, ["auc", other])
    rows = batches(y, p, None, groups)
    exact = result(how, rows)
    small_blocks.setattr(state_module, "EXACT_ROWS", 50)
    with caplog.at_level(logging.INFO, logger="deepctr_torch"):
        assert result(how, rows) == exact
    name = other if isinstance(other, str) else "mean_prediction"
    assert caplog.messages == [f"more than 50 rows: all predictions are kept for {name}"]


def test_scores_that_are_no_probabilities_and_classes_are_kept(data: Any, small_blocks: Any, caplog: Any) -> None:
    y, p, _ = data
    small_blocks.setattr(state_module, "EXACT_ROWS", 50)
    logits = np.log(p[:, :1]) + 3.0
    how = TaskMetrics(ONE, ["auc"])
    y = np.nan_to_num(y[:, :1])
    many = np.stack([p[:, 0] / 2, p[:, 0] / 2, 1 - p[:, 0]], axis=1)
    classes = TaskMetrics((("", "multiclass"),), ["acc", "logloss"])
    with caplog.at_level(logging.INFO, logger="deepctr_torch"):
        assert result(how, batches(y, logits)) == how.evaluate(y, logits, None, {})
        assert result(classes, batches(y, many)) == classes.evaluate(y, many, None, {})
    assert caplog.messages == [
        "more than 50 rows: all predictions are kept for auc",
        "more than 50 rows: all predictions are kept for acc, logloss",
    ]


def test_fit_and_evaluate_beyond_the_limit(small_blocks: Any, caplog: Any) -> None:
    x, y = inputs(200), labels(200)
    both = np.stack([y, np.where(x["item"] == 0, np.nan, x["price"][:, 0])], axis=1).astype(np.float32)
    for make, target in ((deepfm, y), (mmoe, both)):
        exact, found = [], []
        for limit, out in ((10**9, exact), (60, found)):
            small_blocks.setattr(state_module, "EXACT_ROWS", limit)
            model = make()
            model.compile(
                "adagrad", "binary_crossentropy" if make is deepfm else ["binary_crossentropy", "mse"], ["mse"]
            )
            model.fit(x, target, batch_size=32, epochs=2, verbose=0, validation_split=0.4)
            out += [model.history.history, model.evaluate(x, target)]
        for one, other in zip(exact, found, strict=True):
            assert list(one) == list(other)
            assert all(other[name] == pytest.approx(value, rel=1e-9) for name, value in one.items())
