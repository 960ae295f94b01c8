"""Parquet files, row group by row group."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch.tables.parquet import group_sizes, parquet_schema, parquet_tables


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Seven rows in groups of three."""
    kind = pa.array(["a", "b", "a", "b", "a", "b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"n": range(7), "kind": kind}), tmp_path / "a.parquet", row_group_size=3)
    return tmp_path / "a.parquet"


def test_tables_stay_inside_their_row_group(file: Path) -> None:
    assert group_sizes(file) == [3, 3, 1]
    found = [(group, table.column("n").to_pylist()) for group, table in parquet_tables(file, ["n"], 2)]
    assert found == [(0, [0, 1]), (0, [2]), (1, [3, 4]), (1, [5]), (2, [6])]


@pytest.mark.parametrize("threads", [True, False])
def test_one_row_group_is_read_alone(file: Path, threads: bool) -> None:
    ((group, table),) = parquet_tables(file, ["kind", "n"], 10, 1, threads=threads)
    assert group == 1
    assert table.to_pydict() == {"kind": ["b", "a", "b"], "n": [3, 4, 5]}


def test_types_are_those_of_the_tables(file: Path) -> None:
    (_, table), *_ = parquet_tables(file, ["n", "kind"], 10)
    assert parquet_schema(file).equals(table.schema)
    assert table.schema.types == [pa.int64(), pa.string()]


def test_what_is_no_parquet_file_is_named(tmp_path: Path, file: Path) -> None:
    (tmp_path / "junk.parquet").write_text("no parquet at all")
    for ask in (group_sizes, parquet_schema):
        with pytest.raises(ValueError, match=r"junk\.parquet must be a Parquet file, got"):
            ask(tmp_path / "junk.parquet")
    cut = file.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(cut[:4] + bytes(40) + cut[44:])
    with pytest.raises(ValueError, match=r"cut\.parquet, row group 0: cannot be read as Parquet"):
        list(parquet_tables(tmp_path / "cut.parquet", ["n"], 10, 0))
