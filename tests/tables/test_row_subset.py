"""Parts of the rows of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.encoding import FeatureEncoder, Numeric
from deepctr_torch.tables import Chunk, RowSubset, read_chunks


def test_rows_of_frames_and_of_files(tmp_path: Path) -> None:
    table = pl.DataFrame({"n": range(10)})
    table[:4].write_parquet(tmp_path / "a.parquet", row_group_size=3)
    table[4:].write_parquet(tmp_path / "b.parquet", row_group_size=4)
    mask = np.arange(10) % 3 == 0
    whole = RowSubset(mask)
    assert [whole.take(c).table["n"].to_pylist() for c in read_chunks(table, rows=4)] == [[0, 3], [6], [9]]
    spread = RowSubset(mask, {str(tmp_path / "a.parquet"): 0, str(tmp_path / "b.parquet"): 4})
    taken = [spread.take(c) for c in read_chunks(tmp_path)]
    assert [c.table["n"].to_pylist() for c in taken] == [[0], [3], [6], [9]]
    assert [c.where(0).partition(" of ")[0] for c in taken] == ["row 0", "row 3", "row 2", "row 5"]
    assert spread.rows == 4


def test_messages_name_the_row_of_the_whole_table() -> None:
    rows = {"price": ["1", "x", "2", "y"]}
    with pytest.raises(ValueError, match="'price' must hold numbers, got 'y' in row 3"):
        FeatureEncoder({"price": Numeric()}).fit(rows, part=RowSubset(np.array([True, False, True, True])))


def test_rows_of_a_part_keep_their_numbers_without_a_table() -> None:
    some = RowSubset(np.array([True, False, True])).take(Chunk(pa.table({"x": [1, 2, 3]}), "a.csv", 0, 0))
    assert some.where(1) == some._replace(table=None).where(1) == "row 2 of a.csv"
