"""Positives with negatives, the last event of each user to validate on: nothing knows more than its time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepctr_torch import CTRClassifier
from deepctr_torch.temporal import add_history, leave_last_out


def log(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user": [f"u{u}" for u in rng.integers(0, 25, rows)],
            "movie": rng.zipf(1.5, rows) % 30,
            "at": rng.integers(0, 200, rows),
            "device": rng.integers(0, 3, rows),
        }
    )


EVENTS = log()
COLUMNS = ["user", "movie", "at", "hist_movie", "label"]


def split(events: Any, **options: Any) -> tuple[Any, Any]:
    return leave_last_out(events, "user", "movie", "at", **options)


def test_the_last_event_of_each_user_is_validated_on() -> None:
    train, valid = split(EVENTS, negatives=0, validation_negatives=0)
    assert train.columns == valid.columns == COLUMNS
    featured = add_history(EVENTS, "user", "movie", "at", 20).with_columns(label=pl.lit(1)).select(COLUMNS)
    order = featured.with_row_index("row").sort("at", "row")
    rows = order.filter(pl.col("user").is_last_distinct())["row"].sort().to_list()
    assert valid.equals(featured[rows])
    assert train.equals(featured[[i for i in range(400) if i not in rows]])
    once = pl.DataFrame({"user": ["a", "b", "a"], "movie": [1, 2, 3], "at": [1, 2, 2]})
    train, valid = split(once)
    assert train.filter(label=1)["user"].to_list() == ["a", "b"]  # of b there is but one
    assert valid["user"].to_list() == ["a"]  # and no item that is earlier and not a's


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 100))
def test_no_row_knows_more_than_its_time(seed: int, rows: int) -> None:
    events = log(rows, seed)
    train, valid = split(events, negatives=3, validation_negatives=5, seed=seed)
    positives = train.filter(label=1)
    for part, most in ((train, 3), (valid, 5)):
        chosen = part["label"].cum_sum()
        assert part.group_by(chosen).len()["len"].max() in (None, *range(1, most + 2))
        for row in part.filter(label=0).iter_rows(named=True):
            assert len(positives.filter(pl.col("movie") == row["movie"], pl.col("at") < row["at"]))
            own = events.filter(pl.col("user") == row["user"], pl.col("at") <= row["at"])
            assert row["movie"] not in own["movie"]
            past = own.filter(pl.col("at") < row["at"])
            assert sorted(row["hist_movie"]) == sorted(
                past["movie"].to_list()[-20:] if len(past) <= 20 else row["hist_movie"]
            )
    assert len(valid.filter(label=1)) + len(positives) == rows


def test_what_is_chosen_later_is_drawn_as_any_other_item() -> None:
    events = pl.DataFrame(
        {"user": ["a"] * 50 + ["b"] * 3, "movie": [*[1, 2] * 25, 3, 1, 2], "at": [*range(50), 60, 61, 62]}
    )
    train, _ = split(events, negatives=200)
    negatives = train.filter(user="b", label=0)
    assert negatives.filter(at=60)["movie"].value_counts(sort=True).sort("movie")["movie"].to_list() == [1, 2]
    assert set(negatives.filter(at=61)["movie"]) == {2}  # which b chooses next, and nothing tells
    frequent = pl.DataFrame({"user": [0] * 100 + [1, 1], "movie": [*[1] * 90, *[2] * 10, 3, 4], "at": range(102)})
    drawn = split(frequent, negatives=2000)[0].filter(user=1, label=0)["movie"]
    assert (drawn == 2).mean() == pytest.approx(0.1, abs=0.02)  # the last of user 0 is not in the pool


@pytest.mark.parametrize("kind", ["pandas", "arrow", "dict"])
def test_every_kind_of_table_gives_the_same(kind: str) -> None:
    expected = split(EVENTS, seed=3)
    given = {"pandas": EVENTS.to_pandas(), "arrow": EVENTS.to_arrow(), "dict": EVENTS.to_dict(as_series=False)}[kind]
    if kind == "pandas":
        given.index = range(7, 407)
    for part, other in zip(split(given, seed=3), expected, strict=True):
        if kind == "dict":
            part = pd.DataFrame({name: list(values) for name, values in part.items()})
        found = pl.from_arrow(part) if kind == "arrow" else pl.DataFrame(part.to_dict("list"), strict=False)
        assert isinstance(found, pl.DataFrame)
        assert found.columns == COLUMNS
        for name in COLUMNS:
            assert [list(v) if name == "hist_movie" else v for v in found[name]] == [
                list(v) if name == "hist_movie" else v for v in other[name]
            ]
    assert not split(EVENTS, seed=4)[0].equals(expected[0])


def test_what_comes_out_trains() -> None:
    train, valid = split(EVENTS, negatives=2, validation_negatives=20)
    small = {"epochs": 1, "history": "hist_movie", "model_args": {"dnn_hidden_units": (8,)}}
    model = CTRClassifier("DIN", skip="at", **small).fit(train, "label", validation=valid)
    assert 0 < model.evaluate(valid, "label", ["gauc:user"])["gauc:user"] < 1


@pytest.mark.parametrize(
    ("events", "options", "message"),
    [
        (EVENTS.drop("at"), {}, "events must have the column 'at', got only user, movie, device"),
        (EVENTS.with_columns(user=None), {}, "'user' must not be missing, got none in row 0"),
        (EVENTS.with_columns(at=None), {}, "the time column 'at' must hold numbers, dates or timestamps"),
        (EVENTS, {"label": "at"}, "label must be a name of its own, got 'at'"),
        (EVENTS, {"negatives": -1}, "negatives must be an integer of at least 0"),
    ],
)
def test_what_cannot_be_is_said(events: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(events, **options)
