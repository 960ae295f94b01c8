"""Helpers of user code written against the original, around `forward(X)` on one packed matrix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..embedding import EmbeddingLookup, embedding_configs
from ..features import DenseFeat, FeatureColumn, FeatureSchema, SparseFeat, VarLenSparseFeat, packed_ids, rows_packed
from ..layers.sequence import pool, pool_steps, valid_steps
from ..metrics import functional
from ..metrics.task_metrics import TaskMetrics
from ..training.evaluation import device_of, predict_batch

if TYPE_CHECKING:
    from ..training.compile_config import CompileConfig
    from .basemodel import BaseModel
    from .trainable import TrainableModel

Index = Mapping[str, tuple[int, int]]


class Shadowable:
    """An attribute of every model that a subclass may use for something of its own: what it sets hides this one.

    Args:
        read: what the attribute is, of a model.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else self.read(model)


def check_gpus(gpus: Sequence[Any] | None, device: Any) -> Sequence[Any] | None:
    """None or one GPU that is `device`."""
    if not gpus:
        return gpus
    if len(gpus) > 1:
        raise ValueError(
            f"gpus must name one device, got {list(gpus)}: a model trains on one device today, device='cuda:0' for "
            "example; training in several processes with torchrun is not there yet"
        )
    if str(gpus[0]) not in str(device):
        raise ValueError(f"gpus[0] must be the device of the model, {device!r}, got {gpus[0]!r}")
    return gpus


STATE: dict[str, tuple[type, ...]] = {  # what the loop keeps in a model, in words that a subclass may choose, too
    "schema": (FeatureSchema,),
    "embedding": (EmbeddingLookup,),
    "seed": (int, float, np.number),
    "epochs_trained": (int, np.integer),
    "negative_rate": (int, float, np.number),
    "task_specs": (tuple, list),
}
UNUSED = (  # methods that nothing calls of a model with a `forward(X)` of its own
    "add_dnn", "attention_maps", "attention_weights", "build_dnn", "build_lookup", "fields", "logits", "penalized",
    "predict_rows",
)  # fmt: skip


def check_state(model: BaseModel, name: str, value: Any) -> None:
    """Raise if a subclass puts something of its own where the loop keeps what it needs."""
    free = name == "embedding" and model.overrides_forward  # its lookups are its own
    suits = isinstance(value, STATE[name])
    if name == "task_specs":
        suits = suits and all(isinstance(each, tuple) and len(each) == 2 for each in value)
    if not (suits or free):
        raise ValueError(f"{name!r} has a meaning in every model: give this {type(value).__name__} another name")


def keep_layer(model: BaseModel, name: str, layer: nn.Module | nn.Parameter) -> None:
    """Let a layer of a subclass be found although `BaseModel` has a method of its name, such as `fields`.

    Raises:
        ValueError: the loop needs what that name stands for.
    """
    own = isinstance(getattr(type(model), name), Shadowable)
    if not own and (not model.overrides_forward or name not in UNUSED):
        raise ValueError(f"{name!r} has a meaning in every model: give this {type(layer).__name__} another name")
    model.__dict__[name] = layer


