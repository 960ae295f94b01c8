"""A training whose process is killed at 25 random moments ends as one that never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.kills import KILLS


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
@pytest.mark.parametrize("update", ["dense", "sparse"])
@pytest.mark.parametrize("kind", ["memory", "files"])
def test_killed_at_random_moments(tmp_path: Path, kind: str, update: str) -> None:
    command = [sys.executable, "-m", "tests.support.kills", str(tmp_path), kind, update]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["codes"] == [0, 0, 0], done.stderr
    assert found["kills"] == KILLS
    assert found["inside"] >= 1  # of them while a checkpoint was written
    assert found["steps"] > 3  # the training got on in between
    assert found["same"]
