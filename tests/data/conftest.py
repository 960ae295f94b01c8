"""A folder of files that the tests of streaming share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.click_files import frame, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("files") / "train", frame())
