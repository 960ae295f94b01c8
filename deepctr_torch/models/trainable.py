"""The methods by which users train a model; the work is done in `deepctr_torch.training`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, ClassVar, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._checks import check_fraction
from ..callbacks import History
from ..callbacks.base import Callbacks
from ..data.arrays import ArraySource
from ..data.batch import DataSource, LabelSpec
from ..data.files import Files
from ..data.labels import check_class_weight
from ..data.loader import make_source
from ..data.stream import StreamSource, is_stream
from ..embedding import EmbeddingLookup
from ..features import Batch, FeatureSchema
from ..layers.core import PredictionLayer
from ..metrics.registry import Metric, get_metric
from ..metrics.task_metrics import MetricsSpec, TaskMetrics
from ..optim.combined import OptimizerLike
from ..optim.cowclip import CowClip
from ..training.checkpoint import Checkpoints
from ..training.compile_config import CompileConfig, LossSpec, compile_losses, resolve_task_weights
from ..training.evaluation import evaluate_source, predict_all, predict_layers, predict_source, predictor
from ..training.loop import FitPlan, Trainer
from ..training.losses import Loss, link_of
from ..training.schedules import ScheduleSpec, get_schedule
from ..training.step import TrainStep
from ._compat import adopt_columns, adopt_tasks
from .fields import Fields

__all__ = ["TrainableModel", "train_step_of"]

DEFAULT_BATCH = 256


class TrainableModel(nn.Module):
    """A module with `compile`, `fit`, `evaluate`, `predict`; `BaseModel` brings the rest of `Trainable`."""

    schema: FeatureSchema
    embedding: EmbeddingLookup
    task_specs: tuple[tuple[str, str], ...]
    num_classes: int | None
    seed: int
    epochs_trained: int
    stop_training: bool
    history: History
    out: nn.Module
    aux_loss: Tensor
    regularization_weight: list[tuple[list[nn.Parameter], float, float]]
    task_log_variances: nn.Parameter
    fields: Callable[[Batch, list[Tensor]], Fields]
    predict_rows: Callable[[Batch, list[Tensor]], tuple[Tensor, Tensor | None]]
    get_regularization_loss: Callable[[], Tensor]
    negative_rate: float = 1.0  # share of the negative rows trained on; predictions are corrected for it
    _compiled: CompileConfig | None = None
    _update: TrainStep | None = None
    _compile_arguments: ClassVar[dict[str, Any] | None] = None

    @property
    def overrides_forward(self) -> bool:
        raise NotImplementedError

    @property
    def overrides_penalty(self) -> bool:
        raise NotImplementedError

    def compile(  # hides nn.Module.compile: compile(torch_compile=True) is the way to that
        self,
        optimizer: OptimizerLike,
        loss: LossSpec | Sequence[LossSpec] | Mapping[str, LossSpec] | None = None,
        metrics: MetricsSpec = None,
        *,
        learning_rate: float | None = None,
        lr_schedule: ScheduleSpec = None,
        clip_norm: float | None = None,
        precision: str = "fp32",
        torch_compile: bool = False,
        embedding_update: str = "auto",
        embedding_optimizer: str | dict[str, Any] | None = None,
        embedding_lr: float | None = None,
        loss_reduction: str = "sum",
        task_weights: Sequence[float] | Mapping[str, float] | str | None = None,
        large_batch: int | Mapping[str, Any] | None = None,
    ) -> None:
        """Choose how to train.

        Args:
            optimizer: "sgd" (learning rate 0.01), "adam" (0.001), "adamw" (0.001), "adagrad" (0.01), "rmsprop" (0.01),
                "rowwise_adagrad" (0.01; Adagrad with one number a row of a table), a dict of a name and options, or a
                torch optimizer made of `model.parameters()`.
            loss: "binary_crossentropy", "focal", "cross_entropy" (multiclass), of a regression "mse", "mae", "huber"
                ("huber:0.5" with another delta than 1), "poisson" and "tweedie" ("tweedie:1.2" with another power than
                1.5), for labels >= 0, whose predictions are the exponential of the logit; or a callable
                `f(prediction, y)`, with a `reduction` argument or without; for several tasks a list of one a task, a
                dict by task name, or one for all.
            metrics: list of names (see "Metrics, defined") or callables `f(y_true, y_pred)`; for several tasks also a
                dict by task name.
            learning_rate: learning rate of an optimizer given by name.
            lr_schedule: None, "cosine", "warmup", "step", "plateau", a dict such as {"name": "cosine",
                "warmup_steps": 100}, or a callable from the step number to a factor of the learning rate. Callbacks
                that set the learning rate set what the factor multiplies.
            clip_norm: largest norm of the whole gradient.
            precision, torch_compile: "fp32" or "bf16" (autocast), and torch.compile, for all that follows the lookup.
            embedding_update: "dense" updates every row of every table at each step, "sparse" only those of the batch,
                whatever the vocabulary; "auto" chooses by the size of the batch and the tables.
            embedding_optimizer, embedding_lr: optimizer (a name, or a dict such as {"name": "adam", "decay_unseen":
                True}) and learning rate of the tables, where they differ.
            loss_reduction: "sum" (as in DeepCTR-Torch) or "mean" over the rows of a batch.
            task_weights: weight of each task's loss: a list, a dict by name, or "uncertainty" to learn them.
            large_batch: batch size that learning rates were made for; rates, penalties and gradients then follow the
                size of the batches as CowClip says (see `CowClip`).

        Raises:
            ValueError: an unknown name; it says what is known and suggests the nearest.
        """
        given = {k: v for k, v in locals().items() if k != "self"}
        adopt_tasks(self)
        shown, losses = compile_losses(loss, self.task_specs)
        compiled = CompileConfig(
            self.task_specs, losses, TaskMetrics(self.task_specs, metrics), reduction=loss_reduction,
            task_weights=self._weigh_tasks(task_weights), precision=precision, clip_norm=clip_norm,
            torch_compile=torch_compile, lr_schedule=None if lr_schedule is None else get_schedule(lr_schedule),
            embedding_update=embedding_update,
        )  # fmt: skip
        self._update = TrainStep(
            self, optimizer, learning_rate, embedding_optimizer, embedding_lr, mode=embedding_update,
            large_batch=CowClip.of(large_batch),
        )  # fmt: skip
        set_links(self, [link_of(one) for one in losses])
        self._compiled, self.loss_func, self.metrics = compiled, shown, compiled.metrics.functions
        self.metrics_names = ["loss", *self.metrics]
        object.__setattr__(self, "_compile_arguments", given)

    def _weigh_tasks(self, given: Sequence[float] | Mapping[str, float] | str | None) -> list[float] | None:
        """The weights of the tasks; where they are to be learned, None and parameters of the model."""
        weights = resolve_task_weights(given, self.task_specs)
        if weights is None and not hasattr(self, "task_log_variances"):
            start = torch.zeros(len(self.task_specs), device=next(self.parameters()).device)
            self.task_log_variances = nn.Parameter(start)
        if weights is not None and hasattr(self, "task_log_variances"):
            del self.task_log_variances
        return weights

    @property
    def optim(self) -> Any:
        """The optimizer: a torch one, or several behind one face (`param_groups`, `step`, `state_dict`)."""
        return None if self._update is None else self._update.optimizer

    @optim.setter
    def optim(self, optimizer: Optimizer) -> None:
        if self._update is None:  # a subclass with a `compile` of its own
            self._update = TrainStep(self, optimizer)
        else:
            self._update.replace(optimizer)
        if self._compile_arguments is not None:
            object.__setattr__(self, "_compile_arguments", {**self._compile_arguments, "optimizer": optimizer})

    def _get_optim(self, optimizer: OptimizerLike) -> Optimizer:
        """For a `compile` of one's own, as the original wrote it: the optimizer of a name."""
        return TrainStep(self, optimizer).optimizer

    def _get_loss_func(self, loss: LossSpec | Sequence[LossSpec] | Mapping[str, LossSpec]) -> Loss | list[Loss]:
        adopt_tasks(self)
        return compile_losses(loss, self.task_specs)[0]

    def _get_metrics(self, metrics: MetricsSpec, set_eps: bool = False) -> dict[str, Metric]:
        functions = TaskMetrics(self.task_specs, metrics).functions
        self.metrics_names = ["loss", *functions]
        return functions

    def _needed(self, method: str, y: Any) -> tuple[CompileConfig, TrainStep]:
        if self._compiled is None and self._update is not None and hasattr(self, "loss_func"):
            named = [replace(get_metric(m), name=n) for n, m in getattr(self, "metrics", {}).items()]
            losses = compile_losses(self.loss_func, self.task_specs)[1]
            self._compiled = CompileConfig(self.task_specs, losses, TaskMetrics(self.task_specs, named))
        if self._update is None or self._compiled is None:
            raise RuntimeError(f"call compile(optimizer, loss, metrics) before {method}")
        self._compiled = adopt_columns(self, self._compiled, y)
        return self._compiled, self._update

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
        callbacks: Callbacks = None,
        *,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | None = None,
        groups: Any = None,
        steps_per_epoch: int | None = None,
        max_steps: int | None = None,
        eval_every: int | float | None = None,
        profile: str | os.PathLike[str] | None = None,
        checkpoint_dir: str | os.PathLike[str] | Checkpoints | None = None,
        checkpoint_every: int | str = "10min",
        keep: int = 3,
        resume: bool = False,
    ) -> History:
        """Train the model.

        Args:
            x: dict of arrays, list of arrays in `feature_index` order, one packed 2-D array, a pandas, polars or
                pyarrow table; files (see `Files`); an iterable or `DataLoader` of `(x, y)` or `(x, y, sample_weight)`.
            y: labels (N,), (N, 1) or (N, T): array, list, Series or table; NaN in one of several tasks: not observed.
                Or the name of a column of `x` (a list of one a task), as always with files. None with a stream.
            batch_size: rows a step (256 unless given); streams bring their own (to be given here for `large_batch`
                where the stream has no such attribute).
            epochs, initial_epoch: the number of the last epoch, and of the first.
            verbose: 1 for a progress bar, 2 for a line an epoch, 0 for silence.
            validation_split: share of the rows, the last ones, that is not trained on but evaluated.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, a stream of batches or `Files`; not `validation_split`.
            shuffle: a new order in every epoch, from a generator of (seed, epochs trained so far).
            sample_weight: one weight a row (with files: the name of a column); enters loss and metrics.
            class_weight: label -> weight, for one task; as a sample weight, but not in the validation.
            groups: values by which `gauc` and `ndcg@k` group, one a row; or a dict of several, by name.
            steps_per_epoch, max_steps: steps that make an epoch, and after which to end.
            eval_every: steps (int) or part of an epoch (float in (0, 1)) between evaluations, each an entry in history.
            profile: path of a JSON file for a trace of some steps; a table of where their time goes is printed.
            checkpoint_dir: folder for checkpoints, which hold all of the training; see "Reliability".
            checkpoint_every: steps (int) between two checkpoints, or a time such as "30s", "10min", "2h".
            keep: how many of the last checkpoints stay, beside the best one.
            resume: go on from the last whole checkpoint in `checkpoint_dir`, to the same end as without a break; from
                the beginning if there is none.

        Returns:
            The history: `history.history` maps "loss", each metric, "val_loss" and "val_<metric>" to their values.

        Raises:
            ValueError, TypeError: bad input, before the first step (streams: before the step that would use the batch).
            BlockingIOError: another training writes into `checkpoint_dir`.
        """
        config, step = self._needed("fit", y)
        checkpoints = Checkpoints.of(checkpoint_dir, checkpoint_every, keep, resume, self._compile_arguments)
        plan = FitPlan(
            batch_size=DEFAULT_BATCH if batch_size is None else batch_size, epochs=epochs, initial_epoch=initial_epoch,
            shuffle=shuffle, steps_per_epoch=steps_per_epoch, max_steps=max_steps, eval_every=eval_every,
            verbose=int(verbose), profile=profile,
        )  # fmt: skip
        labels = _label_spec(self, config, class_weight)
        source = make_source(self.schema, x, y, labels, sample_weight, groups, training=True)
        source, validation = _split(self.schema, source, validation_split, validation_data, labels)
        known = batch_size if isinstance(source, StreamSource) else plan.batch_size  # a stream brings its own
        step.resolve_mode(self, source.batch_size or known)
        return Trainer(self, config, step, source, validation, plan, callbacks, checkpoints).run()

    def evaluate(
        self, x: Any, y: Any = None, batch_size: int | None = 256, *, sample_weight: Any = None, groups: Any = None
    ) -> dict[str, float]:
        """Every compiled metric over all of `x`; arguments as in `fit`."""
        config, step = self._needed("evaluate", y)
        labels = _label_spec(self, config)
        source = make_source(self.schema, x, y, labels, sample_weight, groups)
        with torch.random.fork_rng(devices=[]):  # an iterator of a DataLoader draws from the global generator
            values = evaluate_source(
                self,
                config,
                source=source,
                batch_size=batch_size or DEFAULT_BATCH,
                predict=predictor(self, config, step),
            )
        return {name: value for name, value in values.items() if name != "loss"}

    @overload
    def predict(self, x: Any, batch_size: int | None = 256) -> npt.NDArray[np.float64]: ...

    @overload
    def predict(
        self, x: Any, batch_size: int | None = 256, *, return_layers: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[np.float32]]]: ...

    def predict(self, x: Any, batch_size: int | None = 256, *, return_layers: Sequence[str] | None = None) -> Any:
        """Predictions, float64 [N, 1], [N, T] or [N, C], in the order of `x`; leaves the model in evaluation mode.

        Args:
            x: inputs, as in `fit`.
            batch_size: rows predicted at a time, at least.
            return_layers: names of modules, as in `named_modules`, whose outputs are wanted too: the result is then
                `(predictions, {name: float32 [N, ...]})`. `["dnn"]` gives what the last layer reads.
        """
        source = make_source(self.schema, x)
        with torch.random.fork_rng(devices=[]):  # as in evaluate
            if return_layers is not None:
                return predict_layers(self, source, batch_size or DEFAULT_BATCH, return_layers)
            predict = predictor(self, self._compiled, self._update)
            return predict_all(self, source, batch_size or DEFAULT_BATCH, predict)

    def attention_maps(self, fields: Fields) -> dict[str, Tensor]:
        """The attention weights of a batch, [B, ...] each, by name. Models that attend override it.

        Raises:
            NotImplementedError: the model attends to nothing, or does not tell.
        """
        raise NotImplementedError(f"{type(self).__name__} has no attention weights by name; DIN, AFM and AutoInt do")

    def attention_weights(self, x: Any, batch_size: int | None = 256) -> dict[str, npt.NDArray[np.float32]]:
        """Attention weights, float32 [N, ...] in the order of `x`, by name; leaves the model in evaluation mode.

        DIN: "attention" [N, T], of the steps of the history, zero at padding; they sum to one only with
        `att_weight_normalization`. AFM: "fm" [N, P], of the pairs (0, 1), (0, 2), ..., (1, 2), ...; they sum to one.
        AutoInt: "int_layers" [N, layers, heads, F, F], of the last dimension for the one before; rows sum to one.
        """
        found: dict[str, list[npt.NDArray[np.float32]]] = {}

        def attend(batch: Batch) -> tuple[Tensor, None]:
            for name, weights in self.attention_maps(self.fields(batch, self.embedding.lookup(batch))).items():
                found.setdefault(name, []).append(weights.float().cpu().numpy())
            return batch.dense.new_zeros(len(batch.ids), 1), None

        source = make_source(self.schema, x)
        with torch.random.fork_rng(devices=[]):  # as in evaluate
            for _ in predict_source(self, source, batch_size or DEFAULT_BATCH, attend):
                pass
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _in_multi_worker_mode(self) -> bool:
        """Asked by callbacks written for the original."""
        return False


