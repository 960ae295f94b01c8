"""Files of the command line: formats, numbers of rows."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from deepctr_torch.cli.console import UsageError
from deepctr_torch.cli.inputs import InputFiles, Reading, input_files
from deepctr_torch.datasets.criteo import CRITEO_COLUMNS

FIELDS = ["1", "-1", "", *map(str, range(11)), *("" if i % 5 else f"{i:08x}" for i in range(26))]


def text(path: Path, content: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = path.name.endswith(".gz")
    with gzip.open(path, "wt") if packed else open(path, "w") as file:
        file.write(content)
    return str(path)


@pytest.mark.parametrize("name", ["day_0.tsv", "train.txt", "day_0.tsv.gz"])
def test_lines_of_criteo_are_known_by_their_looks(tmp_path: Path, name: str) -> None:
    found = input_files([text(tmp_path / name, "\t".join(FIELDS) + "\n")])
    assert found.header == list(CRITEO_COLUMNS)
    assert found.columns[:2] == ["label", "I1"]
    assert found.columns[-1] == "C26"
    unlabelled = input_files([text(tmp_path / "test" / name, "\t".join(FIELDS[1:]) + "\n")])
    assert unlabelled.header == list(CRITEO_COLUMNS[1:])


@pytest.mark.parametrize("line", ["label\tI1\tI2", "\t".join([*FIELDS, ""]), "\t".join(["2", *FIELDS[1:]]), "a,b", ""])
def test_other_lines_are_not(tmp_path: Path, line: str) -> None:
    assert input_files([text(tmp_path / "a.tsv", line + "\n1\t2\t3\n")]).header is None


def test_the_format_can_be_said(tmp_path: Path) -> None:
    path = text(tmp_path / "a.tsv", "\t".join(FIELDS) + "\n")
    assert input_files([path], Reading("table")).header is None
    assert input_files([path], Reading(header=["a", "b"])).header == ["a", "b"]
    assert input_files([path], Reading("criteo")).header == list(CRITEO_COLUMNS)
    assert input_files([path], Reading(null=["NA", "-"])).null == ["", "NA", "-"]
    with pytest.raises(UsageError, match="did you mean 'criteo'"):
        input_files([path], Reading("criteoo"))
    with pytest.raises(UsageError, match="leave --header out"):
        input_files([path], Reading("criteo", ["a"]))


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    found = input_files([text(tmp_path / "a.csv", "click,user\n1,2\n")])
    found.check(["click"], "a test")
    with pytest.raises(ValueError, match=r"a.csv has no column 'clik' \(a test\): did you mean 'click'"):
        found.check(["clik"], "a test")


def test_rows_are_counted_or_guessed(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": range(1000), "b": ["some text"] * 1000})
    frame.write_parquet(tmp_path / "a.parquet")
    assert InputFiles([str(tmp_path / "a.parquet")]).estimate_rows() == 1000
    short = [
        text(tmp_path / "a.csv", "a\n1\n2"),
        text(tmp_path / "b.csv", "a\n1\n2\n"),
        text(tmp_path / "c.csv.gz", "a\n7\n"),
    ]
    assert InputFiles(short).estimate_rows() == 5
    assert InputFiles(short[:1], ["a"]).estimate_rows() == 3
    long = "a,b\n" + "".join(f"{n * 2654435761 % 2**32:010d},xyz\n" for n in range(200_000))  # 3 MB
    for name in ("long.csv", "long.csv.gz"):
        assert InputFiles([text(tmp_path / name, long)]).estimate_rows() == pytest.approx(200_000, rel=0.35)
    assert InputFiles([text(tmp_path / "none.csv", "a\n")]).estimate_rows() is None
