"""The linear side of a model: one weight an id, one a number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..embedding import EmbeddingCollection, EmbeddingLookup, LookupSpec, embedding_configs
from ..features import DenseFeat, FeatureColumn, FeatureSchema, SparseFeat, VarLenSparseFeat, build_input_features
from .fields import Fields

__all__ = ["Linear"]


class Linear(nn.Module):
    """Weighted sum of the features, [B, W] -> [B, outputs].

    Keys: `embedding_dict.<name>.weight (rows, outputs)`, and `weight (D, outputs)` if there are dense columns.

    Args:
        feature_columns: what it reads.
        feature_index: layout of the packed matrix given to `forward`, as `build_input_features` makes it.
        init_std: standard deviation of the initial weights.
        device: where the weights live.
        outputs: number of logits.
        part: under which name `Fields` knows its tables.
    """

    def __init__(
        self,
        feature_columns: Sequence[FeatureColumn],
        feature_index: OrderedDict[str, tuple[int, int]] | None = None,
        init_std: float = 0.0001,
        device: Any = "cpu",
        *,
        outputs: int = 1,
        part: str = "linear",
    ) -> None:
        super().__init__()
        self.feature_columns = list(feature_columns)
        self.feature_index = build_input_features(feature_columns) if feature_index is None else feature_index
        self.outputs = outputs
        self.part_name = part
        self.embedding_dict = EmbeddingCollection(embedding_configs(self.feature_columns, init_std, outputs))
        width = sum(c.dimension for c in self.dense_feature_columns)
        if width:
            self.weight = nn.Parameter(torch.empty(width, outputs).normal_(0.0, init_std))
        self.relocate()
        self.to(device)

    def relocate(self) -> None:
        """Lay out the lookup of `forward` after `feature_index` changed (models look up all their parts together)."""
        schema = FeatureSchema(self.feature_columns)
        schema.feature_index = self.feature_index
        self._lookup = EmbeddingLookup(schema, {self.part_name: self.part})

    @property
    def sparse_feature_columns(self) -> list[SparseFeat]:
        return [c for c in self.feature_columns if isinstance(c, SparseFeat)]

    @property
    def varlen_sparse_feature_columns(self) -> list[VarLenSparseFeat]:
        return [c for c in self.feature_columns if isinstance(c, VarLenSparseFeat)]

    @property
    def dense_feature_columns(self) -> list[DenseFeat]:
        return [c for c in self.feature_columns if isinstance(c, DenseFeat)]

    @property
    def part(self) -> LookupSpec:
        return LookupSpec.of(self.feature_columns, self.embedding_dict)

    def logit(self, fields: Fields, refine: Tensor | None = None) -> Tensor:
        """[B, outputs]; `refine` [B, F] multiplies the weight of every sparse feature (IFM, DIFM)."""
        terms = fields.stack(self.part_name)  # [B, F, outputs]
        if refine is not None:
            terms = terms * refine.unsqueeze(-1)
        tables = self.embedding_dict.configs
        total = terms.sum(dim=1) if tables else fields.numbers([]).new_zeros(terms.shape[0], self.outputs)
        if self.dense_feature_columns:
            total = total + fields.numbers(self.feature_columns).to(self.weight.dtype) @ self.weight
        return total

    def forward(self, X: Tensor, sparse_feat_refine_weight: Tensor | None = None) -> Tensor:
        """The packed matrix [B, W] -> [B, outputs], for models that compose their forward by hand."""
        batch = self._lookup.schema.unpack(X)
        fields = Fields(self._lookup, self.feature_columns, batch, self._lookup.lookup(batch), self)
        return self.logit(fields, sparse_feat_refine_weight)
