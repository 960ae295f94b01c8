"""Files of the command line: formats, numbers of rows, tables written, `encode`."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.callbacks import CallbackList
from deepctr_torch.cli.console import Progress, TrainingProgress, UsageError, as_cell, print_json
from deepctr_torch.cli.inputs import InputFiles, Reading, input_files
from deepctr_torch.cli.predict import TableWriter
from deepctr_torch.datasets.criteo import CRITEO_COLUMNS
from deepctr_torch.encoding import FeatureEncoder

from ..support.cli_tables import as_json, call, failed, ran, raw_tables

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


TABLE = pa.table({"a": ["x", "", 'y,"z', None, "007"], "p": [0.1, 1e-9, 3.0, None, 0.28353092074394226]})


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz", "t.tsv", "t.txt.gz"])
def test_tables_are_written_piece_by_piece(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    with TableWriter(path) as writer:
        writer.write(TABLE.slice(0, 2))
        assert not path.exists()
        writer.write(TABLE.slice(2))
    assert writer.rows == 5
    assert [p.name for p in path.parent.iterdir()] == [name]
    if name == "t.parquet":
        assert pl.read_parquet(path).to_arrow().to_pydict() == TABLE.to_pydict()
        return
    raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    tab = "," if ".csv" in name else "\t"
    assert raw.decode().split("\n")[:3] == [f"a{tab}p", f"x{tab}0.1", f'""{tab}1e-9']
    back = list(csv.reader(io.StringIO(raw.decode()), delimiter=tab))[1:]
    assert [row[0] for row in back] == ["x", "", 'y,"z', "", "007"]
    assert [float(row[1]) if row[1] else None for row in back] == TABLE["p"].to_pylist()


def test_a_failure_leaves_no_table_behind(tmp_path: Path) -> None:
    def two_schemas() -> None:
        with TableWriter(tmp_path / "t.parquet") as writer:
            writer.write(TABLE)
            writer.write(TABLE.select(["a"]))

    with pytest.raises(ValueError, match="schema"):
        two_schemas()
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(ValueError, match=r"cannot hold the lists of \['h'\]"),
        TableWriter(tmp_path / "t.csv") as writer,
    ):
        writer.write(pa.table({"h": [[1], [2]]}))
    with pytest.raises(UsageError, match=r"--out must end in .parquet"):
        TableWriter(tmp_path / "t.xlsx")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def training(progress: Progress) -> None:
    """What a training tells its callbacks."""
    callbacks = CallbackList([TrainingProgress(progress, 100)])
    callbacks.set_params({"epochs": None, "steps": 2, "samples": None, "batch_size": None})
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    for batch in range(2):
        if callbacks.wants_batches:
            callbacks.on_train_batch_end(batch, {"loss": 0.5, "size": 60})
    callbacks.on_test_begin()
    callbacks.on_epoch_end(0, {"loss": 0.5, "val_auc": 0.75})


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as progress:
        progress.begin("counting", 10)
        progress.advance(4)
        progress._bars.refresh()
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
        assert "counting" in shown
        assert "4 of 10 rows" in shown
        progress.advance(20)  # more than was guessed
        assert progress._bars.tasks[-1].total == 24
        training(progress)
    assert "part 1: loss: 0.5000 - val_auc: 0.7500" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO(), True), (Terminal(), False)])
def test_progress_is_not_shown_elsewhere(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, shown: bool) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(shown) as progress:
        assert not progress.shown
        progress.begin("counting", 10)
        training(progress)
        progress.end()
    assert stream.getvalue() == ""


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [pa.scalar(1), True, None], "c": (1.5,)})
    assert capsys.readouterr().out == '{"a": null, "b": ["1", true, null], "c": [1.5]}\n'
    assert as_cell(0.00001) == "1.00e-05"
    assert as_cell(True) == "True"
    assert as_cell(float("nan")) == "nan"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    frame = raw_tables.criteo_like(300, 400)
    raw_tables.write(folder, frame)
    return folder


def test_encode_learns_an_encoder_or_takes_one(raw: Path, tmp_path: Path) -> None:
    arguments = ["--label", "label", "--set", "features.I1=quantile", "--set", "features.C5=skip"]
    done = as_json("encode", raw / "train.csv", "--out", tmp_path / "train", *arguments, "--training")
    assert (done["rows"], len(done["files"])) == (270, 1)
    assert "C5" not in [feature["feature"] for feature in done["features"]]
    out = ran("encode", raw / "test.csv", "--out", tmp_path / "test", "--encoder", tmp_path / "train" / "encoder",
              "--keep", "C5", "--label", "label")  # fmt: skip
    assert "Features" in out
    assert "rows" in out
    encoder = FeatureEncoder.load(tmp_path / "train" / "encoder")
    encoded = encoder.transform(raw / "test.csv")
    table = pl.read_parquet(tmp_path / "test/*.parquet")
    assert table.columns[-2:] == ["label", "C5"]
    for name, values in encoded.items():
        assert (table[name].to_numpy() == values).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "epochs=3"], 2, "--set of encode knows features.COLUMN=KIND alone"),
        (["--set", "features.C99=skip"], 1, "has no column 'C99'"),
        (["--encoder", ".", "--set", "features.C1=skip"], 2, "--encoder knows its features"),
        (["--label", "clicked"], 1, "has no column 'clicked'"),
        (["--encoder", "."], 1, "lacks encoder.json"),
    ],
)
def test_encode_refuses(raw: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    assert message in failed("encode", raw / "train.csv", "--out", tmp_path / "new", *arguments, code=code)
    assert not (tmp_path / "new").exists()


def test_encode_writes_into_no_folder_with_files(raw: Path) -> None:
    assert "empty or not there yet" in failed("encode", raw / "train.csv", "--out", raw)


@pytest.mark.parametrize("command", ["fit", "evaluate", "predict", "inspect", "encode", "demo", "models"])
def test_help_is_there(command: str) -> None:
    done: Any = call(command, "--help")
    assert done.exit_code == 0
    assert "--json" in done.stdout
