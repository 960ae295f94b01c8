"""The methods by which users train a model; the work is done in `deepctr_torch.training`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._checks import check_at_least, check_fraction
from ..callbacks import History
from ..data.sources import ArraySource, Labels, Source, is_stream, make_source
from ..features import FeatureSchema
from ..training.compiled import Compiled, compile_losses, compile_metrics
from ..training.evaluation import evaluate_source, predict_source
from ..training.schedules import get_schedule
from ..training.trainer import FitPlan, Trainer
from ..training.updates import Update

__all__ = ["TrainableModel"]

DEFAULT_BATCH = 256


class TrainableModel:
    """`compile`, `fit`, `evaluate`, `predict`."""

    schema: FeatureSchema
    tasks: tuple[tuple[str, str], ...]
    num_classes: int | None
    history: History
    regularization_weight: list[tuple[list[nn.Parameter], float, float]]
    forward: Any
    _compiled: Compiled | None = None
    _update: Update | None = None
    _compile_arguments: ClassVar[dict[str, Any] | None] = None
    task_log_variances: nn.Parameter

    def compile(  # hides nn.Module.compile: compile(torch_compile=True) is the way to that
        self,
        optimizer: Any,
        loss: Any = None,
        metrics: Any = None,
        *,
        learning_rate: float | None = None,
        lr_schedule: Any = None,
        clip_norm: float | None = None,
        precision: str = "fp32",
        torch_compile: bool = False,
        embedding_update: str = "auto",
        embedding_optimizer: str | None = None,
        embedding_lr: float | None = None,
        loss_reduction: str = "sum",
        task_weights: Sequence[float] | Mapping[str, float] | str | None = None,
    ) -> None:
        """Choose how to train.

        Args:
            optimizer: "sgd" (learning rate 0.01), "adam" (0.001), "adamw" (0.001), "adagrad" (0.01), "rmsprop" (0.01), or a torch
                optimizer made of `model.parameters()`.
            loss: "binary_crossentropy", "mse", "mae", "focal", "cross_entropy" (multiclass), or a callable `f(prediction, y)`, with a
                `reduction` argument or without; for several tasks a list of one a task, a dict by task name, or one for all.
            metrics: list of names (see "Metrics, defined") or callables `f(y_true, y_pred)`; for several tasks also a dict by task name.
            learning_rate: learning rate of an optimizer given by name.
            lr_schedule: None, "cosine", "warmup", "step", "plateau", a dict such as {"name": "cosine", "warmup_steps": 100}, or a
                callable from the step number to a factor of the learning rate.
            clip_norm: largest norm of the whole gradient.
            precision: "fp32", or "bf16" for bfloat16 autocast of all that comes after the lookup.
            torch_compile: compile all that comes after the lookup.
            embedding_update: "dense" updates every row of every table at each step, "sparse" only the rows of the batch, so that the cost
                does not grow with the vocabulary; "auto" chooses by the size of the batch and the tables.
            embedding_optimizer, embedding_lr: optimizer (by name) and learning rate of the tables, where they differ.
            loss_reduction: "sum" (as in DeepCTR-Torch) or "mean" over the rows of a batch.
            task_weights: weight of each task's loss: a list, a dict by name, or "uncertainty" to learn them (Kendall et al., 2018).

        Raises:
            ValueError: an unknown name; it says what is known and suggests the nearest.
        """
        shown, losses = compile_losses(loss, self.tasks)
        names, functions, per_task = compile_metrics(metrics, self.tasks)
        self._compiled = Compiled(
            self.tasks,
            losses,
            per_task,
            names,
            loss_reduction,
            self._task_weights(task_weights),
            precision,
            clip_norm,
            torch_compile,
            None if lr_schedule is None else get_schedule(lr_schedule),
            embedding_update,
        )
        self._update = Update(self, optimizer, learning_rate, embedding_optimizer, embedding_lr, embedding_update)  # type: ignore[arg-type]
        self.loss_func, self.metrics, self.metrics_names = shown, functions, names
        given = {k: v for k, v in locals().items() if k in _COMPILE_ARGUMENTS}
        object.__setattr__(self, "_compile_arguments", given)

    def _task_weights(self, weights: Any) -> list[float] | None:
        names = [n for n, _ in self.tasks]
        if isinstance(weights, str):
            if weights != "uncertainty" or len(names) < 2:
                raise ValueError(f"task_weights must be numbers, or 'uncertainty' with several tasks, got {weights!r}")
            if not hasattr(self, "task_log_variances"):
                device = next(self.parameters()).device  # type: ignore[attr-defined]
                self.task_log_variances = nn.Parameter(torch.zeros(len(names), device=device))
            return None
        if hasattr(self, "task_log_variances"):
            del self.task_log_variances
        if weights is None:
            return [1.0] * len(names)
        values = (
            [float(weights.get(n, 1.0)) for n in names] if isinstance(weights, Mapping) else [float(w) for w in weights]
        )
        if len(values) != len(names) or (isinstance(weights, Mapping) and set(weights) - set(names)):
            raise ValueError(f"task_weights must have one number for each task of {names}, got {weights!r}")
        return values

    @property
    def optim(self) -> Any:
        """The optimizer: a torch one, or several behind one face (`param_groups`, `step`, `state_dict`)."""
        return None if self._update is None else self._update.optimizer

    @optim.setter
    def optim(self, optimizer: Any) -> None:
        self._needed("optim").optimizer = optimizer

    def _needed(self, method: str) -> Update:
        if self._update is None or self._compiled is None:
            raise RuntimeError(f"call compile(optimizer, loss, metrics) before {method}")
        return self._update

    @property
    def overrides_forward(self) -> bool:
        """Whether a subclass brings its own `forward(X)`, as user code for DeepCTR-Torch does."""
        from .basemodel import BaseModel

        return type(self).forward is not BaseModel.forward

    @property
    def overrides_penalty(self) -> bool:
        """Whether a subclass computes its penalty itself."""
        from .basemodel import BaseModel

        return type(self).get_regularization_loss is not BaseModel.get_regularization_loss  # type: ignore[attr-defined]

    def _labels(self, class_weight: Mapping[Any, float] | None = None) -> Labels:
        compiled = self._compiled
        if class_weight and len(self.tasks) > 1:
            raise ValueError(
                "class_weight goes with one task; weigh tasks with compile(task_weights=...), rows with sample_weight"
            )
        return Labels(self.tasks, self.num_classes, compiled.group_columns if compiled else (), class_weight)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int = 1,
        initial_epoch: int = 0,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        callbacks: Any = None,
        *,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | None = None,
        groups: Any = None,
        steps_per_epoch: int | None = None,
        max_steps: int | None = None,
        eval_every: int | float | None = None,
    ) -> History:
        """Train the model.

        Args:
            x: dict of arrays, list of arrays in `feature_index` order, one packed 2-D array, a pandas / polars / pyarrow table; or an
                iterable or `DataLoader` of batches `(x, y)` or `(x, y, sample_weight)`. Never changed.
            y: labels (N,), (N, 1) or (N, T): array, list, Series or table; NaN in one of several tasks: not observed. None with a stream.
            batch_size: rows a step (256 unless given); streams bring their own.
            epochs: the number of the last epoch.
            verbose: 1 for a progress bar, 2 for a line an epoch, 0 for silence.
            initial_epoch: the number of the first epoch.
            validation_split: share of the rows, the last ones, that is not trained on but evaluated.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, or a stream of batches; overrides `validation_split`.
            shuffle: a new order in every epoch, from a generator of (seed, epochs trained so far).
            callbacks: list of callbacks.
            sample_weight: one weight a row; enters loss and metrics.
            class_weight: label -> weight, for one task.
            groups: values by which `gauc` and `ndcg@k` group, one a row; or a dict of several, by name.
            steps_per_epoch: steps that make an epoch.
            max_steps: steps after which to end.
            eval_every: steps (int) or part of an epoch (float in (0, 1)) between two evaluations; callbacks and history then have one
                entry for each.

        Returns:
            The history: `history.history` maps "loss", each metric, "val_loss" and "val_<metric>" to their values.

        Raises:
            ValueError, TypeError: bad input, before the first step (streams: before the step that would use the batch).
        """
        update = self._needed("fit")
        plan = _plan(batch_size, epochs, initial_epoch, shuffle, steps_per_epoch, max_steps, eval_every, verbose)
        labels = self._labels(class_weight)
        source = make_source(self.schema, x, y, labels, sample_weight, groups)
        validation = self._validation(source, validation_split, validation_data, labels)
        if isinstance(source, ArraySource) and validation_data is None and validation_split:
            source = source.split(validation_split)[0]
        update.decide(self, plan.batch_size)
        if self._compiled is None:
            raise RuntimeError("call compile before fit")
        return Trainer(self, self._compiled, update, source, validation, plan, callbacks).run()

    def _validation(self, source: Source, split: float, data: Any, labels: Labels) -> Source | None:
        plain = labels._replace(class_weight=None)
        if data is not None:
            if is_stream(data):
                return make_source(self.schema, data, None, plain)
            if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
                raise ValueError(
                    f"validation_data must be (x, y), (x, y, sample_weight) or a stream of batches, got {type(data).__name__}"
                )
            x, y, weight = (*data, None)[:3]
            return make_source(self.schema, x, y, plain, weight)
        if not split:
            return None
        check_fraction("validation_split", split)
        if not isinstance(source, ArraySource):
            raise ValueError("validation_split needs the data in memory; give a stream its validation_data")
        return source.split(split)[1]

    def evaluate(
        self, x: Any, y: Any = None, batch_size: int | None = 256, *, sample_weight: Any = None, groups: Any = None
    ) -> dict[str, float]:
        """Every compiled metric over all of `x`; arguments as in `fit`."""
        self._needed("evaluate")
        if self._compiled is None:
            raise RuntimeError("call compile before evaluate")
        source = make_source(self.schema, x, y, self._labels(), sample_weight, groups)
        values = evaluate_source(self, self._compiled, source, batch_size or DEFAULT_BATCH)
        return {name: value for name, value in values.items() if name != "loss"}

    def predict(self, x: Any, batch_size: int | None = 256) -> npt.NDArray[np.float64]:
        """Predictions, float64 [N, 1], [N, T] or [N, C], in the order of `x`; leaves the model in evaluation mode."""
        source = make_source(self.schema, x)
        parts: list[Tensor] = [p.float().cpu() for _, p in predict_source(self, source, batch_size or DEFAULT_BATCH)]
        if not parts:
            raise ValueError("no batch to predict: the stream is empty")
        return torch.cat(parts, dim=0).numpy().astype(np.float64)

    def _in_multi_worker_mode(self) -> bool:
        """Asked by callbacks written for the original."""
        return False


_COMPILE_ARGUMENTS = ["optimizer", "loss", "metrics", "learning_rate", "lr_schedule", "clip_norm", "precision", "torch_compile", "embedding_update", "embedding_optimizer", "embedding_lr", "loss_reduction", "task_weights"]


def _plan(
    batch_size: int | None,
    epochs: int,
    initial_epoch: int,
    shuffle: bool,
    steps_per_epoch: int | None,
    max_steps: int | None,
    eval_every: int | float | None,
    verbose: int,
) -> FitPlan:
    size = DEFAULT_BATCH if batch_size is None else batch_size
    check_at_least("batch_size", size, 1)
    check_at_least("epochs", epochs, 0)
    check_at_least("initial_epoch", initial_epoch, 0)
    for name, value in (("steps_per_epoch", steps_per_epoch), ("max_steps", max_steps)):
        if value is not None:
            check_at_least(name, value, 1)
    if isinstance(eval_every, float):
        if not 0 < eval_every < 1:
            raise ValueError(
                f"eval_every must be a number of steps (int) or a part of an epoch in (0, 1), got {eval_every!r}"
            )
    elif eval_every is not None:
        check_at_least("eval_every", eval_every, 1)
    return FitPlan(size, epochs, initial_epoch, shuffle, steps_per_epoch, max_steps, eval_every, int(verbose))
