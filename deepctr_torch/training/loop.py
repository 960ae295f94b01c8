"""The loop. It sees a model protocol, a `DataSource`, callbacks; it knows no model by name."""

from __future__ import annotations

import contextlib
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._checks import check_at_least
from ..callbacks import CallbackList, History, ProgressBar, TensorBoard, TerminateOnNaN
from ..callbacks.base import Callbacks
from ..data.arrays import ArraySource
from ..data.batch import DataSource, LabeledBatch
from ..data.device import AsyncScalar, on_device, to_device
from ..metrics.state import MetricState
from ..metrics.task_metrics import TaskMetrics
from ..optim.combined import named_state, numbered_state
from .checkpoint import Checkpoints, DataPass, files_of, rng_state, set_rng_state
from .compile_config import CompileConfig
from .evaluation import device_of, evaluate_source, predictor
from .finite import NonFiniteError, non_finite_weight
from .interrupts import Interrupts
from .profiler import StepProfile
from .protocol import Trainable
from .step import TrainStep

__all__ = ["FitPlan", "PeriodState", "Trainer"]

MODEL_STATE = ("epochs_trained", "negative_rate", "stop_training")  # beside the weights
WATCH = 100  # steps on CUDA between two looks at the loss
LOOP_STATE = ("epoch", "epoch_step", "step_number", "period", "_last_loss")


