"""What commands write: never in the place of what they read, and by one process at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deepctr_torch._lock import file_lock
from deepctr_torch.cli.console import UsageError
from deepctr_torch.cli.output import LOCK, check_apart

from ..support.cli_tables import ROOT, failed, ran
from .conftest import SMALL

SPELLINGS = ["same", "dots", "symlink", "hardlink", "symlinked_folder"]


@pytest.fixture
def scored(data: Path, tmp_path: Path) -> Path:
    """A file in a folder of its own."""
    (tmp_path / "in").mkdir()
    return Path(shutil.copy(data / "criteo_like" / "test.csv", tmp_path / "in" / "t.csv"))


def spelled(path: Path, how: str) -> Path:
    """The same file by another way."""
    other = path.parent.parent / "other.csv"
    if how == "dots":
        return path.parent / ".." / path.parent.name / path.name
    if how == "symlink":
        other.symlink_to(path)
        return other
    if how == "hardlink":
        os.link(path, other)
        return other
    if how == "symlinked_folder":
        (path.parent.parent / "link").symlink_to(path.parent)
        return path.parent.parent / "link" / path.name
    return path


@pytest.mark.parametrize("how", SPELLINGS)
def test_predict_does_not_replace_its_input(criteo_like: Path, scored: Path, how: str) -> None:
    before = scored.read_bytes()
    message = failed("predict", criteo_like, scored, "--out", spelled(scored, how), "--columns", "C1", code=2)
    assert "must not be the place of its own input" in " ".join(message.split()).replace("│ ", "").replace(" │", "")
    assert scored.read_bytes() == before


def test_predict_does_not_replace_a_file_of_its_input(criteo_like: Path, scored: Path) -> None:
    failed("predict", criteo_like, scored.parent, "--out", scored, "--columns", "C1", code=2)
    failed("predict", criteo_like, scored.parent / "*.csv", "--out", scored, "--columns", "C1", code=2)
    ran("predict", criteo_like, scored.parent, "--out", scored.parent / "new.csv", "--columns", "C1")


def test_no_folder_around_an_input_is_written(scored: Path) -> None:
    folder = scored.parent
    (folder.parent / "link").symlink_to(folder)
    for out in (folder, folder.parent, folder.parent / "link", folder / ".." / folder.name):
        with pytest.raises(UsageError, match="must not be the place of its own input, got"):
            check_apart(out, [scored])
    check_apart(folder / "new", [scored])
    (folder / "beside").mkdir()
    check_apart(folder / "beside", [scored])


def test_a_link_in_a_folder_is_in_it(scored: Path) -> None:
    (scored.parent.parent / "runs").mkdir()
    link = scored.parent.parent / "runs" / "train.csv"
    link.symlink_to(scored)
    with pytest.raises(UsageError, match="its own input"):
        check_apart(link.parent, [link])


def test_fit_does_not_overwrite_the_folder_of_its_data(criteo_like: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(criteo_like, run)
    inside = shutil.copy(data / "criteo_like" / "train.csv", run / "train.csv")
    there = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for where in (["--data", inside], ["--data", data / "criteo_like" / "train.csv", "--valid", inside]):
        failed("fit", *where, "--label", "label", "--out", run, "--overwrite", *SMALL, code=2)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == there


def start(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deepctr_torch", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_of_two_runs_into_one_folder_one_is_refused(data: Path, tmp_path: Path) -> None:
    source = data / "criteo_like" / "train.csv"
    runs = [
        start("fit", "--data", source, "--label", "label", "--out", tmp_path / "run", "--model", model, *SMALL,
              "--set", "epochs=20", "--set", "early_stopping=0", "--set", "batch_size=16")
        for model in ("DeepFM", "WDL")
    ]  # fmt: skip
    ended = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) in ([0, 1], [0, 2]), ended  # refused while it runs, or as not empty
    lost = next(text for run, text in zip(runs, ended, strict=True) if run.returncode)
    assert "another process is writing here" in lost or "is not empty" in lost
    trained = ["DeepFM", "WDL"][[run.returncode for run in runs].index(0)]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["class"] == trained
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_folder_or_file_that_is_being_written_is_refused(
    criteo_like: Path, data: Path, scored: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    source = data / "criteo_like" / "train.csv"
    with file_lock(out / LOCK):
        for arguments in (("fit", "--data", source, "--label", "label", *SMALL), ("encode", source)):
            assert "another process is writing here" in failed(*arguments, "--out", out)
    ran("encode", source, "--out", out)
    target = tmp_path / "scores.csv"
    (tmp_path / "scores.csv.part").write_text("of the other process")
    with file_lock(tmp_path / ".scores.csv.lock"):
        assert "another process is writing here" in failed("predict", criteo_like, scored, "--out", target)
    assert (tmp_path / "scores.csv.part").read_text() == "of the other process"
    ran("predict", criteo_like, scored, "--out", target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "scores.csv"]


def test_what_a_killed_run_left_is_no_obstacle(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).touch()
    source = data / "criteo_like" / "train.csv"
    ran("fit", "--data", source, "--label", "label", "--out", tmp_path / "run", *SMALL)
    assert not (tmp_path / "run" / LOCK).exists()
