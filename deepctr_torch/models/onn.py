"""Yang Y, et al. Operation-aware Neural Networks for User Response Prediction. Neural Networks 121, 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..embedding import EmbeddingCollection, EmbeddingConfig, EmbeddingSlice, LookupSpec, embedding_configs
from ..features import DenseFeat, FeatureColumn, SparseFeat, VarLenSparseFeat
from ..layers.activation import ActivationLike
from ..layers.kernels.pairwise import Mates, mate_products
from ._serialization import widen_columns
from .basemodel import BaseModel, Fields, register_model

__all__ = ["ONN", "Interac"]


class Interac(nn.Module):
    """Product of two ids' vectors, each from a table made for this pair: `[B, 1], [B, 1] -> [B, 1, E]`.

    What `ONN` computes for one pair of features, as a layer for models of one's own.

    Args:
        first_size, second_size: rows of the two tables.
        emb_size: E.
        init_std: standard deviation of the initial vectors.
        sparse: sparse gradients, as in `nn.Embedding`.

    >>> Interac(5, 6, 4, init_std=0.01)(torch.tensor([[0], [4]]), torch.tensor([[5], [1]])).shape
    torch.Size([2, 1, 4])
    """

    def __init__(self, first_size: int, second_size: int, emb_size: int, init_std: float, sparse: bool = False) -> None:
        super().__init__()
        self.emb1 = nn.Embedding(first_size, emb_size, sparse=sparse)
        self.emb2 = nn.Embedding(second_size, emb_size, sparse=sparse)
        # NOTE[DIFF] W13: the original leaves the second table at a standard deviation of 1.
        for table in (self.emb1, self.emb2):
            nn.init.normal_(table.weight, mean=0.0, std=init_std)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        product: Tensor = self.emb1(first) * self.emb2(second)
        return product


class _Pairs(NamedTuple):
    """The pairs of features, and where the two vectors of each lie."""

    columns: tuple[SparseFeat | VarLenSparseFeat, ...]  # the sparse ones, single ids first
    tables: list[EmbeddingConfig]  # wide, one an `embedding_name`: a vector for each feature that its own meet
    paths: list[tuple[str, ...]]  # of the tables of all pairs, in order
    slots: list[tuple[int, int]]  # for each pair, the places of its two vectors among those of all columns
    total: int  # number of vectors of all columns


def _pairs(columns: Sequence[FeatureColumn], size: int, init_std: float) -> _Pairs:
    """Lay out the second-order tables of the deep side's columns, with vectors of length `size`."""
    fields: list[SparseFeat | VarLenSparseFeat] = []
    fields += dict.fromkeys(c for c in columns if isinstance(c, SparseFeat))
    fields += dict.fromkeys(c for c in columns if isinstance(c, VarLenSparseFeat))
    # NOTE[DIFF] C9: columns that share a table share its wide rows; the original takes the table's name for a feature.
    partners: dict[str, list[str]] = {c.embedding_name: [] for c in fields}  # table -> features, one vector each
    for other in fields:
        for table in dict.fromkeys(c.embedding_name for c in fields if c is not other):
            partners[table].append(other.name)
    start, total = {}, 0
    for column in fields:
        start[column.name], total = total, total + len(partners[column.embedding_name])
    places_of: dict[str, dict[int, list[tuple[str, ...]]]] = {t: {} for t in partners}  # table -> vector -> paths
    paths: list[tuple[str, ...]] = []
    slots = []
    for a, b in combinations(fields, 2):
        places = []
        for number, (own, other) in enumerate(((a, b), (b, a)), start=1):
            at = partners[own.embedding_name].index(other.name)
            paths.append((f"{a.name}+{b.name}", f"emb{number}"))
            places_of[own.embedding_name].setdefault(at, []).append(paths[-1])
            places.append(start[own.name] + at)
        slots.append((places[0], places[1]))
    slices = {
        table: tuple(EmbeddingSlice(p[0], at * size, (at + 1) * size, tuple(p[1:])) for at, p in found.items())
        for table, found in places_of.items()
    }
    wide = [
        config._replace(embedding_dim=len(partners[config.name]) * size, slices=slices[config.name])
        for config in embedding_configs(fields, init_std)
        if partners[config.name]
    ]
    return _Pairs(tuple(fields) if slots else (), wide, paths, slots, total)