@dataclass(frozen=True)
class FitPlan:
    """Length of a training, and when to evaluate in it."""

    batch_size: int = 256  # rows a step (streams bring their own)
    epochs: int = 1  # as Keras counts them: training goes on until epoch number `epochs`
    initial_epoch: int = 0
    shuffle: bool = True  # a new order of the rows in every epoch
    steps_per_epoch: int | None = None  # steps after which an epoch ends; the data go on in the next one
    max_steps: int | None = None  # steps after which the training ends
    eval_every: int | float | None = None  # steps (int), or part of an epoch (float in (0, 1)), between two evaluations
    verbose: int = 1  # 0, 1 or 2
    profile: str | os.PathLike[str] | None = None  # path of a trace of some steps, or None

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

    def state_dict(self) -> dict[str, Any]:
        """Return all that was taken so far, not copied."""
        return {"loss": self.loss, "rows": self.rows, "steps": self.steps, "metrics": self.metrics.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over what `state_dict` gave."""
        loss, self.rows, self.steps = state["loss"], state["rows"], state["steps"]
        self.loss = loss.to(device) if isinstance(loss, Tensor) else loss
        self.metrics.load_state_dict(state["metrics"], device)

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
        checkpoints: where the state of the training is kept, or None.
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
        checkpoints: Checkpoints | None = None,
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
        self.checkpoints = checkpoints
        self.interrupts = Interrupts()
        self._late = AsyncScalar()
        self.epoch, self.epoch_step = plan.initial_epoch, 0
        self.step_number = 0
        self.seen: PeriodState | None = None
        self.data: DataPass | None = None
        self._last_loss: float | None = None  # of the last evaluation
        self.profile: StepProfile | None = None
        self.period = plan.initial_epoch
        own = source.steps(plan.batch_size)
        self.epoch_steps = plan.steps_per_epoch or own
        self.period_steps = self._period_steps()
        self.total_steps = self._total_steps()
        self.schedule = None if compiled.lr_schedule is None else compiled.lr_schedule()
        if checkpoints is not None:
            checkpoints.tell(self._about(source))

    def _about(self, source: DataSource) -> dict[str, Any]:
        """The facts that a checkpoint must agree on to be one of this training."""
        names = ("batch_size", "initial_epoch", "shuffle", "steps_per_epoch", "eval_every")
        labels = source.y if isinstance(source, ArraySource) else None
        return {
            "model": type(self.model).__name__,
            "seed": self.model.seed,
            "epochs trained before": self.model.epochs_trained,
            "rows": source.rows,
            "a checksum of the labels": None if labels is None else zlib.crc32(labels.numpy().tobytes()),
            **{name: getattr(self.plan, name) for name in names},
        }

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
        """Train, and return the history; Ctrl-C and SIGTERM end it after a step and its checkpoint."""
        model, plan = self.model, self.plan
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.interrupts)
            if self.checkpoints is not None:
                stack.enter_context(self.checkpoints.locked())
            begun = None if self.checkpoints is None else self.checkpoints.load()
            model.stop_training = False
            self.callbacks.set_model(model)
            self.callbacks.set_params(self._params())
            self.callbacks.on_train_begin()
            if begun is not None:
                self.load_state_dict(begun)
            self.profile = None if plan.profile is None else StepProfile(plan.profile, self.device)
            span = contextlib.nullcontext if self.profile is None else self.profile.span
            self.update.prepare(self.compiled, model, span=span)
            stack.callback(self._close)
            stack.callback(self._base_rates)
            if self.profile is not None:
                stack.callback(self.profile.close)
            over = begun is not None and self._done()
            while self.epoch < plan.epochs and not over:
                with seeded([model.seed, model.epochs_trained], self.device):
                    if begun is not None:
                        self._go_on(begun)
                        begun = None
                    self._epoch()
                model.epochs_trained += 1
                self.epoch, self.epoch_step = self.epoch + 1, 0
                over = self._done()
            if begun is None:  # else it was over when its last checkpoint was written
                self._write_checkpoint()
        self.callbacks.on_train_end()
        return model.history

    def _close(self) -> None:
        """Whatever ended the training: close the bar, the files that are read and those of `TensorBoard`."""
        if self.data is not None:
            self.data.close()
        for callback in self.callbacks:
            if isinstance(callback, (ProgressBar, TensorBoard)):
                callback.close()

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

    def _fresh(self, *again: int) -> DataPass:
        """A new pass over the data, in a new order; `again` tells passes within one epoch apart."""
        seed = [self.model.seed, self.model.epochs_trained, *again] if self.plan.shuffle else None
        return DataPass(self.source, self.plan.batch_size, seed, self.device)

    def _epoch(self) -> None:
        """One epoch, or the rest of one; the pass over the data may go on in the next one."""
        limit = self.plan.steps_per_epoch
        self.data = self._fresh() if self.data is None else self.data
        while limit is None or self.epoch_step < limit:
            with self.update.span("data"):
                example = next(self.data, None)
            if example is None and limit is not None and not self.source.once:
                self.data = self._fresh(self.epoch_step)
                example = next(self.data, None)
            if example is None:
                self._check_not_empty(self.epoch_step)
                self.data = None
                break
            self.seen = self._begin_period() if self.seen is None else self.seen
            self._step(to_device(example, self.device), self.seen)
            self.epoch_step += 1
            if self._done() or self.seen.steps == self.period_steps:
                self._end_period(self.seen)
            if self._done():
                break
            interrupted = self.interrupts.received is not None
            if interrupted or (self.checkpoints is not None and self.checkpoints.is_due(self.step_number)):
                self._write_checkpoint()
            if interrupted:
                raise KeyboardInterrupt
        if self.seen is not None:
            self._end_period(self.seen)

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
        try:
            prediction, loss = self.update.step(model, compiled, example)
        except NonFiniteError as error:  # NOTE[DIFF] W26: the original trains on
            self._stop(error, "the weights are those before this step", seen)
            return
        if not math.isfinite(self._watched(loss)):
            self._stop(NonFiniteError("the loss", math.nan), "the weights are those after it", seen)
            return
        rows = len(prediction)
        loss = loss * rows if compiled.reduction == "mean" else loss
        seen.update(example, prediction, loss)
        self.step_number += 1
        if wants:
            self.callbacks.on_train_batch_end(seen.steps - 1, {"loss": float(loss) / rows, "size": rows})
        self.bar.step(rows, seen.late_loss)
        if self.profile is not None:
            self.profile.step(rows)

    def _watched(self, loss: Tensor) -> float:
        """The loss with its penalty; on CUDA, in some steps, that of a moment ago, which is not waited for."""
        if self.device.type == "cpu":
            return loss.item()
        return self._late.read(loss, 1.0) if self.device.type == "cuda" and self.step_number % WATCH == 0 else 0.0

    def _stop(self, error: NonFiniteError, weights: str, seen: PeriodState | None = None) -> None:
        """End the training: `TerminateOnNaN` is told where there is one, else it is an error."""
        rates = [group["lr"] for group in self.update.optimizer.param_groups]
        if seen is None or not any(isinstance(callback, TerminateOnNaN) for callback in self.callbacks):
            rate = ", ".join(f"{float(rate):g}" for rate in dict.fromkeys(rates))
            where = f"step {self.step_number + (seen is not None)}"
            raise FloatingPointError(f"{where}: {error}, with the learning rate {rate}; {weights}") from error
        seen.loss = seen.loss + error.value
        self.callbacks.on_train_batch_end(seen.steps, {"loss": error.value})

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
        self.seen = None
        self._last_loss = logs.get("val_loss", logs["loss"])

    # ------------------------------------------------------------------ checkpoints

    def _write_checkpoint(self) -> None:
        if self.checkpoints is not None:
            found = non_finite_weight(self.model)
            if found is not None:
                self._stop(NonFiniteError(*found), "the last good weights are those of the last checkpoint")
            self.checkpoints.write(self.step_number, self.state_dict(), self._last_loss)

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the training goes on, not copied: to be taken between two steps or two epochs."""
        model, update, files = self.model, self.update, files_of(self.source)
        return {
            "weights": model.state_dict(),
            "model": {name: getattr(model, name) for name in MODEL_STATE},
            "fixed": [name for name, p in model.named_parameters() if not p.requires_grad],
            "optimizer": named_state(update.optimizer, update.state_dict(), self._parameter_names()),
            "mode": update.mode,
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "callbacks": self.callbacks.state_dict(),
            "loop": {name: getattr(self, name) for name in LOOP_STATE},
            "seen": None if self.seen is None else self.seen.state_dict(),
            "data": None if self.data is None else self.data.state_dict(),
            "passes": None if files is None else files.passes,
            "rng": rng_state(self.device),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, before the steps are prepared; what is random follows in `_go_on`."""
        model, update, files = self.model, self.update, files_of(self.source)
        try:
            model.load_state_dict(state["weights"])
        except RuntimeError as error:
            raise ValueError(f"the checkpoint must be of a model built alike, got another: {error}") from error
        for name, value in state["model"].items():
            setattr(model, name, value)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in state["fixed"])
        update.load_state_dict(numbered_state(update.optimizer, state["optimizer"], self._parameter_names()))
        update.set_mode(state["mode"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.callbacks.load_state_dict(state["callbacks"])
        for name, value in state["loop"].items():
            setattr(self, name, value)
        if state["seen"] is not None:
            self.seen = PeriodState(self.compiled.metrics)
            self.seen.load_state_dict(state["seen"], self.device)
        if files is not None:
            files.passes = state["passes"]

    def _parameter_names(self) -> dict[nn.Parameter, str]:
        return {parameter: name for name, parameter in self.model.named_parameters()}

    def _go_on(self, state: Mapping[str, Any]) -> None:
        """Inside the first epoch: go to the place in the data, and draw as if there had been no end in between."""
        now, rng = rng_state(self.device), state["rng"]
        set_rng_state(rng if self.epoch_step else {**rng, "torch": now["torch"], "cuda": now["cuda"]}, self.device)
        if state["data"] is not None:
            self.data = DataPass.resumed(self.source, self.plan.batch_size, state["data"], self.device)
        if self.seen is not None:
            self.bar.on_epoch_begin(self.period)
            if self.schedule is not None:
                self.update.scale_lr(self.schedule.multiplier(self.step_number - 1, self.total_steps, self.epoch_steps))