def prepare_metric_inputs(y_true: Any, y_pred: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Labels and predictions as two rows of numbers; those of several tasks one after the other."""
    return np.asarray(y_true, dtype=np.float64).ravel(), np.asarray(y_pred, dtype=np.float64).ravel()


def accuracy_score(y_true: Any, y_pred: Any) -> float:
    """Share of predictions on the right side of 0.5."""
    return functional.accuracy(*prepare_metric_inputs(y_true, y_pred))


def log_loss(
    y_true: Any, y_pred: Any, eps: float = 1e-7, normalize: bool = True, sample_weight: Any = None, labels: Any = None
) -> float:
    """Cross entropy of probabilities that are kept `eps` away from 0 and 1.

    Args:
        normalize: the mean; else the sum.
        sample_weight: one weight a row.
        labels: accepted for code that names the two classes; they are 0 and 1.
    """
    y, p = prepare_metric_inputs(y_true, y_pred)
    mean = functional.logloss(y, np.clip(p, eps, 1 - eps), sample_weight)
    return mean if normalize else mean * float(len(y) if sample_weight is None else np.sum(sample_weight))


def adopt_tasks(model: TrainableModel) -> None:
    """The tasks of a subclass that says what they are as the original's models do: `num_tasks`, `task_names`, `out`."""
    count = getattr(model, "num_tasks", 1)
    if count < 2 or len(model.task_specs) == count:
        return
    names = getattr(model, "task_names", None) or [f"task{t}" for t in range(count)]
    heads = list(model.out) if isinstance(model.out, nn.ModuleList) else [model.out] * count
    model.task_specs = tuple((name, getattr(head, "task", "binary")) for name, head in zip(names, heads, strict=True))


def adopt_columns(model: TrainableModel, config: CompileConfig, y: Any) -> CompileConfig:
    """The compilation for a `forward(X)` that gives [B, k] and declares no tasks: one loss over the matrix.

    The number of its outputs is found from two rows of zeros, unless the labels `y` are plainly one column.
    """
    shape = getattr(y, "shape", None)
    if len(config.tasks) > 1 or config.tasks[0][1] == "multiclass" or not model.overrides_forward:
        return config
    if shape is not None and (len(shape) == 1 or shape[1] == 1):
        return config
    training, width = model.training, max((stop for _, stop in model.schema.feature_index.values()), default=0)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), rows_packed():
        batch = model.schema.unpack(torch.zeros(2, width, device=device_of(model)))
        model.eval()
        try:
            outputs = predict_batch(model, batch)[0]
        finally:
            model.train(training)
    if outputs.shape[1] == 1:
        return config
    tasks = tuple((f"task{t}", config.tasks[0][1]) for t in range(outputs.shape[1]))
    metrics = TaskMetrics(tasks, config.metrics.of_task[0])
    return replace(config, tasks=tasks, metrics=metrics, joint=True)


def _sparse(columns: Iterable[FeatureColumn]) -> list[SparseFeat]:
    return [c for c in columns if isinstance(c, SparseFeat)]


def _varlen(columns: Iterable[FeatureColumn]) -> list[VarLenSparseFeat]:
    return [c for c in columns if isinstance(c, VarLenSparseFeat)]


def input_from_feature_columns(
    model: BaseModel, X: Tensor, columns: Iterable[FeatureColumn], embedding_dict: Any, support_dense: bool
) -> tuple[list[Tensor], list[Tensor]]:
    columns = list(columns)
    dense = get_dense_input(X, model.feature_index, columns)
    if dense and not support_dense:
        raise ValueError("dense features are not supported here (support_dense=False), got DenseFeat columns")
    vectors = [_vector(X, embedding_dict, model.feature_index, c) for c in _sparse(columns)]
    sequences = varlen_embedding_lookup(X, embedding_dict, model.feature_index, _varlen(columns))
    return vectors + get_varlen_pooling_list(sequences, X, model.feature_index, _varlen(columns), model.device), dense


def _vector(X: Tensor, tables: Any, index: Index, column: SparseFeat, masked: bool = False) -> Tensor:
    """[B, 1, E]: the vector of a single id; zeros for id 0 if the column says so, or where it is `masked`."""
    ids = _ids(X, index, column)
    vectors: Tensor = tables[column.embedding_name](ids)
    return vectors.masked_fill((ids == 0).unsqueeze(-1), 0.0) if masked or column.mask_zero else vectors


def _ids(X: Tensor, index: Index, column: SparseFeat | VarLenSparseFeat) -> Tensor:
    return packed_ids(X, index[column.name], column)


def get_dense_input(X: Tensor, features: Index, feature_columns: Iterable[FeatureColumn]) -> list[Tensor]:
    """The numbers of a packed matrix, float32 [B, d] each."""
    return [X[:, slice(*features[c.name])].float() for c in feature_columns if isinstance(c, DenseFeat)]


def create_embedding_matrix(
    feature_columns: Iterable[FeatureColumn],
    init_std: float = 0.0001,
    linear: bool = False,
    sparse: bool = False,
    device: Any = "cpu",
) -> nn.ModuleDict:
    """One `nn.Embedding` an `embedding_name`; vectors of length 1 with `linear`."""
    made: dict[str, nn.Module] = {}
    for spec in embedding_configs(list(feature_columns), init_std, 1 if linear else None):
        table = nn.Embedding(spec.num_embeddings, spec.embedding_dim, sparse=sparse)
        nn.init.normal_(table.weight, mean=0.0, std=init_std)
        made[spec.name] = table
    return nn.ModuleDict(made).to(device)


