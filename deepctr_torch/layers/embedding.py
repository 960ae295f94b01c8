"""Embedding tables: many logical ones in one parameter a width, one lookup a batch, one entry each in checkpoints.

`EmbeddingTables` owns the weights and looks like upstream's `ModuleDict` of `nn.Embedding`. `Embeddings` is the seam
between lookup and model: it turns a `Batch` into rows; everything after it sees rows only. Tables sharded over
processes are another `Embeddings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import Batch, FeatureColumn, FeatureSchema, SparseFeat, VarLenSparseFeat, checkable
from ..registry import suggest

__all__ = ["EmbeddingTables", "Embeddings", "Group", "Part", "Table", "TableView", "tables_of"]


class Table(NamedTuple):
    """A logical table: `rows` vectors of length `width`.

    `keys` says under which names which of its columns are saved: (state_dict key, first column, column after the last).
    """

    name: str
    rows: int
    width: int
    keys: tuple[tuple[str, int, int], ...]
    init_std: float


def tables_of(columns: Sequence[FeatureColumn], init_std: float, width: int | None = None) -> list[Table]:
    """The tables that `columns` read, one an `embedding_name`: those of single ids first, as upstream saves them.

    Args:
        columns: dense ones are passed over; several may share a table.
        width: length of the vectors, where it is not each column's `embedding_dim`.

    Raises:
        ValueError: two columns share a table and disagree about its rows, its width or hashing.
    """
    # NOTE[DIFF] W19: the original lets the last column of a shared table win without a word.
    first: dict[str, SparseFeat | VarLenSparseFeat] = {}
    sparse = [c for c in columns if isinstance(c, (SparseFeat, VarLenSparseFeat))]
    for column in sorted(sparse, key=lambda c: isinstance(c, VarLenSparseFeat)):
        other = first.setdefault(column.embedding_name, column)
        for field in ("vocabulary_size", "use_hash", "embedding_dim"):
            if getattr(other, field) != getattr(column, field) and (field != "embedding_dim" or width is None):
                raise ValueError(
                    f"{other.name!r} and {column.name!r} share the table {column.embedding_name!r} and must agree on "
                    f"its {field}, got {getattr(other, field)} and {getattr(column, field)}"
                )
    out = []
    for name, column in first.items():
        dim = column.embedding_dim if width is None else width
        out.append(Table(name, column.vocabulary_size, dim, ((f"{name}.weight", 0, dim),), init_std))
    return out


class TableWeight(nn.Parameter):
    """The rows of one table as a parameter; what is assigned to `.data` is copied into the fused parameter."""

    @property
    def data(self) -> Tensor:
        return super().data

    @data.setter
    def data(self, value: Tensor) -> None:
        if value.shape != self.shape:
            raise ValueError(f"the vectors of a table must have shape {list(self.shape)}, got {list(value.shape)}")
        super().data.copy_(value)


class TableView:
    """One logical table, to be read and written as if it were an `nn.Embedding`."""

    def __init__(self, tables: EmbeddingTables, name: str) -> None:
        self._tables, self._name = tables, name

    def __call__(self, ids: Tensor) -> Tensor:
        """ids [...] -> vectors [..., E]."""
        spec, start = self._tables.where(self._name)
        if checkable(ids) and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < spec.rows:
            raise IndexError(f"ids of table {self._name!r} must be in [0, {spec.rows}), got {ids.tolist()}")
        rows = F.embedding(ids.long() + start, self._tables.weights[str(spec.width)])
        return rows.detach() if self._name in self._tables.frozen else rows

    @property
    def weight(self) -> nn.Parameter:
        """[rows, E]: shares memory with the fused parameter; `requires_grad_(False)` freezes the table."""
        return self._tables.view(self._name)

    @weight.setter
    def weight(self, value: Tensor) -> None:
        self._tables.assign(self._name, value, getattr(value, "requires_grad", True))

    @property
    def num_embeddings(self) -> int:
        return self._tables.where(self._name)[0].rows

    @property
    def embedding_dim(self) -> int:
        return self._tables.where(self._name)[0].width

    def __repr__(self) -> str:
        return f"TableView({self.num_embeddings}, {self.embedding_dim})"


class EmbeddingTables(nn.Module):
    """Logical tables, all of one width in one parameter `weights[str(width)]` [rows of all, width].

    Behaves as a mapping name -> `TableView`. Its state_dict holds one entry a table (`<name>.weight`), never the fused
    parameter.

    >>> tables = EmbeddingTables(tables_of([SparseFeat("user", 3), SparseFeat("item", 5)], init_std=0.01))
    >>> list(tables.state_dict()), tables.weights["4"].shape
    (['user.weight', 'item.weight'], torch.Size([8, 4]))
    >>> tables["item"](torch.tensor([4])).shape
    torch.Size([1, 4])
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        super().__init__()
        self._specs = {t.name: t for t in tables}
        self._start: dict[str, int] = {}
        self._views: dict[str, nn.Parameter] = {}
        self._frozen: set[str] = set()
        for width in dict.fromkeys(t.width for t in tables):
            members = [t for t in tables if t.width == width]
            weight = torch.empty(sum(t.rows for t in members), width)
            start = 0
            for t in members:
                self._start[t.name] = start
                weight[start : start + t.rows].normal_(0.0, t.init_std)
                start += t.rows
            self.register_parameter(f"width_{width}", nn.Parameter(weight))

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The fused parameters [rows of all tables of a width, width], by width."""
        return {name.removeprefix("width_"): p for name, p in self._parameters.items() if p is not None}

    def where(self, name: str) -> tuple[Table, int]:
        """The table and its first row in the fused parameter."""
        if name not in self._specs:
            raise KeyError(f"no table {name!r}: {suggest(name, self._specs)}")
        return self._specs[name], self._start[name]

    def rows(self, name: str) -> Tensor:
        """The rows of one table [rows, E], sharing memory with the fused parameter, outside autograd."""
        spec, start = self.where(name)
        return self.weights[str(spec.width)].data[start : start + spec.rows]

    def view(self, name: str) -> nn.Parameter:
        rows = self.rows(name)
        view = self._views.get(name)
        if view is None or view.data_ptr() != rows.data_ptr() or view.device != rows.device or view.dtype != rows.dtype:
            with torch.inference_mode(False):
                view = TableWeight(rows, requires_grad=name not in self.frozen)
            self._views[name] = view
        return view

    def assign(self, name: str, value: Tensor, trainable: bool = True) -> None:
        """Copy `value` [rows, E] into the table; it is trained on, or frozen."""
        rows = self.rows(name)
        if tuple(value.shape) != tuple(rows.shape):
            raise ValueError(
                f"the vectors of table {name!r} must have shape {list(rows.shape)}, got {list(value.shape)}"
            )
        with torch.no_grad():
            rows.copy_(value)
        self.view(name).requires_grad_(trainable)

    @property
    def frozen(self) -> set[str]:
        """Names of the tables that training leaves alone."""
        self._frozen -= set(self._views)
        return self._frozen | {n for n, v in self._views.items() if not v.requires_grad}

    def __getitem__(self, name: str) -> TableView:
        self.where(name)
        return TableView(self, name)

    def __setitem__(self, name: str, module: nn.Module) -> None:
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor):
            raise TypeError(f"a table is assigned an nn.Embedding, got {type(module).__name__}")
        self.assign(name, weight.detach(), weight.requires_grad)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def keys(self) -> list[str]:
        return list(self._specs)

    def values(self) -> list[TableView]:
        return [self[n] for n in self._specs]

    def items(self) -> list[tuple[str, TableView]]:
        return [(n, self[n]) for n in self._specs]

    def extra_repr(self) -> str:
        return "\n".join(f"({t.name}): {t.rows} rows of {t.width}" for t in self._specs.values())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_views": {}, "_frozen": self.frozen}

    def _saved(self) -> Iterator[tuple[str, str, int, int]]:
        for spec in self._specs.values():
            for key, start, stop in spec.keys:
                yield key, spec.name, start, stop

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for key, name, start, stop in self._saved():
            destination[prefix + key] = self.rows(name)[:, start:stop].clone()

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        known = set()
        for key, name, start, stop in self._saved():
            full = prefix + key
            known.add(full)
            if full not in state_dict:
                missing_keys.append(full)
                continue
            mine, value = self.rows(name)[:, start:stop], state_dict[full]
            if tuple(value.shape) != tuple(mine.shape):
                error_msgs.append(
                    f"size mismatch for {full}: got {list(value.shape)}, the table has {list(mine.shape)}."
                )
                continue
            with torch.no_grad():
                mine.copy_(value)
        unexpected_keys += [k for k in state_dict if strict and k.startswith(prefix) and k not in known]


class Group(NamedTuple):
    """The columns of one part that have one width: one gather a batch.

    Attributes:
        tables, width: where the rows come from.
        singles, sequences: column names, in the order of the rows.
        table_of: column name -> name of its table.
    """

    tables: EmbeddingTables
    width: int
    singles: tuple[str, ...]
    sequences: tuple[str, ...]
    table_of: Mapping[str, str]

    @property
    def weight(self) -> nn.Parameter:
        return self.tables.weights[str(self.width)]


class Part(NamedTuple):
    """What one part of a model (its deep side, its linear side, ...) reads: columns in order, and their tables."""

    columns: tuple[SparseFeat | VarLenSparseFeat, ...]
    tables: EmbeddingTables

    @property
    def singles(self) -> tuple[SparseFeat, ...]:
        return tuple(c for c in self.columns if isinstance(c, SparseFeat))

    @property
    def sequences(self) -> tuple[VarLenSparseFeat, ...]:
        return tuple(c for c in self.columns if isinstance(c, VarLenSparseFeat))


class Embeddings(nn.Module):
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

    def __init__(self, schema: FeatureSchema, parts: Mapping[str, Part]) -> None:
        super().__init__()
        self.schema = schema
        self.parts = dict(parts)
        self.groups: list[Group] = []
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

    def _add_group(self, name: str, part: Part, columns: list[SparseFeat | VarLenSparseFeat], width: int) -> None:
        ordered = [c for c in columns if isinstance(c, SparseFeat)] + [
            c for c in columns if isinstance(c, VarLenSparseFeat)
        ]
        singles = tuple(c.name for c in ordered if isinstance(c, SparseFeat))
        sequences = tuple(c.name for c in ordered if isinstance(c, VarLenSparseFeat))
        starts = [part.tables.where(c.embedding_name)[1] for c in ordered]
        offsets = [s for c, s in zip(ordered, starts, strict=True) for _ in range(getattr(c, "maxlen", 1))]
        buffer = f"offsets_{len(self.groups)}"
        values = torch.tensor(offsets, dtype=torch.int64)
        for (
            other_singles,
            other_sequences,
            other,
        ) in self._plans:  # the linear part reads what the deep part reads: one index for both
            if (singles, sequences) == (other_singles, other_sequences) and torch.equal(values, getattr(self, other)):
                buffer = other
                break
        else:
            self.register_buffer(buffer, values, persistent=False)
        for column in ordered:
            self.group_of[name, column.name] = len(self.groups)
        self._plans.append((singles, sequences, buffer))
        self.groups.append(Group(part.tables, width, singles, sequences, {c.name: c.embedding_name for c in ordered}))

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
        runs = _merge(pieces)
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

    def frozen_columns(self, group: Group, widths: tuple[int, ...]) -> Tensor:
        """bool [n]: which rows of the group's lookup come from a frozen table."""
        frozen = group.tables.frozen
        flags = [group.table_of[n] in frozen for n in group.singles]
        for name in group.sequences:
            flags += [group.table_of[name] in frozen] * widths[self.schema.sequence_position[name]]
        return torch.tensor(flags, dtype=torch.bool, device=group.weight.device)

    def lookup(self, batch: Batch) -> list[Tensor]:
        """The rows of every group, [B, n, E] each, with ordinary gradients on the tables."""
        return self.gather(self.indices(batch), batch.widths)


def _merge(pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join neighbouring (start, stop) ranges."""
    runs: list[tuple[int, int]] = []
    for start, stop in pieces:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs or [(0, 0)]
