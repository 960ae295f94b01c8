"""The settings of a run as TOML, written so that people can read and change them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from .._optional import needs

__all__ = ["from_toml", "to_toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(values: Mapping[str, Any]) -> str:
    """Strings, numbers, truth values, lists and dicts of these as TOML; what dicts in dicts hold is one line each.

    >>> print(to_toml({"model": "DIN", "features": {"age": {"kind": "Numeric", "bins": 8}, "a b": {"rates": [1e-05]}}}))
    model = "DIN"
    <BLANKLINE>
    [features]
    age = {kind = "Numeric", bins = 8}
    "a b" = {rates = [1e-05]}
    <BLANKLINE>

    Raises:
        TypeError: a value of another type, None among them.
    """
    plain = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    blocks = [_lines(plain)] if plain else []
    for name, table in values.items():
        if isinstance(table, Mapping):
            blocks.append(f"[{_key(name)}]\n{_lines(table)}")
    return "\n".join(blocks)


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in values.items())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    """JSON's escapes are TOML's, but for one character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"settings must be text, numbers, truth values, lists or tables of these, got {value!r}")


def from_toml(text: str) -> dict[str, Any]:
    """The inverse of `to_toml`; any TOML is read.

    Raises:
        ValueError: it is none.
    """
    with needs("tables"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    return tomllib.loads(text)
