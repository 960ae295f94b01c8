"""`make gpu-check`: refuses to run without CUDA, and its checks hold where the device is the CPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.conftest import ROOT

RESULT = ROOT / "benchmarks" / "results" / "gpu.json"


@pytest.fixture(scope="module")
def gpu_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "benchmarks" / "gpu_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documentation_says_whether_it_was_run() -> None:
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert ("not yet run on a GPU" in page) == (not RESULT.exists())


def test_without_cuda_it_says_so_and_writes_nothing() -> None:
    before = RESULT.exists()
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py")]
    none = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=none, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"gpu-check needs a CUDA device, and torch {torch.__version__} sees none\n"
    assert RESULT.exists() == before


def test_every_check_of_one_model_holds_between_cpu_and_cpu(gpu_check: ModuleType) -> None:
    run = [(what, model, check) for what, model, check in gpu_check.checks("cpu") if model == "DIN"]
    assert [what for what, _, _ in run] == [
        "one step, dense",
        "bf16, dense",
        "no wait, dense",
        "one step, sparse",
        "bf16, sparse",
        "no wait, sparse",
        "predict",
        "save and load",
        "places of data",
    ]
    for _, _, check in run:
        check()
    gpu_check.check_optimizer("cpu", "adam", "sparse")


def test_a_check_that_fails_is_reported_and_the_others_go_on(gpu_check: ModuleType, monkeypatch: Any) -> None:
    def wrong() -> None:
        raise AssertionError("weights differ")

    monkeypatch.setattr(gpu_check, "checks", lambda device: [("one", "DIN", wrong), ("two", "DIN", lambda: None)])
    first, second = gpu_check.run_checks("cpu")
    assert not first["ok"]
    assert "weights differ" in first["error"]
    assert second == {"check": "two", "model": "DIN", "ok": True}


def test_speed_is_of_epochs(gpu_check: ModuleType) -> None:
    assert gpu_check.measure("cpu", 64, 2_600, 32, {}, epochs=2) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
def test_every_check_holds_between_cpu_and_cpu(gpu_check: ModuleType) -> None:
    assert [row for row in gpu_check.run_checks("cpu") if not row["ok"]] == []
