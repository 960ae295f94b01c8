"""Docstrings as mkdocstrings reads them: what is written for people, in the form that the site's generator knows."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Docstrings", "as_markdown"]

DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
FORMULA = re.compile(r":math:`([^`]*)`")
SHARED = re.compile(r"^ {4}(\w+(?:, \w+)+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Doctests (up to an empty line) in fences, formulas in dollars, an entry for each of `a, b: what they are`."""
    text = SHARED.sub(_one_each, FORMULA.sub(r"$\1$", text))
    return DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", text)


def _one_each(found: re.Match[str]) -> str:
    names = found[1].split(", ")
    together = ", ".join(f"`{name}`" for name in names)
    return "\n".join(f"    {name}: {together}: {found[2]}" for name in names)


class Docstrings(griffe.Extension):
    """Tells mkdocstrings, which shows a doctest as a quotation, and a class by its `__init__` alone."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """A named tuple with a `__new__` of its own is called as that says."""
        if "__new__" in cls.members and "__init__" not in cls.members:
            cls.members["__init__"] = cls.members["__new__"]
