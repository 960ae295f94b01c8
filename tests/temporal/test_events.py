"""What holds for histories and rates alike: memory and streams agree, nothing leaks, tables come back as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.tables import Chunk, read_chunks
from deepctr_torch.temporal import add_history, add_rates, events, history, rates, time_split
from deepctr_torch.temporal.split import time_masks
from tests.support.events import KEYS, ROWS, Event, in_chunks, one, rows_of_events, table


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


LINES = """user,item,at,click
007,01,1,1
7,1,2,1
007,18446744073709551615,3,0
007,18446744073709551614,4,1
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LINES)
    return path


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
    assert time_masks(read_chunks(path, ["at"], **text), "at", valid_from=3)[0].tolist() == [True, True, False, False]
