"""From what `compile` was told about optimizers to optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer

from .combined import CombinedOptimizer, make_optimizer
from .sparse import SparseOptimizer, make_sparse_optimizer, parse_optimizer

__all__ = ["OptimizerSpec"]


class OptimizerSpec(NamedTuple):
    """Optimizers and learning rates, as `compile` was given them.

    Attributes:
        optimizer, rate: a name, a dict of a name and options, a torch optimizer class or instance; None for its own.
        table_optimizer, table_rate: for the tables, where they differ.
    """

    optimizer: Any
    rate: float | None = None
    table_optimizer: Any = None
    table_rate: float | None = None

    @property
    def named(self) -> bool:
        return isinstance(self.optimizer, (str, dict))

    @property
    def _by_row(self) -> bool:
        """One accumulator a row makes sense for tables only."""
        return self.named and parse_optimizer(self.optimizer)[0] == "rowwise_adagrad"

    def torch_optimizer(self, model: nn.Module, tables: Sequence[nn.Parameter], apart: bool) -> Any:
        """Of torch's optimizers: one, or, `apart` or where they differ, one for the tables and one for the rest."""
        if isinstance(self.optimizer, Optimizer):
            own = set(model.parameters())
            if not any(p in own for group in self.optimizer.param_groups for p in group["params"]):
                raise ValueError("the optimizer must be made of model.parameters(), got one of other parameters")
            return _with_task_weights(make_optimizer(self.optimizer, [], self.rate), model)
        apart = apart or self.table_optimizer is not None or self.table_rate is not None
        if not tables or not (apart or (self._by_row and self.table_optimizer is None)):
            return make_optimizer(self.optimizer, model.parameters(), self.rate)
        of_tables = make_optimizer(self.table_optimizer or self.optimizer, tables, self._table_rate)
        rest = _rest(model, tables)
        return CombinedOptimizer([self._of_rest(rest), of_tables]) if rest else of_tables

    def row_optimizer(self, model: nn.Module, tables: Sequence[nn.Parameter]) -> CombinedOptimizer:
        """One of torch's for the rest, and one for rows of the tables."""
        rest = _rest(model, tables)
        rows = self.row_rule(tables)
        return CombinedOptimizer([self._of_rest(rest), rows] if rest else [rows])

    def row_rule(self, tables: Sequence[nn.Parameter]) -> SparseOptimizer:
        """The optimizer of rows of the tables."""
        return make_sparse_optimizer(self.table_optimizer or self.optimizer, tables, self._table_rate)

    @property
    def _table_rate(self) -> float | None:
        return self.rate if self.table_rate is None and self.table_optimizer is None else self.table_rate

    def _of_rest(self, rest: Sequence[nn.Parameter]) -> Any:
        optimizer = self.optimizer
        if self._by_row:
            optimizer = "adagrad" if isinstance(optimizer, str) else {**optimizer, "name": "adagrad"}
        return make_optimizer(optimizer, rest, self.rate)


def _rest(model: nn.Module, tables: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    known = set(tables)
    return [p for p in model.parameters() if p not in known]


def _with_task_weights(optimizer: Optimizer, model: nn.Module) -> Optimizer:
    """An optimizer of the user's knows the parameters from before `compile`; learned task weights are newer."""
    learned = getattr(model, "task_log_variances", None)
    if learned is not None and all(learned is not p for group in optimizer.param_groups for p in group["params"]):
        optimizer.add_param_group({"params": [learned]})
    return optimizer
