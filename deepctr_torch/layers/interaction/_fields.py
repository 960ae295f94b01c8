"""What the field-wise layers share: one tensor of fields, the pairs of it, and scores kept for explanations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..kernels.autograd import watched

__all__ = ["as_fields", "keep_scores", "pairs", "runs", "split_pairs"]

# torch.compiler.is_exporting is younger than the oldest torch supported
_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


def as_fields(inputs: Tensor | Sequence[Tensor]) -> Tensor:
    """Stack the fields of either form a layer accepts, a list of `[B, 1, E]` or one `[B, F, E]`, `-> [B, F, E]`.

    >>> as_fields([torch.zeros(5, 1, 4), torch.zeros(5, 1, 4)]).shape
    torch.Size([5, 2, 4])
    """
    if not isinstance(inputs, Tensor):
        if len(inputs) == 0:
            raise ValueError(
                "inputs must be a tensor [B, F, E] or a list of at least one tensor [B, 1, E], got an empty list"
            )
        inputs = torch.cat(tuple(inputs), dim=1)  # [B, F, E]
    if inputs.dim() != 3:
        raise ValueError(f"inputs must have three dimensions [B, F, E], got shape {tuple(inputs.shape)}")
    return inputs


def pairs(fields: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """First and second field of each pair, in the order (0, 1), (0, 2), ..., (1, 2), ..., `-> [P], [P]`.

    Made anew at each call: a buffer would be lost where a model is built on `meta` and filled from a checkpoint.

    >>> pairs(3, torch.device("cpu"))
    (tensor([0, 0, 1]), tensor([1, 2, 2]))
    """
    first, second = torch.triu_indices(fields, fields, offset=1, device=device).unbind(dim=0)
    return first, second


def runs(fields: int) -> Iterator[tuple[int, slice]]:
    """For each first field, where the pairs with all later fields stand among all pairs."""
    start = 0
    for i in range(fields - 1):
        yield i, slice(start, start + fields - 1 - i)
        start += fields - 1 - i


def split_pairs(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the embeddings of the first and of the second field of each pair, `[B, F, E] -> [B, P, E], [B, P, E]`."""
    first, second = pairs(inputs.shape[1], inputs.device)
    return inputs.index_select(1, first), inputs.index_select(1, second)


def keep_scores(module: nn.Module, name: str, scores: Tensor) -> None:
    """Leave `scores` of this forward readable as `module.<name>`, detached.

    An exported or traced program keeps nothing, nor does a transformed one, whose tensors end with the transform.
    """
    if (torch.compiler.is_compiling() and not _is_exporting()) or not watched():
        setattr(module, name, scores.detach())
