"""Names given by the user, looked up in one way: a registry says what it knows when asked for another."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

__all__ = ["Registry", "suggest"]

T = TypeVar("T")


def suggest(name: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: the nearest known one, then all of them.

    >>> suggest("adagard", ["adagrad", "adam"])
    "did you mean 'adagrad'? Known: adagrad, adam"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1)
    hint = next((f"did you mean {n!r}? " for n in names if near and n.lower() == near[0]), "")
    return f"{hint}Known: {', '.join(names)}"


class Registry(Generic[T]):
    """Name -> item. Asking for an unknown name raises one error that suggests the nearest.

    Args:
        kind: what the items are, for errors.
        items: the first ones.

    >>> losses = Registry("loss", {"mse": "squared error"})
    >>> losses.get("mse")
    'squared error'
    >>> losses.get("msa")
    Traceback (most recent call last):
        ...
    ValueError: unknown loss 'msa': did you mean 'mse'? Known: mse
    """

    def __init__(self, kind: str, items: Mapping[str, T] | None = None) -> None:
        self.kind = kind
        self._items: dict[str, T] = dict(items or {})

    def add(self, name: str, item: T) -> T:
        """Register `item` under `name`; a name is registered once."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered already")
        self._items[name] = item
        return item

    def register(self, *names: str) -> Callable[[T], T]:
        """Decorator: register the decorated item under every name given."""

        def decorate(item: T) -> T:
            for name in names:
                self.add(name, item)
            return item

        return decorate

    def get(self, name: str) -> T:
        if name not in self._items:
            raise ValueError(f"unknown {self.kind} {name!r}: {suggest(name, self._items)}")
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)
