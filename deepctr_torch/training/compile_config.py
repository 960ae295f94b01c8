"""What `compile` was asked for, resolved: losses and metrics of each task, and the options of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._checks import check_choice, check_non_negative
from ..metrics.registry import Metric, get_metric
from ..registry import suggest
from .losses import Loss, get_loss, weighted_loss

__all__ = ["CompileConfig", "Tasks", "compile_losses", "compile_metrics"]

Tasks = Sequence[tuple[str, str]]
Array = npt.NDArray[Any]
FOR_CLASSES = ("cross_entropy", "sparse_categorical_crossentropy")
UNFIT_LOSSES = {  # the named losses that a kind of task does not take
    "binary": FOR_CLASSES,
    "regression": ("binary_crossentropy", "focal", *FOR_CLASSES),
    "multiclass": ("binary_crossentropy", "focal", "mse", "mae"),
}
FIT_METRICS = {  # the named metrics that a kind of task takes, where it does not take all
    "regression": ("mse", "mae", "rmse", "calibration"),
    "multiclass": ("acc", "accuracy", "auc", "logloss", "binary_crossentropy"),
}


@dataclass
class CompileConfig:
    """Losses, metrics and options of a compiled model.

    Attributes:
        tasks: (name, type) of each task.
        losses: one a task.
        metrics: one list a task.
        metrics_names: "loss", then the metrics as the user wrote them.
        reduction: "sum" or "mean": how the loss of a batch is made of those of its rows.
        task_weights: one number a task; None where they are learned.
        precision: "fp32" or "bf16".
        clip_norm: largest norm of the whole gradient, or None.
    """

    tasks: Tasks
    losses: list[Loss]
    metrics: list[list[Metric]]
    metrics_names: list[str]
    reduction: str = "sum"
    task_weights: list[float] | None = field(default_factory=list)
    precision: str = "fp32"
    clip_norm: float | None = None
    torch_compile: bool = False
    lr_schedule: Any = None
    embedding_update: str = "auto"

    def __post_init__(self) -> None:
        check_choice("loss_reduction", self.reduction, ["sum", "mean"])
        check_choice("precision", self.precision, ["fp32", "bf16"])
        check_choice("embedding_update", self.embedding_update, ["auto", "dense", "sparse"])
        if self.clip_norm is not None:
            check_non_negative("clip_norm", self.clip_norm)
            if not self.clip_norm:
                raise ValueError("clip_norm must be a number > 0, or None for no clipping, got 0")

    @property
    def group_columns(self) -> list[str]:
        """Columns by which metrics group; "groups" stands for fit's argument."""
        needed = [m for per_task in self.metrics for m in per_task if m.needs_groups]
        return list(dict.fromkeys(m.group or "groups" for m in needed))

    def observed(
        self, t: int, y: Tensor, weight: Tensor | None, complete: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Labels [B, 1] and row weights of one task; a row without a label of it (NaN) weighs nothing.

        Args:
            complete: no label is missing; otherwise the CPU looks, and other devices, which would be waited for, weigh.
        """
        if len(self.tasks) == 1:
            return y[:, :1], weight
        target = y[:, t : t + 1]
        if complete:
            return target, weight
        seen = ~torch.isnan(target[:, 0])
        if seen.device.type == "cpu" and bool(seen.all()):
            return target, weight
        return torch.nan_to_num(target), seen.float() if weight is None else weight * seen

    def check_weighted(self) -> None:
        """Raise if a metric cannot be computed over weighted rows, before any of them is trained on."""
        for metric in [m for per_task in self.metrics for m in per_task if not m.takes_weights]:
            raise ValueError(f"metric {metric.name!r} must have a parameter sample_weight when rows are weighted")

    def task_loss(
        self, t: int, prediction: Tensor, y: Tensor, weight: Tensor | None, reduction: str, complete: bool = False
    ) -> Tensor:
        """Loss of one task over a batch; rows without a label of the task count nothing."""
        pred = prediction if len(self.tasks) == 1 else prediction[:, t : t + 1]
        target, weight = self.observed(t, y, weight, complete)
        return weighted_loss(self.losses[t], pred, target, weight, reduction)

    def data_loss(
        self,
        prediction: Tensor,
        y: Tensor,
        weight: Tensor | None,
        log_variances: Tensor | None = None,
        complete: bool = False,
    ) -> Tensor:
        """Loss of a batch over all tasks, reduced.

        Args:
            prediction: [B, T].
            y: [B, T]; NaN: not observed.
            weight: [B] or None.
            log_variances: [T] where task weights are learned: each task counts exp(-s) * loss + s / 2 for each of its
                observed rows (Kendall et al., 2018), the weight of a row included.
            complete: no label of the batch is missing.
        """
        if len(self.tasks) == 1 and log_variances is None and self.task_weights in (None, [], [1.0]):
            return self.task_loss(0, prediction, y, weight, self.reduction, complete)
        total = prediction.new_zeros(())
        for t in range(len(self.tasks)):
            loss = self.task_loss(t, prediction, y, weight, self.reduction, complete)
            if log_variances is None:
                total = total + loss * (self.task_weights[t] if self.task_weights else 1.0)
            else:
                weights = self.observed(t, y, weight, complete)[1]
                rows = float(len(y)) if weights is None else weights.sum()
                share = rows if self.reduction == "sum" else rows / len(y)
                total = total + torch.exp(-log_variances[t]) * loss + 0.5 * share * log_variances[t]
        return total

    def evaluate(
        self, y: Array, prediction: Array, weight: Array | None, groups: Mapping[str, Array]
    ) -> dict[str, float]:
        """Every metric over whole columns, by name; see `by_name`."""
        found: list[list[float]] = []
        for t in range(len(self.tasks)):
            pred = prediction if len(self.tasks) == 1 else prediction[:, t]
            seen = ~np.isnan(y[:, t])
            rows = slice(None) if seen.all() else seen
            target, scores = y[rows, t], pred[rows]
            scores = scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores
            weights = None if weight is None else weight[rows]
            found.append([])
            for metric in self.metrics[t]:
                group = groups[metric.group or "groups"][rows] if metric.needs_groups else None
                found[t].append(metric(target, scores, weights, group) if len(target) else float("nan"))
        return self.by_name(found)

    def by_name(self, found: Sequence[Sequence[float]]) -> dict[str, float]:
        """The values of every task's metrics by name.

        Several tasks: `<task>_<metric>`, and `<metric>` for the mean over the tasks that have it.
        """
        # NOTE[DIFF] W15: the original makes one number of all tasks; W16: and averages it over batches.
        values: dict[str, list[float]] = {}
        out: dict[str, float] = {}
        for (task, _), metrics, each in zip(self.tasks, self.metrics, found, strict=True):
            for metric, value in zip(metrics, each, strict=True):
                values.setdefault(metric.name, []).append(value)
                if len(self.tasks) > 1:
                    out[f"{task}_{metric.name}"] = value
        for name, of_tasks in values.items():
            known = [v for v in of_tasks if not np.isnan(v)]
            out[name] = float(np.mean(known)) if known else float("nan")
        return out


def compile_losses(loss: Any, tasks: Tasks) -> tuple[Any, list[Loss]]:
    """The loss argument of `compile` -> (what `model.loss_func` shows, one loss a task).

    Args:
        loss: a name or callable for all tasks, a list of one a task, or a dict by task name.
    """
    if loss is None:
        raise ValueError("compile needs a loss, such as 'binary_crossentropy', got None")
    many = _per_task("loss", loss, tasks)
    for (name, kind), one in zip(tasks, many, strict=True):
        if not isinstance(one, str) or one not in UNFIT_LOSSES[kind]:
            continue
        such = {
            "binary": "a loss such as 'binary_crossentropy' or 'focal'",
            "regression": "a loss such as 'mse' or 'mae'",
            "multiclass": "the loss 'cross_entropy'",
        }[kind]
        raise ValueError(f"{f'the {kind} task {name!r}' if name else f'a {kind} task'} needs {such}, got {one!r}")
    losses = [get_loss(one) for one in many]
    return (losses if isinstance(loss, (list, tuple, Mapping)) else losses[0]), losses


def _per_task(what: str, value: Any, tasks: Tasks) -> list[Any]:
    """One item a task of an argument given for all, as a list, or by name."""
    names = [n for n, _ in tasks]
    if isinstance(value, Mapping):
        unknown = [n for n in value if n not in names]
        if unknown:
            raise ValueError(f"{what} names an unknown task {unknown[0]!r}: {suggest(str(unknown[0]), names)}")
        missing = [n for n in names if n not in value]
        if missing and what == "loss":
            raise ValueError(f"loss lacks the task(s) {missing}")
        return [value.get(n) for n in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(tasks):
            raise ValueError(f"{what} must have one item for each of {len(tasks)} task(s), got {len(value)}")
        return list(value)
    return [value] * len(tasks)


def compile_metrics(
    metrics: Any, tasks: Tasks
) -> tuple[list[str], dict[str, Callable[..., float]], list[list[Metric]]]:
    """The metrics argument of `compile` -> (names as written, name -> metric, one list a task).

    A list goes to every task that can have the metric: of the named ones, a regression takes only mse, mae, rmse and
    calibration, a task of several classes only acc, auc and logloss.
    """
    if isinstance(metrics, Mapping):
        per_task = [_listed(m) for m in _per_task("metrics", metrics, tasks)]
    else:
        per_task = [[m for m in _listed(metrics) if _suits(m, kind)] for _, kind in tasks]
        for metric in _listed(metrics):
            get_metric(metric)
            if not any(_suits(metric, kind) for _, kind in tasks):
                kinds = dict.fromkeys(kind for _, kind in tasks)
                known = "; ".join(f"a {kind} task takes {', '.join(FIT_METRICS[kind])}" for kind in kinds)
                raise ValueError(f"metric {metric!r} suits none of the tasks {list(tasks)}: {known}")
    resolved = [_distinct([get_metric(m) for m in each]) for each in per_task]
    flat = {m.name: m for each in resolved for m in each}
    for name, _ in tasks:
        if len(tasks) > 1 and (name == "val" or name.startswith("val_")):
            raise ValueError(
                f"the name of a task must not be 'val' nor begin with 'val_', which marks the validation, got {name!r}"
            )
    return ["loss", *flat], dict(flat), resolved


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


def _listed(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]


def _suits(metric: Any, kind: str) -> bool:
    return not isinstance(metric, str) or kind not in FIT_METRICS or metric in FIT_METRICS[kind]
