"""Metrics by name. `functional.py` computes them, `docs/metrics.md` defines them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from .. import _checks
from ..registry import Registry
from . import functional, stateful
from .functional import Groups, Weights, gauc_skipped
from .stateful import StatefulMetric

__all__ = ["METRICS", "Metric", "gauc_skipped", "get_metric", "higher_is_better"]


@dataclass(frozen=True)
class Metric:
    """A metric as the trainer sees it: call it with whole columns of labels and predictions."""

    name: str  # the key in logs and history
    function: Callable[..., Any]  # `function(y_true, y_pred, sample_weight, groups)`
    group: str | None = None  # the column that holds the groups, None for `fit`'s `groups` argument
    needs_groups: bool = False  # the metric cannot be computed without groups
    higher_is_better: bool | None = None  # None when neither direction is (calibration, a user's function)
    takes_weights: bool = True  # False for a user's function without a `sample_weight` parameter
    # makes what computes the metric block by block, for more rows than are kept; None where nothing can
    stateful: Callable[[], StatefulMetric] | None = None

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None, *,
        labels: ArrayLike | None = None,
    ) -> float:  # fmt: skip
        """Compute the metric; `labels` is for loops that pass it to scikit-learn's function: classes are known here."""
        if self.needs_groups and groups is None:
            source = f"the column {self.group!r}" if self.group else "the argument groups"
            raise ValueError(f"metric {self.name!r} must be given groups ({source}), got None")
        if sample_weight is not None and not self.takes_weights:
            raise ValueError(
                f"metric {self.name!r} must have a parameter sample_weight when rows are weighted, got none"
            )
        value = self.function(y_true, y_pred, sample_weight, groups)
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):  # torch raises RuntimeError for several elements
            raise TypeError(f"metric {self.name!r} must return one number, got {value!r}") from None


METRICS: Registry[Metric] = Registry("metric")
SCORES = {"ndcg", "f1", "precision", "recall", "r2", "mrr", "map", "hit_rate"}  # elsewhere; the larger the better

_roc = partial(stateful.BinnedCurve, stateful.roc_area_of_bins)
_precision = partial(stateful.BinnedCurve, stateful.average_precision_of_bins)
_table: list[tuple[tuple[str, ...], Callable[..., float], bool | None, Callable[[], StatefulMetric]]] = [
    (("acc", "accuracy"), functional.accuracy, True, partial(stateful.Mean, stateful.hits)),
    (("auc",), functional.auc, True, _roc),
    (("calibration",), functional.calibration, None, stateful.Calibration),
    (("logloss", "binary_crossentropy"), functional.logloss, False, partial(stateful.Mean, stateful.log_losses)),
    (("mae",), functional.mean_absolute_error, False, partial(stateful.Mean, stateful.absolutes)),
    (("mse",), functional.mean_squared_error, False, partial(stateful.Mean, stateful.squares)),
    (("ne",), functional.normalized_entropy, False, stateful.NormalizedEntropy),
    (("pr_auc",), functional.pr_auc, True, _precision),
    (("rmse",), functional.root_mean_squared_error, False, partial(stateful.RootMean, stateful.squares)),
]
for _names, _function, _higher, _stateful in _table:
    for _name in _names:
        METRICS.add(_name, Metric(_name, _function, higher_is_better=_higher, stateful=_stateful))
METRICS.add("gauc", Metric("gauc", functional.gauc, needs_groups=True, higher_is_better=True))
METRICS.add("gauc_skipped", Metric("gauc_skipped", functional.gauc_skipped, needs_groups=True, higher_is_better=False))
METRICS.add("ndcg@k", Metric("ndcg@k", functional.ndcg, needs_groups=True, higher_is_better=True))


def get_metric(metric: str | Metric | Callable[..., Any]) -> Metric:
    """The metric of a name, such as "auc", "gauc:user_id", "ndcg@10:user_id", or a user's function as a metric.

    Upper and lower case of a name are one (`"AUC"`); the log has the lower one.

    A function is called as `f(y_true, y_pred)`, with `sample_weight=` and `groups=` when it has such parameters.

    >>> get_metric("gauc:user_id").group
    'user_id'
    >>> get_metric("ndcg@2:user_id")([1, 0], [0.2, 0.9], groups=[1, 1]) < 1
    True
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return _named(metric)
    if not callable(metric):
        raise TypeError(f"a metric must be a name or a callable, got {type(metric).__name__}")
    return _users(metric)


def _named(name: str) -> Metric:
    base, colon, column = name.partition(":")
    base = base.lower()  # not the column
    name = base + colon + column
    cut = re.fullmatch(r"ndcg@(\d+)", base)
    found = METRICS.get("ndcg@k" if cut else base)
    if base == "ndcg@k":
        raise ValueError(f"the k of ndcg@k must be a number, as in 'ndcg@10', got {name!r}")
    if colon and not (found.needs_groups and column):
        raise ValueError(
            f"a metric must be a name, or 'gauc:COLUMN' or 'ndcg@K:COLUMN' to group by a column, got {name!r}"
        )
    if cut:
        _checks.check_at_least("the k of ndcg@k", int(cut[1]), 1)
        found = replace(found, function=partial(functional.ndcg, k=int(cut[1])))
    return replace(found, name=name, group=column or None)


def _call(
    function: Callable[..., Any],
    takes: frozenset[str],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: Weights = None,
    groups: Groups = None,
) -> Any:
    """Call a user's function with what its signature `takes`."""
    given = {"sample_weight": sample_weight, "groups": groups}
    extra = {name: value for name, value in given.items() if value is not None and name in takes}
    many = functional.as_classes(y_pred)
    p = functional.as_column("y_pred", y_pred) if many is None else many
    return function(functional.as_column("y_true", y_true, len(p)), p, **extra)


def _users(function: Callable[..., Any]) -> Metric:
    inner = function.func if isinstance(function, partial) else function
    name = getattr(inner, "__name__", type(inner).__name__)
    parameters: Mapping[str, inspect.Parameter]
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # a builtin without a signature
        parameters = {}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    takes = frozenset(n for n in ("sample_weight", "groups") if n in parameters or anything)
    return Metric(name, partial(_call, function, takes), takes_weights="sample_weight" in takes)


def higher_is_better(key: str) -> bool | None:
    """Return the direction in which a key of the logs gets better; None for a metric that is best at 1 (calibration).

    The metric is what the key ends with, after `val_` and a task's name; one that is not known here counts as a loss,
    unless its name is that of a score elsewhere.

    >>> [higher_is_better(key) for key in ("val_click_gauc:user_id", "val_loss", "f1_score", "val_calibration")]
    [True, False, True, None]
    """
    name = re.split("[:@]", key.removeprefix("val_"))[0]
    words = name.split("_")
    tails = ["_".join(words[i:]) for i in range(len(words))]
    for tail in tails:
        if tail in METRICS:
            return METRICS.get(tail).higher_is_better
    if words[-1] == "score" and len(words) > 1:  # scikit-learn's word for what should grow, with one exception
        return "brier" not in name
    return name.endswith(("auc", "acc", "accuracy")) or "fmeasure" in words or not SCORES.isdisjoint(tails)
