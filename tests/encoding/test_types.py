"""The same values in frames, in Python objects and in text files: the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch.encoding import Categorical, Cross, FeatureEncoder, FeatureSpec
from deepctr_torch.tables import read_chunks


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
