"""The files that a path, a folder, a glob or a list means."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from deepctr_torch.tables import list_files, read_chunks
from deepctr_torch.tables.files import delimiter_of


def test_order_of_files(tmp_path: Path) -> None:
    for name in ("b/2.csv", "b/1.csv", "a.csv", "_old.csv", ".hidden.csv", "_temporary/3.csv", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"x\n{name}\n")
    in_folder = ["a.csv", "b/1.csv", "b/2.csv"]
    assert [f.relative_to(tmp_path).as_posix() for f in list_files(tmp_path)] == in_folder
    assert [f.name for f in list_files(str(tmp_path / "b" / "*.csv"))] == ["1.csv", "2.csv"]
    assert [f.name for f in list_files(tmp_path / "**" / "[12].csv")] == ["1.csv", "2.csv"]
    assert [f.name for f in list_files([tmp_path / "b" / "2.csv", str(tmp_path / "a.csv")])] == ["2.csv", "a.csv"]


@pytest.mark.parametrize(
    ("name", "text", "delimiter"),
    [
        ("a.csv", "user,tags\n1,a|b|c\n", ","),
        ("a.csv", "user;tags\n1;a\n", ";"),
        ("a.csv", '"user, or so";tags\n"1";"a;b"\n', ";"),
        ("a.txt", "user|tags|n\n1|a|2\n", "|"),
        ("a.txt", "user,n\n1,2\n", ","),
        ("a.tsv.gz", "user;n\n1;2\n", ";"),
        ("a.csv", "tags\na|b\n", ","),
        ("a.csv", "a;b\n1;2;3\n", ","),
        ("a.csv", "a;b\n", ","),
        ("a.txt", "", "\t"),
    ],
)
def test_another_separator_is_known_by_the_first_two_lines(
    name: str, text: str, delimiter: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert delimiter_of(path) == delimiter


def test_files_of_other_separators_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('user;price;tags\n7;1.5;"a;b"\n8;2.5;c\n')
    (tmp_path / "b.csv").write_text("tags,user,price\nd,9,3\n")
    rows = [tuple(row.values()) for chunk in read_chunks(tmp_path) for row in chunk.table.to_pylist()]
    assert rows == [(7, 1.5, "a;b"), (8, 2.5, "c"), (9, 3.0, "d")]
