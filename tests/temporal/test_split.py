"""Splits by time: what is on which side, for every kind of table."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.temporal import time_split


@given(
    times=st.lists(st.integers(-20, 20), min_size=2, max_size=30).filter(lambda t: len(set(t)) > 1),
    fraction=st.floats(0.01, 0.99),
    gap=st.integers(0, 3),
)
def test_no_validation_row_precedes_a_training_row(times: list[int], fraction: float, gap: int) -> None:
    data = {"t": times, "row": np.arange(len(times))}
    first = sorted(times)[len(times) - max(round(fraction * len(times)), 1)]
    expected = [t for t in times if t < first - gap], [t for t in times if t >= first]
    if not all(expected):
        with pytest.raises(ValueError, match="the training part must have rows"):
            time_split(data, "t", fraction=fraction, gap=gap)
        return
    train, valid = time_split(data, "t", fraction=fraction, gap=gap)
    assert train["t"].max() + gap < valid["t"].min()
    assert (train["t"].tolist(), valid["t"].tolist()) == expected
    assert not set(train["row"]) & set(valid["row"])
    same = time_split(data, "t", valid_from=first, gap=gap)
    assert [part["row"].tolist() for part in same] == [train["row"].tolist(), valid["row"].tolist()]


ROWS = {"t": [4, 1, 3, 2, 4], "x": ["e", "a", "c", "b", "d"]}


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, pl.DataFrame, pa.table, dict], ids=["pandas", "polars", "arrow", "dict"]
)
def test_each_kind_of_table_comes_back_as_it_is(kind: Any) -> None:
    train, valid = time_split(kind(ROWS), "t", fraction=0.2, gap=1)
    assert type(train) is type(valid) is type(kind(ROWS))
    assert [list(map(str, np.asarray(part["x"]))) for part in (train, valid)] == [["a", "b"], ["e", "d"]]


def test_files_are_split_as_they_are_read(tmp_path: Path) -> None:
    for i, times in enumerate(([1, 2, 3], [3, 4, 5], [6])):
        pq.write_table(pa.table({"t": times, "file": [i] * len(times)}), tmp_path / f"{i}.parquet")
    train, valid = time_split(tmp_path, "t", fraction=0.4)
    assert iter(train) is train
    assert [table.to_pydict() for table in train] == [{"t": [1, 2, 3], "file": [0] * 3}, {"t": [3], "file": [1]}]
    assert [table.to_pydict() for table in valid] == [{"t": [4, 5], "file": [1] * 2}, {"t": [6], "file": [2]}]
    pq.write_table(pa.table({"t": [1.0], "file": [9]}), tmp_path / "9.parquet")
    with pytest.raises(ValueError, match=r"'t' must have one type, got double after int64 in row 0 of .*9.parquet"):
        time_split(tmp_path, "t", fraction=0.4)


STAMPS = [datetime(2024, 5, 1), datetime(2024, 5, 1, 18), datetime(2024, 5, 2), datetime(2024, 5, 3)]


@pytest.mark.parametrize(
    ("valid_from", "gap", "train", "valid"),
    [
        ("2024-05-02", 0, [0, 1], [2, 3]),
        ("2024-05-02", "6h", [0], [2, 3]),
        ("2024-05-01T18:00:00Z", 0, [0], [1, 2, 3]),
        (date(2024, 5, 3), "1d", [0, 1], [3]),
        (datetime(2024, 5, 1, 19, tzinfo=timezone(timedelta(hours=1))), 0, [0], [1, 2, 3]),
        (np.datetime64("2024-05-01T18:00:00.000000001"), timedelta(0), [0, 1], [2, 3]),
        (pd.Timestamp("2024-05-03"), np.timedelta64(1, "D"), [0, 1], [3]),
    ],
)
@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_timestamps(unit: str, valid_from: Any, gap: Any, train: list[int], valid: list[int]) -> None:
    data = pa.table({"t": pa.array(STAMPS, pa.timestamp(unit)), "row": range(4)})
    parts = time_split(data, "t", valid_from=valid_from, gap=gap)
    assert [part["row"].to_pylist() for part in parts] == [train, valid]


def test_other_numbers() -> None:
    dates = {"t": [date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 3)], "row": [0, 1, 2]}
    assert time_split(dates, "t", valid_from="2024-05-01T12:00")[1]["row"].tolist() == [1, 2]
    whole, floats = {"t": [1, 2, 3]}, {"t": [1.0, 1.5, 2.0]}
    assert time_split(whole, "t", valid_from=1.5)[1]["t"].tolist() == [2, 3]
    assert time_split(whole, "t", valid_from="3", gap="1")[0]["t"].tolist() == [1]
    assert time_split(floats, "t", valid_from=1.5)[1]["t"].tolist() == [1.5, 2.0]
    large = {"t": np.array([2**60, 2**60 + 1])}
    assert time_split(large, "t", valid_from=2**60 + 1)[1]["t"].tolist() == [2**60 + 1]
    assert time_split(large, "t", valid_from=str(2**60 + 1))[1]["t"].tolist() == [2**60 + 1]


def test_wrong_arguments() -> None:
    data, stamps = {"t": [1, 2, 3]}, {"t": STAMPS}
    for wrong in ({}, {"valid_from": 2, "fraction": 0.5}):
        with pytest.raises(ValueError, match="either valid_from or fraction, and not both"):
            time_split(data, "t", **wrong)
    for fraction in (0, 1, 1.5):
        with pytest.raises(ValueError, match=f"fraction must lie between 0 and 1, got {fraction}"):
            time_split(data, "t", fraction=fraction)
    with pytest.raises(ValueError, match="must have the time column 'day', got only t"):
        time_split(data, "day", fraction=0.5)
    with pytest.raises(ValueError, match=r"training part must have rows.*goes from 1 to 3, validation from 1"):
        time_split(data, "t", valid_from=1)
    with pytest.raises(ValueError, match=r"validation part must have rows.*2024-05-03T00:00:00.*from 2025-01-01"):
        time_split(stamps, "t", valid_from="2025-01-01")
    with pytest.raises(ValueError, match="valid_from must be a finite number, as 't' holds int64, got '2024-05-01'"):
        time_split(data, "t", valid_from="2024-05-01")
    for text in ("soon", 7):
        with pytest.raises(ValueError, match="valid_from must be a date, a datetime or ISO text"):
            time_split(stamps, "t", valid_from=text)
    with pytest.raises(ValueError, match="gap must be a duration such as '1d'"):
        time_split(stamps, "t", fraction=0.5, gap=3)
    with pytest.raises(ValueError, match="at least one row"):
        time_split({"t": []}, "t", fraction=0.5)
    with pytest.raises(ValueError, match="every row must have a time, got none in column 't', row 1"):
        time_split({"t": [1, None]}, "t", fraction=0.5)
    for value in ("nan", float("inf"), None.__class__, 2**70):
        with pytest.raises(ValueError, match="valid_from must be a finite number"):
            time_split(data, "t", valid_from=value)


def test_columns_of_a_dict_keep_their_kind() -> None:
    columns: dict[str, Any] = {
        "t": [1, 2, 3],
        "tags": [["a"], ["a", "b"], []],
        "pair": [[1, 2], [3, 4], [5, 6]],
        "mixed": [1, "a", None],
        "gaps": [1, None, 2**60 + 1],
        "tensor": torch.tensor([1, 2, 3]),
        "series": pd.Series(["x", "y", "x"], dtype="category"),
        "polars": pl.Series([[1], [], [2, 3]]),
        "arrow": pa.array([[1], None, [2, 3]]),
    }
    train, valid = time_split(columns, "t", valid_from=2)
    assert (train["tags"].tolist(), valid["tags"].tolist()) == ([["a"]], [["a", "b"], []])
    assert valid["pair"].tolist() == [[3, 4], [5, 6]]
    assert (train["mixed"].tolist(), valid["mixed"].tolist()) == ([1], ["a", None])
    assert valid["gaps"].tolist() == [None, 2**60 + 1]
    assert isinstance(valid["tensor"], torch.Tensor)
    assert valid["series"].dtype == "category"
    assert valid["polars"].to_list() == [[], [2, 3]]
    assert valid["arrow"].to_pylist() == [None, [2, 3]]
