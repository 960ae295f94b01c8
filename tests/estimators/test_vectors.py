"""Learned vectors by raw value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.encoding import Categorical, Cross, MultiValue, Numeric
from tests.support.estimators import classifier, frame

TABLE = frame()


def test_all_vectors_of_a_feature(fitted: CTRClassifier, tmp_path: Path) -> None:
    found = fitted.embeddings("movie")
    weight = fitted.model_.embedding_dict["movie"].weight.detach().numpy()
    assert found.columns == ["value", "kind", "embedding"]
    assert found["kind"].to_list() == ["missing", "unseen", *["known"] * 12]
    assert found["value"].to_list() == [None, None, *fitted.encoder_.vocabulary("movie").values.to_pylist()]
    assert set(found["value"].drop_nulls()) == {f"m{m}" for m in range(12)}
    assert np.array_equal(found["embedding"].to_numpy(), weight)
    assert fitted.embeddings("hist_movie").equals(found)  # a history has the vectors of its target
    fitted.save(tmp_path)
    assert CTRClassifier.load(tmp_path).embeddings("movie").equals(found)
    one = found.row(5, named=True)
    assert found.filter(pl.col("value") == one["value"])["embedding"].to_list() == [one["embedding"]]


def test_vectors_of_given_values(fitted: CTRClassifier) -> None:
    every = {row["value"]: row["embedding"] for row in fitted.embeddings("user").iter_rows(named=True)}
    missing, unseen = fitted.embeddings("user")["embedding"].to_list()[:2]
    users: list[Any] = ["u3", "nobody", None, "u5", "u3"]
    for ids in (users, np.array(users, object), pd.Series(users), pl.Series(users), tuple(users)):
        found = fitted.embeddings("user", ids)
        assert found["value"].to_list() == users
        assert found["kind"].to_list() == ["known", "unseen", "missing", "known", "known"]
        assert found["embedding"].to_list() == [every["u3"], unseen, missing, every["u5"], every["u3"]]
    assert fitted.embeddings("user", ids=[]).shape == (0, 3)


def test_vectors_of_integers_and_of_hashed_values() -> None:
    table = TABLE.with_columns(number=pl.Series(np.arange(600) % 9), both=pl.col("movie"))
    kinds = {
        "number": Categorical(),
        "movie": Categorical(hash_buckets=50),
        "hist_movie": MultiValue(vocabulary_of="movie"),
        "both": Cross(columns=("user", "movie")),
        "price": Numeric(),
    }
    model = classifier(features=kinds, embedding_dim=4).fit(table, "click")
    by_number = model.embeddings("number")
    assert by_number["value"].to_list()[2:] == model.encoder_.vocabulary("number").values.to_pylist()
    for ids in ([3, 8], ["3", "8"], [3.0, 8.0], np.array([3, 8], np.uint8)):
        found = model.embeddings("number", ids)["embedding"].to_list()
        assert found == by_number.filter(pl.col("value").is_in([3, 8])).sort("value")["embedding"].to_list()
    movies = model.embeddings("movie", ["m1", None, "new"])
    assert movies["kind"].to_list() == ["known", "missing", "known"]  # every value has a row
    rows = model.encoder_.transform(table[:1].with_columns(movie=pl.lit("m1")))["movie"]
    assert movies["embedding"].to_list()[0] == model.model_.embedding_dict["movie"].weight[int(rows[0])].tolist()
    assert model.embeddings("both").shape[0] == model.encoder_.vocabulary("both").rows
    with pytest.raises(ValueError, match="the values of 'movie' are hashed, and not known: give ids"):
        model.embeddings("movie")
    with pytest.raises(ValueError, match="'both' looks up no single values"):
        model.embeddings("both", ["u1"])
    with pytest.raises(ValueError, match="'price' is no feature with an embedding table: Known: both, hist_movie"):
        model.embeddings("price")


def test_models_without_vectors_of_a_feature_say_so() -> None:
    model = classifier("MLR", model_args={}).fit(TABLE, "click")
    with pytest.raises(ValueError, match="MLR has no table of vectors of 'movie' alone"):
        model.embeddings("movie")
