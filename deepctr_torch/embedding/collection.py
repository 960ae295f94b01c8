"""Embedding tables: many logical ones in one parameter a width, one entry each in checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._memory import on_large_pages
from ..features import FeatureColumn, SparseFeat, VarLenSparseFeat, checkable
from ..registry import suggest

if TYPE_CHECKING:
    pass

__all__ = ["EmbeddingCollection", "EmbeddingConfig", "TableView", "TableWeight", "embedding_configs"]


class EmbeddingConfig(NamedTuple):
    """A logical table: `rows` vectors of length `width`.

    `keys` says under which names which of its columns are saved: (state_dict key, first column, column after the last).
    """

    name: str
    rows: int
    width: int
    keys: tuple[tuple[str, int, int], ...]
    init_std: float


def embedding_configs(
    columns: Sequence[FeatureColumn], init_std: float, width: int | None = None
) -> list[EmbeddingConfig]:
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
        out.append(EmbeddingConfig(name, column.vocabulary_size, dim, ((f"{name}.weight", 0, dim),), init_std))
    return out


class EmbeddingCollection(nn.Module):
    """Logical tables, all of one width in one parameter `weights[str(width)]` [rows of all, width].

    Behaves as a mapping name -> `TableView`. Its state_dict holds one entry a table (`<name>.weight`), never the fused
    parameter.

    >>> tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 3), SparseFeat("item", 5)], init_std=0.01))
    >>> list(tables.state_dict()), tables.weights["4"].shape
    (['user.weight', 'item.weight'], torch.Size([8, 4]))
    >>> tables["item"](torch.tensor([4])).shape
    torch.Size([1, 4])
    """

    def __init__(self, tables: Sequence[EmbeddingConfig]) -> None:
        super().__init__()
        self._specs = {t.name: t for t in tables}
        self._start: dict[str, int] = {}
        self._views: dict[str, TableWeight] = {}
        self._frozen: set[str] = set()
        for width in dict.fromkeys(t.width for t in tables):
            members = [t for t in tables if t.width == width]
            weight = on_large_pages(torch.empty(sum(t.rows for t in members), width))
            start = 0
            for t in members:
                self._start[t.name] = start
                weight[start : start + t.rows].normal_(0.0, t.init_std)
                start += t.rows
            self.register_parameter(f"width_{width}", nn.Parameter(weight))

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The fused parameters [rows of all tables of a width, width], by width."""
        fused = ((name, p) for name, p in self._parameters.items() if name.startswith("width_"))
        return {name.removeprefix("width_"): p for name, p in fused if p is not None}

    def where(self, name: str) -> tuple[EmbeddingConfig, int]:
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
            view._home = (self, name)
            self._views[name] = view
        view.pass_gradients_on()
        return view

    def grad_of(self, name: str) -> Tensor | None:
        """The part of one table in the gradient of the fused parameter, sharing its memory where it is dense."""
        spec, start = self.where(name)
        grad = self.weights[str(spec.width)].grad
        if grad is None or not grad.is_sparse:
            return None if grad is None else grad[start : start + spec.rows]
        return grad.narrow_copy(0, start, spec.rows)

    def set_grad(self, name: str, value: Tensor | None) -> None:
        """Set the part of one table in the gradient of the fused parameter; None sets it to zero."""
        spec, start = self.where(name)
        fused = self.weights[str(spec.width)]
        if fused.grad is None:
            if value is None:
                return
            fused.grad = torch.zeros_like(fused)
        elif fused.grad.is_sparse:
            fused.grad = fused.grad.to_dense()
        with torch.no_grad():
            fused.grad[start : start + spec.rows] = 0.0 if value is None else value

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
        return (self._frozen - set(self._views)) | {n for n, v in self._views.items() if not v.requires_grad}

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


GRAD: Any = torch.Tensor.grad  # the attribute itself, beside the property of the same name


class TableWeight(nn.Parameter):
    """The rows of one table as a parameter, to be read, assigned and differentiated like that of an `nn.Embedding`.

    What is assigned to `.data` is copied into the fused parameter; `.grad` is the table's part of its gradient, where
    that of the rows read through this parameter goes too.
    """

    _home: tuple[EmbeddingCollection, str] | None = None  # a copy belongs to no tables
    _passes_on = False

    @property
    def data(self) -> Tensor:
        return super().data

    @data.setter
    def data(self, value: Tensor) -> None:
        if value.shape != self.shape:
            raise ValueError(f"the vectors of a table must have shape {list(self.shape)}, got {list(value.shape)}")
        super().data.copy_(value)

    @property
    def grad(self) -> Tensor | None:
        return super().grad if self._home is None else self._home[0].grad_of(self._home[1])

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if self._home is None:
            GRAD.__set__(self, value)
        else:
            self._home[0].set_grad(self._home[1], value)

    def pass_gradients_on(self) -> None:
        """From now on, what autograd accumulates here is added to the gradient of the fused parameter."""
        if self.requires_grad and not self._passes_on:
            self._passes_on = True
            self.register_post_accumulate_grad_hook(_pass_on)  # type: ignore[no-untyped-call]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return nn.Parameter(self.detach().clone(), self.requires_grad).__reduce_ex__(protocol)  # type: ignore[no-untyped-call]


def _pass_on(view: Any) -> None:
    own = GRAD.__get__(view)
    GRAD.__set__(view, None)
    before = view.grad
    view.grad = own if before is None else before.to_dense() + own if before.is_sparse else before + own


class TableView:
    """One logical table, to be read and written as if it were an `nn.Embedding`."""

    def __init__(self, tables: EmbeddingCollection, name: str) -> None:
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
