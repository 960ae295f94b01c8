"""Zhou G, et al. Deep Interest Network for Click-Through Rate Prediction. KDD 2018."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..features import FeatureColumn, SparseFeat, VarLenSparseFeat
from ..layers.activation import ActivationLike
from ..layers.sequence import AttentionSequencePoolingLayer
from ._shared import HistoryNames, HistoryPairs, history_rounds
from .basemodel import BaseModel, Fields, register_model

__all__ = ["DIN"]


@register_model(several_histories=True)
class DIN(BaseModel):
    """DNN over the features and an interest: a history weighted by its relevance for the target (equation 3).

    Args:
        history_feature_list: names of the target features; the history of `item` is the VarLenSparseFeat `hist_item`.
            To share a table with its target, a history names it in `embedding_name`. A target may be a sequence, which
            is pooled. Or a dict of a target and the
            names of its histories, such as a short and a long one: each gives an interest, by an activation unit of
            its own, as the strength of a sum over raw scores goes with the length.
        att_hidden_size: layer sizes of the local activation unit.
        att_activation: its activation.
        att_weight_normalization: softmax over the valid steps; the paper keeps the raw scores, to preserve the strength
            of an interest.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], history_feature_list: HistoryNames,
        dnn_use_bn: bool = False, dnn_hidden_units: Sequence[int] = (256, 128), dnn_activation: ActivationLike = "relu",
        att_hidden_size: Sequence[int] = (64, 16), att_activation: ActivationLike = "Dice",
        att_weight_normalization: bool = False, l2_reg_dnn: float = 0.0, l2_reg_embedding: float = 1e-6,
        dnn_dropout: float = 0, init_std: float = 0.0001, seed: int = 1024, task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            [], dnn_feature_columns, l2_reg_linear=0, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        rounds = history_rounds(history_feature_list)
        self.pairs, *self.further_pairs = [HistoryPairs(self.dnn_feature_columns, each) for each in rounds]
        self.history_feature_list = history_feature_list
        self.history_fc_names = [history for each in rounds for history in each.values()]
        self.sparse_feature_columns = [c for c in self.dnn_feature_columns if isinstance(c, SparseFeat)]
        self.varlen_sparse_feature_columns = [c for c in self.dnn_feature_columns if isinstance(c, VarLenSparseFeat)]
        sequences = {c.name: c for c in self.varlen_sparse_feature_columns}
        self.history_feature_columns = [c for n, c in sequences.items() if n in self.history_fc_names]
        others = [n for n in self.pairs.others if n.removeprefix("neg_") not in self.history_fc_names]
        self.sparse_varlen_feature_columns = [sequences[n] for n in others]
        self.features = [c.name for c in self.sparse_feature_columns] + others

        def attention(pairs: HistoryPairs) -> AttentionSequencePoolingLayer:
            # NOTE[DIFF] W13: the original ignores init_std in the attention and the DNN.
            return AttentionSequencePoolingLayer(
                att_hidden_units=att_hidden_size,
                att_activation=att_activation,
                weight_normalization=att_weight_normalization,
                supports_masking=True,
                embedding_dim=pairs.width,
                init_std=init_std,
            )

        self.attention = attention(self.pairs)
        self.further_attention = nn.ModuleList(map(attention, self.further_pairs))
        width = self.compute_input_dim(self.dnn_feature_columns)
        # NOTE[DIFF] W12: the original ignores l2_reg_dnn.
        self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)

    def attention_maps(self, fields: Fields) -> dict[str, Tensor]:
        keys, mask = self.pairs.keys(fields)
        weights = self.attention.weights(self.pairs.query(fields), keys, mask).squeeze(1)  # [B, T]
        steps = max(c.maxlen for c in self.history_feature_columns)  # a batch may be cut to its longest history
        return {"attention": F.pad(weights, (0, steps - weights.shape[1]))}

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        interests = []
        units = [self.attention, *self.further_attention]
        for pairs, attention in zip([self.pairs, *self.further_pairs], units, strict=True):
            keys, mask = pairs.keys(fields)
            interests.append(attention(pairs.query(fields), keys, None, mask).squeeze(1))
        inputs = torch.cat([fields.pick(self.features), *interests, fields.dense], dim=-1)
        logits: Tensor = self.dnn_linear(self.dnn(inputs))
        return logits
