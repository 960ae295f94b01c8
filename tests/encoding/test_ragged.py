from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.encoding import FeatureEncoder, MultiValue, Sequence
from deepctr_torch.encoding.ragged import flat_of, ragged_of
from deepctr_torch.encoding.specs import LONGEST_SEQUENCE
from tests.support.encoding import encoded


def test_sequences() -> None:
    lists = [[1, 2, 3], [2], [], None, [1, None, 9]]
    later = [[3, 9, 2, 1], [7, 1], [None], None, []]
    # 1 and 2 came twice, 3 and 9 once
    found = encoded(Sequence(3), lists, later)["f"]
    rows = {1: 2, 2: 3, 3: 4, 9: 5}
    assert found == [[rows[9], rows[2], rows[1]], [1, rows[1], 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    first = encoded(Sequence(3, keep="first"), lists, later)["f"]
    assert first[0] == [rows[3], rows[9], rows[2]]
    texts = [None if v is None else ",".join("" if e is None else str(e) for e in v) for v in lists]
    assert encoded(Sequence(3, ","), texts, ["3,9,2,1"])["f"] == [found[0]]


def test_elements_that_are_cut_off_are_not_learned() -> None:
    assert encoded(Sequence(1), [[1, 2]], [[1], [2]])["f"] == [[1], [2]]
    assert encoded(Sequence(1, keep="first"), [[1, 2]], [[1], [2]])["f"] == [[2], [1]]


def test_sets_are_as_wide_as_the_largest_of_training() -> None:
    found = encoded(MultiValue(separator="|"), ["a|b", "b", None], ["b|c|a", ""])["f"]
    assert found == [[2, 1], [0, 0]]
    assert encoded(MultiValue(), [None, []], [["x"]])["f"] == [[1]]


def test_a_sequence_without_a_maxlen_is_as_wide_as_the_longest_of_training(tmp_path: Path) -> None:
    training = pl.DataFrame({"f": [["a", "b"], [], ["a", "b", "c"], None]})
    later = {"f": [["c", "c", "c", "b", "a", "c"], ["x"]]}
    rows = [[3, 2, 4], [1, 0, 0]]  # of the longer one the most recent stay
    training.write_parquet(tmp_path / "f.parquet", row_group_size=1)
    text = training.with_columns(pl.col("f").list.join("|"))
    text.write_csv(tmp_path / "f.csv")
    joined = {"f": ["|".join(values) for values in later["f"]]}
    for kind, source, given in (
        (Sequence(None), training, later),
        (Sequence(None), tmp_path / "f.parquet", later),
        (Sequence(None, "|"), tmp_path / "f.csv", joined),
    ):
        encoder = FeatureEncoder({"f": kind}).fit(source)
        encoder.save(tmp_path / "saved")
        for each in (encoder, FeatureEncoder.load(tmp_path / "saved")):
            assert each.feature_columns()[0].maxlen == 3
            assert each.transform(given)["f"].tolist() == rows
    assert encoder.update(joined).transform(joined)["f"].shape == (2, 3)  # the width stays
    assert encoded(Sequence(None, keep="first"), training["f"].to_list(), later["f"])["f"][0] == [4, 4, 4]


def test_the_width_of_a_sequence_without_a_maxlen_is_limited() -> None:
    long = [list(range(LONGEST_SEQUENCE + 44))]
    encoder = FeatureEncoder({"f": Sequence(None)}).fit({"f": long})
    assert encoder.transform({"f": long})["f"].shape == (1, LONGEST_SEQUENCE)
    assert encoder.vocabulary("f").values.to_pylist() == long[0][44:]  # what is cut off is not learned
    assert encoder.column_encoders["f"].state()["longest"] == LONGEST_SEQUENCE  # so that another limit changes nothing
    longer = {"f": [[7, *range(44, 44 + LONGEST_SEQUENCE)]]}
    assert encoder.update(longer).vocabulary("f").values.to_pylist() == long[0][44:]


def test_weights_of_elements() -> None:
    kind = MultiValue(separator="|", weights="w")
    data = {"f": ["a|b", "b||a", "a", None, "a|b"], "w": ["1|2", "0.5|9|", None, None, "|3"]}
    encoder = FeatureEncoder({"f": kind}).fit(data)
    found = encoder.transform(data)
    assert found["f_weight"].tolist() == [[1, 2], [0.5, 0], [1, 0], [0, 0], [0, 3]]
    assert encoder.inputs == ["f", "w"]
    for wrong, match in (
        ({"f": ["a", "a|b"], "w": ["1", "1"]}, r"'w' must hold one weight for each of 2 element\(s\), got 1 in row 1"),
        ({"f": ["a", "a|b"], "w": ["1", "1|-2"]}, "'w' must hold finite numbers >= 0, got -2.0 in row 1"),
        ({"f": ["a"], "w": ["inf"]}, "'w' must hold finite numbers >= 0, got inf in row 0"),
    ):
        with pytest.raises(ValueError, match=match):
            encoder.transform(wrong)
    lists = {"f": [["a", "b"], ["b"]], "w": [[1.0, None], [2.0]]}
    found = FeatureEncoder({"f": MultiValue(weights="w")}).fit(lists).transform(lists)
    assert found["f_weight"].tolist() == [[1, 0], [2, 0]]


def test_elements_of_lists() -> None:
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.int64())):
        lists = ragged_of(pa.array([[1, None, 2], None, [], [3]], kind)[1:], "f", None)
        assert (lists.flat.to_pylist(), lists.lengths.tolist()) == ([3], [0, 0, 1])
    lists = ragged_of(pa.array([[1.0, float("nan"), 2.0], None, [], [None]]), "f", None)
    assert (lists.flat.to_pylist(), lists.lengths.tolist()) == ([1, 2], [2, 0, 0, 0])
    assert (lists.kept.tolist(), lists.sizes.tolist()) == ([0, 2], [3, 0, 0, 1])
    fixed = pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 3, 4]), 2)
    assert ragged_of(fixed[1:], "f", None).flat.to_pylist() == [3, 4]
    assert ragged_of(pa.array([["a", ""], ["b"]]), "f", None).flat.to_pylist() == ["a", "b"]
    assert ragged_of(pa.array([None, None]), "f", "|").lengths.tolist() == [0, 0]


def test_elements_of_strings() -> None:
    lists = ragged_of(pa.array(["a| b||c", "", None, "d", "|"]), "f", "|")
    assert lists.flat.to_pylist() == ["a", "b", "c", "d"]
    assert lists.lengths.tolist() == [3, 0, 0, 1, 0]


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="'f' must hold lists, got string: for several values in a string give a sep"):
        flat_of(pa.array(["a|b"]), "f", None)
    with pytest.raises(ValueError, match="'f' must hold lists of single values"):
        flat_of(pa.array([[[1]]]), "f", None)
