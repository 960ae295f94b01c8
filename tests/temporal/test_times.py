"""Histories, rates and splits of text files: ids stay as they are written; what is missing is no user and no key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.temporal import add_history, add_rates, time_split
from deepctr_torch.temporal.split import time_masks

ROWS = """user,item,at,click
007,01,1,1
7,1,2,1
007,18446744073709551615,3,0
007,18446744073709551614,4,1
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(ROWS)
    return path


def one(tables: Any) -> pa.Table:
    return pa.concat_tables(tables)


def test_users_and_items_of_text_files_are_not_merged(log: Path) -> None:
    past = one(add_history(log, "user", "item", "at", 5))["hist_item"].to_pylist()
    assert past == [[], [], ["01"], ["01", "18446744073709551615"]]


def test_keys_of_text_files_are_not_merged(log: Path) -> None:
    rated = one(add_rates(log, ["user", "item", ("user", "item")], "click", "at", 1))
    assert rated["user_count"].to_pylist() == [0, 0, 1, 2]
    assert rated["item_count"].to_pylist() == rated["user_item_count"].to_pylist() == [0, 0, 0, 0]
    assert rated["click"].type == pa.int64()


def test_a_schema_names_types(log: Path) -> None:
    schema = {"user": "int64", "item": "uint64"}
    past = one(add_history(log, "user", "item", "at", 5, schema=schema))
    assert past["hist_item"].to_pylist() == [[], [1], [1, 1], [1, 1, 2**64 - 1]]
    assert one(add_rates(log, "user", "click", "at", 1, schema=schema))["user_count"].to_pylist() == [0, 1, 2, 3]
    train, valid = time_split(log, "at", valid_from=3, schema={"user": "string", "item": "uint64"})
    assert one(train)["user"].to_pylist() == ["007", "7"]
    assert one(valid)["item"].to_pylist() == [2**64 - 1, 2**64 - 2]


def test_a_header_and_what_means_missing(tmp_path: Path) -> None:
    path = tmp_path / "bare.tsv"
    path.write_text("a\tx\t1\t1\nNA\tx\t2\t1\nNA\ty\t3\t1\na\ty\t4\tNA\n")
    text: dict[str, Any] = {"header": ["user", "item", "at", "click"], "null": ("", "NA")}
    assert one(add_history(path, "user", "item", "at", 5, **text))["hist_item"].to_pylist() == [[], [], [], ["x"]]
    assert one(add_rates(path, "user", "click", "at", 1, **text))["user_count"].to_pylist() == [0, 0, 0, 1]
    train, valid = time_split(path, "at", valid_from=3, **text)
    assert one(train).num_rows == one(valid).num_rows == 2
    assert time_masks(path, "at", valid_from=3, **text)[0].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table, dict], ids=["pandas", "polars", "arrow", "dict"]
)
def test_the_empty_string_is_no_user_and_no_key(make: Any) -> None:
    events = make({"user": ["", "", "a", "a"], "item": ["x", "", "x", "y"], "at": [1, 2, 3, 4], "click": [1, 1, 1, 1]})
    past = add_history(events, "user", "item", "at", 5)["hist_item"]
    assert [list(p) for p in (past.to_pylist() if isinstance(past, pa.ChunkedArray) else past)] == [[], [], [], ["x"]]
    rated = add_rates(events, ["user", ("user", "item")], "click", "at", (0.5, 2))
    assert list(
        rated["user_count"].to_numpy() if hasattr(rated["user_count"], "to_numpy") else rated["user_count"]
    ) == [
        0,
        0,
        0,
        1,
    ]


def test_the_empty_string_is_no_key_in_a_stream() -> None:
    whole = pa.table({"user": ["", "a", "", "a"], "item": ["x", "x", "y", "y"], "at": [1, 2, 3, 4]})
    tables = add_history((whole.slice(i, 2) for i in (0, 2)), "user", "item", "at", 5)
    assert one(tables)["hist_item"].to_pylist() == [[], [], [], ["x"]]
