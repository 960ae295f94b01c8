"""The penalty as a decay: added to gradients inside the update, with no pass of autograd over the tables."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..embedding import FusedTable

__all__ = ["Regularizer"]


class Regularizer:
    """`l1 * sum(|w|) + l2 * sum(w ** 2)` over registered parameters.

    Args:
        entries: (parameters, l1, l2), as `BaseModel.regularization_weight` holds them.
    """

    def __init__(self, entries: Iterable[tuple[Iterable[nn.Parameter], float, float]]) -> None:
        strengths: dict[nn.Parameter, tuple[float, float]] = {}
        for parameters, l1, l2 in entries:
            for p in parameters:
                before = strengths.get(p, (0.0, 0.0))
                strengths[p] = (before[0] + l1, before[1] + l2)
        self.strengths = {p: s for p, s in strengths.items() if s != (0.0, 0.0) and p.requires_grad}

    def fused(self, tables: Iterable[FusedTable]) -> Regularizer:
        """The penalty with that of each fused tensor in the place of its tables', whose strengths are equal."""
        out, inside = Regularizer([]), {}
        for table in tables:
            trained = [weight for weight in table.weights if weight.requires_grad]
            inside.update(dict.fromkeys(table.weights, table.parameter))
            if trained and trained[0] in self.strengths:
                out.strengths[table.parameter] = self.strengths[trained[0]]
        out.strengths |= {p: s for p, s in self.strengths.items() if p not in inside}
        return out

    def without(self, parameters: Iterable[nn.Parameter]) -> Regularizer:
        """The penalty of all but some parameters (those updated row by row)."""
        out = Regularizer([])
        left_out = set(parameters)
        out.strengths = {p: s for p, s in self.strengths.items() if p not in left_out}
        return out

    @property
    def has_l1(self) -> bool:
        return any(l1 for l1, _ in self.strengths.values())

    def scaled(self, parameters: Iterable[nn.Parameter], factor: float) -> Regularizer:
        """The penalty with that of some parameters multiplied."""
        out, some = Regularizer([]), set(parameters)
        out.strengths = {
            p: (l1 * factor, l2 * factor) if p in some else (l1, l2) for p, (l1, l2) in self.strengths.items()
        }
        return out

    def of(self, parameter: nn.Parameter) -> tuple[float, float]:
        """(l1, l2) of one parameter."""
        return self.strengths.get(parameter, (0.0, 0.0))

    @torch.no_grad()
    def value(self) -> Tensor | float:
        """The penalty of the current weights, outside autograd."""
        total: Tensor | float = 0.0
        for p, (l1, l2) in self.strengths.items():
            flat = p.detach().reshape(-1)
            if l2:
                total = total + l2 * torch.dot(flat, flat)
            if l1:
                total = total + l1 * flat.abs().sum()
        return total

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradient of the penalty to `.grad` of each parameter."""
        for p, (l1, l2) in self.strengths.items():
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            if l2:
                p.grad.add_(p, alpha=2.0 * l2)
            if l1:
                p.grad.add_(p.sign(), alpha=l1)
