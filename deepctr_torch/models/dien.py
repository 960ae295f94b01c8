"""Zhou G, et al. Deep Interest Evolution Network for Click-Through Rate Prediction. AAAI 2019."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._checks import check_choice
from ..features import Batch, DenseFeat, FeatureColumn, SparseFeat, VarLenSparseFeat
from ..layers.activation import ActivationLike
from ..layers.core import DNN
from ..layers.sequence import AttentionSequencePoolingLayer, DynamicGRU
from ..layers.utils import sequence_mask, valid_rows
from ..training.losses import binary_crossentropy
from ._serialization import widen_columns
from ._shared import HistoryNames, HistoryPairs, PaddedGRU, history_rounds, last_state, left_aligned
from .basemodel import BaseModel, Fields, register_model

__all__ = ["DIEN", "InterestEvolving", "InterestExtractor"]

_GRU_TYPES = ("GRU", "AIGRU", "AGRU", "AUGRU")


class InterestExtractor(nn.Module):
    """A GRU over the history; its states are the interests: `[B, T, H], [B, 1] -> [B, T, H], [B]`.

    With negatives, the paper's auxiliary loss asks every state to tell the next item from a negative.

    Args:
        input_size: H.
        use_neg: build the network of the auxiliary loss.
        init_std: standard deviation of the initial kernels.
        device: where the parameters live.

    >>> interests, loss = InterestExtractor(4)(torch.rand(2, 3, 4), torch.tensor([[3], [0]]))
    >>> interests.shape, bool((interests[1] == 0).all()), loss
    (torch.Size([2, 3, 4]), True, tensor([0., 0.]))
    """

    def __init__(
        self, input_size: int, use_neg: bool = False, init_std: float = 0.001, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        self.use_neg = use_neg
        self.gru = PaddedGRU(input_size, init_std)
        if use_neg:
            self.auxiliary_net = DNN(2 * input_size, (100, 50, 1), "sigmoid", init_std=init_std)
        self.to(device)

    def forward(self, keys: Tensor, keys_length: Tensor, neg_keys: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Interests after every step, and the auxiliary loss of every sample.

        Args:
            keys: the history, [B, T, H], valid steps first.
            keys_length: number of valid steps, [B, 1] or [B].
            neg_keys: for every step of the history an item that was not chosen, [B, T, H]; None: the loss is zero.

        Returns:
            The states [B, T, H], zero after the end of a history, and the loss [B].
        """
        if neg_keys is not None and not self.use_neg:
            raise ValueError("neg_keys must be None unless use_neg is True, got a tensor")
        valid = sequence_mask(keys_length, keys.shape[1])  # [B, T]
        # NOTE[DIFF] C5: an empty history has zero interests; the original stops where all of a batch are empty.
        interests = self.gru(keys).masked_fill(~valid.unsqueeze(-1), 0.0)  # [B, T, H]
        if neg_keys is None:
            return interests, interests.new_zeros(interests.shape[0])
        return interests, self._auxiliary(interests[:, :-1], keys[:, 1:], neg_keys[:, 1:], valid[:, 1:])

    def _auxiliary(self, states: Tensor, chosen: Tensor, negatives: Tensor, valid: Tensor) -> Tensor:
        """[B]: cross entropy of the next items and of the negatives, a mean over the steps that have a next one."""
        at = valid_rows(valid)
        if at is not None:  # [N, H]: what is left out counts for nothing below
            states, chosen, negatives = (t.flatten(0, 1).index_select(0, at) for t in (states, chosen, negatives))
        positive = self.auxiliary_net(torch.cat([states, chosen], dim=-1)).squeeze(-1)  # [N] or [B, T - 1]
        negative = self.auxiliary_net(torch.cat([states, negatives], dim=-1)).squeeze(-1)
        losses = binary_crossentropy(positive, torch.ones_like(positive), reduction="none")
        losses = losses + binary_crossentropy(negative, torch.zeros_like(negative), reduction="none")
        if at is not None:
            losses = losses.new_zeros(valid.numel()).index_put((at,), losses).view_as(valid)
        # NOTE[DIFF] W7: a mean over the steps of one sample, so that alpha means the same in summed and mean losses.
        # The original's mean over the whole batch, added to a summed loss, has a weight of alpha / batch_size.
        # (The paper sums over steps; the code of its authors averages.)
        return losses.masked_fill(~valid, 0.0).sum(dim=1) / valid.sum(dim=1).clamp(min=1)


