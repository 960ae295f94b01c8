"""Embedding tables: ordinary `nn.Embedding` modules whose weights are neighbouring slices of one tensor a width."""

from __future__ import annotations

import copy
import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from .._memory import on_large_pages
from ..features import FeatureColumn, SparseFeat, VarLenSparseFeat
from ..layers.utils import hooks_of
from ..registry import suggest

__all__ = ["EmbeddingCollection", "EmbeddingConfig", "EmbeddingSlice", "FusedTable", "TableDict", "embedding_configs"]


class EmbeddingSlice(NamedTuple):
    """Columns of a table that are a module of their own."""

    path: tuple[str, ...]  # names of the modules that lead to its `nn.Embedding`, from the collection down
    start: int  # first column
    stop: int  # column after the last
    aliases: tuple[tuple[str, ...], ...] = ()  # further places of the same module


class EmbeddingConfig(NamedTuple):
    """A table of `num_embeddings` vectors of length `embedding_dim`.

    Most tables are one module. The vectors that ONN keeps for each other feature, or the weights that MLR keeps for
    each region, lie side by side in one wide row, and are a module each: `slices` says which columns are which module.
    """

    name: str
    num_embeddings: int
    embedding_dim: int
    slices: tuple[EmbeddingSlice, ...]
    init_std: float


def embedding_configs(
    columns: Sequence[FeatureColumn], init_std: float, embedding_dim: int | None = None
) -> list[EmbeddingConfig]:
    """The tables that `columns` read, one an `embedding_name`: those of single ids first, as upstream saves them.

    Args:
        columns: dense ones are passed over; several may share a table.
        init_std: standard deviation of the initial vectors.
        embedding_dim: length of the vectors, where it is not each column's own.

    Raises:
        ValueError: two columns share a table and disagree about its rows, its width or hashing.
    """
    # NOTE[DIFF] W19: the original lets the last column of a shared table win without a word.
    first: dict[str, SparseFeat | VarLenSparseFeat] = {}
    sparse = [c for c in columns if isinstance(c, (SparseFeat, VarLenSparseFeat))]
    for column in sorted(sparse, key=lambda c: isinstance(c, VarLenSparseFeat)):
        other = first.setdefault(column.embedding_name, column)
        for field in ("vocabulary_size", "use_hash", "embedding_dim"):
            if getattr(other, field) != getattr(column, field) and (field != "embedding_dim" or embedding_dim is None):
                raise ValueError(
                    f"{other.name!r} and {column.name!r} share the table {column.embedding_name!r} and must agree on "
                    f"its {field}, got {getattr(other, field)} and {getattr(column, field)}"
                )
    out = []
    for name, column in first.items():
        dim = column.embedding_dim if embedding_dim is None else embedding_dim
        out.append(EmbeddingConfig(name, column.vocabulary_size, dim, (EmbeddingSlice((name,), 0, dim),), init_std))
    return out


class _Span(NamedTuple):
    """Where the weight of one module lies in a fused tensor: its rows and its columns."""

    parent: nn.Module
    name: str
    first_row: int
    last_row: int
    first_column: int
    last_column: int

    @property
    def module(self) -> nn.Embedding:
        found = self.parent._modules.get(self.name)
        if found is None:
            raise KeyError(f"the table {self.name!r} was deleted, but a feature reads it")
        return cast(nn.Embedding, found)

    @property
    def weight(self) -> nn.Parameter:
        return cast(nn.Parameter, self.module.weight)

    def of(self, whole: Tensor) -> Tensor:
        """The part of `whole` [R, E] that is this table's."""
        rows = whole[self.first_row : self.last_row]
        return rows if self.last_column - self.first_column == whole.shape[1] else rows[:, self.columns]

    @property
    def columns(self) -> slice:
        return slice(self.first_column, self.last_column)


_HOMES: Any = WeakIdKeyDictionary()  # parameter -> weak reference to the `FusedTable` it lies in
_LAYING = threading.Lock()


