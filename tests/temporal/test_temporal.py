"""Histories and rates of earlier events: against a loop over rows, in memory and as a stream, and no leakage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.tables import Chunk
from deepctr_torch.temporal import add_history, add_rates, events, history, rates

INT_MIN = np.iinfo(np.int64).min


class Event(NamedTuple):
    user: int | None
    item: str | None
    time: int
    label: float | None


rows_of_events = st.lists(
    st.builds(
        Event,
        user=st.sampled_from([None, 1, 2, 3]),
        item=st.sampled_from([None, "a", "b", "c"]),
        time=st.integers(0, 6),  # few, so that many are equal
        label=st.sampled_from([None, 0.0, 1.0, 0.1, 0.7]),  # sums of tenths depend on their order
    ),
    min_size=1,
    max_size=40,
)


def table(rows: list[Event]) -> pa.Table:
    kinds = {"user": pa.int64(), "item": pa.string(), "time": pa.int64(), "label": pa.float64()}
    return pa.table({name: pa.array([getattr(r, name) for r in rows], kind) for name, kind in kinds.items()})


def in_chunks(whole: pa.Table, rows: int) -> Iterator[pa.Table]:
    return (whole.slice(start, rows) for start in range(0, whole.num_rows, rows))


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


def added(events: list[Event]) -> float:
    """The sum of their labels, one after the other; `sum` of Python 3.12 rounds otherwise."""
    return reduce(lambda total, e: total + (e.label or 0), events, 0.0)


def naive_rates(rows: list[Event], key: tuple[str, ...], prior: Any, delay: float) -> tuple[list[float], list[int]]:
    by_time = sorted(rows, key=lambda r: r.time)
    made, counts = [], []
    for now in rows:
        known = [e for e in by_time if e.time < now.time - delay and e.label is not None]
        mine = tuple(getattr(now, name) for name in key)
        same = [e for e in known if None not in mine and tuple(getattr(e, name) for name in key) == mine]
        rate, strength = prior if isinstance(prior, tuple) else (None, prior)
        rate = (added(known) + 1) / (len(known) + 2) if rate is None else rate
        weight = len(same) + strength
        made.append((added(same) + strength * rate) / weight if weight else rate)
        counts.append(len(same))
    return made, counts


KEYS: list[str | tuple[str, ...]] = ["user", "item", ("user", "item")]
NAMES = {("user",): "user", ("item",): "item", ("user", "item"): "user_item"}


# ------------------------------------------------------------------------------------- against a loop over the rows


@given(rows=rows_of_events, maxlen=st.integers(1, 4), liked=st.booleans(), delay=st.sampled_from([0, 1, 2.5]))
def test_history_is_that_of_a_loop_over_rows(rows: list[Event], maxlen: int, liked: bool, delay: float) -> None:
    made = add_history(table(rows), "user", "item", "time", maxlen, "label" if liked else None, delay=delay)
    assert made.select(range(4)).equals(table(rows))
    assert made["hist_item"].to_pylist() == naive_history(rows, maxlen, liked, delay)


@given(
    rows=rows_of_events, prior=st.sampled_from([0, 10.0, (0.2, 3.0), (1, 0), (0.0, 0.5)]), delay=st.sampled_from([0, 2])
)
def test_rates_are_those_of_a_loop_over_rows_bit_for_bit(rows: list[Event], prior: Any, delay: int) -> None:
    made = add_rates(table(rows), KEYS, "label", "time", prior, delay)
    for key, name in NAMES.items():
        expected, counts = naive_rates(rows, key, prior, delay)
        assert made[f"{name}_rate"].to_pylist() == expected
        assert made[f"{name}_count"].to_pylist() == counts


@given(rows=rows_of_events, size=st.integers(1, 7), delay=st.sampled_from([0, 1, 3]), spare=st.sampled_from([0, 10**6]))
def test_a_stream_gives_what_memory_gives(rows: list[Event], size: int, delay: int, spare: int) -> None:
    ordered = table(sorted(rows, key=lambda r: r.time))
    expected = add_history(ordered, "user", ["item", "label"], "time", 2, "label", delay=delay)
    expected = add_rates(expected, KEYS, "label", "time", 5, delay)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_SPARE", spare)
        stream = add_history(in_chunks(ordered, size), "user", ["item", "label"], "time", 2, "label", delay=delay)
        got = pa.concat_tables(add_rates(stream, KEYS, "label", "time", 5, delay))
    assert got.equals(expected)


# --------------------------------------------------------------------------------------------------------- no leakage


@given(rows=rows_of_events, other=rows_of_events, now=st.integers(0, 6))
def test_what_happens_later_changes_nothing(rows: list[Event], other: list[Event], now: int) -> None:
    """Of rows at `now` or later everything but user and time becomes something else, and further rows come."""
    changed = [
        r if r.time < now else r._replace(item=o.item, label=o.label)
        for r, o in zip(rows, other * len(rows), strict=False)
    ]
    changed += [o for o in other if o.time >= now]
    known = [i for i, r in enumerate(rows) if r.time <= now]
    earlier = [i for i in known if rows[i].time < now]  # at `now` the item is another one, and may be the key
    for columns, make in (
        (["hist_item"], lambda t: add_history(t, "user", "item", "time", 3)),
        (["hist_item"], lambda t: add_history(t, "user", "item", "time", 3, "label")),
        (["user_rate", "user_count"], lambda t: add_rates(t, "user", "label", "time", 10)),
        (["item_rate", "item_count"], lambda t: add_rates(t, "item", "label", "time", (0.5, 1))),
    ):
        before, after = make(table(rows)).to_pylist(), make(table(changed)).to_pylist()
        for i in earlier if "item_rate" in columns else known:
            assert [before[i][name] for name in columns] == [after[i][name] for name in columns]


def test_events_of_one_time_never_see_each_other_in_whatever_chunks() -> None:
    rows = [Event(1, "a", 5, 1.0)] * 7 + [Event(1, "b", 6, 0.0)]
    made = pa.concat_tables(add_rates(in_chunks(table(rows), 2), "user", "label", "time", (0.5, 1)))
    assert made["user_count"].to_pylist() == [0] * 7 + [7]
    assert made["user_rate"].to_pylist() == [0.5] * 7 + [7.5 / 8]
    made = pa.concat_tables(add_history(in_chunks(table(rows), 2), "user", "item", "time", 3))
    assert made["hist_item"].to_pylist() == [[]] * 7 + [["a"] * 3]


def test_what_a_stream_remembers_does_not_grow_with_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_SPARE", 10)
    past, rated = history._History("user", ["item"], None, 3), rates._Rates({"item": ("item",)}, "label", None, 1.0)
    clock, sizes = events.Clock("time", 2), []
    for start in range(0, 2000, 20):
        rows = [Event(i % 4, "abc"[i % 3], i // 40, 1.0) for i in range(start, start + 20)]
        one = clock.read(Chunk(table(rows), "", 0, start))
        past.step(one, once=False)
        rated.step(one, once=False)
        assert past.pending is not None
        sizes.append((past.kept.num_rows, len(past.seen), len(past.pending[0]), len(rated.keys["item"].known[0])))
    most = np.max(sizes, axis=0).tolist()
    assert most[1:] == [4, 4 * 3 * 3, 3]  # users; times within the delay x users x maxlen; values of the key
    assert most[0] <= 2 * (4 * 3 + most[2]) + 10 + 20
    assert rated.all.number.tolist() == [2000]


# -------------------------------------------------------------------------------------------------- kinds of tables


ROWS = [Event(2, "b", 3, 1), Event(1, "a", 1, 1), Event(1, "b", 2, 0), Event(1, None, 3, 1), Event(1, "a", 4, None)]
HISTORY: list[list[str | None]] = [[], [], ["a"], ["a", "b"], ["b", None]]


def test_each_kind_of_table_comes_back_as_it_is() -> None:
    whole = table(ROWS)
    frame = whole.to_pandas().set_index(pd.Index([7, 7, 5, 4, 3]))
    made = add_rates(add_history(frame, "user", "item", "time", 2), "user", "label", "time", (0.5, 0))
    assert isinstance(made, pd.DataFrame)
    assert made.index.tolist() == [7, 7, 5, 4, 3]
    assert list(frame.columns) == ["user", "item", "time", "label"]
    assert [past.tolist() for past in made["hist_item"]] == HISTORY
    assert made["user_rate"].tolist() == [0.5, 0.5, 1.0, 0.5, 2 / 3]
    assert made["user_count"].dtype == np.int64
    polars = add_rates(add_history(pl.DataFrame(whole), "user", "item", "time", 2), "user", "label", "time", 1)
    assert isinstance(polars, pl.DataFrame)
    assert polars["hist_item"].to_list() == HISTORY
    assert dict(list(polars.schema.items())[4:]) == {
        "hist_item": pl.List(pl.String),
        "user_rate": pl.Float64,
        "user_count": pl.Int64,
    }
    batch = add_history(whole.to_batches()[0], "user", "item", "time", 2)
    assert isinstance(batch, pa.Table)
    assert batch["hist_item"].to_pylist() == HISTORY
    arrays = add_history({k: whole[k].to_numpy() for k in ("user", "item", "time")}, "user", "item", "time", 2)
    assert list(arrays) == ["user", "item", "time", "hist_item"]
    assert [past.tolist() for past in arrays["hist_item"]] == HISTORY


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


def test_categories_and_floats_with_gaps_are_keys() -> None:
    frame = pd.DataFrame({"u": [1.0, np.nan, 1.0, np.nan], "c": pd.Categorical(["x", "x", None, "x"]), "t": range(4)})
    made = add_rates(frame.assign(y=[True, True, False, True]), ["u", "c", ("u", "c")], "y", "t", (0.5, 1))
    assert made["u_count"].tolist() == [0, 0, 1, 0]
    assert made["c_count"].tolist() == [0, 1, 0, 2]
    assert made["u_c_count"].tolist() == [0, 0, 0, 0]
    assert made["c_rate"].tolist() == [0.5, 0.75, 0.5, 2.5 / 3]


# --------------------------------------------------------------------------------------------------- times and delays


DAYS = [datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2024, 1, 2, 12), datetime(2024, 1, 3)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("delay", "counts"),
    [
        (0, [0, 1, 2, 3]),
        ("12h", [0, 1, 1, 2]),
        ("1d", [0, 0, 1, 1]),
        (timedelta(hours=13), [0, 1, 1, 2]),
        (np.timedelta64(36, "h"), [0, 0, 0, 1]),
        (pd.Timedelta(days=2), [0, 0, 0, 0]),
        ("1.5 D", [0, 0, 0, 1]),
    ],
)
def test_delays_of_timestamps(unit: str, delay: Any, counts: list[int]) -> None:
    data = pa.table({"u": [1] * 4, "t": pa.array(DAYS, pa.timestamp(unit, "UTC")), "y": [1] * 4})
    assert add_rates(data, "u", "y", "t", 1, delay)["u_count"].to_pylist() == counts


def test_times_of_other_types() -> None:
    dates = pa.array([date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 4)])
    for kind in (pa.date32(), pa.date64()):
        data = pa.table({"u": [1] * 3, "t": dates.cast(kind), "y": [1] * 3})
        assert add_rates(data, "u", "y", "t", 1)["u_count"].to_pylist() == [0, 1, 2]
        assert add_rates(data, "u", "y", "t", 1, "36h")["u_count"].to_pylist() == [0, 0, 2]
    floats = {"u": [1] * 3, "t": [0.5, 1.0, 1.25], "y": [1] * 3}
    assert add_rates(floats, "u", "y", "t", 1, 0.5)["u_count"].tolist() == [0, 0, 1]
    lowest = {"u": [1] * 3, "t": [INT_MIN, INT_MIN, INT_MIN + 5], "y": [1] * 3}
    assert add_rates(lowest, "u", "y", "t", 1, 4)["u_count"].tolist() == [0, 0, 2]
    assert add_rates(lowest, "u", "y", "t", 1, "7")["u_count"].tolist() == [0, 0, 0]
    assert add_history({"u": [1, 1], "i": [1, 2], "t": np.array([9, 3], np.uint8)}, "u", "i", "t", 1)["hist_i"][0] == [
        2
    ]


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_files_are_read_as_a_stream_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(events, "_CHUNK", 3)
    rows = [Event(i % 3, "abc"[i % 2], i // 4, float(i % 5 == 0)) for i in range(20)]
    whole = pl.DataFrame(table(rows))
    for name, part in (("a", whole[:9]), ("b", whole[9:])):
        write = part.write_parquet if ending == "parquet" else part.write_csv
        write(tmp_path / f"{name}.{ending}")
    expected = add_rates(add_history(whole, "user", "item", "time", 2), "item", "label", "time", 1)
    for given_as in (tmp_path, str(tmp_path / f"*.{ending}"), [tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"]):
        stream = add_history(given_as, "user", "item", "time", 2)
        assert iter(stream) is stream
        (tmp_path / "made").mkdir(exist_ok=True)
        out = tmp_path / "made" / "_out.parquet"
        assert add_rates(stream, "item", "label", "time", 1, out=out) == out
        assert pl.read_parquet(out).equals(expected.cast(dict(pl.read_parquet(out).schema)))
        assert [p.name for p in out.parent.iterdir()] == ["_out.parquet"]


def test_what_is_wrong_with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_CHUNK", 2)
    pq.write_table(table([Event(1, "a", t, 1) for t in (1, 2, 3)]), tmp_path / "a.parquet")
    pq.write_table(table([Event(1, "a", t, 1) for t in (3, 5, 4)]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"but column 'time' goes back to 4 in row 2 of .*b.parquet"):
        list(add_history(tmp_path, "user", "item", "time", 2))
    with pytest.raises(ValueError, match="sorted by time"):
        add_history(tmp_path, "user", "item", "time", 2, out=tmp_path / "c.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]
    with pytest.raises(ValueError, match="sorted by time"):  # the second file begins before the first ends
        list(add_rates([tmp_path / "b.parquet", tmp_path / "a.parquet"], "user", "label", "time", 2))
    with pytest.raises(ValueError, match="out must be another file than those read"):
        add_history(tmp_path, "user", "item", "time", 2, out=tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="got none named 'who'"):
        add_history(tmp_path, "who", "item", "time", 2)
    other = table([Event(1, "a", 9, 1)])
    stream = iter([other, other.set_column(2, "time", [pa.array([9.0])])])
    with pytest.raises(ValueError, match="'time' must have one type, got double after int64 in row 1"):
        list(add_history(stream, "user", "item", "time", 2))
    stream = iter([other, other.set_column(1, "item", [pa.array([9])])])
    with pytest.raises(ValueError, match="items in item must have one type, got int64 after large_string in row 1"):
        list(add_history(stream, "user", "item", "time", 2))
    with pytest.raises(ValueError, match="at least one row"):
        add_history(iter([]), "user", "item", "time", 2, out=tmp_path / "c.parquet")


# -------------------------------------------------------------------------------------------------------------- errors


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


def test_wrong_times() -> None:
    data = {"u": [1, 2], "i": [1, 2], "y": [0, 1]}

    def with_times(times: Any, delay: Any = 0) -> None:
        add_history({**data, "t": times}, "u", "i", "t", 1, delay=delay)

    with pytest.raises(ValueError, match="every row must have a time, got none in column 't', row 1"):
        with_times(pd.Series([3, None], dtype="Int64"))
    with pytest.raises(ValueError, match="times must be finite, got inf in column 't', row 0"):
        with_times([np.inf, 1.0])
    with pytest.raises(ValueError, match="must hold numbers, dates or timestamps, got string"):
        with_times(["2024-01-01", "2024-01-02"])
    with pytest.raises(ValueError, match=r"times must lie below 2\*\*63"):
        with_times(np.array([0, 2**63], np.uint64))
    with pytest.raises(ValueError, match="delay must be a number, as the time column 't' holds int64, got '1d'"):
        with_times([1, 2], "1d")
    with pytest.raises(ValueError, match=r"delay must be a duration such as '1d', as 't' holds timestamp\[us\], got 3"):
        with_times(pa.array(DAYS[:2]).to_numpy(), 3)
    with pytest.raises(ValueError, match="delay must be a duration such as '1d', '12h' or '30min', got 'soon'"):
        with_times([1, 2], "soon")
    with pytest.raises(ValueError, match="delay must be a number >= 0, got -1"):
        with_times([1, 2], -1)
    with pytest.raises(ValueError, match="delay must be a duration >= 0"):
        with_times(pa.array(DAYS[:2]).to_numpy(), timedelta(-1))


def test_wrong_arguments_of_rates() -> None:
    data = table(ROWS)

    def make(keys: Any = "user", label: str = "label", prior: Any = 1) -> None:
        add_rates(data, keys, label, "time", prior)

    with pytest.raises(ValueError, match=r"keys must name at least one column each, got \[\]"):
        make([])
    with pytest.raises(ValueError, match=r"keys must name at least one column each, got \[\(\)\]"):
        make([()])
    with pytest.raises(ValueError, match="keys must have different names, got user, user"):
        make(["user", ("user",)])
    with pytest.raises(ValueError, match="got none named 'click'"):
        make(label="click")
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\], got 2 in column 'time', row 2"):
        make(label="time")
    with pytest.raises(ValueError, match="prior must be a number >= 0, got -1"):
        make(prior=-1)
    with pytest.raises(ValueError, match=r"prior's rate must be in \[0, 1\)"):
        make(prior=(1.5, 1))
    with pytest.raises(ValueError, match="prior's strength must be a number >= 0, got -2"):
        make(prior=(0.5, -2))
    with pytest.raises(ValueError, match=r"prior must be a strength or \(rate, strength\)"):
        make(prior=(0.5, 1, 2))
