"""The seam between lookup and model: one gather a batch for all tables of a width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import Batch, FeatureSchema, SparseFeat, VarLenSparseFeat
from .collection import EmbeddingCollection

__all__ = ["EmbeddingLookup", "FusedGroup", "LookupSpec", "merged"]


@dataclass(frozen=True)
class FusedGroup:
    """The columns of one part that have one width: one gather a batch.

    Attributes:
        tables, width: where the rows come from.
        singles, sequences: column names, in the order of the rows.
        table_of: column name -> name of its table.
    """

    tables: EmbeddingCollection
    width: int
    singles: tuple[str, ...]
    sequences: tuple[str, ...]
    table_of: Mapping[str, str]

    @property
    def weight(self) -> nn.Parameter:
        return self.tables.weights[str(self.width)]


@dataclass(frozen=True)
class LookupSpec:
    """What one part of a model (its deep side, its linear side, ...) reads: columns in order, and their tables."""

    columns: tuple[SparseFeat | VarLenSparseFeat, ...]
    tables: EmbeddingCollection

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

    def __init__(self, schema: FeatureSchema, parts: Mapping[str, LookupSpec]) -> None:
        super().__init__()
        self.schema = schema
        self.parts = dict(parts)
        self.groups: list[FusedGroup] = []
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
            widths = {c.name: part.tables.where(c.embedding_name)[0].width for c in part.columns}
            for width in dict.fromkeys(widths.values()):
                self._add_group(name, part, [c for c in part.columns if widths[c.name] == width], width)

    def _add_group(self, name: str, part: LookupSpec, columns: list[SparseFeat | VarLenSparseFeat], width: int) -> None:
        ordered = [c for c in columns if isinstance(c, SparseFeat)] + [
            c for c in columns if isinstance(c, VarLenSparseFeat)
        ]
        singles = tuple(c.name for c in ordered if isinstance(c, SparseFeat))
        sequences = tuple(c.name for c in ordered if isinstance(c, VarLenSparseFeat))
        starts = [part.tables.where(c.embedding_name)[1] for c in ordered]
        offsets = [s for c, s in zip(ordered, starts, strict=True) for _ in range(getattr(c, "maxlen", 1))]
        buffer = f"offsets_{len(self.groups)}"
        values = torch.tensor(offsets, dtype=torch.int64)
        for *read, other in self._plans:  # the linear part reads what the deep part reads: one index for both
            if [singles, sequences] == read and torch.equal(values, getattr(self, other)):
                buffer = other
                break
        else:
            self.register_buffer(buffer, values, persistent=False)
        for column in ordered:
            self.group_of[name, column.name] = len(self.groups)
        self._plans.append((singles, sequences, buffer))
        self.groups.append(
            FusedGroup(part.tables, width, singles, sequences, {c.name: c.embedding_name for c in ordered})
        )

    def indices(self, batch: Batch) -> list[Tensor]:
        """Row numbers in the fused parameters, int [B, n], one a group; groups of the same columns share the tensor."""
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
            maxlen = schema.widths[schema.sequence_position[name]]
            keep.append(offsets[start : start + pieces[-1][1] - pieces[-1][0]])
            start += maxlen
        runs = merged(pieces)
        ids = [batch.ids[:, a:b] for a, b in runs]
        chosen = offsets if full else torch.cat(keep, dim=0)
        together = ids[0] if len(ids) == 1 else torch.cat(ids, dim=1)
        return together + chosen.to(together.dtype)

    def gather(self, indices: Sequence[Tensor], widths: tuple[int, ...]) -> list[Tensor]:
        """Rows [B, n, E] of each group; the rows of frozen tables are outside autograd."""
        out = []
        for group, index in zip(self.groups, indices, strict=True):
            rows = F.embedding(index, group.weight)
            if group.tables.frozen and rows.requires_grad:
                rows = torch.where(self.frozen_columns(group, widths)[:, None], rows.detach(), rows)
            out.append(rows)
        return out

    def frozen_columns(self, group: FusedGroup, widths: tuple[int, ...]) -> Tensor:
        """bool [n]: which rows of the group's lookup come from a frozen table."""
        device = group.weight.device
        return torch.cat([torch.full((n,), frozen, device=device) for frozen, _, n in self._runs(group, widths)], dim=0)

    def trained_columns(self, group: FusedGroup, widths: tuple[int, ...]) -> Tensor:
        """int64 [m]: positions of the rows of the group's lookup that come from tables that are not frozen."""
        device = group.weight.device
        runs = [(at, n) for frozen, at, n in self._runs(group, widths) if not frozen] or [(0, 0)]
        return torch.cat([torch.arange(at, at + n, device=device) for at, n in runs], dim=0)

    def _runs(self, group: FusedGroup, widths: tuple[int, ...]) -> list[tuple[bool, int, int]]:
        """(frozen or not, first row, how many) of neighbours in the group's lookup."""
        # a few tensors filled on the device: one made of a list would be copied there, which waits for the device
        counts = [(n, 1) for n in group.singles]
        counts += [(n, widths[self.schema.sequence_position[n]]) for n in group.sequences]
        runs: list[tuple[bool, int, int]] = []
        at = 0
        for frozen, each in groupby(counts, key=lambda c: group.table_of[c[0]] in group.tables.frozen):
            runs.append((frozen, at, sum(n for _, n in each)))
            at += runs[-1][2]
        return runs

    def lookup(self, batch: Batch) -> list[Tensor]:
        """The rows of every group, [B, n, E] each, with ordinary gradients on the tables."""
        return self.gather(self.indices(batch), batch.widths)


def merged(pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join neighbouring (start, stop) ranges; (0, 0) if there is none."""
    runs: list[tuple[int, int]] = []
    for start, stop in pieces:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs or [(0, 0)]
