from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from deepctr_torch.encoding import vocabulary as module
from deepctr_torch.encoding.arrow_columns import factorize
from deepctr_torch.encoding.vocabulary import Counter, HashedVocabulary, Vocabulary
from deepctr_torch.hashing import hash_rows


def counted(*columns: Any, text: bool = False) -> Counter:
    counter = Counter()
    for column in columns:
        counter.update(Counter.summarize(factorize(pa.array(column), "f", text)))
    return counter


def learned(*columns: Any, text: bool = False, min_count: int = 1, most: int | None = None) -> Vocabulary:
    return Vocabulary.learn([counted(*columns, text=text)], min_count, most)


def rows(vocabulary: Vocabulary | HashedVocabulary, values: Any, text: bool = False) -> list[int]:
    column = factorize(pa.array(values), "f", text)
    return vocabulary.lookup(column)[column.codes].tolist()


def test_the_most_frequent_come_first_then_by_value() -> None:
    vocabulary = learned(["b", "a", "c", "b", None], ["", "c", "d"])
    assert vocabulary.values.to_pylist() == ["b", "c", "a", "d"]
    assert vocabulary.counts.tolist() == [2, 2, 1, 1]
    assert vocabulary.rows == 6
    assert rows(vocabulary, ["a", "zz", None, "b", ""]) == [4, 1, 0, 2, 0]


def test_rare_values_share_a_row() -> None:
    assert learned([3, 3, 1, 1, 2], min_count=2).values.to_pylist() == [1, 3]
    assert learned([3, 3, 1, 1, 2], most=1).values.to_pylist() == [1]
    assert learned([], min_count=2).rows == 2
    assert rows(learned([None, None]), [1, None]) == [1, 0]
    assert rows(learned([None, None]), ["a", None]) == [1, 0]


def test_values_are_cast_to_the_type_of_training() -> None:
    integers = learned([5, 7, 7])
    assert integers.dtype == "int"
    assert rows(integers, ["5", "7.0", "007", "x", ""]) == [3, 2, 1, 1, 0]
    assert rows(integers, [5.0, float("nan"), 5.5]) == [3, 0, 1]
    strings = learned(["5", "7", "7"])
    assert strings.dtype == "string"
    assert rows(strings, [5, 7, 6, None]) == [3, 2, 1, 0]


def test_types_are_settled_over_all_chunks() -> None:
    assert learned([5], ["a"]).values.to_pylist() == ["5", "a"]
    assert learned(["a"], [5.0, 0.5]).values.to_pylist() == ["0.5", "5", "a"]
    assert learned(["5", "6.0"], text=True).values.to_pylist() == [5, 6]
    assert learned(["5", "6.0", "5.0"], text=True).counts.tolist() == [2, 1]
    assert learned(["5", "06"], text=True).values.to_pylist() == ["06", "5"]
    counters = [counted(["5"], text=True), counted([5, 6])]
    assert Vocabulary.learn(counters, 1, None).values.to_pylist() == [5, 6]
    counters = [counted(["5"], text=True), counted(["5", "a"])]
    assert Vocabulary.learn(counters, 1, None).values.to_pylist() == ["5", "a"]


def test_merging_on_the_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [[i % 7, i % 3, i] for i in range(40)]
    expected = learned(*columns)
    monkeypatch.setattr(module, "_PENDING", 3)
    found = learned(*columns)
    assert found.table.equals(expected.table)


def test_an_update_appends() -> None:
    vocabulary = learned(["b", "b", "a"], min_count=2)
    assert vocabulary.values.to_pylist() == ["b"]
    vocabulary.update([counted(["c", "c", "c", "d", "b", "a"])], 2, None)
    assert vocabulary.values.to_pylist() == ["b", "c", "a"]  # a was there once before
    assert vocabulary.counts.tolist() == [3, 3, 2]
    vocabulary.update([counted(["d", "e", "e"])], 2, 4)
    assert vocabulary.values.to_pylist() == ["b", "c", "a", "d"]  # d before e by value; no room for both
    vocabulary.update([Counter()], 2, None)
    assert vocabulary.values.to_pylist() == ["b", "c", "a", "d", "e"]


def test_an_update_with_values_of_another_type() -> None:
    vocabulary = learned([5])
    vocabulary.update([counted(["7", "x", "07"])], 1, None)
    assert vocabulary.values.to_pylist() == [5, 7]
    strings = learned(["a"])
    strings.update([counted([3])], 1, None)
    assert strings.values.to_pylist() == ["a", "3"]


def test_strings_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "hash_keys", lambda values: np.zeros(len(values), np.uint64))
    vocabulary = learned(["a", "b", "b"])
    assert rows(vocabulary, ["a", "b", "c", None]) == [3, 2, 1, 0]
    assert vocabulary.rows_of(["a", "b", "c"], np.zeros(3, np.uint64)) == [3, 2, 1]


