"""What happens to gradients between the backward pass and the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..layers.embedding import EmbeddingTables

__all__ = ["FrozenRows", "clip_gradients", "set_none"]

CLIP_EPSILON = 1e-6


@torch.no_grad()
def clip_gradients(
    gradients: Sequence[Tensor], limit: float, distinct: Sequence[Callable[[Tensor], Tensor]] = ()
) -> None:
    """Scale all gradients, in place, so that their common norm is at most `limit`.

    Args:
        gradients: those of parameters, then those of rows.
        distinct: for each of rows, what sets all but one of a repeated row to zero, so that it counts once.
    """
    if not gradients:
        return
    counted = list(gradients)
    for i, once in enumerate(reversed(distinct), start=1):
        counted[-i] = once(counted[-i])
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in counted]))
    scale = (limit / (norm + CLIP_EPSILON)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


def set_none(optimizer: Any) -> None:
    """Drop the gradients of all parameters; torch's `zero_grad` does the same and takes ten times as long about it."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class FrozenRows:
    """Keeps the rows of frozen tables as they are through a dense step, whatever momentum or decay an optimizer has."""

    def __init__(self, model: nn.Module) -> None:
        self._spans = [
            (m.weights[str(table.width)], start, start + table.rows)
            for m in model.modules()
            if isinstance(m, EmbeddingTables)
            for table, start in map(m.where, m.frozen)
        ]

    def __bool__(self) -> bool:
        return bool(self._spans)

    def drop_gradients(self) -> None:
        """So that they enter neither the clipped norm nor the state of an optimizer."""
        for weight, start, stop in self._spans:
            if weight.grad is not None:
                weight.grad[start:stop] = 0.0

    def __enter__(self) -> None:
        self._saved = [weight.data[start:stop].clone() for weight, start, stop in self._spans]

    def __exit__(self, *error: object) -> None:
        for (weight, start, stop), saved in zip(self._spans, self._saved, strict=True):
            weight.data[start:stop] = saved
