"""The metrics of each task, as `compile(metrics=...)` asks for them: over whole columns, named for the logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..registry import suggest
from .registry import Metric, get_metric

__all__ = ["MetricsSpec", "TaskMetrics", "Tasks", "per_task"]

Tasks: TypeAlias = Sequence[tuple[str, str]]  # (name, type) of each task
MetricSpec: TypeAlias = str | Metric | Callable[..., Any]
MetricsSpec: TypeAlias = MetricSpec | Sequence[MetricSpec] | Mapping[str, Any] | None
Array = npt.NDArray[Any]
SUITABLE = {  # the named metrics that a kind of task takes, where it does not take all
    "regression": ("mse", "mae", "rmse", "calibration"),
    "multiclass": ("acc", "accuracy", "auc", "logloss", "binary_crossentropy"),
}


class TaskMetrics:
    """The metrics of each task.

    Args:
        tasks: (name, type) of each task.
        metrics: names, callables or a list of them, for every task that can have the metric: of the named ones, a
            regression takes only mse, mae, rmse and calibration, a task of several classes only acc, auc and logloss.
            Or a dict by task name.

    Attributes:
        of_task: the metrics of each task.
        functions: every metric once, by name.

    Raises:
        ValueError: an unknown name, a metric that suits no task, or a task whose name would read as a validation.

    >>> two = TaskMetrics([("click", "binary"), ("spend", "regression")], ["auc", "mse"])
    >>> [[metric.name for metric in each] for each in two.of_task]
    [['auc', 'mse'], ['mse']]
    >>> TaskMetrics([("", "binary")], "auc").evaluate(np.array([[0.0], [1.0]]), np.array([[0.2], [0.7]]))
    {'auc': 1.0}
    """

    def __init__(self, tasks: Tasks, metrics: MetricsSpec = None) -> None:
        for name, _ in tasks:
            if len(tasks) > 1 and (name == "val" or name.startswith("val_")):
                raise ValueError(
                    "the name of a task must not be 'val' nor begin with 'val_', which marks the validation, "
                    f"got {name!r}"
                )
        self.tasks = tasks
        self.of_task = [_distinct([get_metric(m) for m in each]) for each in _given(tasks, metrics)]
        self.functions = {metric.name: metric for metric in self}

    def __iter__(self) -> Iterator[Metric]:
        """The metrics of all tasks; one that several tasks have comes several times."""
        return (metric for of_task in self.of_task for metric in of_task)

    def __bool__(self) -> bool:
        return any(self.of_task)

    @property
    def group_columns(self) -> list[str]:
        """Columns by which metrics group; "groups" stands for fit's argument."""
        return list(dict.fromkeys(metric.group or "groups" for metric in self if metric.needs_groups))

    def check_weighted(self) -> None:
        """Raise if a metric cannot be computed over weighted rows, before any of them is trained on."""
        for metric in self:
            if not metric.takes_weights:
                raise ValueError(f"metric {metric.name!r} must have a parameter sample_weight when rows are weighted")

    def evaluate(
        self, y: Array, prediction: Array, weight: Array | None = None, groups: Mapping[str, Array] | None = None
    ) -> dict[str, float]:
        """Compute every metric over whole columns, by name as `by_name` gives them.

        Args:
            y: [N, T]; NaN: not observed.
            prediction: [N, T], or [N, C] of one task with several classes.
            weight: [N], or None.
            groups: a column [N] for each of `group_columns`.
        """
        values: list[list[float]] = []
        for t, metrics in enumerate(self.of_task):
            of_task = prediction if len(self.tasks) == 1 else prediction[:, t]
            observed = ~np.isnan(y[:, t])
            rows = slice(None) if observed.all() else observed
            target, p = y[rows, t], of_task[rows]
            p = p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p
            w = None if weight is None else weight[rows]
            values.append([])
            for metric in metrics:
                group = (groups or {})[metric.group or "groups"][rows] if metric.needs_groups else None
                values[t].append(metric(target, p, w, group) if len(target) else float("nan"))
        return self.by_name(values)

    def by_name(self, values: Sequence[Sequence[float]]) -> dict[str, float]:
        """Name the values of every task's metrics.

        Several tasks: `<task>_<metric>`, and `<metric>` for the mean over the tasks that have it.
        """
        # NOTE[DIFF] W15: the original makes one number of all tasks; W16: and averages it over batches.
        by_metric: dict[str, list[float]] = {}
        out: dict[str, float] = {}
        for (task, _), metrics, of_task in zip(self.tasks, self.of_task, values, strict=True):
            for metric, value in zip(metrics, of_task, strict=True):
                by_metric.setdefault(metric.name, []).append(value)
                if len(self.tasks) > 1:
                    out[f"{task}_{metric.name}"] = value
        for name, of_tasks in by_metric.items():
            known = [value for value in of_tasks if not np.isnan(value)]
            out[name] = float(np.mean(known)) if known else float("nan")
        return out


def per_task(what: str, value: Any, tasks: Tasks) -> list[Any]:
    """Spread an argument over the tasks: given once for all, as a list of one a task, or as a dict by task name.

    A task that a dict leaves out gets None.

    >>> per_task("loss", {"buy": "mse"}, [("click", "binary"), ("buy", "regression")])
    [None, 'mse']
    """
    names = [name for name, _ in tasks]
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in names]
        if unknown:
            raise ValueError(f"{what} names an unknown task {unknown[0]!r}: {suggest(str(unknown[0]), names)}")
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(tasks):
            raise ValueError(f"{what} must have one item for each of {len(tasks)} task(s), got {len(value)}")
        return list(value)
    return [value] * len(tasks)


def _given(tasks: Tasks, metrics: MetricsSpec) -> list[list[MetricSpec]]:
    """The metrics that each task was given, as written."""
    if isinstance(metrics, Mapping):
        return [_listed(of_task) for of_task in per_task("metrics", metrics, tasks)]
    for metric in _listed(metrics):
        get_metric(metric)
        if not any(_suits(metric, kind) for _, kind in tasks):
            kinds = dict.fromkeys(kind for _, kind in tasks)
            known = "; ".join(f"a {kind} task takes {', '.join(SUITABLE[kind])}" for kind in kinds)
            raise ValueError(f"metric {metric!r} suits none of the tasks {list(tasks)}: {known}")
    return [[metric for metric in _listed(metrics) if _suits(metric, kind)] for _, kind in tasks]


def _listed(metrics: MetricsSpec) -> list[MetricSpec]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]  # type: ignore[list-item]


def _suits(metric: MetricSpec, kind: str) -> bool:
    return not isinstance(metric, str) or kind not in SUITABLE or metric.lower() in SUITABLE[kind]


def _distinct(metrics: Sequence[Metric]) -> list[Metric]:
    """Each metric once, and different ones of one name with numbers: two lambdas are `<lambda>` and `<lambda>_2`."""
    out: list[Metric] = []
    for metric in metrics:
        if metric in out:
            continue
        taken = [m.name for m in out]
        free = (f"{metric.name}_{i}" if i > 1 else metric.name for i in range(1, len(out) + 2))
        out.append(replace(metric, name=next(n for n in free if n not in taken)))
    return out
