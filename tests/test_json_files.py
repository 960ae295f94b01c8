"""JSON of somebody else: an object within limits, or one error."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from deepctr_torch import _json_files
from deepctr_torch._json_files import parse_json, read_json, write_json


def test_what_was_written_is_read(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, True, "é"], "b": {"c": {}}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON, got: "),
        ("", "must be JSON, got: "),
        ("\xff", "must be JSON, got: "),
        ("[]", "must be a JSON object, got list"),
        ("3", "must be a JSON object, got int"),
        ("[" * 100_000, "must be JSON, got: nesting without end"),
        ('{"a":' * 100_000, "must be JSON, got: nesting without end"),
        ('{"a":' * 65 + "1" + "}" * 65, "must be JSON nested at most 64 deep, got more"),
        ('{"a":' + "9" * 5_000 + "}", "must be JSON, got: "),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^it {message}"):
        parse_json(text.encode("latin-1"), "it")


def test_64_levels_are_read() -> None:
    text = '{"a":' * 63 + "[]" + "}" * 63
    assert json.dumps(parse_json(text, "it"), separators=(",", ":")) == text


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.touch()
    os.truncate(path, _json_files.SIZE_LIMIT + 1)  # takes no place on the disk
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"x\.json must hold at most 67,108,864 bytes of JSON, got 67,108,865"):
        read_json(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_could_not_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json_files, "SIZE_LIMIT", 10)
    with pytest.raises(ValueError, match=r"x\.json must hold at most 10 bytes of JSON, got 18"):
        write_json(tmp_path / "x.json", {"a": "bcdefg"})
    assert not (tmp_path / "x.json").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_json(tmp_path / "x.json")
    with pytest.raises(ValueError, match="must be a file"):
        read_json(tmp_path)
    write_json(tmp_path / "x.json", {})
    (tmp_path / "link.json").symlink_to(tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"link\.json must be a file, got a symbolic link"):
        read_json(tmp_path / "link.json")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.json")
        with pytest.raises(ValueError, match=r"pipe\.json must be a file"):
            read_json(tmp_path / "pipe.json")
