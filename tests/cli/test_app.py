"""The commands: help, exit codes, and those of the README."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from deepctr_torch.cli import main

from ..support.cli_tables import ROOT, as_json, call, failed, ran


def run(arguments: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def test_an_unknown_command_ends_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trian"]) == 2
    assert "trian" in capsys.readouterr().err


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    assert run(["models"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert 'pip install "deepctr-torch[tables]"' in err


def test_wrong_folders_end_with_1(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test, out = data / "criteo_like" / "test.csv", tmp_path / "scores.csv"
    assert "there is no folder" in failed("predict", tmp_path / "no", test, "--out", out)
    assert "must hold a saved estimator" in failed("evaluate", data, test)
    assert "lacks config.json" in failed("inspect", data)
    assert "has no column 'I1' (a feature of the model)" in failed(
        "predict", criteo_like, data / "movielens" / "test.csv", "--out", out
    )
    assert "has no column 'liked'" in failed("evaluate", criteo_like, test, "--by", "liked")
    assert "--out must end in" in failed("predict", criteo_like, test, "--out", tmp_path / "scores.json", code=2)
    ran("predict", criteo_like, test, "--out", out)
    assert "have a column 'prediction' already" in failed("predict", criteo_like, out, "--out", tmp_path / "b.csv")
    assert list(tmp_path.iterdir()) == [out]


def commands() -> list[str]:
    """The commands of the README's section, one a line."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^<!-- command: files -->\n```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line for line in found[1].splitlines() if line]


@pytest.mark.slow
def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    """In processes of their own, and the numbers that the README shows."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    programs = {
        ".venv/bin/python": [sys.executable],
        ".venv/bin/deepctr-torch": [sys.executable, "-m", "deepctr_torch"],
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = {}
    for line in commands():
        program, *arguments = shlex.split(line)
        command = [*programs[program], *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        said[line] = done.stdout
    first = next(out for line, out in said.items() if " evaluate " in line)
    shown = re.search(r"10,000 rows\n.*?```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    numbers = [[float(n) for n in re.findall(r"\d\.\d+(?:e-\d+)?", text)] for text in (first, shown[0])]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)
    runs = tmp_path / "runs"
    weights = [(runs / name / "weights.safetensors").read_bytes() for name in ("criteo", "criteo_again")]
    assert weights[0] == weights[1]
    assert pl.read_parquet(runs / "movielens.parquet").columns[-1] == "prediction"
    assert pl.read_csv(runs / "criteo.tsv.gz", separator="\t").columns[-2:] == ["C26", "prediction"]


@pytest.mark.parametrize("command", ["fit", "evaluate", "predict", "inspect", "encode", "demo", "models"])
def test_help_is_there(command: str) -> None:
    done: Any = call(command, "--help")
    assert done.exit_code == 0
    assert "--json" in done.stdout


SMALL = ["--set", "epochs=1", "--set", "batch_size=64", "--set", "model_args.dnn_hidden_units=[8]"]


def test_json_stands_alone_whatever_is_set(views: Path, tmp_path: Path) -> None:
    done = as_json("fit", "--data", views / "views.csv", "--label", "click", "--out", tmp_path / "a", *SMALL,
                   "--set", "verbose=2")  # fmt: skip
    assert done["model"] == "DeepFM"


def test_threads_are_those_of_torch_and_of_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr("torch.set_num_threads", lambda n: asked.append(("torch", n)))
    monkeypatch.setattr("pyarrow.set_cpu_count", lambda n: asked.append(("arrow", n)))
    for command in ("fit", "evaluate", "predict", "encode"):
        call(command, "--threads", 3, "--help")
    assert asked == []  # help runs nothing
    (tmp_path / "a.csv").write_text("user,x\n" + "".join(f"{i % 7},{i % 3}.5\n" for i in range(50)))
    ran("encode", tmp_path / "a.csv", "--out", tmp_path / "out", "--threads", 3)
    assert asked == [("torch", 3), ("arrow", 3)]
    assert "--threads" in failed("encode", tmp_path / "a.csv", "--out", tmp_path / "new", "--threads", 0, code=2)
