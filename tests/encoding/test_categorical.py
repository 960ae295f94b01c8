"""Values as ids: the same in frames, in Python objects and in text files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch.encoding import Categorical, Cross, FeatureEncoder, FeatureSpec, Sequence
from deepctr_torch.models import DIN
from deepctr_torch.tables import read_chunks
from tests.support.encoding import encoded


def test_categorical() -> None:
    assert encoded(Categorical(), ["b", "a", "b", None], ["a", "b", "c", None, ""]) == {"f": [3, 2, 1, 0, 0]}
    assert encoded(Categorical(min_count=2), [7, 7, 8], [7, 8, 9]) == {"f": [2, 1, 1]}
    assert encoded(Categorical(), np.array([5.0, np.nan, -2.0]), [5, -2, None]) == {"f": [3, 2, 0]}


def test_crosses() -> None:
    data = {"a": [1, 1, 2, None], "b": ["x", "y", "x", "x"], "c": [True, True, True, True]}
    encoder = FeatureEncoder({"ab": Cross(columns=("a", "b")), "abc": Cross(columns=("a", "b", "c"))}).fit(data)
    assert encoder.transform(data)["ab"].tolist() == [2, 3, 4, 0]
    assert encoder.transform(data)["abc"].tolist() == [2, 3, 4, 0]
    later = {"a": ["2", "1", "3"], "b": ["x", "x", "x"], "c": [1, 0, 1]}
    assert encoder.transform(later)["ab"].tolist() == [4, 2, 1]
    assert encoder.transform(later)["abc"].tolist() == [4, 1, 1]


def test_a_history_shares_the_vocabulary_of_its_target() -> None:
    data = {"item": [1, 2], "hist_item": [[3, 1], [1]]}
    encoder = FeatureEncoder({"item": Categorical(), "hist_item": Sequence(2, vocabulary_of="item")}).fit(data)
    found = encoder.transform(data)
    assert encoder.vocabulary("item").values.to_pylist() == [1, 2, 3]
    assert encoder.vocabulary("hist_item") is encoder.vocabulary("item")
    assert (found["item"].tolist(), found["hist_item"].tolist()) == ([2, 3], [[4, 2], [2, 0]])
    assert [c.embedding_name for c in encoder.feature_columns(8)] == ["item", "item"]
    model = DIN(encoder.feature_columns(8), ["item"], dnn_hidden_units=(4,))
    assert model.predict(found).shape == (2, 1)


def test_an_update_counts_anew_what_is_rare() -> None:
    encoder = FeatureEncoder({"city": Categorical(min_count=2)}).fit({"city": ["a", "a", "b", "c", None]})
    (row,) = encoder.describe()
    assert (row["rare"], row["coverage"]) == (2, 0.5)
    encoder.update({"city": ["b", "a", "d"]})
    (row,) = encoder.describe()
    assert (row["rare"], row["coverage"]) == (2, 1 - 2 / 7)


def test_an_update_that_a_vocabulary_of_integers_cannot_take_warns() -> None:
    encoder = FeatureEncoder({"item": Categorical()}).fit({"item": [5, 7]})
    with pytest.warns(UserWarning, match="the vocabulary of 'item' is of integers, got 'x': other values stay unseen"):
        encoder.update({"item": ["8", "x"]})
    assert encoder.transform({"item": [5, 8]})["item"].tolist() == [2, 4]
    assert encoder.transform({"item": ["x"]})["item"].tolist() == [1]


def test_a_feature_without_a_value_learns_strings_later(tmp_path: Path) -> None:
    encoder = FeatureEncoder({"item": Categorical(), "user": Categorical()}).fit({"item": [None], "user": [1]})
    encoder.update({"item": ["a", "b"], "user": [1, 2]})
    assert encoder.transform({"item": ["b", "c"], "user": [1, 2]})["item"].tolist() == [3, 1]
    encoder.save(tmp_path)
    assert FeatureEncoder.load(tmp_path).vocabulary("item").values.to_pylist() == ["a", "b"]


@pytest.mark.parametrize("kind", [Categorical(), Categorical(hash_buckets=50), Cross(columns=("f", "g"))])
@pytest.mark.parametrize(
    "values", [[True, False, True, False], np.array([2**63, 2**64 - 1, 7, 2**63 + 1], np.uint64)], ids=["bool", "uint"]
)
def test_frames_and_text_files_give_the_same_rows(kind: FeatureSpec, values: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame({"f": values, "g": [1, 1, 2, 2]})
    frame.write_csv(tmp_path / "f.csv")
    first, second = (FeatureEncoder({"f": kind}).fit(data) for data in (frame, tmp_path / "f.csv"))
    expected = first.transform(frame)["f"].tolist()
    assert expected == first.transform(tmp_path / "f.csv")["f"].tolist()
    assert expected == second.transform(tmp_path / "f.csv")["f"].tolist() == second.transform(frame)["f"].tolist()


def test_large_integers_of_python() -> None:
    large = [2**63, 5, None, 2**64 - 1]
    for data in ({"id": large}, pd.DataFrame({"id": pd.Series(large, dtype=object)})):
        assert [c.table["id"].to_pylist() for c in read_chunks(data, rows=2)] == [large[:2], large[2:]]
        encoder = FeatureEncoder({"id": Categorical()}).fit(data)
        assert encoder.transform(data)["id"].tolist() == [2, 4, 0, 3]
        assert encoder.transform({"id": np.array([2**63, 5], np.uint64)})["id"].tolist() == [2, 4]
    for wrong in ([2**64], [2**63, -1], [[2**63]]):
        with pytest.raises(ValueError, match="column 'id' must hold integers of 64 bits, signed or unsigned, got"):
            list(read_chunks({"id": wrong}))


def test_whole_floats_among_strings_are_integers() -> None:
    mixed = {"f": [5, 5.0, "5", "a", None, float("nan"), 0.5, np.float64(5.0), 1e300]}
    encoder = FeatureEncoder({"f": Categorical()}).fit(mixed)
    assert encoder.vocabulary("f").values.to_pylist() == ["5", "0.5", "1e+300", "a"]
    assert encoder.transform(mixed)["f"].tolist()[:6] == [2, 2, 2, 5, 0, 0]
    assert encoder.transform({"f": ["5.0"]})["f"].tolist() == [1]  # as text it may be a version
