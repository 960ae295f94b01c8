"""Shards: row groups of Parquet files, and whole text files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch.tables import Shard, TextFormat, list_shards, missing_columns, read_shard, shard_types


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five rows in three row groups, one of them empty, and a text file of two rows."""
    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema([("n", pa.int64())])) as writer:
        for rows in ([0, 1, 2], [], [3, 4]):
            writer.write_table(pa.table({"n": pa.array(rows, pa.int64())}))
    (tmp_path / "b.csv").write_text("n\n5\n6.5\n")
    return tmp_path


def test_row_groups_with_rows_and_text_files_are_shards(folder: Path) -> None:
    assert list_shards(folder) == [
        Shard(folder / "a.parquet", 0, 0, 3),
        Shard(folder / "a.parquet", 2, 3, 2),
        Shard(folder / "b.csv", None, 0, None),
    ]


def test_chunks_of_a_shard_know_their_rows(folder: Path) -> None:
    shards = list_shards(folder)
    types = shard_types(shards, ["n"], {}, TextFormat())
    chunks = [chunk for shard in shards for chunk in read_shard(shard, ["n"], 2, types, TextFormat())]
    found = [(Path(c.file).name, c.group, c.first_row, c.table.column("n").to_pylist()) for c in chunks]
    assert found == [
        ("a.parquet", 0, 0, [0, 1]),
        ("a.parquet", 0, 2, [2]),
        ("a.parquet", 2, 3, [3, 4]),
        ("b.csv", 0, 0, [5.0, 6.5]),
    ]


def test_text_files_have_types_and_parquet_files_their_own(folder: Path) -> None:
    shards = list_shards(folder)
    assert shard_types(shards, ["n"], {}, TextFormat()) == {"n": pa.float64()}
    assert shard_types(shards, ["n"], {"n": pa.string()}, TextFormat()) == {"n": pa.string()}
    assert shard_types(shards[:2], ["n"], {"n": pa.string()}, TextFormat()) == {}


def test_the_first_file_that_lacks_a_column_is_named(folder: Path) -> None:
    shards = list_shards(folder)
    assert missing_columns(shards, ["n"], None) == ""
    problem = f"{folder / 'a.parquet'} lacks the column(s) ['m']; it has ['n']"
    assert missing_columns(shards, ["n", "m"], None) == problem
