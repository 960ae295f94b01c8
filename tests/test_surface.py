"""Every public name of the original is here, and takes its arguments in their places and with their defaults."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

SURFACE: dict[str, Any] = json.loads(Path(__file__).with_name("surface.json").read_text())
POSITIONAL = ("POSITIONAL_OR_KEYWORD", "POSITIONAL_ONLY")


def resolve(dotted: str) -> Any:
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(dotted)


def parameters(found: Any, kind: str) -> list[inspect.Parameter]:
    if kind == "class":
        found = found.__new__ if issubclass(found, tuple) else found.__init__
    return [p for p in inspect.signature(found).parameters.values() if p.name not in ("self", "cls", "_cls")]


def test_the_surface_is_here() -> None:
    assert len(SURFACE) == 155


@pytest.mark.parametrize("name", SURFACE)
def test_signature(name: str) -> None:
    item = SURFACE[name]
    have = parameters(resolve(name), item["kind"])
    names = [p.name for p in have]
    wanted = [p for p in item["params"] if p[1] in POSITIONAL]
    for position, (wanted_name, _, default) in enumerate(wanted):
        if item["kind"] == "method":
            anything = any(p.kind is p.VAR_POSITIONAL for p in have)
            assert wanted_name in names or anything or position < len(have)
            continue
        assert names.index(wanted_name) == position
        if default is not None:
            assert have[position].default == ast.literal_eval(default)
