"""Each script of this folder runs to its end: its assertions hold."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted(p for p in Path(__file__).parent.glob("*.py") if not p.name.startswith(("test_", "_")))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_script(script: Path) -> None:
    runpy.run_path(str(script))


def test_there_are_six() -> None:
    assert len(SCRIPTS) == 6
