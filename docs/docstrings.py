"""Docstrings as Markdown while the site is built: doctests become code blocks, and `:math:` roles formulas."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Docstrings", "as_markdown"]

DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
FORMULA = re.compile(r":math:`([^`]*)`")


def as_markdown(text: str) -> str:
    """The docstring `text` with its doctests, each up to the next empty line, in fences, and its formulas in dollars.

    >>> as_markdown(":math:`x^2` of 2 is\\n\\n>>" + "> 2**2\\n4\\n\\nthat is all")
    '$x^2$ of 2 is\\n\\n```pycon\\n>>> 2**2\\n4\\n```\\n\\nthat is all'
    """
    return DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", FORMULA.sub(r"$\1$", text))


class Docstrings(griffe.Extension):
    """Tells mkdocstrings, which would show a doctest as a quotation within a quotation."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
