"""Argument names that only the documentation of the original has."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar, cast

__all__ = ["refuse"]

S = TypeVar("S")
P = ParamSpec("P")
Init = Callable[Concatenate[S, P], None]


def refuse(**advice: str) -> Callable[[Init[S, P]], Init[S, P]]:
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

    def decorate(init: Init[S, P]) -> Init[S, P]:
        @functools.wraps(init)
        def checked(self: S, *args: P.args, **kwargs: P.kwargs) -> None:
            for name in kwargs:
                if name in advice:
                    raise TypeError(f"{type(self).__name__} has no argument {name!r}: {advice[name]}")
            init(self, *args, **kwargs)

        return cast("Init[S, P]", checked)

    return decorate
