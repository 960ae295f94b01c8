"""Helpers of the interaction layers: one tensor of fields, scores kept for explanations, refused argument names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ..kernels.autograd import watched

Init = TypeVar("Init", bound=Callable[..., None])

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


def keep_scores(module: nn.Module, name: str, scores: Tensor) -> None:
    """Leave `scores` of this forward readable as `module.<name>`, detached.

    An exported or traced program keeps nothing, nor does a transformed one, whose tensors end with the transform.
    """
    if (torch.compiler.is_compiling() and not _is_exporting()) or not watched():
        setattr(module, name, scores.detach())


def refuse(**advice: str) -> Callable[[Init], Init]:
    """Decorate an `__init__`: a keyword named in `advice` raises a `TypeError` that says what to write.

    Without it Python complains about a missing argument, or about an unexpected one, and leaves the reader to search.

    >>> class Cross:
    ...     @refuse(input_feature_num="did you mean 'in_features'?")
    ...     def __init__(self, in_features): ...
    >>> Cross(input_feature_num=3)
    Traceback (most recent call last):
        ...
    TypeError: Cross has no argument 'input_feature_num': did you mean 'in_features'?
    """

    def decorate(init: Init) -> Init:
        @functools.wraps(init)
        def checked(self: Any, *args: Any, **kwargs: Any) -> None:
            for name in kwargs:
                if name in advice:
                    raise TypeError(f"{type(self).__name__} has no argument {name!r}: {advice[name]}")
            init(self, *args, **kwargs)

        return cast(Init, checked)

    return decorate
