"""Row-sparse optimizers: they change only the rows of a batch.

Where every row is in every batch they make the steps of torch's dense optimizers; a row that is not keeps weight and
state bit for bit, so a step costs the batch, not the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .._checks import check_non_negative
from .._memory import new_filled

__all__ = ["RowOptimizer", "move_given", "put_rows"]

GRAIN = 32_768  # elements from which torch spreads a copy over threads


class RowOptimizer:
    """Base of the optimizers that update given rows of given weights.

    `param_groups` holds one group with "lr", so that whatever sets learning rates on torch's optimizers works here.
    State tensors are created at a weight's first update and start from 0.

    Args:
        weights: the tables, each [R, E], in an order that `state_dict` relies on.
        lr: learning rate.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()  # beside the rate, under the names that torch's optimizers have for them

    def __init__(self, weights: Iterable[nn.Parameter], lr: float) -> None:
        check_non_negative("lr", lr)
        self.param_groups: list[dict[str, Any]] = [{"params": list(weights), "lr": lr}]
        self.state: dict[int, dict[str, Any]] = {}  # place of the weight -> {"step": updates so far, name: [R, ...]}
        self._places = {id(w): i for i, w in enumerate(self.param_groups[0]["params"])}

    @torch.no_grad()
    def update(
        self,
        weight: nn.Parameter,
        rows: Tensor,
        grad: Tensor,
        lr: float | None = None,
        l2: float = 0.0,
        once: Tensor | None = None,
    ) -> Tensor | None:
        """One step of `weight` at the distinct `rows`. `[R, E], [U], [U, E]`

        Args:
            lr: None for the one of `param_groups`.
            l2: strength of the penalty `l2 * w^2`: `2 * l2 * w` joins the rows' gradient, never a decoupled decay.

            once: bool [U], one True for each distinct row, where `rows` may repeat.

        Returns:
            The sum of the squares of the rows before the step, if there is a penalty, else None.
        """
        state = self._state_of(weight)
        state["step"] += 1
        at_rows = [state[name].index_select(0, rows) for name in self.state_names]  # [U, E] each
        moved = weight.index_select(0, rows)
        flat = (moved if once is None else moved * once.unsqueeze(-1)).reshape(-1)
        squares = torch.dot(flat, flat) if l2 else None
        grad = grad.to(moved.dtype)
        rate = self.param_groups[0]["lr"] if lr is None else lr
        self._step(moved, grad, *at_rows, lr=rate, step=state["step"], l2=l2)
        for name, value in zip(self.state_names, at_rows, strict=True):
            put_rows(state[name], rows, value)
        put_rows(weight.data, rows, moved)
        return squares

    def move_given(self) -> None:
        """One step of each weight that has a gradient, at the rows where it is not 0."""
        move_given(self.param_groups[0]["params"], self.update)

    def _step(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        """Change the copies of weight and state rows in place."""
        raise NotImplementedError

    def state_shape(self, name: str, weight: Tensor) -> tuple[int, ...]:
        """Shape of one state tensor of a weight."""
        return tuple(weight.shape)

    def place(self, weight: nn.Parameter) -> int:
        """Which of the weights it is."""
        place = self._places.get(id(weight))
        if place is None or self.param_groups[0]["params"][place] is not weight:  # copied or unpickled since
            weights = self.param_groups[0]["params"]
            self._places = {id(w): i for i, w in enumerate(weights)}
            place = self._places.get(id(weight))
        if place is None:
            raise ValueError(f"weight must be one the optimizer was made with, got one of shape {tuple(weight.shape)}")
        return place

    def _state_of(self, weight: nn.Parameter) -> dict[str, Any]:
        place = self.place(weight)
        if place not in self.state:
            empty = {name: new_filled(weight, self.state_shape(name, weight)) for name in self.state_names}
            self.state[place] = {"step": 0, **empty}
        return self.state[place]

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and tensors, laid out as torch's optimizers do; the tensors are not copied."""
        count = len(self.param_groups[0]["params"])
        return {
            "state": {place: dict(values) for place, values in self.state.items()},
            "param_groups": [{**self.param_groups[0], "params": list(range(count))}],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, copied to the weights' devices."""
        weights = self.param_groups[0]["params"]
        (group,) = state_dict["param_groups"]
        if len(group["params"]) != len(weights):
            raise ValueError(f"state must be of {len(weights)} weights, got {len(group['params'])}")
        loaded: dict[int, dict[str, Any]] = {}
        for place, values in state_dict["state"].items():
            weight = weights[int(place)]
            loaded[int(place)] = {"step": int(values["step"])}
            for name in self.state_names:
                shape = self.state_shape(name, weight)
                if name not in values or tuple(values[name].shape) != shape:
                    found = tuple(values[name].shape) if name in values else "none"
                    raise ValueError(f"state {name!r} of a table must have shape {shape}, got {found}")
                loaded[int(place)][name] = values[name].detach().to(weight.device, weight.dtype, copy=True)
        self.state = loaded
        self.param_groups = [{**self.param_groups[0], **group, "params": weights}]


@torch.no_grad()
def move_given(weights: Iterable[nn.Parameter], update: Callable[..., Any]) -> None:
    """`update(weight, rows, gradient)` for each weight that has a gradient, at the rows where it is not 0."""
    for weight in weights:
        if weight.grad is not None:
            rows = weight.grad.ne(0).any(dim=1).nonzero()[:, 0]
            update(weight, rows, weight.grad[rows])


def put_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """`table[rows] = values` in place, rows distinct or repeated with the same values. `[R, E], [U], [U, E]`

    Elements are copied one by one, so rows are seen as few wide elements: at E = 16, four of 16 bytes take two thirds
    of the time of sixteen of 4, at E = 4 half of it. Below `GRAIN` elements `index_copy_` runs on one thread and takes
    about twice the time of `index_put_`; above it, it is the faster one.
    """
    if table.device.type != "cpu":
        table.index_copy_(0, rows, values)
        return
    kind = _wide(table.shape[-1] * table.element_size())
    if kind is not None and _divides(kind, table) and _divides(kind, values):
        table, values = table.view(kind), values.view(kind)
    if values.numel() < GRAIN:
        table.index_put_((rows,), values)
    else:
        table.index_copy_(0, rows, values)


def _wide(row_bytes: int) -> torch.dtype | None:
    if row_bytes >= 16 and row_bytes % 16 == 0:
        return torch.complex128
    return torch.float64 if row_bytes > 8 and row_bytes % 8 == 0 else None


def _divides(kind: torch.dtype, tensor: Tensor) -> bool:
    """Whether rows of whole `kind`s can be seen as such: they lie close together, and whole from the start."""
    ratio = kind.itemsize // tensor.element_size()
    whole = tensor.storage_offset() % ratio == 0 and tensor.stride(0) % ratio == 0  # a single row has any stride
    return tensor.is_contiguous() and whole