class InterestEvolving(nn.Module):
    """The evolution of the interests that matter for the target: `[B, 1, H], [B, T, H], [B, 1] -> [B, H]`.

    An empty history gives zeros. The four kinds, with states `h`, attention `a` and interests `i` (the paper's section
    "Interest Evolving Layer"):

    - "GRU": a GRU, then the states weighted by attention;
    - "AIGRU": a GRU over `a * i`; its last state;
    - "AGRU": `a` in the place of the update gate; the last state;
    - "AUGRU": the update gate times `a`; the last state.

    Args:
        input_size: H.
        gru_type: which of them.
        use_neg: accepted for compatibility; negatives matter to the extractor only.
        init_std: standard deviation of the initial kernels.
        att_hidden_size: layer sizes of the attention net.
        att_activation: its activation.
        att_weight_normalization: softmax of the attention over the valid steps, as in the paper.

    >>> evolving = InterestEvolving(4, "AUGRU")
    >>> evolving(torch.rand(2, 1, 4), torch.rand(2, 3, 4), torch.tensor([[3], [0]])).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        gru_type: str = "GRU",
        use_neg: bool = False,
        init_std: float = 0.001,
        att_hidden_size: Sequence[int] = (64, 16),
        att_activation: ActivationLike = "sigmoid",
        att_weight_normalization: bool = False,
    ) -> None:
        super().__init__()
        check_choice("gru_type", gru_type, _GRU_TYPES)
        self.gru_type = gru_type
        self.use_neg = use_neg
        self.attention = AttentionSequencePoolingLayer(
            att_hidden_size,
            att_activation,
            weight_normalization=att_weight_normalization,
            return_score=gru_type != "GRU",
            embedding_dim=input_size,
            init_std=init_std,  # NOTE[DIFF] W13: the original ignores init_std here.
        )
        self.interest_evolution: nn.Module
        if gru_type in ("GRU", "AIGRU"):
            self.interest_evolution = PaddedGRU(input_size, init_std)
        else:
            self.interest_evolution = DynamicGRU(input_size, gru_type=gru_type)
            for name, parameter in self.interest_evolution.named_parameters():
                if "weight" in name:
                    nn.init.normal_(parameter, mean=0.0, std=init_std)

    def forward(self, query: Tensor, keys: Tensor, keys_length: Tensor, mask: Tensor | None = None) -> Tensor:
        """The interest in the target.

        Args:
            query: the target, [B, 1, H] or [B, H].
            keys: the interests, [B, T, H].
            keys_length: number of valid steps, which are the first ones, [B, 1] or [B].
            mask: bool [B, T], which steps are valid, wherever they are; goes before `keys_length`.
        """
        lengths = keys_length.reshape(-1).clamp(max=keys.shape[1])
        if mask is not None:
            keys, lengths = left_aligned(mask, [keys])[0], mask.sum(dim=1)
        valid = sequence_mask(lengths, keys.shape[1])  # [B, T]
        query = query.reshape(keys.shape[0], 1, keys.shape[2])
        if self.gru_type == "GRU":
            interest: Tensor = self.attention(query, self.interest_evolution(keys), None, valid).squeeze(1)
            return interest
        scores = self.attention(query, keys, None, valid)  # [B, 1, T]
        if self.gru_type == "AIGRU":
            return last_state(self.interest_evolution(keys * scores.transpose(1, 2)), lengths)
        return last_state(self.interest_evolution(keys, scores), lengths)


@register_model()
class DIEN(BaseModel):
    """DNN over the features and an interest: one GRU reads the history, one follows what concerns the target (fig. 1).

    Args:
        history_feature_list: names of the target features; the history of `item` is the VarLenSparseFeat `hist_item`,
            oldest step first. To share a table with its target, a history names it in `embedding_name`. A target may be
            a sequence, which is pooled. Further histories of a target are sequences like others, which are pooled.
        gru_type: "GRU", "AIGRU", "AGRU" or "AUGRU" (the paper's choice); see `InterestEvolving`.
        use_negsampling: add the auxiliary loss; for every step of `hist_item` the VarLenSparseFeat `neg_hist_item`
            holds an item that was not chosen (see `deepctr_torch.datasets.sample_negatives`).
        alpha: weight of the auxiliary loss.
        use_bn: batch normalisation in the DNN.
        att_hidden_units: layer sizes of the attention net.
        att_activation: its activation.
        att_weight_normalization: softmax of the attention over the valid steps.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], history_feature_list: HistoryNames, gru_type: str = "GRU",
        use_negsampling: bool = False, alpha: float = 1.0, use_bn: bool = False,
        dnn_hidden_units: Sequence[int] = (256, 128), dnn_activation: ActivationLike = "relu",
        att_hidden_units: Sequence[int] = (64, 16), att_activation: ActivationLike = "relu",
        att_weight_normalization: bool = True, l2_reg_dnn: float = 0, l2_reg_embedding: float = 1e-6,
        dnn_dropout: float = 0, init_std: float = 0.0001, seed: int = 1024, task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            [], dnn_feature_columns, l2_reg_linear=0, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        self.use_negsampling = use_negsampling
        self.alpha = alpha
        self._read_columns(history_feature_list)
        size = self.pairs.width
        self.interest_extractor = InterestExtractor(size, use_negsampling, init_std)
        self.interest_evolution = InterestEvolving(
            size, gru_type, use_negsampling, init_std, att_hidden_units, att_activation, att_weight_normalization
        )
        dense = self.compute_input_dim(self.dense_feature_columns)
        front = size + self.compute_input_dim(self.sparse_feature_columns)
        others = [c for c in self.varlen_sparse_feature_columns if c.name in self.pairs.others]
        width = front + self.compute_input_dim(others) + dense
        self._kept = [*range(front), *range(width - dense, width)]  # the inputs of the original
        # NOTE[DIFF] W12: the original leaves out the penalty of the DNN.
        self.dnn = self.build_dnn(
            width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=use_bn
        )
        self.linear = self.penalized(nn.Linear(self.dnn.output_dim, self.outputs, bias=False), l2_reg_dnn)
        nn.init.normal_(self.linear.weight, mean=0.0, std=init_std)

    def _read_columns(self, history_feature_list: HistoryNames) -> None:
        """Pair targets with histories, and name the rest by its kind."""
        self.item_features = history_feature_list
        histories, *further = history_rounds(history_feature_list)
        if further:
            raise ValueError(
                f"history_feature_list of DIEN must have one history a target, got {history_feature_list}: leave the "
                "further ones out, so that they are pooled as other sequences are, or choose DIN"
            )
        self.pairs = HistoryPairs(self.dnn_feature_columns, histories, self.use_negsampling)
        self.sparse_feature_columns = [c for c in self.dnn_feature_columns if isinstance(c, SparseFeat)]
        self.dense_feature_columns = [c for c in self.dnn_feature_columns if isinstance(c, DenseFeat)]
        self.varlen_sparse_feature_columns = [c for c in self.dnn_feature_columns if isinstance(c, VarLenSparseFeat)]
        sequences = {c.name: c for c in self.varlen_sparse_feature_columns}
        self._aligned = all(sequences[n].length_name is not None for n in histories.values())
        # NOTE[DIFF] W6: sequences that are no history are pooled into the DNN; the original drops them.
        self.features = [c.name for c in self.sparse_feature_columns] + self.pairs.others

    def _history(self, fields: Fields) -> tuple[Tensor, Tensor, Tensor | None]:
        """The history [B, T, H], valid steps first, its length [B], and in training the negatives [B, T, H]."""
        keys, mask = self.pairs.keys(fields)
        sequences = [keys]
        if self.use_negsampling and self.training:
            negatives, _ = self.pairs.keys(fields, "neg_")
            short = keys.shape[1] - negatives.shape[1]
            sequences.append(F.pad(negatives, (0, 0, 0, short)))  # a negative number cuts
        if not self._aligned:  # where id 0 is padding, it may stand anywhere
            sequences = left_aligned(mask, sequences)
        return sequences[0], mask.sum(dim=1), sequences[1] if len(sequences) > 1 else None

    def _run(self, fields: Fields) -> tuple[Tensor, Tensor]:
        """Logits [B, 1], and the auxiliary loss [B]."""
        keys, lengths, negatives = self._history(fields)
        interests, auxiliary = self.interest_extractor(keys, lengths, negatives)
        interest = self.interest_evolution(self.pairs.query(fields), interests, lengths)
        inputs = torch.cat([interest, fields.pick(self.features), fields.dense], dim=-1)
        return self.linear(self.dnn(inputs)), auxiliary

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        return self._run(fields)[0]

    def predict_rows(self, batch: Batch, rows: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Predictions [B, 1], and in training with negatives the auxiliary loss [B], times alpha."""
        logits, auxiliary = self._run(self.fields(batch, rows))
        return self._activate(logits), self.alpha * auxiliary if self.use_negsampling and self.training else None

    def upgrade_state(self, state: dict[str, Any], prefix: str) -> None:
        """The sequences that older checkpoints do not read get columns of zeros in the DNN."""
        first = self.dnn.linears[0] if len(self.dnn.linears) else self.linear
        key = "dnn.linears.0.weight" if len(self.dnn.linears) else "linear.weight"
        widen_columns(state, prefix + key, first.get_parameter("weight").shape[1], self._kept)