class FusedTable:
    """Tables of one width as one tensor `data` [R, E], which is no parameter: the weights of the tables are its slices.

    Lookups read `data`, and updates write it: one call for all tables. `refresh` notices whatever takes a weight out of
    it (`.to`, a copy, `.weight = ...`, `.data = ...`, loading with `assign=True`), and lays all weights into a new
    tensor. Tables that are not plain `nn.Embedding`s, or that several owners share, cannot be fused: each of them is
    called by itself.

    Attributes:
        embedding_dim: E.
        num_embeddings: R.
        data: None until the tables are laid.
        parameter: `data` as a parameter, for those who update all tables at once; no module has it.
        first_row: of a part that `split` made: its first row in the whole.
    """

    first_row = 0
    parameter: nn.Parameter

    def __init__(self, spans: Sequence[_Span], num_embeddings: int, embedding_dim: int) -> None:
        self.spans = list(spans)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.data: Tensor | None = None
        self._laid: list[_Laid] = []
        self._weights: list[nn.Parameter] = []
        self._hooks: list[Any] = []  # the dicts of hooks of all modules, empty while they are plain
        self._joined: tuple[list[bool], Tensor] | None = None

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weights of the tables, in the order of their rows."""
        return self._weights or [span.weight for span in self.spans]

    @property
    def fused(self) -> Tensor:
        """`data`, which must be there."""
        if self.data is None:
            raise RuntimeError("the tables must be laid before their rows are read")
        return self.data

    def __deepcopy__(self, memo: dict[int, object]) -> FusedTable:
        new = type(self)([], self.num_embeddings, self.embedding_dim)
        memo[id(self)] = new
        new.spans = [span._replace(parent=copy.deepcopy(span.parent, memo)) for span in self.spans]
        return new

    def __getstate__(self) -> dict[str, object]:
        kept = {key: value for key, value in self.__dict__.items() if key != "parameter"}
        return {**kept, "data": None, "_laid": [], "_weights": [], "_hooks": [], "_joined": None}

    def is_laid(self) -> bool:
        """True if every weight lies where it was laid."""
        for modules, name, module, parameters, weight, address in self._laid:  # a hot loop: some 0.2 us a table
            if (
                modules.get(name) is not module
                or parameters.get("weight") is not weight
                or weight.data_ptr() != address
            ):
                return False
        return self.data is not None

    def refresh(self) -> bool:
        """Lay the tables anew if one of them does not lie where it was laid; False if they cannot be fused."""
        if not self.is_laid():
            with _LAYING:
                if not self.is_laid():
                    if not self.is_plain():  # perhaps for a moment only, as in a functional call
                        return False
                    self.forget()
                    if self._can_fuse():
                        self._lay(self.weights)
        return self.data is not None and not any(self._hooks)

    def is_plain(self) -> bool:
        """True if every table is an `nn.Embedding` that does nothing but look up."""
        return all(_is_plain(span.module) for span in self.spans)

    def forget(self) -> None:
        """Let go of the fused tensor; the weights keep its memory for as long as they lie in it."""
        self.data = self._joined = None
        self._laid, self._weights, self._hooks = [], [], []

    def _can_fuse(self) -> bool:
        weights = self.weights  # nothing is laid now
        for span, weight in zip(self.spans, weights, strict=True):
            if weight.shape[1] != span.last_column - span.first_column:
                raise ValueError(
                    f"the vectors of table {span.name!r} must have length {span.last_column - span.first_column}, got "
                    f"shape {list(weight.shape)}"
                )
            if len(weight) != span.last_row - span.first_row:
                return False  # a longer or shorter table of the user's
            reference = _HOMES.get(weight, None)
            home = None if reference is None else reference()
            if home is not None and home is not self and home.is_laid() and home.owns(weight):
                return False  # the table of another collection, too
        alike = len({(w.dtype, w.device) for w in weights}) <= 1
        return alike and len(set(map(id, weights))) == len(weights)

    def owns(self, weight: nn.Parameter) -> bool:
        """True if `weight` is one of those that were laid."""
        return any(mine is weight for mine in self.weights)

    def _lay(self, weights: Sequence[nn.Parameter]) -> None:
        """Copy the weights into one tensor, and make them its slices; grows the memory by that tensor for a moment."""
        like = weights[0] if weights else torch.empty(0)
        shape = (self.num_embeddings, self.embedding_dim)
        with torch.inference_mode(False), torch.no_grad():
            whole = on_large_pages(torch.empty(shape, dtype=like.dtype, device=like.device))
            if sum(weight.numel() for weight in weights) < whole.numel():
                whole.zero_()  # columns that are no table's
            for span, weight in zip(self.spans, weights, strict=True):
                part = span.of(whole)
                part.copy_(weight.detach())
                weight.data = part
        self.adopt(whole)

    def adopt(self, whole: Tensor) -> None:
        """Take over `whole`, whose slices the weights are."""
        self.data, self.parameter = whole, nn.Parameter(whole)
        self._laid = [_laid(span) for span in self.spans]
        self._weights = [span.weight for span in self.spans]
        self._hooks = [hooks for span in self.spans for hooks in hooks_of(span.module)]
        for weight in self.weights:
            _HOMES[weight] = weakref.ref(self)

    def differentiable(self) -> Tensor:
        """`data` as a function of the weights: what it is used for gives each of them its gradient.

        Made once for all lookups, since a node of autograd with many inputs takes some 30 microseconds to make.
        """
        trained = [weight.requires_grad for weight in self.weights]
        if self._joined is None or self._joined[0] != trained:
            with torch.enable_grad():
                self._joined = trained, _Join.apply(self, *self.weights)  # type: ignore[no-untyped-call]
        return self._joined[1]

    def slices(self, whole: Tensor) -> list[Tensor]:
        """The part of each table in a tensor laid out as `data` is: [R, E], or [R, 1] with one number a row."""
        if whole.shape[1] != self.embedding_dim:
            return [whole[span.first_row : span.last_row] for span in self.spans]
        return [span.of(whole) for span in self.spans]

    def is_partly_frozen(self) -> bool:
        """True if some but not all modules of one table are frozen."""
        states: dict[int, set[bool]] = {}
        for span in self.spans:
            states.setdefault(span.first_row, set()).add(span.weight.requires_grad)
        return any(len(found) > 1 for found in states.values())

    def split(self) -> list[FusedTable]:
        """Each table by itself, over the same memory, its weight as parameter; to be made anew after `refresh`.

        Raises:
            ValueError: a table is several modules.
        """
        if any(span.last_column - span.first_column != self.embedding_dim for span in self.spans):
            raise ValueError("tables of several modules cannot be split")
        out = []
        for first, last in dict.fromkeys((span.first_row, span.last_row) for span in self.spans):
            spans = [span for span in self.spans if span.first_row == first]
            moved = [span._replace(first_row=0, last_row=last - first) for span in spans]
            part = type(self)(moved, last - first, self.embedding_dim)
            part.data, part.first_row = self.fused[first:last], first
            part.parameter = spans[0].weight
            out.append(part)
        return out


class _Join(torch.autograd.Function):
    """The fused tensor as a function of the weights that are its slices."""

    @staticmethod
    def forward(ctx: Any, table: FusedTable, *weights: nn.Parameter) -> Tensor:
        ctx.table = table
        return table.fused.data  # no view, so that writing the weights is not writing the result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        needed = ctx.needs_input_grad[1:]
        return None, *(part if n else None for part, n in zip(ctx.table.slices(grad), needed, strict=True))


_Laid = tuple[dict[str, nn.Module | None], str, nn.Module, dict[str, nn.Parameter | None], nn.Parameter, int]


def _laid(span: _Span) -> _Laid:
    """All that must stay for a weight to lie where it was laid."""
    module, weight = span.module, span.weight
    return span.parent._modules, span.name, module, module._parameters, weight, weight.data_ptr()


def _is_plain(module: nn.Embedding) -> bool:
    """True if a lookup in the fused tensor gives what calling `module` gives, and its gradient is a sum over rows."""
    weight = module._parameters.get("weight")
    return (
        type(module) is nn.Embedding
        and type(weight) is nn.Parameter
        and module.padding_idx is None
        and module.max_norm is None
        and not (module.scale_grad_by_freq or module.sparse)
        and not any(hooks_of(module))
        and not (weight._backward_hooks or weight._post_accumulate_grad_hooks)
        and "forward" not in module.__dict__
    )


class TableDict(nn.ModuleDict):
    """An `nn.ModuleDict` whose names may hold dots, as feature names do."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        _, strict, _, unexpected_keys, _ = args
        known = tuple(f"{prefix}{name}." for name in self._modules)
        unexpected_keys += [k for k in state_dict if strict and k.startswith(prefix) and not k.startswith(known)]

    def train(self, mode: bool = True) -> TableDict:
        """As every module's; a table knows nothing but the flag, which is set without a call each."""
        self.__dict__["training"] = mode  # a table may have this name
        for module in self._modules.values():
            if type(module) is nn.Embedding:
                module.__dict__["training"] = mode
            elif module is not None:
                module.train(mode)
        return self


