"""Every script in `examples/` runs to its end, without a warning, and says how good its model is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOWN = {  # what the last lines of each must show
    "custom_model.py": r"test auc 0\.7\d+[\s\S]*loaded model predicts the same: True",
    "custom_model_upstream_way.py": r"test auc 0\.7\d+\ntest binary_crossentropy 0\.5\d+",
    "estimators.py": r"equal after loading: True\ntest auc 0\.8\d+\ntest auc after an update 0\.8\d+",
    "raw_tables.py": r"wrote data",
    "run_classification_criteo.py": r"test LogLoss 0\.4\d+\ntest AUC 0\.7\d+|test LogLoss 0\.4\d+\ntest AUC 0\.8\d+",
    "run_dien.py": r"prediction",
    "run_din.py": r"binary_crossentropy \[0\.69.*\]\nprediction",
    "run_multitask_learning.py": r"test like_auc 0\.7\d+[\s\S]*test love_auc 0\.8\d+",
    "run_multivalue_movielens.py": r"validation MSE \[1\.",
    "run_regression_movielens.py": r"test MSE 0\.8\d*\ntest MSE of always saying the mean 1\.1",
}

WRITES = {"estimators.py": ["ratings"], "raw_tables.py": ["data"]}


def test_every_example_is_listed() -> None:
    assert sorted(path.name for path in (ROOT / "examples").glob("*.py")) == sorted(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_example_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWN[name], done.stdout), done.stdout
    assert [path.name for path in tmp_path.iterdir()] == WRITES.get(name, [])
