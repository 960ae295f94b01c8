"""Bars, tables, JSON and failures."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from deepctr_torch.callbacks import CallbackList
from deepctr_torch.cli.console import Progress, TrainingProgress, as_cell, print_json, print_metrics

from ..support.cli_tables import ROOT


def test_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deepctr_torch", "inspect", str(tmp_path)]
    command.insert(3, "--traceback")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
    assert "Traceback" in done.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def training(progress: Progress) -> None:
    """What a training tells its callbacks."""
    callbacks = CallbackList([TrainingProgress(progress, 100)])
    callbacks.set_params({"epochs": None, "steps": 2, "samples": None, "batch_size": None})
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    for batch in range(2):
        if callbacks.wants_batches:
            callbacks.on_train_batch_end(batch, {"loss": 0.5, "size": 60})
    callbacks.on_test_begin()
    callbacks.on_epoch_end(0, {"loss": 0.5, "val_auc": 0.75})


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as progress:
        progress.begin("counting", 10)
        progress.advance(4)
        progress._bars.refresh()
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
        assert "counting" in shown
        assert "4 of 10 rows" in shown
        progress.advance(20)  # more than was guessed
        assert progress._bars.tasks[-1].total == 24
        training(progress)
    assert "part 1: loss: 0.5000 - val_auc: 0.7500" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO(), True), (Terminal(), False)])
def test_progress_is_not_shown_elsewhere(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, shown: bool) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(shown) as progress:
        assert not progress.shown
        progress.begin("counting", 10)
        training(progress)
        progress.end()
    assert stream.getvalue() == ""


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [pa.scalar(1), True, None], "c": (1.5,)})
    assert capsys.readouterr().out == '{"a": null, "b": ["1", true, null], "c": [1.5]}\n'
    assert as_cell(0.00001) == "1.00e-05"
    assert as_cell(True) == "True"
    assert as_cell(float("nan")) == "nan"


def test_metrics_of_tasks_whose_names_begin_alike(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"click_auc": 0.7, "click_buy_auc": 0.8, "auc": 0.75}
    print_metrics(metrics, ["click", "click_buy"], "Metrics")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1] == ["task", "auc"]
    assert lines[3:] == [["click", "0.7000"], ["click_buy", "0.8000"], ["mean", "0.7500"]]
