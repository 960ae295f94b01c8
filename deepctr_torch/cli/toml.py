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
    """Strings, numbers, truth values, lists and (nested) dicts of these as TOML.

    >>> print(to_toml({"model": "DIN", "parameters": {"epochs": 3, "rates": [0.1, 1e-05]}}))
    model = "DIN"
    <BLANKLINE>
    [parameters]
    epochs = 3
    rates = [0.1, 1e-05]
    <BLANKLINE>

    Raises:
        TypeError: a value of another type, None among them.
    """
    return "\n".join(_table(values, ())) + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = [f"{_key(name)} = {_value(value)}" for name, value in values.items() if not isinstance(value, Mapping)]
    title = [f"[{'.'.join(map(_key, path))}]"] if path and (plain or not values) else []
    lines = [*title, *plain]
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [*([""] if lines else []), *_table(value, (*path, name))]
    return lines


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
