"""`models` and `demo`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import deepctr_torch.demo as demo
from deepctr_torch import load_model
from deepctr_torch.cli import main
from deepctr_torch.models import MODELS

NAMES = ["DeepFM", "DIN", "logistic_regression", "gbdt"]


KEYS = {"auc", "calibration", "gauc", "logloss", "ne", "samples_per_s"}


def run(arguments: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.fixture
def few_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo sees the ratings of forty users."""
    ratings = demo.load_movielens().filter(pl.col("user_id") <= 40)
    monkeypatch.setattr(demo, "load_movielens", lambda: ratings)


def check(numbers: dict[str, Any]) -> None:
    """The object that `demo --json` prints."""
    assert list(numbers) == [*NAMES, "seconds"]
    for name in NAMES:
        assert set(numbers[name]) == KEYS
        assert 0.5 < numbers[name]["auc"] < 1
        assert 0 < numbers[name]["logloss"] < 1
        assert numbers[name]["samples_per_s"] > 0
    assert numbers["seconds"] > 0


def test_demo_prints_one_json_object_and_nothing_else_on_stdout(
    few_users: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--json", "--out", str(tmp_path), "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    check(json.loads(out))
    assert "DeepFM" in err
    assert (tmp_path / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    for name in ("DeepFM", "DIN"):
        assert type(load_model(tmp_path / name)).__name__ == name


def test_demo_shows_a_table(
    few_users: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")  # long paths stay in one line
    assert run(["demo", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for word in ("DeepFM", "DIN", "AUC", "GAUC", "logloss", "calibration", "learning"):
        assert word in out


def test_demo_fails_when_a_loaded_model_predicts_otherwise(
    few_users: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "EQUAL", -1.0)
    assert run(["demo", "--json", "--out", str(tmp_path)]) == 1


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in listed] == list(MODELS)
    assert all(item["summary"].endswith(".") for item in listed)
    assert run(["models"]) == 0
    assert "xDeepFM" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    code = "import sys; from deepctr_torch.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--json", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    numbers = json.loads(done.stdout)
    check(numbers)
    assert numbers["DeepFM"]["auc"] > numbers["logistic_regression"]["auc"]
    assert numbers["DeepFM"]["auc"] > 0.77
    assert numbers["DIN"]["auc"] > 0.77
