"""`predict`: scores beside the columns of the files."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.cli.console import UsageError
from deepctr_torch.cli.predict import TableWriter
from deepctr_torch.estimators import CTRClassifier

from ..support.cli_tables import as_json, failed, ran, raw_tables, views_frame


def scores_of(path: Path) -> Any:
    """The last column of a table."""
    table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    return table[table.columns[-1]].to_numpy()


def test_scores_keep_the_order_and_are_those_of_the_estimator(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    done = as_json("predict", criteo_like, test, "--out", tmp_path / "scores.parquet")
    raw, scored = pl.read_csv(test), pl.read_parquet(tmp_path / "scores.parquet")
    assert (done["rows"], done["columns"]) == (100, scored.columns)
    assert scored.columns == [*raw.columns, "prediction"]
    assert scored.drop("prediction").equals(raw)
    loaded = CTRClassifier.load(criteo_like)
    assert (scored["prediction"].to_numpy() == loaded.predict_proba(str(test))[:, 1]).all()
    ran("predict", criteo_like, test, "--out", tmp_path / "scores.csv.gz", "--columns", "C1,label")
    text = pl.read_csv(tmp_path / "scores.csv.gz", schema_overrides={"C1": pl.String})
    assert text.equals(scored.select("C1", "label", "prediction"))
    ran("predict", criteo_like, test, "--out", tmp_path / "alone.tsv", "--columns", "")
    alone = pl.read_csv(tmp_path / "alone.tsv", separator="\t")
    assert alone.equals(scored.select("prediction"))


def test_text_is_copied_as_it_stands(criteo_like: Path, data: Path, tmp_path: Path) -> None:
    lines = (data / "criteo_like" / "test.csv").read_text().splitlines()[:4]
    rows = [lines[0] + ",note", *(f"{line},{note}" for line, note in zip(lines[1:], ["007", "1.50", ""], strict=True))]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    ran("predict", criteo_like, tmp_path / "a.csv", "--out", tmp_path / "b.csv")
    assert [line.rpartition(",")[0] for line in (tmp_path / "b.csv").read_text().splitlines()] == rows


def test_a_model_reads_parquet_as_it_reads_text(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    overrides = {f"C{i}": pl.String for i in range(1, 27)}
    pl.read_csv(test, schema_overrides=overrides).write_parquet(tmp_path / "test.parquet", row_group_size=30)
    for name, source in (("a", test), ("b", tmp_path / "test.parquet")):
        ran("predict", criteo_like, source, "--out", tmp_path / f"{name}.parquet")
    assert scores_of(tmp_path / "a.parquet") == pytest.approx(scores_of(tmp_path / "b.parquet"), abs=1e-6)


def test_values_never_seen_and_fields_left_empty_get_a_probability(criteo_like: Path, tmp_path: Path) -> None:
    names = [*(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    rows = [",".join(names), "," * 38, ",".join(["99999999999999"] * 13 + ["never seen"] * 26)]
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    ran("predict", criteo_like, tmp_path / "new.csv", "--out", tmp_path / "out.parquet")
    scores = scores_of(tmp_path / "out.parquet")
    assert len(scores) == 2
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_column_that_changes_its_looks(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    """Beyond the first MiB of a text file the types of Parquet columns may turn out wrong."""
    lines = (data / "criteo_like" / "test.csv").read_text().splitlines()
    many = [f"{line},7" for line in lines[1:]] * 60
    (tmp_path / "a.csv").write_text("\n".join([f"{lines[0]},note", *many, f"{lines[1]},seven"]) + "\n")
    message = failed("predict", criteo_like, tmp_path / "a.csv", "--out", tmp_path / "a.parquet")
    assert "'note' looked like int64 at the beginning of the files" in message
    assert as_json("predict", criteo_like, tmp_path / "a.csv", "--out", tmp_path / "b.csv")["rows"] == 6001
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


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


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    frame = raw_tables.criteo_like(300, 400)
    raw_tables.write(folder, frame)
    return folder


def test_files_of_other_types_are_scored_as_they_are_trained_on(views: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    first, second = views_frame(200), views_frame(100, seed=1)
    first.with_columns(note=pl.lit(None)).write_parquet(parts / "a.parquet")
    later = second.with_columns(pl.col("buy").cast(pl.Float64), pl.col("click").cast(pl.Float64), note=pl.lit("late"))
    later.with_columns(buy=pl.when(pl.col("movie") > 2).then("buy")).write_parquet(parts / "b.parquet")
    ran("predict", views / "run", parts, "--out", tmp_path / "scores.parquet")
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert [scores.schema[name] for name in ("movie", "buy", "note")] == [pl.Int64, pl.Float64, pl.String]
    expected = [*first["buy"].cast(float), *pl.read_parquet(parts / "b.parquet")["buy"]]
    assert scores["buy"].to_list() == expected
    assert as_json("evaluate", views / "run", parts)["rows"] == 300
    ran("encode", parts, "--label", "click", "--keep", "note", "--set", "features.note=skip", "--out", tmp_path / "out")
    encoded = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert encoded["click"].to_list() == [*first["click"], *second["click"]]
    assert encoded["note"].to_list() == [None] * 200 + ["late"] * 100


def test_types_that_have_none_in_common_are_named(views: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    views_frame(50).with_columns(note=pl.lit(2**53 + 1)).write_parquet(parts / "a.parquet")
    arguments = ["predict", views / "run", parts, "--out", tmp_path / "scores.parquet"]
    views_frame(50).with_columns(note=pl.lit("x")).write_parquet(parts / "b.parquet")
    message = failed(*arguments)
    assert "column 'note' must be of one type, got int64 in" in message
    assert "a.parquet and large_string in" in message
    assert "b.parquet" in message
    views_frame(50).with_columns(note=pl.lit(0.5)).write_parquet(parts / "b.parquet")
    message = failed(*arguments)  # no float is that integer
    assert "column 'note' must be double, as in other files, got in" in message
    assert "a.parquet" in message
    ran(*arguments, "--columns", "movie")
