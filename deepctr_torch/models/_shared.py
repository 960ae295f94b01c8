"""Helpers of models that see fields, of those that pair targets with histories, and of those of several tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._checks import check_choice
from .._tracing import tracing
from ..features import DenseFeat, FeatureColumn, SparseFeat, VarLenSparseFeat
from ..layers.core import PredictionLayer
from ..layers.interaction.fm import FM, MulticlassFM
from ..registry import suggest
from .basemodel import BaseModel
from .fields import Fields


def field_count(model: BaseModel) -> int:
    """Number of sparse features and sequences of the deep side."""
    # NOTE[DIFF] C8: the original counts tables, and fails where features share one.
    return len(model.embedding.parts["deep"].columns)


def build_fm(model: BaseModel) -> nn.Module:
    """A factorization machine, of several classes if the task has them; refuses columns of several widths."""
    size = model.embedding_size
    return FM() if model.num_classes is None else MulticlassFM(size, model.num_classes)


def refuse_dense(model: BaseModel) -> None:
    """The deep side has no dense features.

    Raises:
        ValueError: it has.
    """
    names = [c.name for c in model.dnn_feature_columns if isinstance(c, DenseFeat)]
    if names:
        raise ValueError(
            f"dnn_feature_columns of {type(model).__name__} must be SparseFeat or VarLenSparseFeat, "
            f"got DenseFeat {names}: give them in linear_feature_columns only, or as ids of buckets"
        )


def linear_order(model: BaseModel) -> list[int]:
    """Position on the deep side of each sparse feature of the linear side; for one that is not there, their number."""
    position = {c.name: i for i, c in enumerate(model.embedding.parts["deep"].columns)}
    return [position.get(c.name, len(position)) for c in model.linear_model.part.columns]


def linear_refined(fields: Fields, factors: Tensor, order: list[int]) -> Tensor:
    """[B, 1]: the linear logit, each sparse weight times the factor of its field.

    Args:
        factors: [B, F], for the fields of the deep side.
        order: what `linear_order` says of the model.
    """
    # NOTE[DIFF]: the original pairs weights and factors by position, also where the two sides list other features.
    if order == list(range(factors.shape[1])):
        return fields.linear_weighted(factors)
    columns = [*factors.unbind(dim=1), torch.ones_like(factors[:, 0])]
    return fields.linear_weighted(torch.stack([columns[i] for i in order], dim=1)) if order else fields.linear


class PaddedGRU(nn.Module):
    """A GRU with the parameters of `nn.GRU`, over padded sequences: `[B, T, H] -> [B, T, H]`.

    Unlike torch's module it can be traced by `torch.compile`. Steps after the end of a sequence are computed too.
    """

    def __init__(self, size: int, init_std: float) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.randn(3 * size, size) * init_std)
        self.weight_hh_l0 = nn.Parameter(torch.randn(3 * size, size) * init_std)
        bound = 1.0 / math.sqrt(size)
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))
        self.bias_hh_l0 = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        weights: list[Tensor] = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
        if inputs.is_cuda:  # cuDNN reads them from one piece of memory, and warns where it has to copy them itself
            pieces = torch.split(torch.cat([w.flatten() for w in weights], dim=0), [w.numel() for w in weights], dim=0)
            weights = [piece.view_as(w) for piece, w in zip(pieces, weights, strict=True)]
        inputs = inputs.to(self.weight_ih_l0.dtype)
        start = inputs.new_zeros(1, inputs.shape[0], inputs.shape[2])
        return torch.gru(inputs, start, weights, True, 1, 0.0, self.training, False, True)[0]


def left_aligned(mask: Tensor, sequences: Sequence[Tensor]) -> list[Tensor]:
    """Move the valid steps of every row to its front, in their order: `[B, T], [B, T, E] -> [B, T, E]`."""
    step = torch.arange(mask.shape[1], device=mask.device)
    order = torch.argsort(torch.where(mask, step, step + mask.shape[1]), dim=1).unsqueeze(-1)  # no two are equal
    return [s.gather(1, order.expand_as(s)) for s in sequences]


def last_state(states: Tensor, lengths: Tensor) -> Tensor:
    """The state after the last valid step, zeros where there is none: `[B, T, H], [B] -> [B, H]`."""
    at = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
    return states.gather(1, at).squeeze(1).masked_fill((lengths == 0).unsqueeze(1), 0.0)


HistoryNames: TypeAlias = Sequence[str] | Mapping[str, str | Sequence[str]]


def history_rounds(names: HistoryNames) -> list[dict[str, str]]:
    """Return target -> history: the first of every target, then the second of those that have two, and so on.

    Args:
        names: target features, whose histories are called `hist_<target>`; or target -> name(s) of its histories.

    Raises:
        ValueError: there is no target, or one without a history.

    >>> history_rounds(["item"]), history_rounds({"item": ["short", "long"], "shop": "shops"})
    ([{'item': 'hist_item'}], [{'item': 'short', 'shop': 'shops'}, {'item': 'long'}])
    """
    if isinstance(names, str) or not names:
        raise ValueError(f"history_feature_list must be a list of at least one feature name, got {names!r}")
    given = names if isinstance(names, Mapping) else {name: f"hist_{name}" for name in names}
    lists = {name: [found] if isinstance(found, str) else list(found) for name, found in given.items()}
    for name, found in lists.items():
        if not found or len(set(found)) < len(found):
            raise ValueError(f"history_feature_list must name each history of {name!r} once, got {found}")
    count = max(map(len, lists.values()))
    return [{name: found[i] for name, found in lists.items() if i < len(found)} for i in range(count)]


class HistoryPairs:
    """Target features, each with one history.

    Args:
        columns: the columns of the model; a target of several ids, such as tags, is a VarLenSparseFeat.
        histories: target -> name of its history.
        negatives: every history also has negatives, `neg_<history>`.

    Attributes:
        targets: names of the target features, in column order, those of several ids last; the histories follow them.
        width: E, the summed embedding dimensions of the targets.
        others: names of the sequences that are no history.

    Raises:
        ValueError: a target or its history is missing, or their dimensions differ.
    """

    def __init__(self, columns: Sequence[FeatureColumn], histories: Mapping[str, str], negatives: bool = False) -> None:
        single = {c.name: c for c in columns if isinstance(c, SparseFeat)}
        sequences = {c.name: c for c in columns if isinstance(c, VarLenSparseFeat)}
        targets: dict[str, SparseFeat | VarLenSparseFeat] = {
            **single,
            **{n: c for n, c in sequences.items() if n in histories},
        }
        for name, history in histories.items():
            if name not in targets:
                raise ValueError(f"history_feature_list names no SparseFeat {name!r}: {suggest(name, single)}")
            for other in [history] + ([f"neg_{history}"] if negatives else []):
                if other not in sequences:
                    raise ValueError(
                        f"the history of {name!r} must be a VarLenSparseFeat {other!r}: {suggest(other, sequences)}"
                    )
                dims = targets[name].embedding_dim, sequences[other].embedding_dim
                if dims[0] != dims[1]:
                    raise ValueError(f"{name!r} and {other!r} must have one embedding_dim, got {dims[0]} and {dims[1]}")
        # NOTE[DIFF] W4: the original pairs targets and histories by their places in the list of columns.
        self.targets = [n for n in targets if n in histories]
        self._histories = [histories[n] for n in self.targets]
        self.others = [n for n in sequences if n.removeprefix("neg_") not in self._histories]
        self.width = sum(targets[n].embedding_dim for n in self.targets)

    def query(self, fields: Fields) -> Tensor:
        """[B, 1, E]: the target."""
        return fields.pick(self.targets).unsqueeze(1)

    def keys(self, fields: Fields, prefix: str = "") -> tuple[Tensor, Tensor]:
        """[B, T, E] and bool [B, T]: the histories side by side, and which steps are valid in any of them."""
        # NOTE[DIFF] W5: the original reads the lengths of all histories from the first length column.
        vectors = [fields.sequence(prefix + n) for n in self._histories]
        masks = [fields.mask(prefix + n) for n in self._histories]
        if len(vectors) == 1:
            return vectors[0], masks[0]
        steps = [fields.steps(prefix + n) for n in self._histories]
        pads = [max(steps) - s for s in steps]
        vectors = [F.pad(v * m.unsqueeze(-1), (0, 0, 0, pad)) for v, m, pad in zip(vectors, masks, pads, strict=True)]
        masks = [F.pad(m, (0, pad)) for m, pad in zip(masks, pads, strict=True)]
        return torch.cat(vectors, dim=-1), torch.stack(masks, dim=0).any(dim=0)


def mixture(weights: Tensor, parts: Tensor) -> Tensor:
    """Weighted sum of K vectors, `[..., K], [..., K, H] -> [..., H]`.

    One vector is no sum: as a batch of matrix products of one row and column it would cost several times as much.

    >>> mixture(torch.tensor([[1.0, 10.0]]), torch.tensor([[[2.0], [3.0]]]))
    tensor([[32.]])
    """
    if not tracing() and parts.shape[-2] == 1:
        return weights * parts.squeeze(dim=-2)
    return (weights.unsqueeze(dim=-2) @ parts).squeeze(dim=-2)


def set_tasks(model: BaseModel, task_types: Sequence[str], task_names: Sequence[str]) -> None:
    """Give `model` its tasks, and a head with a bias of its own for each.

    Raises:
        ValueError: fewer than two tasks, as many names as types are not given, or an unknown type.
    """
    if len(task_names) < 2:
        raise ValueError(f"a multi-task model needs at least two task_names, got {list(task_names)}")
    if len(set(task_names)) != len(task_names):
        raise ValueError(f"task_names must differ, got {list(task_names)}")
    if len(task_types) != len(task_names):
        raise ValueError(
            f"task_types and task_names must be of one length, got {len(task_types)} and {len(task_names)}"
        )
    for kind in task_types:
        check_choice("task type", kind, ["binary", "regression"])
    model.num_tasks, model.task_names = len(task_names), task_names
    model.task_specs = tuple(zip(task_names, task_types, strict=True))
    model.out = nn.ModuleList([PredictionLayer(kind) for kind in task_types])
