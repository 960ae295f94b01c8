"""Text files: types that fit every file, blocks, names, and errors with their remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from deepctr_torch.encoding import FeatureEncoder, Numeric
from deepctr_torch.tables import MISSING_WORDS, column_names, read_chunks
from deepctr_torch.tables import text as text_module


def rows_of(data: Any, **options: Any) -> list[dict[str, Any]]:
    return [row for chunk in read_chunks(data, **options) for row in chunk.table.to_pylist()]


def test_types_of_text_fit_the_beginning_of_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,number,text,empty,flag\n1,1,1,,true\n")
    (tmp_path / "b.csv").write_text("flag,id,number,text,empty\nmaybe,2,2.5,x,\n")
    chunks = list(read_chunks(tmp_path))
    types = [pa.int64(), pa.float64(), pa.string(), pa.string(), pa.string()]
    assert [c.table.schema.types for c in chunks] == [types, types]
    assert chunks[0].table.to_pylist() == [{"id": 1, "number": 1.0, "text": "1", "empty": None, "flag": "true"}]


def test_a_schema_settles_types_of_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("zip,n\n007,1\n")
    assert rows_of(tmp_path / "a.csv") == [{"zip": 7, "n": 1}]
    assert rows_of(tmp_path / "a.csv", schema={"zip": "string", "n": pa.float64()}) == [{"zip": "007", "n": 1.0}]
    with pytest.raises(ValueError, match="the type of 'zip' must be one of pyarrow's, got 'text'"):
        read_chunks(tmp_path / "a.csv", schema={"zip": "text"})


def test_a_value_that_comes_later_and_does_not_fit_names_file_row_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "_SAMPLE", 64)
    (tmp_path / "a.csv").write_text("x\n" + "1\n" * 100 + "oops\n")
    with pytest.raises(ValueError, match=r"a\.csv, line 102, .*'oops'.*name its type in schema"):
        rows_of(tmp_path / "a.csv")
    assert rows_of(tmp_path / "a.csv", schema={"x": "string"})[-1] == {"x": "oops"}


def test_text_is_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "_BLOCK", 64)
    (tmp_path / "a.csv").write_text("x\n" + "".join(f"{i}\n" for i in range(100)))
    chunks = list(read_chunks(tmp_path / "a.csv", rows=10))
    assert len({c.group for c in chunks}) > 3
    assert max(c.table.num_rows for c in chunks) == 10
    first = 0
    for chunk in chunks:
        assert chunk.first_row == first
        assert chunk.table.column("x").to_pylist() == list(range(first, first + chunk.table.num_rows))
        first += chunk.table.num_rows
    assert first == 100


def test_names_for_files_without_a_line_of_names(tmp_path: Path) -> None:
    (tmp_path / "day_0.txt").write_text("1\t2\t68fd1e64\n0\t\t\n")
    names = ["label", "I1", "C1"]
    assert column_names(tmp_path, header=names) == names
    assert rows_of(tmp_path, header=names) == [
        {"label": 1, "I1": 2, "C1": "68fd1e64"},
        {"label": 0, "I1": None, "C1": None},
    ]
    assert rows_of(tmp_path, columns=["C1"], header=names, null=("", "68fd1e64")) == [{"C1": None}] * 2


def test_a_word_among_numbers_is_named_with_both_remedies(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x\n1.5\nunknown\n")
    encoder = FeatureEncoder({"x": Numeric("plain")})
    with pytest.raises(ValueError, match=r"a\.csv, line 3, .*'unknown': if it means a missing value, name it in null"):
        encoder.fit(path)
    null = ("", "unknown")
    assert encoder.fit(path, null=null).transform(path, null=null)["x"].tolist() == [1.5, 1.5]


def test_words_for_missing_values_are_such_where_all_else_is_no_text(tmp_path: Path) -> None:
    rows = [f"{i},{i / 8},2024-01-{1 + i % 9:02},t{i}" for i in range(9)]
    words = "".join(f"{word},{word},{word},{word}\n" for word in MISSING_WORDS)
    (tmp_path / "a.csv").write_text("n,x,day,text\n" + words + "\n".join(rows) + '\n,,,\n"","","",""\n')
    table = next(read_chunks(tmp_path / "a.csv")).table
    assert [str(kind) for kind in table.schema.types] == ["int64", "double", "date32[day]", "string"]
    missing = len(MISSING_WORDS) + 2
    assert [column.null_count for column in table.columns] == [missing, missing, missing, 2]
    assert table["text"].to_pylist()[: len(MISSING_WORDS)] == list(MISSING_WORDS)
    assert table["n"].to_pylist()[len(MISSING_WORDS) :] == [*range(9), None, None]
    texts = rows_of(tmp_path / "a.csv", columns=["text"], null=("-", "t3"))  # and nothing else, the empty field neither
    assert [row["text"] for row in texts].count(None) == 2
    assert texts[-1] == {"text": ""}
