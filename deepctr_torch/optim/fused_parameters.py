"""During a step the tables of one width are one parameter of the optimizer; outside of it each is a parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

from .._memory import new_filled
from ..embedding import FusedTable
from .combined import DenseRowWiseAdagrad, fusible
from .regularizer import Regularizer

__all__ = ["ELEMENTWISE", "FusedParameters"]

State = dict[str, Any]
ELEMENTWISE = (  # whose step of a whole is that of its parts
    optim.Adadelta,
    optim.Adagrad,
    optim.Adam,
    optim.AdamW,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
    optim.RMSprop,
    optim.SGD,
    DenseRowWiseAdagrad,
)


class FusedParameters:
    """Hands an optimizer the fused tensors of tables in the place of their weights: `with fused: optimizer.step()`.

    An optimizer then makes one update instead of one a table. Its state of a fused tensor is one tensor a name; the
    states of the tables, which everybody else sees, are slices of it. Tables that are not treated alike (in different
    groups, with different penalties or numbers of steps, or with a state that is not a number an element or a row)
    stay apart.

    Args:
        optimizer: has the weights of the tables in its groups.
        tables: laid tables.
        penalty: of the weights.
        named: the optimizer was given by name, and may use the kernels that this package knows.
        frozen: fuse tables some of which are frozen, too: only given rows will be moved.

    Attributes:
        tables: those that are fused.
        apart: those that are not.
        penalty: the one of the fused tensors and of all other parameters.
    """

    def __init__(
        self,
        optimizer: optim.Optimizer,
        tables: Iterable[FusedTable],
        penalty: Regularizer,
        *,
        named: bool = True,
        frozen: bool = False,
    ) -> None:
        self._members: list[Any] = list(getattr(optimizer, "members", [optimizer]))
        self._layout = [(member, member.param_groups) for member in self._members]
        self.tables: list[FusedTable] = []
        self.apart: list[FusedTable] = []
        self._states: list[_FusedState] = []
        self._swaps: list[tuple[dict[str, Any], list[nn.Parameter], list[nn.Parameter], Any]] = []
        self._owners: dict[int, list[FusedTable]] = {}  # id of a group -> its tables
        for table in tables:
            self._add(table, penalty, frozen)
        for member, groups in self._layout:
            for group in groups:
                if id(group) in self._owners:
                    fused = _replaced(group["params"], self._owners[id(group)])
                    kernel = group.get("fused") or (_kernel(member, fused) if named else None)
                    self._swaps.append((group, group["params"], fused, kernel))
        self.penalty = penalty.fused(self.tables)

    def _add(self, table: FusedTable, penalty: Regularizer, frozen: bool) -> None:
        weights = table.weights
        trained = [weight for weight in weights if weight.requires_grad]
        known = {id(weight) for weight in weights}
        homes = [
            (member, group)
            for member, groups in self._layout
            for group in groups
            if known.issubset(map(id, group["params"]))
        ]
        strengths = {penalty.of(weight) for weight in trained}
        alike = len(homes) == 1 and len(strengths) <= 1 and trained and (frozen or len(trained) == len(weights))
        state = _FusedState.of(homes[0][0], table) if alike else None
        if state is None:
            self.apart.append(table)
            return
        self.tables.append(table)
        self._states.append(state)
        self._owners.setdefault(id(homes[0][1]), []).append(table)

    def is_current(self) -> bool:
        """True if tables, groups and states are still those that were fused."""
        same = all(member.param_groups is groups or not isinstance(groups, list) for member, groups in self._layout)
        kept = all(group["params"] is apart for group, apart, *_ in self._swaps)
        return same and kept and all(state.is_current() for state in self._states)

    def __enter__(self) -> FusedParameters:
        self._kernels = [group.get("fused") for group, *_ in self._swaps]
        for group, _, fused, kernel in self._swaps:
            group["params"] = fused
            if "fused" in group:
                group["fused"] = kernel
        for state in self._states:
            state.enter()
        return self

    def __exit__(self, *error: object) -> None:
        for state in self._states:
            state.leave()
        for (group, apart, *_), kernel in zip(self._swaps, self._kernels, strict=True):
            group["params"] = apart
            if "fused" in group:
                group["fused"] = kernel


def _kernel(optimizer: optim.Optimizer, parameters: Sequence[nn.Parameter]) -> bool | None:
    """True where a named optimizer would have torch's fused kernel, had it been made of these parameters.

    It does not have it if a table is some columns of a wide one: the kernel takes memory to be contiguous.
    """
    devices = {optim.Adam: ("cpu", "cuda"), optim.AdamW: ("cpu", "cuda"), optim.Adagrad: ("cpu",)}
    return fusible(parameters, devices.get(type(optimizer), ())) or None


def _replaced(parameters: Sequence[nn.Parameter], tables: Sequence[FusedTable]) -> list[nn.Parameter]:
    """The parameters with each fused tensor in the place of the first of its weights."""
    first = {id(table.weights[0]): table.parameter for table in tables}
    inside = {id(weight) for table in tables for weight in table.weights}
    return [first.get(id(p), p) for p in parameters if id(p) in first or id(p) not in inside]


class _FusedState:
    """The state that one optimizer has of one fused table."""

    def __init__(self, optimizer: optim.Optimizer, table: FusedTable, whole: State) -> None:
        self.optimizer, self.table, self.whole = optimizer, table, whole
        self.parameter, self.weights = table.parameter, table.weights
        self._trained = [weight.requires_grad for weight in self.weights]
        self._names: set[str] = set()
        self._steps: Tensor | None = None
        self._own: list[State] = []
        self._spread()

    @classmethod
    def of(cls, optimizer: optim.Optimizer, table: FusedTable) -> _FusedState | None:
        """The states of the tables side by side; None where they cannot be."""
        states: list[State | None] = [optimizer.state.get(weight) or None for weight in table.weights]
        known = [state for state in states if state is not None]
        late = any(s is None and w.requires_grad for s, w in zip(states, table.weights, strict=True))
        if known and (late or any(state.keys() != known[0].keys() for state in known)):
            return None
        whole: State = {}
        for name in known[0] if known else ():
            values = [None if state is None else state[name] for state in states]
            whole[name] = _joined(values, table)
            if whole[name] is None:
                return None
        return cls(optimizer, table, whole)

    def is_current(self) -> bool:
        state, first = self.optimizer.state, self.weights[0]
        if self.table.data is None or self.table.parameter is not self.parameter:
            return False
        if self._trained != [weight.requires_grad for weight in self.weights]:
            return False
        return not self._own or state.get(first) is self._own[0]

    def enter(self) -> None:
        if self.whole:
            self.optimizer.state[self.parameter] = self.whole

    def leave(self) -> None:
        made = self.optimizer.state.pop(self.parameter, None)
        if made is not None:
            self.whole = made
        if self._names != self.whole.keys():
            self._spread()
        elif self._steps is not None:
            self._steps.copy_(self.whole["step"])
        elif "step" in self.whole:
            for state in self._own:
                state["step"] = self.whole["step"]

    def _spread(self) -> None:
        """Make the states of the tables slices of the whole."""
        self._names = set(self.whole)
        if not self.whole:
            return
        count = len(self.weights)
        self._own = [{} for _ in range(count)]
        for name, value in self.whole.items():
            parts: Sequence[Any] = [value] * count
            if isinstance(value, Tensor) and value.dim():
                parts = self.table.slices(value)
            elif isinstance(value, Tensor):
                self._steps = value.detach().expand(count).clone()
                parts = self._steps.unbind()
            for state, part in zip(self._own, parts, strict=True):
                state[name] = part
        for weight, state in zip(self.weights, self._own, strict=True):
            self.optimizer.state[weight] = state


def _joined(values: Sequence[Any], table: FusedTable) -> Any:
    """One entry of the states of all tables as that of the fused one; None where they cannot be one."""
    there = [value for value in values if value is not None]
    if not isinstance(there[0], Tensor) or not there[0].dim():
        return there[0] if len({float(value) for value in there}) == 1 else None
    weights = table.weights
    by_element = all(v is None or v.shape == w.shape for v, w in zip(values, weights, strict=True))
    by_row = all(v is None or v.shape == (len(w), 1) for v, w in zip(values, weights, strict=True))
    if not (by_element or by_row):
        return None
    shape = (table.num_embeddings, table.embedding_dim if by_element else 1)
    whole = _seen_as_one(values, shape, table)
    if whole is None:
        with torch.no_grad():
            whole = new_filled(there[0], shape)
            for part, value in zip(table.slices(whole), values, strict=True):
                if value is not None:
                    part.copy_(value)
    return whole


def _seen_as_one(values: Sequence[Tensor | None], shape: tuple[int, int], table: FusedTable) -> Tensor | None:
    """The tensor that all values are slices of; None if they are not."""
    first = values[0]
    if first is None or first.is_meta or any(value is None for value in values):
        return None
    span = table.spans[0]
    column = span.first_column if shape[1] == table.embedding_dim else 0
    begin = first.storage_offset() - span.first_row * shape[1] - column
    size = (begin + shape[0] * shape[1]) * first.element_size()
    if begin < 0 or first.untyped_storage().nbytes() < size:
        return None
    whole = first.detach().as_strided(shape, (shape[1], 1), begin)
    same = [
        part.data_ptr() == value.data_ptr() and part.stride() == value.stride() and part.dtype == value.dtype
        for part, value in zip(table.slices(whole), values, strict=True)
        if value is not None
    ]
    return whole if all(same) else None
