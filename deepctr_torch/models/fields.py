"""`Fields`: a batch and its rows, seen by feature name. All that a model's `logits` sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..embedding import EmbeddingLookup
from ..embedding.lookup import FusedGroup
from ..features import Batch, DenseFeat, FeatureColumn, FeatureSchema, VarLenSparseFeat, merged
from ..layers.sequence import pool, pool_steps, valid_steps

if TYPE_CHECKING:
    from .linear import Linear

__all__ = ["Fields"]


class Fields:
    """The inputs of one batch after lookup.

    Letters: B samples, F fields of the deep side, E embedding, T time, D dense numbers of the deep side, W = width of
    `flat`.

    Args:
        embedding: how the rows were looked up.
        columns: columns of the deep side, in the user's order.
        batch: ids, numbers and sequence widths.
        rows: what `embedding.lookup(batch)` returned.
        linear: module of the linear side, if the model has one.
    """

    def __init__(
        self,
        embedding: EmbeddingLookup,
        columns: list[FeatureColumn],
        batch: Batch,
        rows: list[Tensor],
        linear: Linear | None,
    ) -> None:
        if rows and batch.dense.dtype != rows[0].dtype:  # a model in double or half precision
            batch = Batch(batch.ids, batch.dense.to(rows[0].dtype), batch.widths)
        if embedding.masks_zero:
            rows = [
                _without_missing(each, group, batch, embedding.schema)
                for each, group in zip(rows, embedding.groups, strict=True)
            ]
        self._embedding = embedding
        self._columns = columns
        self._batch = batch
        self._rows = rows
        self._linear = linear
        self._vectors: dict[tuple[str, str], Tensor] = {}
        self._masks: dict[str, Tensor] = {}

    @property
    def schema(self) -> FeatureSchema:
        return self._embedding.schema

    def _span(self, part: str, name: str) -> tuple[int, int, int]:
        """Index of the group that holds `name`, and where its rows lie in it."""
        number = self._embedding.group_of[part, name]
        group = self._embedding.groups[number]
        if name in group.singles:
            at = group.singles.index(name)
            return number, at, at + 1
        start = len(group.singles)
        for other in group.sequences:
            width = self._batch.widths[self.schema.sequence_position[other]]
            if other == name:
                return number, start, start + width
            start += width
        raise KeyError(name)

    def sequence(self, name: str, part: str = "deep") -> Tensor:
        """[B, T, E]: the vectors of a sequence, padding included; where a step has several ids, they are pooled."""
        number, start, stop = self._span(part, name)
        rows, column = self._rows[number][:, start:stop], self._sequence(name, part)
        if column.step_width == 1:
            return rows
        start, stop = self.schema.sequence_slice(name, self._batch.widths)
        return pool_steps(rows, self._batch.ids[:, start:stop], column.step_width, column.step_combiner)

    def _sequence(self, name: str, part: str) -> VarLenSparseFeat:
        return next(c for c in self._embedding.parts[part].sequences if c.name == name)

    def steps(self, name: str) -> int:
        """Number of steps of a sequence that the batch holds: T of `sequence` and `mask`."""
        position = self.schema.sequence_position[name]
        return self._batch.widths[position] // self.schema.sequences[position].step_width

    def mask(self, name: str) -> Tensor:
        """bool [B, T]: which steps of a sequence are valid: below its length; without a length column, not only 0."""
        if name not in self._masks:
            widths = self._batch.widths
            column = self.schema.sequences[self.schema.sequence_position[name]]
            start, stop = self.schema.sequence_slice(name, widths)
            if column.length_name is None:
                self._masks[name] = valid_steps(self._batch.ids[:, start:stop], column.step_width)
            else:
                at = self.schema.length_position(column.length_name, widths)
                steps = torch.arange(self.steps(name), device=self._batch.ids.device)
                self._masks[name] = steps < self._batch.ids[:, at : at + 1]
        return self._masks[name]

    def vector(self, name: str, part: str = "deep") -> Tensor:
        """[B, E]: the vector of a feature; a sequence is pooled by its combiner."""
        if (part, name) not in self._vectors:
            self._vectors[part, name] = self._vector(name, part)
        return self._vectors[part, name]

    def _vector(self, name: str, part: str) -> Tensor:
        if name in self.schema.id_position:
            number, at, _ = self._span(part, name)
            return self._rows[number][:, at]
        column = self._sequence(name, part)
        weights = None
        if column.weight_name is not None:
            start, _ = self.schema.dense_slice[column.weight_name]
            weights = self._batch.dense[:, start : start + self.steps(name)]
        return pool(self.sequence(name, part), self.mask(name), column.combiner, weights)

    def vectors(self, part: str = "deep") -> list[Tensor]:
        """[B, E] each: single ids in column order, then sequences, pooled, in column order."""
        plan = self._embedding.parts[part]
        return [self.vector(n, part) for n in [c.name for c in plan.singles] + [c.name for c in plan.sequences]]

    def stack(self, part: str = "deep") -> Tensor:
        """[B, F, E]: the vectors of one part, which all have one width; [B, 0, 0] without any."""
        plan = self._embedding.parts[part]
        if not plan.columns:
            return self._batch.dense.new_zeros(self._batch.dense.shape[0], 0, 0)
        rows = self._rows[self._embedding.group_of[part, plan.columns[0].name]]
        if len({self._embedding.group_of[part, c.name] for c in plan.columns}) > 1:
            dims = {c.name: c.embedding_dim for c in plan.columns}
            raise ValueError(f"to be stacked, all columns must have one embedding_dim, got {dims}")
        if not plan.sequences:
            return rows
        pooled = [self.vector(c.name, part).unsqueeze(1) for c in plan.sequences]
        return torch.cat([rows[:, : len(plan.singles)], *pooled], dim=1)

    def numbers(self, columns: list[FeatureColumn]) -> Tensor:
        """[B, D]: the dense features among `columns`, in their order."""
        runs = merged([self.schema.dense_slice[c.name] for c in columns if isinstance(c, DenseFeat)])
        pieces = [self._batch.dense[:, start:stop] for start, stop in runs]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    @property
    def stacked(self) -> Tensor:
        """[B, F, E]: the vectors of the deep side."""
        return self.stack()

    @property
    def dense(self) -> Tensor:
        """[B, D]: the numbers of the deep side."""
        return self.numbers(self._columns)

    @property
    def flat(self) -> Tensor:
        """[B, W]: all of the deep side in a row: single ids, pooled sequences, numbers."""
        return torch.cat(self.flat_parts, dim=1)

    @property
    def flat_parts(self) -> list[Tensor]:
        """[B, sum of E], [B, D]: what `flat` joins, as a `DNN` takes it without joining."""
        return [self.flat_vectors, self.dense]

    @property
    def flat_vectors(self) -> Tensor:
        """[B, sum of E]: the vectors of the deep side in a row."""
        plan = self._embedding.parts["deep"]
        if not plan.columns:
            return self._batch.dense[:, :0]
        if len({self._embedding.group_of["deep", c.name] for c in plan.columns}) == 1:
            return self.stack().flatten(1)
        return torch.cat(self.vectors(), dim=1)

    def pick(self, names: list[str]) -> Tensor:
        """[B, sum of E]: the vectors of some features of the deep side in a row."""
        if not names:
            return self._batch.dense[:, :0]
        return torch.cat([self.vector(n) for n in names], dim=1)

    @property
    def linear(self) -> Tensor:
        """[B, 1] (classes: [B, C]): logit of the linear side; zero without one."""
        if self._linear is None:
            return self._batch.dense.new_zeros(self._batch.dense.shape[0], 1)
        return self._linear.logit(self)

    def linear_weighted(self, weights: Tensor) -> Tensor:
        """[B, 1]: the linear logit with a weight for every sparse feature of it.

        Args:
            weights: [B, F].
        """
        if self._linear is None:
            return self._batch.dense.new_zeros(self._batch.dense.shape[0], 1)
        return self._linear.logit(self, weights)


def _without_missing(rows: Tensor, group: FusedGroup, batch: Batch, schema: FeatureSchema) -> Tensor:
    """The rows of a group [B, n, E], with zeros in the place of each id 0 that means "missing"."""
    if not group.mask_zero:
        return rows
    pieces = [
        rows[:, at : at + 1].masked_fill((batch.ids[:, schema.id_position[name]] == 0).view(-1, 1, 1), 0.0)
        if name in group.mask_zero
        else rows[:, at : at + 1]
        for at, name in enumerate(group.singles)
    ]
    return torch.cat([*pieces, rows[:, len(group.singles) :]], dim=1)
