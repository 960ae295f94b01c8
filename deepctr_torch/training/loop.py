"""The loop. It sees a model protocol, a `DataSource`, callbacks; it knows no model by name."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import check_at_least
from ..callbacks import CallbackList, History, ProgressBar
from ..callbacks.base import Callbacks
from ..data.batch import DataSource, LabeledBatch
from ..data.device import AsyncScalar, on_device, to_device
from ..metrics.state import MetricState
from ..metrics.task_metrics import TaskMetrics
from .compile_config import CompileConfig
from .evaluation import device_of, evaluate_source, predictor
from .profiler import StepProfile
from .protocol import Trainable
from .step import TrainStep

__all__ = ["FitPlan", "PeriodState", "Trainer"]


@dataclass(frozen=True)
class FitPlan:
    """Length of a training, and when to evaluate in it.

    Attributes:
        batch_size: rows a step (streams bring their own).
        epochs, initial_epoch: as Keras counts them: training goes on until epoch number `epochs`.
        shuffle: a new order of the rows in every epoch.
        steps_per_epoch: steps after which an epoch ends; the data go on in the next one.
        max_steps: steps after which the training ends.
        eval_every: steps (int), or part of an epoch (float in (0, 1)), between two evaluations.
        verbose: 0, 1 or 2.
        profile: path of a trace of some steps, or None.
    """

    batch_size: int = 256
    epochs: int = 1
    initial_epoch: int = 0
    shuffle: bool = True
    steps_per_epoch: int | None = None
    max_steps: int | None = None
    eval_every: int | float | None = None
    verbose: int = 1
    profile: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("epochs", self.epochs, 0)
        check_at_least("initial_epoch", self.initial_epoch, 0)
        for name, value in (("steps_per_epoch", self.steps_per_epoch), ("max_steps", self.max_steps)):
            if value is not None:
                check_at_least(name, value, 1)
        every = self.eval_every
        if isinstance(every, float):
            if not 0 < every < 1:
                raise ValueError(
                    f"eval_every must be a number of steps (int) or a part of an epoch in (0, 1), got {every!r}"
                )
        elif every is not None:
            check_at_least("eval_every", every, 1)


@contextlib.contextmanager
def seeded(seed: Sequence[int], device: torch.device) -> Iterator[None]:
    """Dropout and the like draw from a generator of `seed`; the global one is left as it was."""
    devices = [device] if device.type == "cuda" else []
    number = int(np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(number)  # torch.manual_seed would also seed every other device
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield


class PeriodState:
    """Accumulates loss and metrics over the steps of a period, each row as it was predicted before its update.

    Args:
        metrics: computed at the end.

    Attributes:
        loss: sum over all rows, on the device.
        rows, steps: how many so far.
    """

    def __init__(self, metrics: TaskMetrics) -> None:
        self.metrics = MetricState(metrics)
        self.loss: Tensor | float = 0.0
        self.rows = self.steps = 0
        self._shown = AsyncScalar()

    def update(self, example: LabeledBatch, prediction: Tensor, loss: Tensor) -> None:
        """Take one step with its `loss`, a sum over rows; does not wait for the device."""
        if example.y is not None:
            self.metrics.update(example.y, prediction, example.weight, example.groups)
        self.loss = self.loss + loss
        self.rows += len(prediction)
        self.steps += 1

    def late_loss(self) -> float:
        """The mean loss of a moment ago, to be shown; does not wait for the device."""
        return self._shown.read(self.loss, max(self.rows, 1))

    def compute(self) -> dict[str, float]:
        """Return the mean loss of a row and every metric, once."""
        return {"loss": float(self.loss) / max(self.rows, 1), **self.metrics.compute()}


class Trainer:
    """Runs `fit`.

    The unit of callbacks and history is a *period*: an epoch, or the part of one that `eval_every` cuts. At its end the
    metrics of the period are computed over all its rows (each predicted before it was trained on), the validation runs,
    and `on_epoch_end` is called. A schedule multiplies learning rates during steps only: callbacks at the begin and end
    of a period see, change and save the base ones.

    Args:
        model: what is trained.
        compiled: losses, metrics, options.
        update: moves the weights.
        source: training data.
        validation: validation data, or None.
        plan: how long and when.
        callbacks: the user's.
    """

    def __init__(
        self,
        model: Trainable,
        compiled: CompileConfig,
        update: TrainStep,
        source: DataSource,
        validation: DataSource | None,
        plan: FitPlan,
        callbacks: Callbacks = None,
    ) -> None:
        if source.weighted or (validation is not None and validation.weighted):
            compiled.metrics.check_weighted()
        self.model = model
        self.compiled = compiled
        self.update = update
        self.plan = plan
        self.device = device_of(model)
        self.source = on_device(source, self.device)
        self.negative_rate = source.negative_rate
        self.validation = None if validation is None else on_device(validation, self.device)
        self.bar = ProgressBar(plan.verbose)
        self.callbacks = CallbackList(callbacks)
        if not any(isinstance(c, History) for c in self.callbacks):
            self.callbacks.append(History())
        self.callbacks.append(self.bar)
        self.step_number = 0
        self.profile: StepProfile | None = None
        self.period = plan.initial_epoch
        own = source.steps(plan.batch_size)
        self.epoch_steps = plan.steps_per_epoch or own
        self.period_steps = self._period_steps()
        self.total_steps = self._total_steps()
        self.schedule = None if compiled.lr_schedule is None else compiled.lr_schedule()

    def _period_steps(self) -> int | None:
        every = self.plan.eval_every
        if isinstance(every, float):
            if self.epoch_steps is None:
                raise ValueError(
                    f"eval_every={every} is a part of an epoch, but the length of this stream is unknown: "
                    "pass a number of steps"
                )
            return max(1, math.ceil(every * self.epoch_steps))
        return every

    def _total_steps(self) -> int | None:
        epochs = self.plan.epochs - self.plan.initial_epoch
        known = None if self.epoch_steps is None else self.epoch_steps * epochs
        if self.plan.max_steps is None:
            return known
        return self.plan.max_steps if known is None else min(known, self.plan.max_steps)

    def run(self) -> History:
        """Train, and return the history."""
        model, plan = self.model, self.plan
        model.stop_training = False
        self.callbacks.set_model(model)
        self.callbacks.set_params(self._params())
        self.callbacks.on_train_begin()
        self.profile = None if plan.profile is None else StepProfile(plan.profile, self.device)
        span = contextlib.nullcontext if self.profile is None else self.profile.span
        self.update.prepare(self.compiled, model, span=span)
        with contextlib.ExitStack() as stack:
            stack.callback(self.bar.close)
            stack.callback(self._base_rates)
            if self.profile is not None:
                stack.callback(self.profile.close)
            examples: Iterator[LabeledBatch] | None = None
            for _ in range(plan.initial_epoch, plan.epochs):
                with seeded([model.seed, model.epochs_trained], self.device):
                    examples = self._epoch(examples)
                model.epochs_trained += 1
                if self._done():
                    break
        self.callbacks.on_train_end()
        return model.history

    def _base_rates(self) -> None:
        if self.schedule is not None:
            self.update.scale_lr(1.0)

    def _done(self) -> bool:
        over = self.plan.max_steps is not None and self.step_number >= self.plan.max_steps
        return over or self.model.stop_training

    def _params(self) -> dict[str, Any]:
        steps = self.epoch_steps if self.period_steps is None else self.period_steps
        if steps is not None and self.plan.max_steps is not None:
            steps = min(steps, self.plan.max_steps)
        rows = self.source.rows if steps == self.source.steps(self.plan.batch_size) else None
        return {
            "epochs": self.plan.epochs if self.period_steps is None else None,
            "steps": steps,
            "samples": rows,
            "batch_size": self.plan.batch_size if self.source.rows is not None else None,
            "metrics": ["loss", *self.compiled.metrics.functions],
            "verbose": self.plan.verbose,
        }

    def _fresh(self, *again: int) -> Iterator[LabeledBatch]:
        """A new pass over the data, in a new order; `again` tells passes within one epoch apart."""
        seed = [self.model.seed, self.model.epochs_trained, *again] if self.plan.shuffle else None
        return self.source.batches(self.plan.batch_size, seed)

    def _epoch(self, examples: Iterator[LabeledBatch] | None) -> Iterator[LabeledBatch] | None:
        """One epoch; returns the pass over the data if it goes on in the next one."""
        limit = self.plan.steps_per_epoch
        examples = self._fresh() if examples is None else examples
        seen: PeriodState | None = None
        steps = 0
        while limit is None or steps < limit:
            with self.update.span("data"):
                example = next(examples, None)
            if example is None and limit is not None and not self.source.once:
                examples = self._fresh(steps)
                example = next(examples, None)
            if example is None:
                self._check_not_empty(steps)
                examples = None
                break
            seen = self._begin_period() if seen is None else seen
            self._step(to_device(example, self.device), seen)
            steps += 1
            if self._done() or seen.steps == self.period_steps:
                self._end_period(seen)
                seen = None
            if self._done():
                break
        if seen is not None:
            self._end_period(seen)
        return examples

    def _check_not_empty(self, steps: int) -> None:
        if steps == 0:
            what = (
                "a stream that can be read once was read in an earlier epoch"
                if self.source.once and self.step_number
                else "the stream is empty"
            )
            raise ValueError(
                f"no batch to train on: {what}; pass something that can be iterated again, such as a DataLoader, "
                "or epochs=1"
            )

    def _begin_period(self) -> PeriodState:
        self.callbacks.on_epoch_begin(self.period)
        self.model.negative_rate = self.negative_rate  # now that there is a step: before, its weights were of another
        self.model.train()
        self.update.follow(self.model, self.compiled)
        return PeriodState(self.compiled.metrics)

    def _step(self, example: LabeledBatch, seen: PeriodState) -> None:
        model, compiled = self.model, self.compiled
        wants = self.callbacks.wants_batches
        if example.weight is not None:
            compiled.metrics.check_weighted()
        if wants:
            self.callbacks.on_train_batch_begin(seen.steps)
            self.update.follow(model, compiled)
        if not model.training:  # a callback predicted in between
            model.train()  # NOTE[DIFF] W1: the original stays in evaluation mode after its first validation
        if self.schedule is not None:
            self.update.scale_lr(self.schedule.multiplier(self.step_number, self.total_steps, self.epoch_steps))
        prediction, loss = self.update.step(model, compiled, example)
        rows = len(prediction)
        loss = loss * rows if compiled.reduction == "mean" else loss
        seen.update(example, prediction, loss)
        self.step_number += 1
        if wants:
            self.callbacks.on_train_batch_end(seen.steps - 1, {"loss": float(loss) / rows, "size": rows})
        self.bar.step(rows, seen.late_loss)
        if self.profile is not None:
            self.profile.step(rows)

    def _end_period(self, seen: PeriodState) -> None:
        self._base_rates()
        logs = seen.compute()
        if self.validation is not None:
            self.callbacks.on_test_begin()
            results = evaluate_source(
                self.model,
                self.compiled,
                source=self.validation,
                batch_size=self.plan.batch_size,
                predict=predictor(self.model, self.compiled, self.update),
            )
            logs.update({f"val_{name}": value for name, value in results.items()})
            self.callbacks.on_test_end()
            self.model.train()
        if self.schedule is not None:
            self.schedule.on_period_end(logs)
        self.callbacks.on_epoch_end(self.period, logs)
        self.period += 1
