"""Row updates of tables that belong to a torch optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, optim

from .._memory import new_filled
from .row_optim import RowOptimizer, move_given

__all__ = ["LentRows", "unknown_option"]

DENSE_ONLY = (  # options of torch's optimizers that no row rule has
    "amsgrad",
    "capturable",
    "centered",
    "dampening",
    "differentiable",
    "lr_decay",
    "maximize",
    "momentum",
    "nesterov",
)


def unknown_option(group: dict[str, Any], optimizer: optim.Optimizer) -> str | None:
    """The name of an option of a parameter group that only dense steps follow; None where rows can follow it."""
    decoupled = isinstance(optimizer, optim.AdamW) or group.get("decoupled_weight_decay")
    names = [*DENSE_ONLY, "weight_decay"] if decoupled else DENSE_ONLY
    return next((name for name in names if group.get(name)), None)


class LentRows:
    """Moves rows of a torch optimizer's tables as a row-sparse rule does, with the optimizer's rate, options and state.

    The optimizer itself moves everything else: it leaves parameters without a gradient alone. So there is one
    optimizer, whose schedulers, hooks and states are the same whether its tables are updated densely or by rows.

    Args:
        rule: made of the tables; its own rate and options are not used.
        optimizer: it has the tables in its groups.
    """

    def __init__(self, rule: RowOptimizer, optimizer: optim.Optimizer) -> None:
        self.rule, self.optimizer = rule, optimizer
        self.tables: list[nn.Parameter] = rule.param_groups[0]["params"]
        self._groups: list[dict[str, Any]] | None = None  # those of `_group`
        self._group: dict[nn.Parameter, dict[str, Any]] = {}
        self._known: dict[nn.Parameter, dict[str, Any]] = {}  # states that the rule works on

    def odd(self) -> str | None:
        """An option of the tables' groups, as it is set now, that rows cannot follow."""
        found = (unknown_option(self._group_of(table), self.optimizer) for table in self.tables)
        return next((name for name in found if name), None)

    def begin(self) -> None:
        """Before the first step of a fit: the optimizer may have been stepped, loaded or changed since the last."""
        odd = self.odd()
        if odd is not None:
            raise ValueError(f"embedding_update='sparse' needs an optimizer without {odd}, which moves every row")
        self._known.clear()
        for table in self.tables:
            state = self.optimizer.state.get(table)
            if state:
                self._share(table, state)

    def update(
        self, weight: nn.Parameter, rows: Tensor, grad: Tensor, l2: float = 0.0, once: Tensor | None = None
    ) -> Tensor | None:
        """As `RowOptimizer.update`."""
        rule, group, state = self.rule, self._group_of(weight), self.optimizer.state[weight]
        if self._known.get(weight) is not state:
            self._share(weight, state)
        for name in rule.options:
            setattr(rule, name, group[name])
        l2 = l2 + 0.5 * group.get("weight_decay", 0.0)
        squares = rule.update(weight, rows, grad, lr=group["lr"], l2=l2, once=once)
        state["step"] += 1
        return squares

    def move_given(self) -> None:
        """As `RowOptimizer.move_given`; the gradients are taken away, so that the optimizer leaves the tables alone."""
        move_given(self.tables, self.update)
        for table in self.tables:
            table.grad = None

    def _group_of(self, weight: nn.Parameter) -> dict[str, Any]:
        groups = self.optimizer.param_groups
        if groups is not self._groups:
            self._groups, self._group = groups, {p: group for group in groups for p in group["params"]}
        return self._group[weight]

    @torch.no_grad()
    def _share(self, weight: nn.Parameter, state: dict[str, Any]) -> None:
        """Let the rule work on the tensors of the optimizer's state of a table; what is missing starts from 0."""
        rule, group = self.rule, self._group_of(weight)
        steps = int(state["step"]) if "step" in state else 0
        if not isinstance(state.get("step"), Tensor):
            on = weight.device if group.get("fused") or group.get("capturable") else None
            state["step"] = torch.full((), float(steps), device=on)
        for name in rule.state_names:
            shape = rule.state_shape(name, weight)
            if name not in state:
                state[name] = new_filled(weight, shape, steps if name == "last" else 0)  # dense averages are up to date
            if tuple(state[name].shape) != shape:
                raise ValueError(f"state {name!r} of a table must have shape {shape}, got {tuple(state[name].shape)}")
        shared = {name: state[name].detach() for name in rule.state_names}
        rule.state[rule.place(weight)] = {"step": steps, **shared}
        self._known[weight] = state
