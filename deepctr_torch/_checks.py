"""The only place that words an argument error: what was expected, then what came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .registry import suggest


def check_at_least(name: str, value: Any, least: int) -> None:
    """`value` is an integer not below `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def check_positive(**sizes: Any) -> None:
    """Each of `sizes` is an integer of at least 1."""
    for name, value in sizes.items():
        check_at_least(name, value, 1)


def check_non_negative(name: str, value: Any) -> None:
    """`value` is a finite number >= 0."""
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be a number >= 0, got {value!r}")


def check_fraction(name: str, value: Any) -> None:
    """`value` lies in [0, 1)."""
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """`value` is one of the strings `known`."""
    names = list(known)
    if value not in names:
        raise ValueError(f"unknown {name} {value!r}: {suggest(str(value), names)}")


def check_type(name: str, value: Any, types: type | tuple[type, ...], expected: str) -> None:
    """`value` is an instance of `types`; `expected` says in words what is."""
    if not isinstance(value, types):
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}")


def check_positive_units(name: str, units: Sequence[int]) -> None:
    """`units` is a list or tuple of layer sizes, each an integer of at least 1 (empty: no layer)."""
    if not isinstance(units, (list, tuple)):
        raise TypeError(f"{name} must be a list or tuple of layer sizes, got {type(units).__name__}")
    for i, size in enumerate(units):
        check_at_least(f"{name}[{i}]", size, 1)


def refuse_names(owner: str, given: Iterable[str], renamed: Mapping[str, str]) -> None:
    """None of `renamed` is among the keywords `given`: names that only the documentation of the original has.

    Args:
        owner: what was called.
        given: the keywords it was given.
        renamed: refused name -> the name it goes by; "" if there is none.
    """
    for name in given:
        if name in renamed:
            hint = f"did you mean {renamed[name]!r}?" if renamed[name] else "leave it out"
            raise TypeError(f"{owner} has no argument {name!r}: {hint}")
