"""Reading Criteo's lines: missing values, gzip, limits, and errors that name file and line."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import polars as pl
import pytest

from deepctr_torch.datasets import criteo, read_criteo

HEX = [f"{i:08x}" for i in range(26)]
LINES = [
    "\t".join(["0", *map(str, range(13)), *HEX]),
    "\t".join(["1", "", "-1", *[""] * 11, "68fd1e64", *[""] * 25]),
    "\t".join(["0", "2147483648000", *[""] * 38]),
    "\t".join(["1", *["7"] * 13, '"a', *HEX[1:]]),
]
TEXT = "\n".join(LINES) + "\n"


def write(path: Path, text: str, packed: bool = False) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["train.txt", "day_0.gz", "no-ending"])
def test_values_and_types(tmp_path: Path, name: str, packed: bool) -> None:
    frame = read_criteo(write(tmp_path / name, TEXT, packed))
    assert frame.columns == ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    assert frame.dtypes == [pl.Int64] * 14 + [pl.String] * 26
    assert frame.row(0) == (0, *range(13), *HEX)
    assert frame.row(1) == (1, None, -1, *[None] * 11, "68fd1e64", *[None] * 25)
    assert frame.row(2) == (0, 2147483648000, *[None] * 38)
    assert frame.row(3) == (1, *[7] * 13, '"a', *HEX[1:])  # a quote is a letter like others


@pytest.mark.parametrize("text", [TEXT[:-1], TEXT.replace("\n", "\r\n"), TEXT.replace("\n", "\r\n")[:-2]])
def test_line_ends(tmp_path: Path, text: str) -> None:
    expected = read_criteo(write(tmp_path / "a", TEXT))
    assert read_criteo(str(write(tmp_path / "b", text))).equals(expected)


@pytest.mark.parametrize("chunk", [1, 7, 150, len(LINES[0]) + 1, 10_000])
def test_pieces_of_any_size_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    path = write(tmp_path / "a", TEXT, packed=True)
    expected = read_criteo(path)
    monkeypatch.setattr(criteo, "_CHUNK", chunk)
    assert read_criteo(path).equals(expected)
    for rows in (1, 2, 3, 4, 9):
        assert read_criteo(path, rows=rows).equals(expected.head(rows))


def test_rows_are_read_no_further_than_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a", TEXT + "not a line of Criteo\n")
    assert read_criteo(path, rows=4).height == 4
    with pytest.raises(ValueError, match="line 5 of"):
        read_criteo(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (LINES[0] + "\t", "must have 40 fields between tabs, got 41"),
        (LINES[0].rpartition("\t")[0], "must have 40 fields between tabs, got 39"),
        (LINES[0].replace("\t", ","), "must have 40 fields between tabs, got 1"),
        ("", "must have 40 fields between tabs, got 1"),
    ],
)
@pytest.mark.parametrize("chunk", [50, 1 << 20])
def test_a_wrong_number_of_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, problem: str, chunk: int
) -> None:
    monkeypatch.setattr(criteo, "_CHUNK", chunk)
    path = write(tmp_path / "broken.tsv", "\n".join([*LINES[:2], line, *LINES[2:]]) + "\n")
    with pytest.raises(ValueError, match=f"line 3 of .*broken.tsv {problem}"):
        read_criteo(path)


@pytest.mark.parametrize(
    ("position", "value", "problem"),
    [(3, "1.5", "I3 in line 2 of .* got '1.5'"), (0, "", "label in line 2 of .* got ''"), (0, "x", "got 'x'")],
)
def test_what_is_no_integer(tmp_path: Path, position: int, value: str, problem: str) -> None:
    fields = LINES[0].split("\t")
    fields[position] = value
    path = write(tmp_path / "broken", "\n".join([LINES[0], "\t".join(fields), LINES[1]]))
    with pytest.raises(ValueError, match=problem):
        read_criteo(path)


def test_empty_missing_and_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="must have at least one line"):
        read_criteo(write(tmp_path / "empty", ""))
    with pytest.raises(FileNotFoundError):
        read_criteo(tmp_path / "none")
    with pytest.raises(ValueError, match="rows must be an integer of at least 1, got 0"):
        read_criteo(tmp_path / "empty", rows=0)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "deepctr-torch\[tables\]"'):
        read_criteo(tmp_path / "empty")
