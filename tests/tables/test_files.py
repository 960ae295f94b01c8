"""The files that a path, a folder, a glob or a list means."""

from __future__ import annotations

from pathlib import Path

from deepctr_torch.tables import list_files


def test_order_of_files(tmp_path: Path) -> None:
    for name in ("b/2.csv", "b/1.csv", "a.csv", "_old.csv", ".hidden.csv", "_temporary/3.csv", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"x\n{name}\n")
    in_folder = ["a.csv", "b/1.csv", "b/2.csv"]
    assert [f.relative_to(tmp_path).as_posix() for f in list_files(tmp_path)] == in_folder
    assert [f.name for f in list_files(str(tmp_path / "b" / "*.csv"))] == ["1.csv", "2.csv"]
    assert [f.name for f in list_files(tmp_path / "**" / "[12].csv")] == ["1.csv", "2.csv"]
    assert [f.name for f in list_files([tmp_path / "b" / "2.csv", str(tmp_path / "a.csv")])] == ["2.csv", "a.csv"]
