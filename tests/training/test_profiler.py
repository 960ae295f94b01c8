"""`fit(profile=...)`: a trace, and a table of where a step's time goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.training import assert_same_weights, deepfm, inputs, labels


def test_a_trace_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = inputs(400), labels(400)
    model, plain = deepfm(), deepfm()
    for each in (model, plain):
        each.compile("adam", "binary_crossentropy")
    model.fit(x, y, batch_size=8, verbose=0, profile=tmp_path / "trace.json")
    plain.fit(x, y, batch_size=8, verbose=0)
    assert_same_weights(model, plain)
    names = {event.get("name") for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"data", "lookup", "forward", "backward", "update"} <= names
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["part", "ms", "a", "step", "share"]
    table = {line.split()[0]: float(line.split()[1]) for line in lines[1:-1]}
    assert list(table) == ["data", "lookup", "forward", "backward", "update", "rest", "step"]
    assert all(value > 0 for name, value in table.items() if name != "rest")
    parts = sum(value for name, value in table.items() if name != "step")
    assert parts == pytest.approx(table["step"], rel=0.02)
    assert lines[-1].startswith("20 steps, ")
    assert lines[-1].endswith("trace.json")


def test_too_short_a_training_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = deepfm()
    model.compile("adam", "binary_crossentropy")
    model.fit(inputs(20), labels(20), batch_size=10, verbose=0, profile=tmp_path / "trace.json")
    assert "nothing was measured" in capsys.readouterr().out
    assert not (tmp_path / "trace.json").exists()
    with pytest.raises(ValueError, match="profile must be a path in a folder that exists"):
        model.fit(inputs(20), labels(20), verbose=0, profile=tmp_path / "no" / "trace.json")
