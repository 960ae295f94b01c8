"""Files are replaced whole or not at all, and a folder knows what its files are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from deepctr_torch._lock import file_lock
from deepctr_torch._whole_files import check_files, replaced, replaced_files, write_checksums


def saved(folder: Path, **files: str) -> None:
    with replaced_files(folder) as part:
        for name, text in files.items():
            path = part / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def content(folder: Path) -> dict[str, str]:
    """Name -> text of all files but the checksums."""
    names = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_text() for name, path in names.items() if name != "checksums.json"}


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    for text in ("one", "two"):
        with replaced(path) as part:
            part.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text
    with pytest.raises(TypeError), replaced(path) as part:
        part.write_text(3)  # type: ignore[arg-type]
    assert path.read_text() == "two"
    assert content(tmp_path) == {"new/a": "two"}


def test_files_and_their_sums_take_their_places(tmp_path: Path) -> None:
    saved(tmp_path / "a", x="1", inner__y="22")
    listed = json.loads((tmp_path / "a" / "checksums.json").read_text())
    sums = {text: hashlib.sha256(text.encode()).hexdigest() for text in ("1", "22")}
    files = {"inner/y": {"size": 2, "sha256": sums["22"]}, "x": {"size": 1, "sha256": sums["1"]}}
    whole = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    assert listed == {"format": 1, "files": files, "sha256": whole}
    assert content(tmp_path / "a") == {"x": "1", "inner/y": "22"}
    check_files(tmp_path / "a", "x", "inner/")


def test_other_files_stay_and_those_of_folders_go(tmp_path: Path) -> None:
    saved(tmp_path, x="1", inner__y="2", inner__z="3")
    (tmp_path / "mine").write_text("4")
    saved(tmp_path, inner__z="5", other__w="6")
    assert content(tmp_path) == {"x": "1", "inner/z": "5", "mine": "4", "other/w": "6"}
    assert list(json.loads((tmp_path / "checksums.json").read_text())["files"]) == ["inner/z", "x", "other/w"]
    (tmp_path / "x").write_text("!")
    check_files(tmp_path, "inner/", "other/")
    with pytest.raises(ValueError, match=r"x must be as it was saved, but its 1 bytes have another checksum"):
        check_files(tmp_path, "x")


def test_a_failure_leaves_all_as_it_was(tmp_path: Path) -> None:
    saved(tmp_path / "a", x="1")
    before = content(tmp_path)
    for folder in ("a", "b"):
        with pytest.raises(TypeError), replaced_files(tmp_path / folder) as part:
            (part / "x").write_text(2)  # type: ignore[arg-type]
    assert content(tmp_path) == before
    assert not (tmp_path / "b").exists()
    with (
        pytest.raises(OSError, match=r"cannot be saved, and is as it was before: full: .*/a'$") as caught,
        replaced_files(tmp_path / "a"),
    ):
        raise OSError(28, "full")
    assert caught.value.errno == 28
    check_files(tmp_path / "a", "x")


def test_what_an_ended_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".saving").mkdir()
    (tmp_path / ".saving" / "old").write_text("old")
    (tmp_path / ".saving.lock").touch()
    saved(tmp_path, x="1")
    assert content(tmp_path) == {"x": "1"}


def test_an_end_between_two_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, x="1", y="2", z="3")
    (tmp_path / "checksums.json").unlink()  # as an older version saved it
    from deepctr_torch import _whole_files

    replace, left = _whole_files.os.replace, [3]

    def stops(source: Path, target: Path) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(_whole_files.os, "replace", stops)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, x="4", y="5", z="6")
    assert content(tmp_path) == {"x": "4", "y": "2", "z": "3"}
    check_files(tmp_path, "x")
    for name in ("y", "z"):
        with pytest.raises(ValueError, match=f"{name} must be as it was saved"):
            check_files(tmp_path, name)


def test_two_do_not_save_into_one_folder(tmp_path: Path) -> None:
    saved(tmp_path, x="1")
    with file_lock(tmp_path / ".saving.lock"), pytest.raises(BlockingIOError, match="another process is writing here"):
        saved(tmp_path, x="2")
    assert content(tmp_path) == {"x": "1"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    saved(outside, y="1")
    folder = tmp_path / "folder"
    saved(folder, x="2", inner__y="3")
    (folder / "x").unlink()
    (folder / "x").symlink_to(outside / "y")
    with pytest.raises(ValueError, match="x must be a file, got a symbolic link"):
        check_files(folder, "x")
    saved(folder, x="4")
    assert not (folder / "x").is_symlink()
    (folder / "inner" / "y").unlink()
    (folder / "inner").rmdir()
    (folder / "inner").symlink_to(outside)
    with pytest.raises(ValueError, match="inner must be a folder, got a symbolic link"):
        check_files(folder, "inner/")
    with pytest.raises(ValueError, match="inner must be a folder, got a symbolic link"):
        saved(folder, inner__y="5")
    (folder / ".saving").symlink_to(outside)
    with pytest.raises(OSError, match="cannot be saved, and is as it was before"):
        saved(folder, x="5")
    assert content(outside) == {"y": "1"}
    (folder / ".saving").unlink()
    (folder / "checksums.json").rename(folder / "other.json")
    (folder / "checksums.json").symlink_to(folder / "other.json")
    with pytest.raises(ValueError, match=r"checksums\.json must be a file, got a symbolic link"):
        check_files(folder, "x")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a/b/c", ".x", ""])
def test_sums_of_files_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    saved(tmp_path, x="1")
    write_checksums(tmp_path, {name: {"size": 1}})
    with pytest.raises(ValueError, match=r"checksums\.json must list files of its folder, got others"):
        check_files(tmp_path, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"checksums\.json must be of format 1, got 2"),
        ({"files": {}}, r"checksums\.json must be as it was saved, but its own checksum differs"),
        ({"sha256": None}, r"checksums\.json must be as it was saved, but its own checksum differs"),
        ({"files": [], "sha256": hashlib.sha256(b"[]").hexdigest()}, "must list files of its folder, got others"),
    ],
)
def test_sums_that_make_no_sense_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    saved(tmp_path, x="1")
    path = tmp_path / "checksums.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        check_files(tmp_path, "x")
