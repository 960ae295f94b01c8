"""The arguments of `compile`, resolved: losses and metrics of each task, and the options of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .._checks import check_choice, check_non_negative
from ..metrics.task_metrics import TaskMetrics, Tasks, per_task
from .losses import Loss, get_loss, weighted_loss
from .schedules import Schedule

__all__ = ["CompileConfig", "LossSpec", "compile_losses", "resolve_task_weights"]

LossSpec: TypeAlias = str | Callable[..., Any]
FOR_CLASSES = ("cross_entropy", "sparse_categorical_crossentropy")
UNFIT_LOSSES = {  # the named losses that a kind of task does not take
    "binary": ("poisson", "tweedie", *FOR_CLASSES),
    "regression": ("binary_crossentropy", "focal", *FOR_CLASSES),
    "multiclass": ("binary_crossentropy", "focal", "mse", "mae", "huber", "poisson", "tweedie"),
}


@dataclass
class CompileConfig:
    """Losses, metrics and options of a compiled model."""

    tasks: Tasks  # (name, type) of each task
    losses: list[Loss]  # one a task
    metrics: TaskMetrics  # those of each task
    reduction: str = "sum"  # "sum" or "mean": how the loss of a batch is made of those of its rows
    task_weights: list[float] | None = field(default_factory=list)  # one number a task; None where they are learned
    precision: str = "fp32"  # "fp32" or "bf16"
    clip_norm: float | None = None  # largest norm of the whole gradient, or None
    torch_compile: bool = False  # compile what follows the lookup
    lr_schedule: Callable[[], Schedule] | None = None  # makes a fresh schedule, or None
    embedding_update: str = "auto"  # "auto", "dense" or "sparse"
    joint: bool = False  # the first loss takes predictions and labels of all tasks as matrices

    def __post_init__(self) -> None:
        check_choice("loss_reduction", self.reduction, ["sum", "mean"])
        check_choice("precision", self.precision, ["fp32", "bf16"])
        check_choice("embedding_update", self.embedding_update, ["auto", "dense", "sparse"])
        if self.clip_norm is not None:
            check_non_negative("clip_norm", self.clip_norm)
            if not self.clip_norm:
                raise ValueError("clip_norm must be a number > 0, or None for no clipping, got 0")

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
        reduction: str | None = None,
    ) -> Tensor:
        """Loss of a batch over all tasks, reduced.

        Args:
            prediction: [B, T].
            y: [B, T]; NaN: not observed.
            weight: [B] or None.
            log_variances: [T] where task weights are learned: each task counts exp(-s) * loss + s / 2 for each of its
                observed rows (Kendall et al., 2018), the weight of a row included.
            complete: no label of the batch is missing.
            reduction: None for the one that training has.
        """
        reduction = reduction or self.reduction
        if self.joint:
            if not complete and bool(torch.isnan(y).any()):
                raise ValueError("one loss over several columns needs every label, got a NaN: declare tasks for those")
            return weighted_loss(self.losses[0], prediction, y, weight, reduction)
        if len(self.tasks) == 1 and log_variances is None and self.task_weights in (None, [], [1.0]):
            return self.task_loss(0, prediction, y, weight, reduction, complete)
        total = prediction.new_zeros(())
        for t in range(len(self.tasks)):
            loss = self.task_loss(t, prediction, y, weight, reduction, complete)
            if log_variances is None:
                total = total + loss * (self.task_weights[t] if self.task_weights else 1.0)
            else:
                weights = self.observed(t, y, weight, complete)[1]
                rows = float(len(y)) if weights is None else weights.sum()
                share = rows if reduction == "sum" else rows / len(y)
                total = total + torch.exp(-log_variances[t]) * loss + 0.5 * share * log_variances[t]
        return total


def compile_losses(
    loss: LossSpec | Sequence[LossSpec] | Mapping[str, LossSpec] | None, tasks: Tasks
) -> tuple[Loss | list[Loss], list[Loss]]:
    """Resolve the loss argument of `compile` into what `model.loss_func` shows, and one loss a task.

    Args:
        loss: a name or callable for all tasks, a list of one a task, or a dict by task name.
        tasks: (name, type) of each task.
    """
    if loss is None:
        raise ValueError("compile needs a loss, such as 'binary_crossentropy', got None")
    many = per_task("loss", loss, tasks)
    if isinstance(loss, Mapping) and (missing := [name for name, _ in tasks if name not in loss]):
        raise ValueError(f"loss lacks the task(s) {missing}")
    for (name, kind), one in zip(tasks, many, strict=True):
        if not isinstance(one, str) or one.lower().partition(":")[0] not in UNFIT_LOSSES[kind]:
            continue
        such = {
            "binary": "a loss such as 'binary_crossentropy' or 'focal'",
            "regression": "a loss such as 'mse', 'huber' or 'poisson'",
            "multiclass": "the loss 'cross_entropy'",
        }[kind]
        raise ValueError(f"{f'the {kind} task {name!r}' if name else f'a {kind} task'} needs {such}, got {one!r}")
    losses = [get_loss(one) for one in many]
    return (losses if isinstance(loss, (list, tuple, Mapping)) else losses[0]), losses


def resolve_task_weights(
    weights: Sequence[float] | Mapping[str, float] | str | None, tasks: Tasks
) -> list[float] | None:
    """Resolve the `task_weights` argument of `compile` into one number a task; None where they are learned.

    >>> resolve_task_weights({"buy": 2}, [("click", "binary"), ("buy", "binary")])
    [1.0, 2.0]
    """
    names = [name for name, _ in tasks]
    if isinstance(weights, str):
        if weights != "uncertainty" or len(names) < 2:
            raise ValueError(f"task_weights must be numbers, or 'uncertainty' with several tasks, got {weights!r}")
        return None
    if weights is None:
        return [1.0] * len(names)
    values = (
        [float(weights.get(n, 1.0)) for n in names] if isinstance(weights, Mapping) else [float(w) for w in weights]
    )
    if len(values) != len(names) or (isinstance(weights, Mapping) and set(weights) - set(names)):
        raise ValueError(f"task_weights must have one number for each task of {names}, got {weights!r}")
    return values