def train_step_of(model: TrainableModel) -> TrainStep | None:
    """Return what moves the weights of a compiled model (its optimizer, its way of updating tables), else None.

    A function, since a name on the instance could be one of a user's subclass.
    """
    return model._update


def heads_of(model: TrainableModel) -> list[PredictionLayer]:
    """Return what makes predictions of logits, one a task."""
    out = model.out
    return [head for head in (out if isinstance(out, nn.ModuleList) else [out]) if isinstance(head, PredictionLayer)]


def set_links(model: TrainableModel, links: Sequence[str]) -> None:
    """Give each task's head its link, in all members of an ensemble."""
    for member in (model, *getattr(model, "further_members", ())):
        for head, link in zip(heads_of(member), links, strict=False):
            head.link = link


def _label_spec(
    model: TrainableModel, config: CompileConfig, class_weight: Mapping[Any, float] | None = None
) -> LabelSpec:
    """Return what a source must know of labels, and which columns the metrics group by."""
    if class_weight and len(config.tasks) > 1:
        raise ValueError(
            "class_weight goes with one task; weigh tasks with compile(task_weights=...), rows with sample_weight"
        )
    if class_weight is not None:
        check_class_weight(class_weight, config.tasks[0][1], model.num_classes)
    losses = cycle(config.losses)  # a joint loss is one for all
    tasks = [(n, "count" if link_of(loss) == "log" else k) for (n, k), loss in zip(config.tasks, losses, strict=False)]
    return LabelSpec(tasks, model.num_classes, config.metrics.group_columns, class_weight)


def _split(
    schema: FeatureSchema, source: DataSource, split: float, data: Any, labels: LabelSpec
) -> tuple[DataSource, DataSource | None]:
    """Return what is trained on and what is validated on: `data`, or a part `split` off the source, or None."""
    if data is not None:
        return source, _validation_source(schema, data, labels._replace(class_weight=None))
    if not split:
        return source, None
    check_fraction("validation_split", split)
    if not isinstance(source, ArraySource):
        raise ValueError("validation_split needs the data in memory; give a stream its validation_data")
    return source.split(split)


def _validation_source(schema: FeatureSchema, data: Any, labels: LabelSpec) -> DataSource:
    if is_stream(data) or isinstance(data, Files):
        return make_source(schema, data, None, labels)
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            f"validation_data must be (x, y), (x, y, sample_weight) or a stream of batches, got {type(data).__name__}"
        )
    x, y, weight = (*data, None)[:3]
    try:
        return make_source(schema, x, y, labels, weight)
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"validation_data: {error}") from error
