"""From an encoder and the name of a model to the model."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from .._checks import check_at_least
from ..encoding import FeatureEncoder, auto_dimension
from ..encoding import Sequence as History
from ..features import DenseFeat, FeatureColumn, VarLenSparseFeat
from ..layers.core import DNN
from ..layers.parallel import ParallelDNN
from ..models import MODELS, BaseModel, model_traits
from .features import TARGETS, HistoryLike, history_features

__all__ = [
    "LOSSES",
    "MODEL",
    "TABLE_RATE",
    "VALIDATION_ROWS",
    "batch_rows",
    "build_model",
    "ensemble_size",
    "eval_steps",
    "is_multitask",
    "model_class",
    "model_defaults",
    "patience",
    "reads_history",
]

DimensionLike: TypeAlias = int | str | Callable[[int], int]  # a number, "auto", or a function of the rows of a table
LossLike: TypeAlias = str | Callable[..., Any] | Sequence[Any] | Mapping[str, Any] | None  # as `compile` has it
SET_BY_ESTIMATOR = {  # argument of a model -> where its value comes from
    "seed": "random_state",
    "device": "device",
    "gpus": "device",
    "history_feature_list": "history",
    "task": "CTRClassifier or CTRRegressor",
    "task_types": "CTRClassifier or CTRRegressor",
    "task_names": "the names of the labels",
    "num_classes": "the labels",
    "ensemble": "ensemble",
}


def model_class(name: object) -> type[BaseModel]:
    """Return the model of a name."""
    if not isinstance(name, str):
        raise TypeError(f"model must be a name such as 'DeepFM', got {name!r}")
    return MODELS.get(name)


@functools.cache  # scikit-learn asks at every prediction
def _parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls.__init__).parameters  # type: ignore[misc]


def is_multitask(cls: type) -> bool:
    """Say whether the model learns several labels."""
    return "task_names" in _parameters(cls)


def reads_history(cls: type) -> bool:
    """Say whether the model compares a target with its history."""
    return "history_feature_list" in _parameters(cls)


def _histories(encoder: FeatureEncoder, cls: type, history: HistoryLike) -> dict[str, list[str]]:
    """The targets, and the histories of each: those named, else what is called like one."""
    kinds = encoder.features
    found = history_features(history, kinds) or {
        n.removeprefix("hist_"): [n]
        for n, k in kinds.items()
        if isinstance(k, History) and n.startswith("hist_") and isinstance(kinds.get(n[5:]), TARGETS)
    }
    if not found:
        raise ValueError(
            f"{cls.__name__} needs a history: name its column, history='hist_movie' for a target 'movie' or "
            f"history={{'movie': 'watched'}}; the features are {list(kinds)}"
        )
    return found


def _feature_columns(encoder: FeatureEncoder, cls: type, embedding_dim: DimensionLike) -> list[FeatureColumn]:
    """The encoder's columns; with "auto" each table has vectors by its rows, or all have one length."""
    if embedding_dim != "auto":
        return encoder.feature_columns(embedding_dim)
    if not model_traits(cls).one_dimension:
        return encoder.feature_columns(partial(auto_dimension, at_most=EMBEDDING_DIM))
    largest = max((shared.first_rows for shared in encoder.vocabularies.values()), default=1)
    return encoder.feature_columns(auto_dimension(largest, at_most=EMBEDDING_DIM))  # their vectors meet each other


def _are_negatives(column: FeatureColumn, encoder: FeatureEncoder) -> bool:
    """Negatives of a history are for the auxiliary loss alone."""
    name = str(column.name)
    return isinstance(column, VarLenSparseFeat) and name.startswith("neg_hist_") and encoder.features[name].train_only


def _linear(columns: Sequence[FeatureColumn]) -> list[FeatureColumn]:
    """The linear side: what has liked an item is not what the item is worth, so histories of a target stay out."""
    return [c for c in columns if not (isinstance(c, VarLenSparseFeat) and c.embedding_name != c.name)]


def build_model(
    cls: type[BaseModel],
    encoder: FeatureEncoder,
    embedding_dim: DimensionLike,
    history: HistoryLike,
    model_args: Mapping[str, Any],
    tasks: Mapping[str, Any],
    initial_bias: Sequence[float] | None,
) -> BaseModel:
    """Return the model, at its start: the user's `model_args` go before the defaults, `tasks` before both.

    Its outputs begin with `initial_bias`.
    """
    for name in model_args:
        if name in SET_BY_ESTIMATOR or name.endswith("_feature_columns"):
            hint = SET_BY_ESTIMATOR.get(name, "features")
            raise ValueError(f"model_args must not hold {name!r}: it follows from {hint}")
    columns = _feature_columns(encoder, cls, embedding_dim)
    if not model_args.get("use_negsampling"):
        columns = [c for c in columns if not _are_negatives(c, encoder)]
    deep = [c for c in columns if model_traits(cls).dense_deep or not isinstance(c, DenseFeat)]
    arguments: dict[str, Any] = {**model_defaults(cls, tasks.get("task")), **model_args, **tasks}
    known = _parameters(cls)
    if "linear_feature_columns" in known:
        arguments["linear_feature_columns"] = _linear(columns)
    arguments["dnn_feature_columns" if "dnn_feature_columns" in known else "region_feature_columns"] = deep
    if reads_history(cls):
        histories = _histories(encoder, cls, history)
        several = model_traits(cls).several_histories and any(len(names) > 1 for names in histories.values())
        arguments["history_feature_list"] = histories if several else list(histories)
    model: BaseModel = cls(**arguments)
    if "init_std" not in model_args:
        _scale_hidden_layers(model)
    _set_bias(model, initial_bias)
    return model


