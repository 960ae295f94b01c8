"""What models share that look at the deep side as a list of fields."""

from __future__ import annotations

import torch
from torch import Tensor

from ..features import DenseFeat
from .basemodel import BaseModel
from .fields import Fields

__all__ = ["field_count", "linear_order", "linear_refined", "refuse_dense"]


def field_count(model: BaseModel) -> int:
    """Number of sparse features and sequences of the deep side."""
    # NOTE[DIFF] C8: the original counts tables, and fails where features share one.
    return len(model.embedding.parts["deep"].columns)


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