@given(st.lists(st.text("ab\x00é", max_size=4)), st.lists(st.text("ab\x00é", max_size=4)))
def test_rows_of_strings_against_a_dict(training: list[str], later: list[str]) -> None:
    vocabulary = Vocabulary.learn([counted(pa.array(training, pa.string()))], 1, None)
    of_value = {value: 2 + i for i, value in enumerate(vocabulary.values.to_pylist())}
    assert set(of_value) == {v for v in training if v}
    assert rows(vocabulary, pa.array(later, pa.string())) == [of_value.get(v, 1) if v else 0 for v in later]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_rows_of_integers_against_a_dict(training: list[int], later: list[int]) -> None:
    vocabulary = Vocabulary.learn([counted(pa.array(training, pa.int64()))], 1, None)
    of_value = {value: 2 + i for i, value in enumerate(vocabulary.values.to_pylist())}
    both = training + later
    assert rows(vocabulary, pa.array(both, pa.int64())) == [of_value.get(v, 1) for v in both]


def test_hashed_rows_are_those_of_the_hashing_module() -> None:
    strings = HashedVocabulary(10, "string")
    assert rows(strings, ["a", "bc", None, ""]) == [*(hash_rows(["a", "bc"], 11) + 1), 0, 0]
    assert rows(strings, [5]) == rows(strings, ["5"]) == (hash_rows(["5"], 11) + 1).tolist()
    integers = HashedVocabulary(10, "int")
    assert integers.rows == 12
    assert rows(integers, [5, -1, None]) == [*(hash_rows([5, -1], 11) + 1), 0]
    expected = (hash_rows([5], 11) + 1).tolist() + (hash_rows(["x"], 11) + 1).tolist() + [0]
    assert rows(integers, ["5", "x", None]) == expected


def test_a_file_has_values_rare_ones_and_counts(tmp_path: Path) -> None:
    vocabulary = learned(["b", "b", "a"], min_count=2)
    vocabulary.save(tmp_path / "v.arrow")
    again = Vocabulary.load(tmp_path / "v.arrow", "string", 1)
    assert again.table.equals(vocabulary.table)
    again.update([counted(["a"])], 2, None)
    assert again.values.to_pylist() == ["b", "a"]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.arrow"
    learned([1, 2]).save(path)
    with pytest.raises(ValueError, match=r"v\.arrow must hold value \(large_string\) and count \(int64\)"):
        Vocabulary.load(path, "string", 1)
    with pytest.raises(ValueError, match="must hold at least the 3 values of the vocabulary, got 2"):
        Vocabulary.load(path, "int", 3)
    path.write_text("no arrow")
    with pytest.raises(ValueError, match="must be the Arrow file of a vocabulary"):
        Vocabulary.load(path, "int", 1)
    with pytest.raises(ValueError, match="must be the Arrow file of a vocabulary"):
        Vocabulary.load(tmp_path / "none.arrow", "int", 1)


@pytest.mark.parametrize("first", [[None, None], []])
def test_the_type_is_settled_by_the_first_values(first: list[None]) -> None:
    vocabulary = learned(pa.array(first, pa.float64()))
    assert vocabulary.update([counted(["b", "a", "b"])], 1, None) is None
    assert (vocabulary.dtype, vocabulary.values.to_pylist()) == ("string", ["b", "a"])
    assert rows(vocabulary, ["b", "a", "c", None]) == [2, 3, 1, 0]
    text = learned(first)
    text.update([counted(["7", "5.0"], text=True)], 1, None)
    assert (text.dtype, text.values.to_pylist()) == ("int", [5, 7])
    nothing = learned(first)
    nothing.update([counted([None])], 1, None)
    nothing.update([counted(["a"])], 1, None)
    assert nothing.values.to_pylist() == ["a"]


def test_booleans_are_the_same_in_text() -> None:
    booleans, text = learned([True, False, True]), learned(["true", "false", "true", ""], text=True)
    assert text.values.to_pylist() == booleans.values.to_pylist() == [1, 0]
    for vocabulary in (booleans, text, HashedVocabulary(10, "int")):
        expected = rows(vocabulary, [True, False, None])
        for true, false in (("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ("1", "0"), ("1.0", "0.0")):
            assert rows(vocabulary, [true, false, ""], text=True) == expected
    assert learned(["true", "maybe"], text=True).dtype == "string"
    assert learned(["true", "false"]).dtype == "string"  # strings of a frame are strings


def test_unsigned_integers_are_the_same_in_text() -> None:
    large = [2**63, 2**64 - 1, 5]
    text = [str(v) for v in large]
    for vocabulary in (learned(pa.array(large, pa.uint64())), learned(text, text=True)):
        assert vocabulary.values.to_pylist() == [-(2**63), -1, 5]
        assert rows(vocabulary, text, text=True) == rows(vocabulary, pa.array(large, pa.uint64())) == [2, 3, 4]
    hashed = HashedVocabulary(1000, "int")
    assert rows(hashed, text, text=True) == rows(hashed, pa.array(large, pa.uint64()))
