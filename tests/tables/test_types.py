"""One type for each column, whatever the files of a table make of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch.tables import common_types, read_chunks, typed


def test_integers_and_floats_of_different_files_are_floats(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2], "s": ["a", "b"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": [0.5], "s": pa.array([None], pa.null())}), tmp_path / "b.parquet")
    (tmp_path / "c.csv").write_text("s,n\nc,3\n")
    types = common_types(tmp_path, ["n", "s"])
    assert types == {"n": pa.float64(), "s": pa.string()}
    rows = [row for chunk in read_chunks(tmp_path) for row in typed(chunk, ["s", "n"], types).to_pylist()]
    assert rows == [{"s": "a", "n": 1.0}, {"s": "b", "n": 2.0}, {"s": None, "n": 0.5}, {"s": "c", "n": 3.0}]


def test_rows_in_memory_keep_their_types() -> None:
    assert common_types({"n": [1]}, ["n"]) == {}
    (chunk,) = read_chunks({"n": [1], "m": [2]})
    assert typed(chunk, ["n"], {}).equals(pa.table({"n": [1]}))


def test_types_that_have_none_in_common_are_named_with_two_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"'n' must be of one type, got int64 in .*a\.parquet and string in .*b\.parq"):
        common_types(tmp_path, ["n"])


def test_a_value_that_would_change_is_refused_with_its_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [2**53 + 1]}), tmp_path / "a.parquet")
    (chunk,) = read_chunks(tmp_path)
    with pytest.raises(ValueError, match=r"column 'n' must be double, as in other files, got in .*a\.parquet"):
        typed(chunk, ["n"], {"n": pa.float64()})