@torch.no_grad()
def _scale_hidden_layers(model: BaseModel) -> None:
    """Let hidden layers begin with He et al.'s standard deviation, sqrt(2 / inputs) (2015, equation 10).

    Drawn with the tables' `init_std`, a signal would be nearly gone after two of them.
    """
    for module in model.modules():
        kernels: list[Tensor] = []
        if isinstance(module, DNN):
            kernels = [parameter for name, parameter in module.linears.named_parameters() if name.endswith("weight")]
        elif isinstance(module, ParallelDNN):
            kernels = list(module.weights)
        for kernel in kernels:  # [..., outputs, inputs]
            kernel.mul_(math.sqrt(2 / kernel.shape[-1]) / model.init_std)


def _set_bias(model: BaseModel, bias: Sequence[float] | None) -> None:
    """Let the outputs begin at the mean of the labels, where a bias does that."""
    if bias is None or not model_traits(type(model)).independent_heads:
        return
    for member in getattr(model, "further_members", ()):
        _set_bias(member, bias)
    heads = list(model.out) if isinstance(model.out, nn.ModuleList) else [model.out]
    values = [[v] for v in bias] if len(heads) > 1 or len(bias) == 1 else [list(bias)]
    for head, value in zip(heads, values, strict=True):
        own = getattr(head, "bias", None)
        if own is not None:
            with torch.no_grad():
                own.copy_(torch.tensor(value))


def ensemble_size(rows: int, wanted: int | str) -> int:
    """Return how many models to train as one: `wanted`, or with "auto" `ENSEMBLE` where that costs seconds.

    >>> [ensemble_size(rows, "auto") for rows in (500, 20_000, 10_000_000)]
    [1, 4, 1]
    """
    if wanted != "auto":
        check_at_least("ensemble", wanted, 1)
        return int(wanted)
    return ENSEMBLE[0] if rows in ENSEMBLE[1] else 1


def patience(rows: int, batch: int, every: int) -> int:
    """Return after how many evaluations, one each `every` steps, without improvement a training ends.

    >>> [patience(rows, batch, every) for rows, batch, every in ((500, 32, 4), (100_000, 512, 20), (100_000, 4096, 4))]
    [50, 10, 50]
    """
    epochs, steps = PATIENCE
    return max(3, math.ceil(max(epochs * math.ceil(rows / batch), steps) / every))


MODEL: dict[str, Any] = {"init_std": 0.001, "l2_reg_embedding": 1e-3, "dnn_dropout": 0.2}
LOSSES = {"binary": "binary_crossentropy", "multiclass": "cross_entropy", "regression": "mse"}
TABLE_RATE = 3  # learning rate of the tables over that of the rest
VALIDATION_ROWS = 1_000_000  # a validation part cut off the training data is not larger
EMBEDDING_DIM = 16  # the longest vectors of embedding_dim="auto"
EVALUATIONS = 10  # in an epoch
SHORTEST = 4  # steps between two of them, where an epoch has as many
PATIENCE = 0.8, 200  # epochs and steps without improvement that end the training: the longer of both
STEPS = 100  # fewer in an epoch make smaller batches
ENSEMBLE = 4, range(2_000, 100_001)  # models in one, and for how many rows


def model_defaults(cls: type, task: str | None) -> dict[str, Any]:
    """Return those of `MODEL` that a model has; a regression has no dropout, which would blur its numbers."""
    found = MODEL | {"dnn_dropout": 0.0} if task == "regression" else MODEL
    return {name: value for name, value in found.items() if name in _parameters(cls)}


def batch_rows(rows: int) -> int:
    """Return the power of two that makes at least `STEPS` steps of an epoch, from 32 to 4096.

    >>> [batch_rows(n) for n in (500, 20_000, 80_000, 10_000_000)]
    [32, 128, 512, 4096]
    """
    return min(max(1 << int(math.log2(max(rows / STEPS, 1))), 32), 4096)


def eval_steps(rows: int, batch: int, wanted: float | str) -> int:
    """Return the steps between two evaluations: `wanted` steps (int), part of an epoch (float in (0, 1]), or "auto"."""
    steps = math.ceil(rows / batch)
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return wanted
    if isinstance(wanted, float) and 0 < wanted <= 1:
        return max(1, math.ceil(wanted * steps))
    if wanted != "auto":
        raise ValueError(f'eval_every must be steps (int), a part of an epoch (float) or "auto", got {wanted!r}')
    return max(min(steps, SHORTEST), math.ceil(steps / EVALUATIONS))
