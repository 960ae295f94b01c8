"""Files of tensors: the usual mode, and errors that name the cause."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from deepctr_torch._tensor_files import read_tensors, write_tensors

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of files are of POSIX systems")
TENSORS = {"a": torch.arange(3.0), "b": torch.tensor([1, 2])}


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_the_file_has_the_usual_mode(tmp_path: Path, umask: None) -> None:
    (tmp_path / "other").touch()
    for _ in range(2):
        write_tensors(TENSORS, tmp_path / "t.safetensors")
        assert (tmp_path / "t.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "t.safetensors"]
    assert all(torch.equal(value, TENSORS[name]) for name, value in read_tensors(tmp_path / "t.safetensors").items())


def test_a_private_file_of_an_earlier_version_gets_the_usual_mode_too(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "t.safetensors"
    path.touch(mode=0o600)
    write_tensors(TENSORS, path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_missing_permission_is_called_so() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below a folder of the tests, which is private
        path = Path(folder, "t.safetensors")
        write_tensors(TENSORS, path)
        Path(folder).chmod(0o755)
        path.chmod(0o000)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # root may read everything
            with pytest.raises(PermissionError, match="Permission denied"):
                read_tensors(path)
        finally:
            os.seteuid(user)


def test_another_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 't.safetensors'} must be a safetensors file, got: ")):
        read_tensors(tmp_path / "t.safetensors")
