"""The seam between lookup and model: one gather a batch for all tables of a width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import Batch, FeatureColumn, FeatureSchema, SparseFeat, VarLenSparseFeat, input_width, merged
from ..layers.kernels.autograd import watched
from .collection import EmbeddingCollection, EmbeddingConfig, FusedTable

__all__ = ["EmbeddingLookup", "FusedGroup", "LookupSpec"]


@dataclass(frozen=True)
class FusedGroup:
    """The columns of one part that have one width: one gather a batch."""

    tables: EmbeddingCollection  # the owner of `table`
    table: FusedTable  # the fused tensor that the rows come from
    singles: tuple[str, ...]  # column names, in the order of the rows
    sequences: tuple[str, ...]
    table_of: Mapping[str, str]  # column name -> name of its table
    mask_zero: tuple[str, ...] = ()  # those of `singles` whose id 0 has no effect


@dataclass(frozen=True)
class LookupSpec:
    """The columns that one part of a model (its deep side, its linear side, ...) reads, in order, and their tables."""

    columns: tuple[SparseFeat | VarLenSparseFeat, ...]
    tables: EmbeddingCollection

    @classmethod
    def of(cls, columns: Sequence[FeatureColumn], tables: EmbeddingCollection) -> LookupSpec:
        """Those among `columns` that hold ids, sequences last."""
        singles = (c for c in columns if isinstance(c, SparseFeat))
        return cls((*singles, *(c for c in columns if isinstance(c, VarLenSparseFeat))), tables)

    @property
    def singles(self) -> tuple[SparseFeat, ...]:
        return tuple(c for c in self.columns if isinstance(c, SparseFeat))

    @property
    def sequences(self) -> tuple[VarLenSparseFeat, ...]:
        return tuple(c for c in self.columns if isinstance(c, VarLenSparseFeat))


class EmbeddingLookup(nn.Module):
    """Batch -> rows: one gather for every part and width, the index computed once for parts that read the same columns.

    Holds no parameter itself: the tables belong to the modules of the model that users know (`embedding_dict`,
    `linear_model`, ...).

    Args:
        schema: layout of the batch.
        parts: part name -> what it reads.

    Attributes:
        groups: one a part and width; `lookup` returns their rows in this order.
        group_of: (part, column name) -> index in `groups`.

    Raises:
        ValueError: two columns of one part have one name and different embeddings.
    """

    masks_zero = False  # of lookups pickled before there was such a column

    def __init__(self, schema: FeatureSchema, parts: Mapping[str, LookupSpec]) -> None:
        super().__init__()
        self.schema = schema
        self.parts = dict(parts)
        self.groups: list[FusedGroup] = []
        self.masks_zero = any(isinstance(c, SparseFeat) and c.mask_zero for p in parts.values() for c in p.columns)
        self.group_of: dict[tuple[str, str], int] = {}
        self._plans: list[tuple[tuple[str, ...], tuple[str, ...], str]] = []
        for name, part in self.parts.items():
            distinct = dict.fromkeys(part.columns)
            for column in distinct:
                other = next(c for c in distinct if c.name == column.name)
                if other is not column:
                    raise ValueError(
                        f"two different columns of one side are named {column.name!r}: {other} and {column}"
                    )
            widths = {c.name: part.tables.configs[c.embedding_name].embedding_dim for c in part.columns}
            for width in dict.fromkeys(widths.values()):
                self._add_group(name, part, [c for c in part.columns if widths[c.name] == width])

    def _add_group(self, name: str, part: LookupSpec, columns: list[SparseFeat | VarLenSparseFeat]) -> None:
        read = LookupSpec.of(columns, part.tables)
        ordered = read.columns
        singles, sequences = tuple(c.name for c in read.singles), tuple(c.name for c in read.sequences)
        places = [part.tables.where(c.embedding_name) for c in ordered]
        offsets = [p[1] for c, p in zip(ordered, places, strict=True) for _ in range(input_width(c))]
        buffer = f"offsets_{len(self.groups)}"
        values = torch.tensor(offsets, dtype=torch.int64)
        for *planned, other in self._plans:  # the linear part reads what the deep part reads: one index for both
            if [singles, sequences] == planned and torch.equal(values, getattr(self, other)):
                buffer = other
                break
        else:
            self.register_buffer(buffer, values, persistent=False)
        for column in ordered:
            self.group_of[name, column.name] = len(self.groups)
        self._plans.append((singles, sequences, buffer))
        table_of = {c.name: c.embedding_name for c in ordered}
        mask_zero = tuple(c.name for c in read.singles if c.mask_zero)
        self.groups.append(FusedGroup(part.tables, places[0][0], singles, sequences, table_of, mask_zero))

    @property
    def tables(self) -> list[FusedTable]:
        """The fused tables that lookups read, each once."""
        return list(dict.fromkeys(group.table for group in self.groups))

    def refresh(self) -> bool:
        """Lay tables whose weights were taken out of their fused tensor anew; False if some table cannot be fused."""
        return all([table.refresh() for table in self.tables])

    def indices(self, batch: Batch) -> list[Tensor]:
        """Row numbers in the fused tensors, int [B, n], one a group; groups of the same columns share the tensor."""
        made: dict[str, Tensor] = {}
        for singles, sequences, buffer in self._plans:
            if buffer not in made:
                made[buffer] = self._index(batch, singles, sequences, getattr(self, buffer))
        return [made[buffer] for _, _, buffer in self._plans]

    def _index(self, batch: Batch, singles: tuple[str, ...], sequences: tuple[str, ...], offsets: Tensor) -> Tensor:
        schema, full = self.schema, batch.widths == self.schema.widths
        pieces: list[tuple[int, int]] = [(schema.id_position[n], schema.id_position[n] + 1) for n in singles]
        keep: list[Tensor] = [offsets[: len(singles)]]
        start = len(singles)
        for name in sequences:
            pieces.append(schema.sequence_slice(name, batch.widths))
            whole = schema.widths[schema.sequence_position[name]]
            keep.append(offsets[start : start + pieces[-1][1] - pieces[-1][0]])
            start += whole
        runs = merged(pieces)
        ids = [batch.ids[:, a:b] for a, b in runs]
        chosen = offsets if full else torch.cat(keep, dim=0)
        together = ids[0] if len(ids) == 1 else torch.cat(ids, dim=1)
        return together + chosen.to(together.dtype)

    def gather(self, indices: Sequence[Tensor]) -> list[Tensor]:
        """Rows [B, n, E] of each group, outside autograd; the tables must have been laid (`refresh`)."""
        with torch.no_grad():
            return [F.embedding(index, group.table.fused) for group, index in zip(self.groups, indices, strict=True)]

    def lookup(self, batch: Batch) -> list[Tensor]:
        """The rows of every group, [B, n, E] each, with ordinary gradients on the tables.

        One gather a group where the tables can be fused. Else, and where a compiler, an exporter or a tracer looks on,
        each table is called by itself.
        """
        if watched() or not self.refresh():
            return [self._lookup_each(group, batch) for group in self.groups]
        if not torch.is_grad_enabled():
            return self.gather(self.indices(batch))
        indices = self.indices(batch)
        return [F.embedding(i, group.table.differentiable()) for group, i in zip(self.groups, indices, strict=True)]

    def _lookup_each(self, group: FusedGroup, batch: Batch) -> Tensor:
        """The rows of a group, [B, n, E], from one call of each of its tables' modules."""
        found = []
        for name, start, stop in self.spans(group, batch.widths, batch_ids=True):
            ids = batch.ids[:, start:stop]
            rows = [module(ids) for module in group.tables.modules_of(group.table_of[name])]
            found.append(_side_by_side(rows, group.tables.configs[group.table_of[name]]))
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def spans(
        self, group: FusedGroup, widths: tuple[int, ...], batch_ids: bool = False
    ) -> Iterator[tuple[str, int, int]]:
        """Each column of a group, and where its rows lie: in the group's lookup, or (`batch_ids`) in `Batch.ids`."""
        at = 0
        for name in group.singles:
            position = self.schema.id_position[name]
            yield (name, position, position + 1) if batch_ids else (name, at, at + 1)
            at += 1
        for name in group.sequences:
            start, stop = self.schema.sequence_slice(name, widths)
            yield (name, start, stop) if batch_ids else (name, at, at + stop - start)
            at += stop - start


def _side_by_side(rows: Sequence[Tensor], config: EmbeddingConfig) -> Tensor:
    """The vectors of a table's modules at their columns, [..., E]; zeros in columns that are no module's."""
    if len(rows) == 1 and config.slices[0].stop - config.slices[0].start == config.embedding_dim:
        return rows[0]
    pieces, at = [], 0
    for row, part in sorted(zip(rows, config.slices, strict=True), key=lambda pair: pair[1].start):
        if part.start > at:
            pieces.append(row.new_zeros(*row.shape[:-1], part.start - at))
        pieces.append(row)
        at = part.stop
    if at < config.embedding_dim:
        pieces.append(rows[0].new_zeros(*rows[0].shape[:-1], config.embedding_dim - at))
    return torch.cat(pieces, dim=-1)
