"""A lock between processes: one owner, free again when the owner ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepctr_torch._lock import file_lock

HOLD = """
import sys
from pathlib import Path
from deepctr_torch._lock import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_one_holds_it(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock"):
        with pytest.raises(BlockingIOError, match="another process is writing here"), file_lock(tmp_path / "lock"):
            pass
        assert (tmp_path / "lock").exists()
    assert not list(tmp_path.iterdir())
    with file_lock(tmp_path / "lock"):
        pass


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "lock"):
        _ = 1 / 0
    with file_lock(tmp_path / "lock"):
        pass


def test_it_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), file_lock(path):
        pass
    owner.kill()
    owner.communicate()
    assert path.exists()
    with file_lock(path):
        pass
