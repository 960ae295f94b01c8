"""Batches from files: their order, positions to go on from, and errors that name file, row group and row."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.data import Files
from deepctr_torch.data.batch import LabeledBatch
from deepctr_torch.data.file_source import Position
from deepctr_torch.data.loader import make_source
from deepctr_torch.features import SparseFeat
from deepctr_torch.models.wdl import WDL
from tests.support.click_files import (
    LABELS,
    ROWS,
    SCHEMA,
    flat,
    frame,
    model,
    numbered,
    rows_of,
    write,
)


def same(first: LabeledBatch, second: LabeledBatch) -> None:
    assert first.batch.widths == second.batch.widths
    for one, other in (
        (first.batch.ids, second.batch.ids),
        (first.batch.dense, second.batch.dense),
        (first.y, second.y),
        (first.weight, second.weight),
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
    assert first.groups.keys() == second.groups.keys()
    for name in first.groups:
        np.testing.assert_array_equal(first.groups[name], second.groups[name])


def test_batches_cross_row_groups_and_files_in_the_order_of_the_files(folder: Path) -> None:
    source = numbered(folder)
    assert (source.rows, source.steps(16), source.steps(103)) == (103, 7, 1)
    batches = rows_of(source, 16)
    assert [len(b) for b in batches] == [16] * 6 + [7]
    assert flat(batches) == list(range(ROWS))


@pytest.mark.parametrize("seed", [None, [1, 0], [1, 1]])
@pytest.mark.parametrize("size", [1, 7, 10, 64, 200])
def test_a_stream_whose_buffer_holds_everything_equals_arrays_in_memory(
    folder: Path, seed: list[int] | None, size: int
) -> None:
    labels = LABELS._replace(group_columns=["user"], class_weight={1: 3.0})
    streamed = make_source(SCHEMA, Files(folder, buffer_rows=ROWS), "click", labels, "weight")
    memory = make_source(SCHEMA, frame(), "click", labels, frame()["weight"])
    first, second = list(streamed.batches(size, seed)), list(memory.batches(size, seed))
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        same(one, other)


def test_text_files_stream_too(folder: Path, tmp_path: Path) -> None:
    data = frame()[["row", "click"]]
    data.iloc[:60].to_csv(tmp_path / "a.csv", index=False)
    data.iloc[60:].to_csv(tmp_path / "b.tsv.gz", index=False, sep="\t")
    source = numbered([tmp_path / "a.csv", tmp_path / "b.tsv.gz"], buffer_rows=30)
    assert (source.rows, source.steps(10)) == (None, None)
    assert flat(rows_of(source, 16)) == list(range(ROWS))
    assert sorted(flat(rows_of(source, 16, [0, 0]))) == list(range(ROWS))
    whole = numbered(str(tmp_path), buffer_rows=1000)
    expected = np.random.default_rng([0, 7]).permutation(ROWS).tolist()
    assert flat(rows_of(whole, 16, [0, 7])) == expected


def test_text_files_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("1\t5\n0\t6\n")
    source = numbered(tmp_path / "a.tsv", header=["click", "row"], schema={"row": "int64"})
    assert [e.batch.ids.tolist() for e in source.batches(2)] == [[[5], [6]]]


def test_parts_of_several_processes_are_disjoint_and_complete(folder: Path) -> None:
    parts = [numbered(folder, rank=rank, world_size=3, buffer_rows=20) for rank in range(3)]
    for seed in (None, [0, 0]):
        rows = [flat(rows_of(part, 8, seed)) for part in parts]
        assert [len(r) for r in rows] == [part.rows for part in parts]
        assert sorted(r for each in rows for r in each) == list(range(ROWS))


@given(st.integers(0, 20), st.integers(1, 40), st.sampled_from([None, [2, 9]]), st.sampled_from([1.0, 0.4]))
def test_a_saved_position_goes_on_with_the_same_batches(
    tmp_path_factory: pytest.TempPathFactory, after: int, buffer: int, seed: Any, rate: float
) -> None:
    where = tmp_path_factory.getbasetemp() / "positions"
    if not where.exists():
        write(where, frame())
    options: dict[str, Any] = {"buffer_rows": buffer, "negative_rate": rate, "threads": 0}
    source = numbered(where, **options)
    whole = list(source.batches(8, seed))
    first = numbered(where, **options)
    stream = first.batches(8, seed)
    assert len(list(islice(stream, after))) == min(after, len(whole))
    resumed = numbered(where, **options)
    resumed.load_state_dict(first.state_dict())
    rest = list(resumed.batches(8, seed))
    assert len(rest) == len(whole[after:])
    for one, other in zip(rest, whole[after:], strict=True):
        same(one, other)
    assert rows_of(resumed, 8, [7, 7]) == rows_of(source, 8, [7, 7])  # the next pass is a whole one


def test_the_position_counts_row_groups_and_rows(folder: Path) -> None:
    source = numbered(folder)
    assert source.position == Position(0, 0)
    stream = source.batches(8)
    seen = [source.position for _ in islice(stream, 5)]
    assert seen == [Position(0, 8), Position(1, 16), Position(2, 24), Position(3, 32), Position(4, 40)]
    list(stream)
    assert source.position.rows == ROWS


def test_a_position_of_other_files_is_refused(folder: Path) -> None:
    state = numbered(folder).state_dict()
    with pytest.raises(ValueError, match="the position is of a source with buffer_rows=500000, this one has 7"):
        numbered(folder, buffer_rows=7).load_state_dict(state)
    with pytest.raises(ValueError, match="part=0 of 1, this one has 1 of 2"):
        numbered(folder, rank=1, world_size=2).load_state_dict({**state, "units": 6})


def test_the_reading_thread_ends_with_the_pass(folder: Path) -> None:
    source = numbered(folder, buffer_rows=10)
    stream = source.batches(8, [0, 0])
    next(stream)
    assert any(t.name == "deepctr_torch-reader" for t in threading.enumerate())
    stream.close()  # type: ignore[attr-defined]
    assert not any(t.name == "deepctr_torch-reader" for t in threading.enumerate())


def broken(folder: Path, column: str, row: int, value: Any) -> Path:
    data = frame()
    data[column] = data[column].astype(object)
    data.at[row, column] = value
    return write(folder, data.astype({column: float}))


@pytest.mark.parametrize("shuffle", [True, False])
def test_errors_name_file_row_group_and_row(tmp_path: Path, shuffle: bool) -> None:
    where = broken(tmp_path / "bad", "a", 35 + 13, 77)  # row 13 of the second file: in its second row group
    message = r"part-1\.parquet, row group 1: ids of 'a' must be in \[0, 50\) .* got 77.* in row 13"
    with pytest.raises(ValueError, match=message):
        model().fit(where, "click", shuffle=shuffle, verbose=0)
    where = broken(tmp_path / "label", "click", 3, 2)
    with pytest.raises(
        ValueError, match=r"part-0\.parquet, row group 0: labels must be in \[0, 1\].* got 2\.0 in row 3"
    ):
        model().fit(where, "click", shuffle=shuffle, verbose=0)


def test_a_bad_row_stops_before_the_step_that_would_use_it(tmp_path: Path) -> None:
    where = broken(tmp_path / "bad", "d", 60, np.inf)
    steps: list[int] = []

    class Count(torch.nn.Module):
        def __call__(self, p: Any, y: Any) -> Any:
            steps.append(len(y))
            return torch.nn.functional.binary_cross_entropy(p, y, reduction="sum")

    each = model()
    each.compile("adam", Count())
    with pytest.raises(ValueError, match=r"part-1\.parquet, row group 2: 'd' must hold finite numbers .* in row 25"):
        each.fit(where, "click", batch_size=11, shuffle=False, verbose=0)
    assert sum(steps) == 55


def test_files_without_a_row_to_read_are_named(tmp_path: Path) -> None:
    columns = [SparseFeat("a", 50, 4)]
    each = WDL(columns, columns, dnn_hidden_units=())
    each.compile("adam", "binary_crossentropy")
    (tmp_path / "empty.csv").write_text("a,click\n")
    (tmp_path / "rows.csv").write_text("a,click\n1,0\n2,0\n")
    for call in (each.fit, each.evaluate):
        with pytest.raises(ValueError, match=r"must hold at least one row, got none in .*empty\.csv"):
            call(tmp_path / "empty.csv", "click")
    with pytest.raises(ValueError, match=r"at least one row that negative_rate=1e-09 keeps, got none in .*rows\.csv"):
        each.fit(Files(tmp_path / "rows.csv", negative_rate=1e-9), "click", verbose=0)