class _PairTables(EmbeddingCollection):
    """The wide tables; each pair is an `Interac`."""

    def __init__(self, pairs: _Pairs) -> None:
        self._place = {path: i for i, path in enumerate(pairs.paths)}
        super().__init__(pairs.tables)

    def container(self, path: tuple[str, ...]) -> nn.Module:
        return Interac(1, 1, 1, init_std=0.0)  # its tables are put in place of these

    def order(self, paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        return sorted(paths, key=self._place.__getitem__)


@register_model(one_dimension=True)
class ONN(BaseModel):
    """Linear part, and a DNN over the products of all pairs, each from vectors of its own (section 3, figure 2).

    A feature has one vector for each other feature. They lie side by side in one row, so that one lookup gives all.
    """

    # the original has first-order tables, looks them up and drops the result
    reads_deep_tables: ClassVar[bool] = False
    obsolete_keys: ClassVar[tuple[str, ...]] = ("embedding_dict.",)
    renamed_arguments: ClassVar[Mapping[str, str]] = {"use_bn": "dnn_use_bn", "reduce_sum": ""}
    first: Tensor
    second: Tensor
    mate: Tensor
    pair: Tensor

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        dnn_hidden_units: Sequence[int] = (128, 128), l2_reg_embedding: float = 1e-5, l2_reg_linear: float = 1e-5,
        l2_reg_dnn: float = 0, dnn_dropout: float = 0, init_std: float = 0.0001, seed: int = 1024,
        dnn_use_bn: bool = False, dnn_activation: ActivationLike = "relu", task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        sparse = [c for c in self.dnn_feature_columns if not isinstance(c, DenseFeat)]
        size = self.embedding_size if len(sparse) > 1 else 0
        # NOTE[DIFF] W23: sequences, pooled, form pairs too; the original leaves them out.
        pairs = _pairs(self.dnn_feature_columns, size, init_std)
        self.use_pairs = bool(pairs.slots)
        if self.use_pairs:
            self._add_tables(pairs, l2_reg_embedding)
        dense = self.compute_input_dim(self.dnn_feature_columns, include_sparse=False)
        width = len(pairs.slots) * size + dense
        of_ids = [isinstance(b, SparseFeat) for _, b in combinations(pairs.columns, 2)]  # single ids come first
        self._kept = [i * size + e for i, known in enumerate(of_ids) if known for e in range(size)]
        self._kept += range(width - dense, width)
        self.use_dnn = width > 0
        if self.use_dnn:
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)

    def _add_tables(self, pairs: _Pairs, l2: float) -> None:
        self.second_order_embedding_dict = _PairTables(pairs)
        self.add_regularization_weight(self.second_order_embedding_dict.parameters(), l2=l2)
        first, second = torch.tensor(pairs.slots).unbind(dim=1)
        # where columns share a table, some vectors are in no pair
        self._all_paired = pairs.total == 2 * len(pairs.slots)
        for name, places in Mates.of(first, second)._asdict().items():
            self.register_buffer(name, places, persistent=False)
        self._one_width = len(self.second_order_embedding_dict.fused) == 1  # otherwise rows of several lengths
        part = LookupSpec(pairs.columns, self.second_order_embedding_dict)
        self.build_lookup([*self.linear_feature_columns, *self.dnn_feature_columns], {"second": part})

    def products(self, fields: Fields) -> Tensor:
        """[B, P, E]: for each pair of features, the product of the vectors that each has for the other."""
        vectors = self._vectors(fields)
        return vectors.index_select(1, self.first) * vectors.index_select(1, self.second)

    def _vectors(self, fields: Fields) -> Tensor:
        """[B, S, E]: the vectors of all columns for their partners."""
        rows = fields.stack("second") if self._one_width else torch.cat(fields.vectors("second"), dim=1)
        return rows.reshape(rows.shape[0], -1, self.embedding_size)

    def _inputs(self, fields: Fields) -> Tensor:
        """[B, W]: products and numbers, what the DNN reads."""
        if not self.use_pairs:
            return fields.dense
        if self._all_paired:
            mates = Mates(self.first, self.second, self.mate, self.pair)
            return mate_products(self._vectors(fields), fields.dense, mates)
        return torch.cat([self.products(fields).flatten(1), fields.dense], dim=1)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        if not self.use_dnn:
            return fields.linear
        logits: Tensor = fields.linear + self.dnn_linear(self.dnn(self._inputs(fields)))
        return logits

    def upgrade_state(self, state: dict[str, Any], prefix: str) -> None:
        """Pairs with a sequence, new since older checkpoints, keep their vectors behind zero columns of the DNN."""
        weight = prefix + ("dnn.linears.0.weight" if self.use_dnn and len(self.dnn.linears) else "dnn_linear.weight")
        new = self.use_pairs and self.dnn.inputs_dim > len(self._kept)
        if not new or weight not in state or state[weight].shape[1] != len(self._kept):
            return
        widen_columns(state, weight, self.dnn.inputs_dim, self._kept)
        own = self.second_order_embedding_dict.state_dict(prefix=f"{prefix}second_order_embedding_dict.")
        for key, value in own.items():
            state.setdefault(key, value)
