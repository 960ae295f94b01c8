"""The words of the demo on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import deepctr_torch.demo as demo

MODELS_OF_DEMO = ["DeepFM", "DIN", "logistic_regression", "gbdt"]


@pytest.mark.usefixtures("few")
def test_the_story_fits_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = io.StringIO()
    demo.run(Path("out"), 1, Console(file=told, width=80), epochs=1)
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in told.getvalue()  # nothing is cut off
    for name in MODELS_OF_DEMO:
        (row,) = [line for line in lines if line.split()[:1] == [name] and len(line.split()) == 7]
        assert all(float(number.replace(",", "")) > 0 for number in row.split()[1:])
    assert told.getvalue().count("predictions equal, largest difference 0") == 2
    assert any(line.startswith("curves") and str(Path("out", "learning_curves.png")) in line for line in lines)
