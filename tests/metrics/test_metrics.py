"""Metrics against scikit-learn, against loops written from the definitions, and against numbers worked out by hand."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, log_loss, ndcg_score, roc_auc_score

from deepctr_torch.metrics.registry import METRICS, gauc_skipped, get_metric, higher_is_better

NAN = float("nan")
FEW_SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1.0])  # many ties


CLICKS = st.integers(0, 1)


@st.composite
def binary(draw: st.DrawFn, soft: bool = False) -> tuple[Any, Any, Any]:
    """Labels of both classes, float32 scores with ties, positive weights or None."""
    n = draw(st.integers(2, 40))
    label = st.floats(0, 1, width=32) if soft else st.integers(0, 1)
    y = np.array(draw(st.lists(label, min_size=n, max_size=n)))
    y[:2] = [0, 1]
    p = draw(hnp.arrays(np.float32, n, elements=FEW_SCORES.map(np.float32)))
    w = draw(st.none() | hnp.arrays(np.float64, n, elements=st.sampled_from([0.25, 1.0, 3.0])))
    return y, p, w


@st.composite
def grouped(draw: st.DrawFn, labels: st.SearchStrategy[int] = CLICKS) -> tuple[Any, Any, Any]:
    n = draw(st.integers(1, 40))
    y = np.array(draw(st.lists(labels, min_size=n, max_size=n)))
    p = np.array(draw(st.lists(FEW_SCORES, min_size=n, max_size=n)))
    g = np.array(draw(st.lists(st.sampled_from(["b", "a", "zz", "c"]), min_size=n, max_size=n)))
    return y, p, g


def assert_near(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def pair_auc(y: Any, p: Any, w: Any) -> float:
    """The definition: over all pairs of a positive and a negative share of rows."""
    right = pairs = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            weight = w[i] * y[i] * w[j] * (1 - y[j])
            right += weight * ((p[i] > p[j]) + 0.5 * (p[i] == p[j]))
            pairs += weight
    return right / pairs if pairs else NAN


# ------------------------------------------------------------------------------------------ one number a row


@given(binary())
def test_auc_is_sklearns(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    assert_near(get_metric("auc")(y, p, w), roc_auc_score(y, p, sample_weight=w))


@given(binary(soft=True))
def test_auc_of_soft_labels_splits_each_row(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    assert_near(get_metric("auc")(y, p, w), pair_auc(y, p, np.ones(len(y)) if w is None else w))


@given(binary())
def test_pr_auc_is_sklearns(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    assert_near(get_metric("pr_auc")(y, p, w), average_precision_score(y, p, sample_weight=w))


@given(binary())
def test_logloss_is_sklearns_on_clipped_scores(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    clipped = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    assert_near(get_metric("logloss")(y, p, w), log_loss(y, clipped, sample_weight=w))


@given(binary(soft=True))
def test_soft_labels_equal_a_positive_and_a_negative_row(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    w = np.ones(len(y)) if w is None else w
    split = np.r_[np.ones(len(y)), np.zeros(len(y))], np.r_[p, p], np.r_[w * y, w * (1 - y)]
    for name in ("auc", "calibration", "logloss", "ne", "pr_auc"):
        assert_near(get_metric(name)(y, p, w), get_metric(name)(*split))


@given(binary())
def test_integer_weights_are_repeated_rows(rows: tuple[Any, Any, Any]) -> None:
    y, p, _ = rows
    times = np.arange(len(y)) % 3
    repeated = np.repeat(y, times), np.repeat(p, times)
    for name in ("acc", "auc", "calibration", "logloss", "mae", "mse", "ne", "pr_auc", "rmse"):
        assert_near(get_metric(name)(y, p, times), get_metric(name)(*repeated))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acc", 0.4),
        ("accuracy", 0.4),
        ("mse", (0.25 + 0.25 + 0.04 + 0.5625 + 0.36) / 5),
        ("mae", (0.5 + 0.5 + 0.2 + 0.75 + 0.6) / 5),
        ("calibration", 3.15 / 2),
    ],
)
def test_numbers_by_hand(name: str, expected: float) -> None:
    y, p = [0, 1, 1, 0, 0], [0.5, 0.5, 0.8, 0.75, 0.6]
    assert_near(get_metric(name)(y, p), expected)


def test_numbers_with_weights_by_hand() -> None:
    y, p, w = [1, 0, 1], [0.5, 0.25, 0.9], [1.0, 3.0, 0.0]
    assert_near(get_metric("logloss")(y, p, w), (math.log(2) - 3 * math.log(0.75)) / 4)
    assert_near(get_metric("mse")(y, p, w), (0.25 + 3 * 0.0625) / 4)
    assert_near(get_metric("rmse")(y, p, w), math.sqrt(0.4375 / 4))
    assert_near(get_metric("calibration")(y, p, w), (0.5 + 0.75) / 1)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert_near(get_metric("ne")(y, p, w), (math.log(2) - 3 * math.log(0.75)) / 4 / entropy)


def test_predicting_the_base_rate_has_normalized_entropy_one() -> None:
    y = np.array([1, 0, 0, 0, 1])
    assert_near(get_metric("ne")(y, np.full(5, 0.4)), 1.0)


def test_columns_of_width_one_and_lists_are_the_same_rows() -> None:
    y, p = np.array([[1], [0], [1]]), np.array([[0.5], [0.25], [0.125]])
    for name in ("acc", "auc", "logloss", "mse", "pr_auc"):
        assert_near(get_metric(name)(y, p), get_metric(name)([1, 0, 1], [0.5, 0.25, 0.125]))


def test_float32_scores_and_extreme_ones() -> None:
    p = np.array([1.0, 0.0], dtype=np.float32)
    assert_near(get_metric("logloss")([0, 0], p), (-math.log(1e-7) - math.log1p(-1e-7)) / 2)
    assert_near(get_metric("binary_crossentropy")([1, 1], np.float32([1.0, 1.0])), -math.log1p(-1e-7))
    assert_near(get_metric("logloss")([1, 0], [3.0, -2.0]), -math.log1p(-1e-7))  # of a regression head


# ------------------------------------------------------------------------------------------ undefined values


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_one_class(labels: list[int]) -> None:
    p = [0.5, 0.5, 0.5]
    assert math.isnan(get_metric("auc")(labels, p))
    assert math.isnan(get_metric("ne")(labels, p))
    assert math.isnan(get_metric("gauc")(labels, p, groups=[1, 1, 2]))
    assert gauc_skipped(labels, p, groups=[1, 1, 2]) == 1.0
    assert_near(get_metric("logloss")(labels, p), math.log(2))
    assert get_metric("acc")(labels, p) == 1.0 - labels[0]
    assert_near(get_metric("pr_auc")(labels, p), 1.0 if labels[0] else NAN)
    assert_near(get_metric("calibration")(labels, p), 0.5 if labels[0] else NAN)
    assert_near(get_metric("ndcg@2")(labels, p, groups=[1, 1, 2]), 1.0 if labels[0] else NAN)


@pytest.mark.parametrize("name", [*sorted(set(METRICS) - {"ndcg@k"}), "ndcg@3"])
def test_nothing_to_average_is_nan(name: str) -> None:
    metric = get_metric(name)
    assert math.isnan(metric([], [], groups=[]))
    assert math.isnan(metric([0, 1], [0.2, 0.7], [0.0, 0.0], groups=[1, 1]))


@pytest.mark.parametrize("name", [*sorted(set(METRICS) - {"ndcg@k"}), "ndcg@3"])
@pytest.mark.parametrize("of", ["labels", "predictions"])
def test_nan_gives_nan(name: str, of: str) -> None:
    y, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.7, 0.6, 0.8])
    (y if of == "labels" else p)[1] = np.nan
    value = get_metric(name)(y, p, groups=[1, 1, 1, 1])
    if not (name == "gauc_skipped" and of == "labels"):  # a group of unknown labels is a group that is skipped
        assert math.isnan(value)


# ------------------------------------------------------------------------------------------ groups


@given(grouped(), st.booleans())
def test_gauc_is_the_loop_over_groups(rows: tuple[Any, Any, Any], weighted: bool) -> None:
    y, p, g = rows
    w = 1.0 + np.arange(len(y)) % 3 if weighted else np.ones(len(y))
    total = weight = skipped = 0.0
    for group in set(g):
        of = g == group
        if len(set(y[of])) < 2:
            skipped += w[of].sum()
            continue
        total += w[of].sum() * roc_auc_score(y[of], p[of], sample_weight=w[of])
        weight += w[of].sum()
    given_weight = w if weighted else None
    assert_near(get_metric("gauc:user")(y, p, given_weight, g), total / weight if weight else NAN)
    assert_near(get_metric("gauc_skipped")(y, p, given_weight, g), skipped / w.sum())


@given(grouped())
def test_kinds_of_groups_and_their_order_do_not_matter(rows: tuple[Any, Any, Any]) -> None:
    y, p, g = rows
    number = np.array([{"a": -5, "b": 10**12, "c": 0, "zz": 7}[name] for name in g])
    mixed = np.array([{"a": None, "b": "x", "c": 3, "zz": 2.5}[name] for name in g], dtype=object)
    back = np.arange(len(y))[::-1]
    for name in ("gauc", "ndcg@2"):
        metric = get_metric(name)
        expected = metric(y, p, groups=g)
        for groups in (number, mixed, g.astype(object), list(g), g[:, None]):
            assert_near(metric(y, p, groups=groups), expected)
        assert_near(metric(y[back], p[back], groups=g[back]), expected)


def test_one_group_is_auc() -> None:
    y, p = [0, 1, 1, 0], [0.1, 0.4, 0.35, 0.35]
    assert_near(get_metric("gauc")(y, p, groups=["u"] * 4), get_metric("auc")(y, p))


@given(grouped(), st.integers(1, 6))
def test_ndcg_is_sklearns_for_binary_labels(rows: tuple[Any, Any, Any], k: int) -> None:
    y, p, g = rows
    each = []
    for group in set(g):
        of = g == group
        if y[of].any():  # sklearn asks for two rows at least; one relevant row alone is at the top
            each.append(ndcg_score(y[of][None], p[of][None], k=k) if of.sum() > 1 else 1.0)
    assert_near(get_metric(f"ndcg@{k}:user")(y, p, groups=g), float(np.mean(each)) if each else NAN)


@given(grouped(st.integers(0, 4)), st.integers(1, 6))
def test_ndcg_of_grades_is_the_loop(rows: tuple[Any, Any, Any], k: int) -> None:
    y, p, g = rows
    each = []
    for group in set(g):
        of = g == group
        gain = 2.0 ** y[of] - 1
        if gain.any():
            each.append(ndcg_score(gain[None], p[of][None], k=k) if of.sum() > 1 else 1.0)
    assert_near(get_metric(f"ndcg@{k}")(y, p, groups=g), float(np.mean(each)) if each else NAN)


def test_ndcg_by_hand() -> None:
    value = get_metric("ndcg@2")([3, 0, 1], [0.2, 0.9, 0.5], groups=["q", "q", "q"])
    assert_near(value, (1 / math.log2(3)) / (7 + 1 / math.log2(3)))


def test_weights_of_ndcg_weigh_groups_and_a_row_of_weight_zero_is_absent() -> None:
    y, p, g = [1, 0, 1, 0], [0.9, 0.1, 0.2, 0.8], [1, 1, 2, 2]
    assert_near(get_metric("ndcg@2")(y, p, [3, 3, 1, 1], g), (3 * 1 + 1 / math.log2(3)) / 4)
    assert_near(get_metric("ndcg@2")(y, p, [1, 1, 1, 0], g), 1.0)


# ------------------------------------------------------------------------------------------ several classes


def test_many_classes_against_sklearn() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 200)
    y, w = rng.integers(0, 4, 200), rng.random(200)
    assert_near(get_metric("logloss")(y, p, w), log_loss(y, p, sample_weight=w))
    assert_near(get_metric("acc")(y, p, w), float((w * (p.argmax(axis=1) == y)).sum() / w.sum()))
    assert_near(get_metric("auc")(y, p), roc_auc_score(y, p, multi_class="ovr"))
    weighted = [roc_auc_score(y == c, p[:, c], sample_weight=w) for c in range(4)]
    assert_near(get_metric("auc")(y, p, w), float(np.mean(weighted)))


def test_many_classes_absent_ones_and_nan() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    assert_near(get_metric("auc")([0, 1, 1], p), 1.0)  # the third class has no row and does not count
    assert math.isnan(get_metric("auc")([0, 0, 0], p))
    p[0, 0] = np.nan
    for name in ("acc", "auc", "logloss"):
        assert math.isnan(get_metric(name)([0, 1, 1], p))


@pytest.mark.parametrize("name", ["calibration", "mae", "mse", "ne", "pr_auc", "rmse"])
def test_metrics_of_one_column_refuse_several(name: str) -> None:
    with pytest.raises(ValueError, match=r"y_pred must be one column, got the shape \(2, 3\)"):
        get_metric(name)([0, 1], np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("label", [3, -1, 0.5])
def test_labels_that_are_no_class(label: float) -> None:
    with pytest.raises(ValueError, match=r"labels must be whole numbers in \[0, 3\) for 3 classes, got "):
        get_metric("acc")([0, label], np.full((2, 3), 1 / 3))


# ------------------------------------------------------------------------------------------ names and arguments


def test_names() -> None:
    metric = get_metric("gauc:user:id")
    assert (metric.name, metric.group, metric.needs_groups, metric.higher_is_better) == (
        "gauc:user:id",
        "user:id",
        True,
        True,
    )
    assert get_metric("gauc").group is None
    assert get_metric("gauc").needs_groups
    assert get_metric("ndcg@10:user").name == "ndcg@10:user"
    assert get_metric("ndcg@10:user").group == "user"
    assert not get_metric("auc").needs_groups
    assert get_metric("calibration").higher_is_better is None
    assert get_metric("logloss").higher_is_better is False
    assert get_metric(metric) is metric
    known = {"acc", "accuracy", "auc", "binary_crossentropy", "calibration", "gauc", "gauc_skipped", "logloss"}
    assert set(METRICS) == known | {"mae", "mse", "ndcg@k", "ne", "pr_auc", "rmse"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acu", "unknown metric 'acu': did you mean 'auc'"),
        ("AUC", "unknown metric 'AUC': did you mean 'auc'"),
        ("log_loss", "did you mean 'logloss'"),
        ("ndcg", "did you mean 'ndcg@k'"),
        ("ndcg@k", "the k of ndcg@k must be a number"),
        ("ndcg@0", "the k of ndcg@k must be an integer of at least 1, got 0"),
        ("ndcg@-1", "unknown metric 'ndcg@-1'"),
        ("auc:user", "'gauc:COLUMN'.*got 'auc:user'"),
        ("gauc:", "'gauc:COLUMN'.*got 'gauc:'"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_metric(name)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="y_true must have 2 rows, as many as y_pred, got 3"):
        get_metric("auc")([0, 1, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="sample_weight must be >= 0, got -1"):
        get_metric("mse")([0, 1], [0.5, 0.5], [1, -1])
    with pytest.raises(ValueError, match="sample_weight must have 2 rows"):
        get_metric("mse")([0, 1], [0.5, 0.5], [1])
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\] for this metric, got 5"):
        get_metric("auc")([0, 5], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"metric 'gauc:user' must be given groups \(the column 'user'\), got None"):
        get_metric("gauc:user")([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="the argument groups"):
        get_metric("ndcg@2")([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="groups must be one label a row, got None"):
        gauc_skipped([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="groups must have 2 rows, as many as y_pred, got 1"):
        get_metric("gauc")([0, 1], [0.5, 0.5], groups=[1])
    with pytest.raises(ValueError, match="labels must be >= 0 for ndcg, got -1"):
        get_metric("ndcg@2")([0, -1], [0.5, 0.5], groups=[1, 1])
    with pytest.raises(TypeError, match="a metric must be a name or a callable, got int"):
        get_metric(3)  # type: ignore[arg-type]


def test_arguments_are_not_changed() -> None:
    y, p, w = np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.5]), np.array([1.0, 2.0, 0.0])
    before = y.copy(), p.copy(), w.copy()
    for name in [*sorted(set(METRICS) - {"ndcg@k"}), "ndcg@2"]:
        get_metric(name)(y, p, w, groups=[1, 1, 2])
    for now, then in zip((y, p, w), before, strict=True):
        np.testing.assert_array_equal(now, then)


# ------------------------------------------------------------------------------------------ a user's function


def bias(y_true: Any, y_pred: Any) -> float:
    assert y_true.dtype == y_pred.dtype == np.float64
    assert y_true.shape == y_pred.shape == (2,)
    return float((y_pred - y_true).mean())


def test_function_of_two_arguments() -> None:
    metric = get_metric(bias)
    assert metric.name == "bias"
    assert metric.higher_is_better is None
    assert not metric.takes_weights
    assert metric(np.array([[0], [1]]), np.array([[0.5], [1.0]], dtype=np.float32)) == 0.25
    with pytest.raises(ValueError, match="metric 'bias' must have a parameter sample_weight when rows are weighted"):
        metric([0, 1], [0.5, 1.0], [1, 2])


def test_function_with_weights_and_groups() -> None:
    def seen(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = "none") -> float:
        return 10.0 * (sample_weight is not None) + (groups != "none")

    assert get_metric(seen)([0], [1]) == 0.0
    assert get_metric(seen)([0], [1], [1]) == 10.0
    assert get_metric(seen)([0], [1], [1], [1]) == 11.0
    assert get_metric(lambda y, p, **more: len(more))([0], [1], [1]) == 1.0


def test_other_callables() -> None:
    class Share:
        def __call__(self, y_true: Any, y_pred: Any) -> Any:
            return np.float32(y_pred.mean())

    metric = get_metric(Share())
    assert metric.name == "Share"
    assert isinstance(metric([0, 1], [0.25, 0.75]), float)
    assert get_metric(functools.partial(bias)).name == "bias"
    assert get_metric(lambda y, p: 1).name == "<lambda>"
    y, p, w = [0, 1, 1], [0.1, 0.2, 0.1], [1.0, 2.0, 3.0]
    assert_near(get_metric(roc_auc_score)(y, p, w), get_metric("auc")(y, p, w))
    assert not get_metric(max).takes_weights  # a builtin without a signature
    with pytest.raises(TypeError, match="metric '<lambda>' must return one number, got None"):
        get_metric(lambda y, p: None)(y, p)
    many = np.full((2, 3), 1 / 3)
    assert get_metric(lambda y, p: p.shape[1])([0, 1], many) == 3.0


@pytest.mark.parametrize(
    ("key", "higher"),
    [
        ("val_loss", False),
        ("auc", True),
        ("val_auc", True),
        ("val_click_pr_auc", True),
        ("val_ndcg@10:user", True),
        ("buy_gauc:val_loss", True),
        ("val_logloss", False),
        ("val_calibration", None),
        ("val_ctr_gauc_skipped", False),
        ("accuracy", True),
        ("val_something", False),
    ],
)
def test_direction_of_a_key(key: str, higher: bool | None) -> None:
    assert higher_is_better(key) is higher


def test_a_million_rows_take_a_fraction_of_a_second() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1_000_000, dtype=np.float32)
    y = rng.random(1_000_000) < p
    times = []
    for _ in range(3):
        start = time.perf_counter()
        value = get_metric("auc")(y, p)
        times.append(time.perf_counter() - start)
    assert value == pytest.approx(5 / 6, abs=0.002)  # two uniform scores, accepted with the scores as probabilities
    assert min(times) < 1.5  # 0.07 s where it was written; the bound leaves room for a busy machine