def embedding_lookup(
    X: Tensor,
    sparse_embedding_dict: Any,
    sparse_input_dict: Index,
    sparse_feature_columns: Iterable[SparseFeat],
    return_feat_list: Sequence[str] = (),
    mask_feat_list: Sequence[str] = (),
    to_list: bool = False,
) -> Any:
    """Vectors [B, 1, E] of single ids, by group name, or as one list.

    Args:
        return_feat_list: only these features (empty: all).
        mask_feat_list: features whose id 0 stands for "none" and gets a zero vector.
    """
    groups: defaultdict[str, list[Tensor]] = defaultdict(list)
    for column in sparse_feature_columns:
        if return_feat_list and column.name not in return_feat_list:
            continue
        masked = column.name in mask_feat_list  # NOTE[DIFF] W21: the original ignores this argument
        groups[column.group_name].append(_vector(X, sparse_embedding_dict, sparse_input_dict, column, masked))
    return list(chain.from_iterable(groups.values())) if to_list else groups


def varlen_embedding_lookup(
    X: Tensor,
    embedding_dict: Any,
    sequence_input_dict: Index,
    varlen_sparse_feature_columns: Iterable[VarLenSparseFeat],
) -> dict[str, Tensor]:
    """Vectors [B, T, E] of each sequence, by feature name."""
    found = {}
    for column in varlen_sparse_feature_columns:
        ids = _ids(X, sequence_input_dict, column)
        vectors = embedding_dict[column.embedding_name](ids)
        several = column.step_width > 1
        found[column.name] = pool_steps(vectors, ids, column.step_width, column.step_combiner) if several else vectors
    return found


def get_varlen_pooling_list(
    embedding_dict: Mapping[str, Tensor],
    features: Tensor,
    feature_index: Index,
    varlen_sparse_feature_columns: Iterable[VarLenSparseFeat],
    device: Any,
) -> list[Tensor]:
    """Pooled vectors [B, 1, E] of looked-up sequences.

    Args:
        embedding_dict: what `varlen_embedding_lookup` returned.
        features: the packed matrix [B, W].
        feature_index: its layout.
        device: where the result goes.
    """
    pooled = []
    for column in varlen_sparse_feature_columns:
        vectors = embedding_dict[column.name]
        weights = None
        if column.length_name is None:
            mask = valid_steps(_ids(features, feature_index, column), column.step_width)
        else:
            length = features[:, slice(*feature_index[column.length_name])].long()
            mask = torch.arange(column.maxlen, device=features.device) < length
        if column.weight_name is not None:
            weights = features[:, slice(*feature_index[column.weight_name])].float()
        pooled.append(pool(vectors, mask, column.combiner, weights).unsqueeze(1).to(device))
    return pooled


def maxlen_lookup(X: Tensor, sparse_input_dict: Index, maxlen_column: Sequence[str]) -> Tensor:
    """Lengths [B, 1] of the first of the named length columns.

    Raises:
        ValueError: no name is given.
    """
    if not maxlen_column:
        raise ValueError("a VarLenSparseFeat needs a length_name for its lengths to be looked up, got none")
    return X[:, slice(*sparse_input_dict[maxlen_column[0]])].long()


def combined_dnn_input(sparse_embedding_list: Sequence[Tensor], dense_value_list: Sequence[Tensor]) -> Tensor:
    """Vectors ([B, 1, E] each) and numbers ([B, d] each) -> [B, W], vectors first.

    Raises:
        NotImplementedError: both lists are empty.
    """
    parts = []
    if sparse_embedding_list:
        parts.append(torch.flatten(torch.cat(list(sparse_embedding_list), dim=-1), start_dim=1))
    if dense_value_list:
        parts.append(torch.flatten(torch.cat(list(dense_value_list), dim=-1), start_dim=1))
    if not parts:
        raise NotImplementedError("combined_dnn_input needs at least one vector or number, got two empty lists")
    return torch.cat(parts, dim=-1)
