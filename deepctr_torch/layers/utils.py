"""Small helpers that know only tensors and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .kernels.autograd import watched

__all__ = ["concat_fun", "hooks_of", "sequence_mask", "slice_arrays", "valid_rows"]


def concat_fun(inputs: Sequence[Tensor], axis: int = -1) -> Tensor:
    """Join tensors along `axis`; one tensor alone is returned as it is.

    >>> concat_fun([torch.ones(2, 1), torch.zeros(2, 2)]).shape
    torch.Size([2, 3])
    """
    if not inputs:
        raise ValueError("inputs must hold at least one tensor, got none")
    return inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), dim=axis)


def slice_arrays(arrays: Any, start: Any = None, stop: int | None = None) -> Any:
    """Take the rows `start:stop`, or the rows listed in `start`, of one array or of each array of a list.

    Args:
        arrays: an array, a list of arrays (entries may be None), or None.
        start: first row, or a list or array of row numbers (`stop` must then be None).
        stop: row after the last one.

    Returns:
        What came in, with fewer rows: an array for an array, a list of the same length for a list.

    >>> slice_arrays([[1, 2, 3], [4, 5, 6]], 1)
    [[2, 3], [5, 6]]
    >>> slice_arrays([[1, 2, 3]], 0, 2)
    [[1, 2]]
    """
    if arrays is None:
        return [None]
    by_index = hasattr(start, "__len__")
    if by_index and stop is not None:
        raise ValueError(f"stop must be None when start lists rows, got {stop!r}")
    rows = start if by_index else slice(start, stop)

    def take(array: Any) -> Any:
        return None if array is None else array[rows]

    # NOTE[DIFF] C16: a list of one array stays a list, so that a single feature can be split too.
    return [take(array) for array in arrays] if isinstance(arrays, list) else take(arrays)


def sequence_mask(lengths: Tensor, maxlen: int) -> Tensor:
    """True at the positions before the length: `[B] or [B, 1] -> [B, T]`.

    >>> sequence_mask(torch.tensor([2, 0]), 3)
    tensor([[ True,  True, False],
            [False, False, False]])
    """
    return torch.arange(maxlen, device=lengths.device) < lengths.reshape(-1, 1)  # [B, T]


def valid_rows(mask: Tensor) -> Tensor | None:
    """The places where a mask is true, `[...] -> [N]`, so that padding costs nothing; None where all is to be computed.

    Their number depends on the data: no compiler or tracer can know it, and an accelerator would wait for it.

    >>> valid_rows(torch.tensor([[True, False], [False, True]]))
    tensor([0, 3])
    """
    if mask.device.type != "cpu" or watched():
        return None
    return mask.flatten().nonzero().squeeze(1)


def hooks_of(module: nn.Module) -> tuple[Any, ...]:
    """The four dicts of a module's own hooks; while all are empty, a call does no more than `forward`."""
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
