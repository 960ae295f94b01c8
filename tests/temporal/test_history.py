"""Histories against a loop over the rows."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.encoding import FeatureEncoder
from deepctr_torch.features import VarLenSparseFeat
from deepctr_torch.temporal import add_history
from tests.support.events import ROWS, Event, in_chunks, rows_of_events, table


def naive_history(rows: list[Event], maxlen: int, liked: bool, delay: float) -> list[list[str | None]]:
    by_time = sorted(rows, key=lambda r: r.time)
    return [
        [
            e.item
            for e in by_time
            if e.user is not None
            and e.user == now.user
            and e.time < now.time - delay
            and (not liked or (e.label or 0) > 0)
        ][-maxlen:]
        for now in rows
    ]


@given(rows=rows_of_events, maxlen=st.integers(1, 4), liked=st.booleans(), delay=st.sampled_from([0, 1, 2.5]))
def test_history_is_that_of_a_loop_over_rows(rows: list[Event], maxlen: int, liked: bool, delay: float) -> None:
    made = add_history(table(rows), "user", "item", "time", maxlen, "label" if liked else None, delay=delay)
    assert made.select(range(4)).equals(table(rows))
    assert made["hist_item"].to_pylist() == naive_history(rows, maxlen, liked, delay)


@pytest.mark.parametrize(
    "items",
    [
        pa.array(["x", "y", "x"]).dictionary_encode(),
        pa.array([[1, 2], [], None]),
        pa.array([datetime(2024, 1, 1), None, datetime(2024, 1, 2)]),
        pa.array([1.5, 2.5, 3.5], pa.float32()),
    ],
    ids=lambda items: str(items.type),
)
def test_items_may_have_any_type(items: pa.Array) -> None:
    data = pa.table({"u": ["k"] * 3, "i": items, "t": [1, 2, 3]})
    expected = [[], items.to_pylist()[:1], items.to_pylist()[:2]]
    assert add_history(data, "u", "i", "t", 5)["hist_i"].to_pylist() == expected
    stream = add_history(in_chunks(data, 1), "u", "i", "t", 5)
    assert pa.concat_tables(stream)["hist_i"].to_pylist() == expected


def test_wrong_arguments_of_history() -> None:
    data = table(ROWS)
    with pytest.raises(ValueError, match="maxlen must be an integer of at least 1, got 0"):
        add_history(data, "user", "item", "time", 0)
    with pytest.raises(ValueError, match="item must name at least one column"):
        add_history(data, "user", [], "time", 1)
    with pytest.raises(ValueError, match="must have the columns user, genre, time, got none named 'genre'"):
        add_history(data, "user", "genre", "time", 1)
    with pytest.raises(ValueError, match="no column 'hist_item' yet"):
        add_history(add_history(data, "user", "item", "time", 1), "user", "item", "time", 1)
    with pytest.raises(ValueError, match="label column 'item' must hold numbers, got string"):
        add_history(data, "user", "item", "time", 1, "item")
    with pytest.raises(ValueError, match="out is for events in files"):
        add_history(data, "user", "item", "time", 1, out="x.parquet")
    with pytest.raises(ValueError, match="at least one row"):
        add_history(data.slice(0, 0), "user", "item", "time", 1)
    with pytest.raises(TypeError, match=r"call its collect\(\)"):
        add_history(pl.DataFrame(data).lazy(), "user", "item", "time", 1)
    with pytest.raises(ValueError, match="'lists' must hold numbers or strings"):
        add_history(data.append_column("lists", pa.array([[1]] * 5)), "lists", "item", "time", 1)


def test_the_history_of_a_column_of_lists_is_one_of_lists_of_lists() -> None:
    tags = [["x", "y"], ["z"], [], None, ["x"], ["y"]]
    events = pl.DataFrame({"user": [1, 1, 1, 2, 1, 1], "at": range(6), "tags": tags, "click": [1, 0] * 3})
    expected = [[], tags[:1], tags[:2], [], tags[:3], [tags[1], tags[2], tags[4]]]
    made = add_history(events, "user", "tags", "at", 3)
    assert made["hist_tags"].to_list() == expected
    columns = FeatureEncoder.infer(made, label="click").fit(made).feature_columns()
    steps = next(c for c in columns if c.name == "hist_tags")
    assert isinstance(steps, VarLenSparseFeat)
    assert (steps.embedding_name, steps.step_width) == ("tags", 2)