class EmbeddingCollection(TableDict):
    """An `nn.ModuleDict` of one `nn.Embedding` a table; those of one width lie in one tensor (`FusedTable`).

    Optimizers, hooks, `named_parameters`, `state_dict`, copies and exporters see ordinary tables under the names that
    the original gives them. `EmbeddingLookup` reads the tables of a width with one gather.

    Args:
        configs: the tables.

    Attributes:
        configs: table name -> `EmbeddingConfig`.
        fused: one `FusedTable` a width.

    >>> tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 3), SparseFeat("item", 5)], init_std=0.01))
    >>> list(tables.state_dict()), tables.fused[0].data.shape
    (['user.weight', 'item.weight'], torch.Size([8, 4]))
    >>> tables["item"](torch.tensor([4])).shape
    torch.Size([1, 4])
    """

    def __init__(self, configs: Sequence[EmbeddingConfig]) -> None:
        super().__init__()
        self.configs = {config.name: config for config in configs}
        self.fused: list[FusedTable] = []
        self._first_row: dict[str, int] = {}
        found: dict[tuple[str, ...], nn.Embedding] = {}
        wholes = []
        for dim in dict.fromkeys(config.embedding_dim for config in configs):
            members = [config for config in configs if config.embedding_dim == dim]
            whole = on_large_pages(torch.empty(sum(c.num_embeddings for c in members), dim))
            start = 0
            for config in members:
                self._first_row[config.name] = start
                rows = whole[start : start + config.num_embeddings].normal_(0.0, config.init_std)
                for part in config.slices:
                    columns = rows if part.stop - part.start == dim else rows[:, part.start : part.stop]
                    table = nn.Embedding(len(columns), columns.shape[1], _weight=columns)
                    found |= dict.fromkeys((part.path, *part.aliases), table)
                start += config.num_embeddings
            wholes.append((whole, members))
        self._add_modules(found)
        for whole, members in wholes:
            spans = []
            for config in members:
                first, last = self._first_row[config.name], self._first_row[config.name] + config.num_embeddings
                for part in config.slices:
                    parent = functools.reduce(lambda at, name: at._modules[name], part.path[:-1], cast(Any, self))
                    spans.append(_Span(parent, part.path[-1], first, last, part.start, part.stop))
            fused = FusedTable(spans, *whole.shape)
            fused.adopt(whole)
            self.fused.append(fused)

    def _add_modules(self, found: dict[tuple[str, ...], nn.Embedding]) -> None:
        """Put the tables into the tree of modules, in the order in which they are saved."""
        for path in self.order(list(found)):
            parent: nn.Module = self
            for name in path[:-1]:
                if name not in parent._modules:
                    parent._modules[name] = self.container(path[: path.index(name) + 1])
                parent = cast(nn.Module, parent._modules[name])
            parent._modules[path[-1]] = found[path]  # not `add_module`, which refuses names such as "values" or "a.b"

    def order(self, paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """The paths of the tables in the order in which they are saved."""
        return paths

    def container(self, path: tuple[str, ...]) -> nn.Module:
        """A new module that holds the tables below `path`."""
        return TableDict()

    def where(self, name: str) -> tuple[FusedTable, int, int]:
        """In which fused tensor a table lies, its first row there, and the row after its last.

        Raises:
            KeyError: there is no such table.
        """
        if name not in self.configs:
            raise KeyError(f"no table {name!r}: {suggest(name, self.configs)}")
        config = self.configs[name]
        table = next(t for t in self.fused if t.embedding_dim == config.embedding_dim)
        first = self._first_row[name]
        return table, first, first + config.num_embeddings

    def modules_of(self, name: str) -> list[nn.Embedding]:
        """The modules of a table: one `nn.Embedding`, or several whose vectors lie side by side in its rows."""
        table, first, _ = self.where(name)
        return [span.module for span in table.spans if span.first_row == first]

    def weights_of(self, name: str) -> list[nn.Parameter]:
        """The weights of a table, [rows, E] of each of its modules."""
        return [cast(nn.Parameter, module.weight) for module in self.modules_of(name)]

    @property
    def frozen(self) -> set[str]:
        """Names of the tables that training leaves alone."""
        return {name for name in self.configs if not any(w.requires_grad for w in self.weights_of(name))}

    def assign(self, name: str, value: Tensor, trainable: bool = True) -> None:
        """Copy `value` [rows, E] into a table; it is trained on, or frozen.

        Raises:
            ValueError: another shape.
        """
        config = self.configs[name]
        shape = (config.num_embeddings, config.embedding_dim)
        if tuple(value.shape) != shape:
            raise ValueError(f"the vectors of table {name!r} must have shape {list(shape)}, got {list(value.shape)}")
        for part, weight in zip(config.slices, self.weights_of(name), strict=True):
            with torch.no_grad():
                weight.copy_(value[:, part.start : part.stop])
            weight.requires_grad_(trainable)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> EmbeddingCollection:
        """Move or cast; tables whose weights this takes away are laid anew at once, which frees the old memory."""
        taken = []
        for table in self.fused:
            if table.data is not None:
                like = table.data.new_empty(0)
                after = fn(like)
                if (after.dtype, after.device) != (like.dtype, like.device):
                    table.forget()
                    taken.append(table)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for table in taken:
            table.refresh()
        return self
