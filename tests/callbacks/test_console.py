"""Lines that callbacks write."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from deepctr_torch.callbacks._console import format_logs, write


@pytest.mark.parametrize(
    ("logs", "line"),
    [
        ({}, ""),
        ({"loss": 0.0}, "loss: 0.0000"),
        ({"loss": -1.23456}, "loss: -1.2346"),
        ({"learning_rate": 1.5e-5}, "learning_rate: 1.5000e-05"),
        ({"loss": float("nan"), "note": "x"}, "loss: nan - note: x"),
    ],
)
def test_numbers_are_shown_with_four_decimals_or_an_exponent(logs: dict[str, Any], line: str) -> None:
    assert format_logs(logs) == line


@pytest.mark.parametrize("loaded", [True, False])
def test_a_message_needs_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded: bool
) -> None:
    if not loaded:
        monkeypatch.delitem(sys.modules, "tqdm")
    write("said")
    assert capsys.readouterr() == ("said\n", "")
