"""Keys: what is one, and what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.temporal import add_history, add_rates
from tests.support.events import one


def test_categories_and_floats_with_gaps_are_keys() -> None:
    frame = pd.DataFrame({"u": [1.0, np.nan, 1.0, np.nan], "c": pd.Categorical(["x", "x", None, "x"]), "t": range(4)})
    made = add_rates(frame.assign(y=[True, True, False, True]), ["u", "c", ("u", "c")], "y", "t", (0.5, 1))
    assert made["u_count"].tolist() == [0, 0, 1, 0]
    assert made["c_count"].tolist() == [0, 1, 0, 2]
    assert made["u_c_count"].tolist() == [0, 0, 0, 0]
    assert made["c_rate"].tolist() == [0.5, 0.75, 0.5, 2.5 / 3]


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
