"""`read_chunks`: the same rows from every kind of table, in the same order, and what it refuses."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from deepctr_torch.tables import Chunk, column_names, list_files, read_chunks


def rows_of(data: Any, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    return [row for chunk in read_chunks(data, *args, **kwargs) for row in chunk.table.to_pylist()]


ROWS = [{"i": 1, "s": "a", "f": 0.5}, {"i": None, "s": None, "f": None}, {"i": 3, "s": "", "f": 1.5}]


def test_the_same_rows_come_from_every_kind_of_table_in_memory() -> None:
    columns = {"i": [1, None, 3], "s": ["a", None, ""], "f": [0.5, None, 1.5]}
    table = pa.table(columns)
    assert rows_of(columns) == ROWS
    assert rows_of(table) == ROWS
    assert rows_of(table.to_batches()[0]) == ROWS
    assert rows_of(pl.DataFrame(columns)) == ROWS
    frame = pd.DataFrame(columns)
    assert rows_of(frame) == ROWS  # 1.0 == 1: a gap makes floats of integers
    assert rows_of(frame.astype({"i": "Int64"})) == ROWS


def test_arrays_tensors_lists_categoricals_and_times_are_columns() -> None:
    data = {
        "tensor": torch.arange(3),
        "matrix": np.arange(6.0).reshape(3, 2),
        "half": np.array([0.5, 1.0, 2.0], np.float16),
        "lists": [[1, 2], [], None],
        "unicode": np.array(["a", "b", "c"]),
        "nan": np.array([np.nan, 1.0, np.inf]),
        "objects": np.array([1, "x", float("nan")], dtype=object),
        "category": pd.Categorical(["u", None, "u"]),
        "series": pd.Series([pd.NA, "1", 2], dtype=object),
    }
    assert rows_of(data, rows=2) == [
        {"tensor": 0, "matrix": [0, 1], "half": 0.5, "lists": [1, 2], "unicode": "a", "nan": None, "objects": "1",
         "category": "u", "series": None},
        {"tensor": 1, "matrix": [2, 3], "half": 1, "lists": [], "unicode": "b", "nan": 1, "objects": "x",
         "category": None, "series": "1"},
        {"tensor": 2, "matrix": [4, 5], "half": 2, "lists": None, "unicode": "c", "nan": float("inf"), "objects": None,
         "category": "u", "series": "2"},
    ]  # fmt: skip
    arrow = {"a": pa.array([1, None, 3]), "b": pa.chunked_array([["x"], [None, "y"]])}
    assert rows_of(arrow, rows=2) == [{"a": 1, "b": "x"}, {"a": None, "b": None}, {"a": 3, "b": "y"}]
    polars = pl.DataFrame({"c": ["a", None]}, schema={"c": pl.Categorical})
    assert rows_of(polars) == [{"c": "a"}, {"c": None}]


def test_nan_is_missing_unless_it_is_kept() -> None:
    data = {"a": np.array([1.0, np.nan]), "b": pd.Series([np.nan, 2.0], dtype="float32"), "c": [None, 0.5]}
    assert rows_of(data) == [{"a": 1, "b": None, "c": None}, {"a": None, "b": 2, "c": 0.5}]
    (chunk,) = read_chunks(data, keep_nan=True)
    assert [chunk.table[name].null_count for name in "abc"] == [0, 0, 1]
    assert np.isnan(chunk.table["a"][1].as_py())
    (chunk,) = read_chunks(pd.DataFrame(data), keep_nan=True)
    assert chunk.table["b"].type == pa.float32()


def test_chunks_say_where_they_are_from(tmp_path: Path) -> None:
    chunks = list(read_chunks({"a": list(range(5))}, rows=2))
    assert [(c.table.num_rows, *c[1:]) for c in chunks] == [(2, "", 0, 0), (2, "", 1, 2), (1, "", 2, 4)]
    assert chunks[1].where(1) == "row 3"
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(5)}), path, row_group_size=3)
    chunks = list(read_chunks(path, rows=2))
    file = str(path)
    assert [(c.table.num_rows, *c[1:]) for c in chunks] == [(2, file, 0, 0), (1, file, 0, 2), (2, file, 1, 3)]
    assert chunks[1].where(0) == f"row 2 of {file}"


def test_files_of_every_ending_hold_the_same_rows(tmp_path: Path) -> None:
    for ending, separator in ((".csv", ","), (".tsv", "\t"), (".txt", "\t")):
        text = "i,s,f\n1,a,0.5\n,,\n3,b,1.5\n".replace(",", separator)
        (tmp_path / f"t{ending}").write_text(text)
        with gzip.open(tmp_path / f"t{ending}.gz", "wt") as file:
            file.write(text)
    pl.DataFrame({"i": [1, None, 3], "s": ["a", None, "b"], "f": [0.5, None, 1.5]}).write_parquet(
        tmp_path / "t.parquet"
    )
    expected = [ROWS[0], ROWS[1], {**ROWS[2], "s": "b"}]
    files = list_files(tmp_path)
    assert len(files) == 7
    for file in files:
        assert rows_of(file) == expected
        assert column_names(file) == ["i", "s", "f"]
    assert rows_of(str(tmp_path)) == expected * 7


def test_columns_are_chosen_and_ordered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y,z\n1,2,3\n")
    pq.write_table(pa.table({"x": [1], "y": [2], "z": [3]}), tmp_path / "a.parquet")
    for data in (tmp_path / "a.csv", tmp_path / "a.parquet", {"x": [1], "y": [2], "z": [3]}):
        (chunk,) = read_chunks(data, columns=["z", "x"])
        assert chunk.table.column_names == ["z", "x"]
        assert chunk.table.to_pylist() == [{"z": 3, "x": 1}]


def test_what_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x\n1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "short.csv").write_text("x,y\n1\n")
    (tmp_path / "twice.csv").write_text("x,x\n1,2\n")
    (tmp_path / "junk.parquet").write_text("no parquet at all")
    (tmp_path / "table.xlsx").write_text("")
    (tmp_path / "folder").mkdir()
    for data, match in (
        ("empty.csv", "empty.csv must be a text table separated by ',', got: Empty CSV file"),
        ("short.csv", "short.csv, line 2, must be a text table.*Expected 2 columns, got 1"),
        ("twice.csv", "twice.csv must have columns of different names, got 'x' twice"),
        ("junk.parquet", "junk.parquet must be a Parquet file"),
        ("table.xlsx", "files must end in one of .csv, .*got .*table.xlsx"),
    ):
        with pytest.raises(ValueError, match=match):
            rows_of(tmp_path / data)
    with pytest.raises(ValueError, match=r"b\.csv lacks \['y'\]; it has \['x'\]"):
        read_chunks([tmp_path / "a.csv", tmp_path / "b.csv"])
    with pytest.raises(ValueError, match=r"each file must be named once, got .*a\.csv twice"):
        list_files([tmp_path / "a.csv", tmp_path / "a.csv"])
    with pytest.raises(ValueError, match="at least one, got an empty list"):
        list_files([])
    with pytest.raises(FileNotFoundError, match="must hold files ending in"):
        list_files(tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match=r"there is no file, folder or glob match at .*nothing"):
        list_files(tmp_path / "nothing*.csv")


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got LazyFrame: call its collect"):
        read_chunks(pl.DataFrame({"a": [1]}).lazy())
    with pytest.raises(TypeError, match=r"data must be a pandas, polars or pyarrow table.*got int"):
        read_chunks(5)
    with pytest.raises(ValueError, match=r"the table lacks \['b'\]; it has \['a'\]"):
        read_chunks({"a": [1]}, columns=["b"])
    with pytest.raises(TypeError, match="columns must be a list of names, got the string 'a'"):
        read_chunks({"a": [1]}, columns="a")
    with pytest.raises(ValueError, match="'a' has 1, 'b' has 2"):
        rows_of({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="'a' must hold one value a row, got the single value 'text'"):
        rows_of({"a": "text"})
    with pytest.raises(ValueError, match="'a' must hold values of one type"):
        rows_of({"a": [1, [2]]})
    with pytest.raises(ValueError, match="columns must have different names, got 'a' twice"):
        read_chunks(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ValueError, match="rows must be an integer of at least 1, got 0"):
        read_chunks({"a": [1]}, rows=0)


def test_tables_without_rows_have_no_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n")
    assert list(read_chunks(tmp_path / "a.csv")) == []
    assert list(read_chunks({"x": []})) == []
    assert list(read_chunks({})) == []


def test_a_chunk_is_a_tuple_of_four() -> None:
    (chunk,) = read_chunks({"a": [1]})
    assert isinstance(chunk, Chunk)
    assert chunk[1:] == ("", 0, 0)
