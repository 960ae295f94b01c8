"""The loop. It sees a model protocol, a `Source`, callbacks; it knows no model by name."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..callbacks import CallbackList, History, ProgressBar
from ..data.sources import Example, Source
from ..features import Batch
from .compiled import Compiled
from .updates import Update

__all__ = ["FitPlan", "TrainableProtocol", "Trainer", "evaluate_source", "predict_source"]

Array = npt.NDArray[Any]
PREDICT_ROWS = 4096  # blocks of predict and evaluate are at least this large; the result does not depend on it


class TrainableProtocol(Protocol):
    """What the loop asks of a model."""

    training: bool
    stop_training: bool
    seed: int
    epochs_trained: int
    history: History

    def train(self, mode: bool = True) -> Any: ...

    def eval(self) -> Any: ...

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class FitPlan:
    """How long to train, and when to look.

    Attributes:
        batch_size: rows a step (streams bring their own).
        epochs, initial_epoch: as Keras counts them: training goes on until epoch number `epochs`.
        shuffle: a new order of the rows in every epoch.
        steps_per_epoch: steps after which an epoch ends; the data go on in the next one.
        max_steps: steps after which the training ends.
        eval_every: steps (int), or part of an epoch (float in (0, 1)), between two evaluations.
        verbose: 0, 1 or 2.
    """

    batch_size: int = 256
    epochs: int = 1
    initial_epoch: int = 0
    shuffle: bool = True
    steps_per_epoch: int | None = None
    max_steps: int | None = None
    eval_every: int | float | None = None
    verbose: int = 1


@dataclass
class _Seen:
    """What a period saw: predictions before each update, and the loss. Stays on the device until the period ends."""

    predictions: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    groups: list[dict[str, Array]] = field(default_factory=list)
    loss: Tensor | float = 0.0
    rows: int = 0
    steps: int = 0

    def add(self, example: Example, prediction: Tensor) -> None:
        self.predictions.append(prediction.detach())
        if example.y is not None:
            self.labels.append(example.y)
        if example.weight is not None:
            self.weights.append(example.weight)
        self.groups.append(example.groups)
        self.rows += len(example.batch.ids)
        self.steps += 1

    def mean_loss(self) -> float:
        return float(self.loss) / max(self.rows, 1)

    def metrics(self, compiled: Compiled) -> dict[str, float]:
        if not any(compiled.metrics) or not self.rows:
            return {}
        weight = torch.cat(self.weights, dim=0).cpu().numpy().astype(np.float64) if self.weights else None
        groups = {name: np.concatenate([g[name] for g in self.groups]) for name in self.groups[0]}
        y = torch.cat(self.labels, dim=0).cpu().numpy().astype(np.float64)
        return compiled.evaluate(y, _joined(self.predictions), weight, groups)


def _joined(parts: Sequence[Tensor]) -> Array:
    return torch.cat([p.float() for p in parts], dim=0).cpu().numpy().astype(np.float64)


def to_device(example: Example, device: torch.device) -> Example:
    """The example with its tensors on `device`."""
    if device.type == "cpu":
        return example
    batch = Batch(
        example.batch.ids.to(device, non_blocking=True),
        example.batch.dense.to(device, non_blocking=True),
        example.batch.widths,
    )
    y = None if example.y is None else example.y.to(device, non_blocking=True)
    weight = None if example.weight is None else example.weight.to(device, non_blocking=True)
    return Example(batch, y, weight, example.groups)


@contextlib.contextmanager
def seeded(seed: Sequence[int], device: torch.device) -> Iterator[None]:
    """Dropout and the like draw from a generator of `seed`; the global one is left as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0] >> np.uint64(1)))
        yield


@torch.inference_mode()
def predict_source(model: Any, source: Source, batch_size: int) -> Iterator[tuple[Example, Tensor]]:
    """Examples in the order of the source, with predictions in evaluation mode."""
    device = next(model.parameters()).device if any(True for _ in model.parameters()) else torch.device("cpu")
    model.eval()
    for example in source.examples(max(batch_size, PREDICT_ROWS)):
        moved = to_device(example, device)
        yield moved, model.objective(moved.batch)[0]


