from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.encoding import FeatureEncoder, MultiValue, Sequence
from deepctr_torch.encoding.ragged import flat_of, ragged_of
from deepctr_torch.encoding.specs import LONGEST_SEQUENCE, LONGEST_STEP
from deepctr_torch.features import VarLenSparseFeat
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


STEPS = [[["a", "b"], ["c"]], [], None, [["b", None, "a"], [], None, ["c", "", "c"]]]


def test_lists_of_lists_have_steps_of_several_values() -> None:
    a, b, c = 3, 4, 2  # c came three times, a and b twice
    found = encoded(Sequence(None), STEPS)["f"]
    empty = [0] * 8
    # a step without values keeps its place; missing values do not
    assert found == [[a, b, c, 0, 0, 0, 0, 0], empty, empty, [b, a, 0, 0, 0, 0, c, c]]
    longer = [[["c", "b", "a"], ["a"], ["x"], ["c"], ["b"]]]
    assert encoded(Sequence(None), STEPS, longer)["f"] == [[a, 0, 1, 0, c, 0, b, 0]]  # the latest steps
    assert encoded(Sequence(4, keep="first"), STEPS, longer)["f"] == [[c, b, a, 0, 1, 0, c, 0]]  # the first of each too
    assert encoded(Sequence(5), STEPS, longer)["f"][0][:2] == [b, a]  # the latest of a step


def test_what_is_cut_off_a_step_is_not_learned() -> None:
    assert encoded(Sequence(2, step_width=1), [[["a", "b"]]], [[["a"], ["b"]]])["f"] == [[1, 2]]
    assert encoded(Sequence(2, step_width=1, keep="first"), [[["a", "b"]]], [[["a"], ["b"]]])["f"] == [[2, 1]]


def test_columns_of_steps() -> None:
    spec = Sequence(4, step_combiner="max", combiner="sum", vocabulary_of="tags")
    data = {"tags": [["a"], ["b", "c"]], "f": [[["a", "b"]], [["c"], ["d"]]]}
    encoder = FeatureEncoder({"tags": MultiValue(), "f": spec}).fit(data)
    tags, steps = encoder.feature_columns(6)
    assert isinstance(steps, VarLenSparseFeat)
    assert (steps.maxlen, steps.step_width, steps.step_combiner, steps.combiner) == (4, 2, "max", "sum")
    assert (steps.embedding_name, steps.vocabulary_size, tags.vocabulary_size) == ("tags", 6, 6)
    assert encoder.transform(data)["f"].shape == (2, 8)
    (row,) = encoder.transform({"tags": [["b"]], "f": [[["b", "a"]]]})["tags"].tolist()
    assert encoder.transform({"tags": [["b"]], "f": [[["b", "a"]]]})["f"][0, 0] == row[0]


def test_steps_of_every_table_and_file(tmp_path: Path) -> None:
    frame = pl.DataFrame({"f": STEPS * 3})
    frame.write_parquet(tmp_path / "f.parquet", row_group_size=2)
    frame.to_pandas().to_parquet(tmp_path / "pandas.parquet")
    expected = FeatureEncoder({"f": Sequence(None)}).fit_transform(frame)["f"].tolist()
    sources: list[Any] = [
        {"f": STEPS * 3},
        pd.DataFrame({"f": STEPS * 3}),
        frame.to_pandas(),
        frame.to_arrow(),
        pd.read_parquet(tmp_path / "pandas.parquet"),
        tmp_path / "f.parquet",
    ]
    for source in sources:
        encoder = FeatureEncoder({"f": Sequence(None)}).fit(source)
        encoder.save(tmp_path / "saved")
        for each in (encoder, encoder.copy(), FeatureEncoder.load(tmp_path / "saved")):
            assert each.feature_columns() == encoder.feature_columns()
            for other in sources:
                assert each.transform(other)["f"].tolist() == expected
    ids = np.arange(12).reshape(2, 3, 2)
    assert FeatureEncoder({"f": Sequence()}).fit({"f": ids}).transform({"f": ids})["f"][:, :6].tolist() == [
        [2, 3, 4, 5, 6, 7],
        [8, 9, 10, 11, 12, 13],
    ]


def test_the_width_of_steps_is_limited_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    long = [[list(range(LONGEST_STEP + 4)), [1]]]
    with caplog.at_level(logging.WARNING, "deepctr_torch"):
        encoder = FeatureEncoder({"f": Sequence(2)}).fit({"f": long})
    assert caplog.messages == ["'f' has steps of up to 20 values, of which 16 are read: a step_width reads more"]
    assert encoder.transform({"f": long})["f"].shape == (1, 2 * LONGEST_STEP)
    assert sorted(encoder.vocabulary("f").values.to_pylist()) == [1, *range(4, LONGEST_STEP + 4)]
    encoder.update({"f": [[list(range(100, 140))]]})
    assert encoder.transform({"f": long})["f"].shape == (1, 2 * LONGEST_STEP)  # an update does not change the width
    caplog.clear()
    assert encoded(Sequence(1, step_width=20), [long[0][:1]])["f"][0] == list(range(2, 22))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("training", "later", "message"),
    [
        (
            [[["a"]]],
            [[], ["a", "b"]],
            "'f' must hold lists of lists, with steps of 1, got list<item: string> in row 1",
        ),
        (
            [["a"]],
            [[], [["a"], []]],
            "'f' must hold lists of single values, as those learned from, got list<item: list<",
        ),
        ([[["a"]]], [[[["a"]]]], "'f' must hold lists of single values, got list<item: list<item: string>>"),
        ([[["a"]]], [None, [["a"], "b"]], "column 'f' must hold values of one type, got: cannot mix .* in row 1"),
        ([[["a"]]], [[["a"]], ["b"], [float("nan")]], "column 'f' must hold values of one type, got: .* in row 1"),
    ],
)
def test_lists_of_another_depth(training: Any, later: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoded(Sequence(), training, later)


def test_rows_without_values_are_of_any_depth() -> None:
    empty: list[Any] = [[], None]
    assert encoded(Sequence(2), [[["a", "b"]], [["c"]]], empty)["f"] == [[0] * 4] * 2
    assert encoded(Sequence(2), [["a"]], [[[]], None])["f"] == [[0, 0]] * 2
    assert encoded(Sequence(2), empty, [[["a"]]])["f"] == [[1, 0]]


def test_chunks_must_agree_on_what_steps_are(tmp_path: Path) -> None:
    pl.DataFrame({"f": [["a"]]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"f": [[["a"]]]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"'f' .*b\.parquet|b\.parquet.*'f'"):
        FeatureEncoder({"f": Sequence()}).fit(tmp_path)


def test_only_sequences_have_steps() -> None:
    with pytest.raises(ValueError, match="'f' must hold lists of single values, got list<item: list<item: string>>"):
        encoded(MultiValue(), [[["a"]]])
    with pytest.raises(ValueError, match="step_width is of lists of lists: leave out separator"):
        Sequence(separator="|", step_width=2)
    with pytest.raises(
        ValueError, match="'f' must hold lists of lists, with steps of 4, got list<item: string> in row 0"
    ):
        encoded(Sequence(step_width=4), [["a", "b"]])
    with pytest.raises(ValueError, match="step_width must be an integer of at least 1, got 0"):
        Sequence(step_width=0)
    with pytest.raises(ValueError, match="unknown step_combiner 'avg'"):
        Sequence(step_combiner="avg")