class Trainer:
    """Runs `fit`.

    The unit of callbacks and history is a *period*: an epoch, or the part of one that `eval_every` cuts. At its end the metrics of
    the period are computed over all its rows (each predicted before it was trained on), the validation runs, and `on_epoch_end` is called.

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
        model: Any,
        compiled: Compiled,
        update: Update,
        source: Source,
        validation: Source | None,
        plan: FitPlan,
        callbacks: Any = None,
    ) -> None:
        self.model, self.compiled, self.update, self.plan = model, compiled, update, plan
        self.source, self.validation = source, validation
        self.bar = ProgressBar(plan.verbose)
        self.callbacks = CallbackList(callbacks)
        if not any(isinstance(c, History) for c in self.callbacks):
            self.callbacks.append(History())
        self.callbacks.append(self.bar)
        self.step_number = 0
        self.period = plan.initial_epoch
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
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
                    f"eval_every={every} is a part of an epoch, but the length of this stream is unknown: pass a number of steps"
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
        self.update.begin(self.compiled, model)
        with contextlib.ExitStack() as stack:
            stack.callback(self.bar.close)
            examples: Iterator[Example] | None = None
            for _ in range(plan.initial_epoch, plan.epochs):
                with seeded([model.seed, model.epochs_trained], self.device):
                    examples = self._epoch(examples)
                model.epochs_trained += 1
                if self._done():
                    break
        if self.schedule is not None:
            self.update.scale_lr(1.0)
        self.callbacks.on_train_end()
        history: History = model.history
        return history

    def _done(self) -> bool:
        over = self.plan.max_steps is not None and self.step_number >= self.plan.max_steps
        return over or bool(self.model.stop_training)

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
            "metrics": self.compiled.metrics_names,
            "verbose": self.plan.verbose,
        }

    def _fresh(self) -> Iterator[Example]:
        """A new pass over the data, in a new order."""
        seed = [self.model.seed, self.model.epochs_trained] if self.plan.shuffle else None
        return self.source.examples(self.plan.batch_size, seed)

    def _epoch(self, examples: Iterator[Example] | None) -> Iterator[Example] | None:
        """One epoch; returns the pass over the data if it goes on in the next one."""
        limit = self.plan.steps_per_epoch
        examples = self._fresh() if examples is None else examples
        seen: _Seen | None = None
        steps = 0
        while limit is None or steps < limit:
            example = next(examples, None)
            if example is None and limit is not None and not getattr(self.source, "once", False):
                examples = self._fresh()
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
                if getattr(self.source, "once", False)
                else "the stream is empty"
            )
            raise ValueError(
                f"no batch to train on: {what}; pass something that can be iterated again, such as a DataLoader, or epochs=1"
            )

    def _begin_period(self) -> _Seen:
        self.callbacks.on_epoch_begin(self.period)
        self.model.train()
        return _Seen()

    def _step(self, example: Example, seen: _Seen) -> None:
        model, compiled = self.model, self.compiled
        if not model.training:  # a callback predicted in between
            model.train()
        wants = self.callbacks.wants_batches
        if wants:
            self.callbacks.on_train_batch_begin(seen.steps)
        if self.schedule is not None:
            self.update.scale_lr(self.schedule.multiplier(self.step_number, self.total_steps, self.epoch_steps))
        prediction, loss = self.update.step(model, compiled, example)
        seen.add(example, prediction)
        rows = len(example.batch.ids)
        loss = loss * rows if compiled.reduction == "mean" else loss
        seen.loss = seen.loss + loss
        self.step_number += 1
        if wants:
            self.callbacks.on_train_batch_end(seen.steps - 1, {"loss": float(loss) / rows})
        self.bar.step(rows, seen.mean_loss)

    def _end_period(self, seen: _Seen) -> None:
        logs = {"loss": seen.mean_loss(), **seen.metrics(self.compiled)}
        if self.validation is not None:
            self.callbacks.on_test_begin()
            results = evaluate_source(self.model, self.compiled, self.validation, self.plan.batch_size)
            logs.update({f"val_{name}": value for name, value in results.items()})
            self.callbacks.on_test_end()
            self.model.train()
        if self.schedule is not None:
            self.schedule.on_period_end(logs)
        self.callbacks.on_epoch_end(self.period, logs)
        self.period += 1


def evaluate_source(model: Any, compiled: Compiled, source: Source, batch_size: int) -> dict[str, float]:
    """`loss` (of the data alone, a row) and every metric over a whole source."""
    seen = _Seen()
    total: Tensor | float = 0.0
    with torch.inference_mode():
        for example, prediction in predict_source(model, source, batch_size):
            seen.add(example, prediction)
            for t in range(len(compiled.tasks)):
                weight = compiled.task_weights[t] if compiled.task_weights else 1.0
                if example.y is not None:
                    total = total + weight * compiled.task_loss(t, prediction, example.y, example.weight, "sum")
    if not seen.rows:
        raise ValueError("no batch to evaluate: the stream is empty")
    return {"loss": float(total) / seen.rows, **seen.metrics(compiled)}
