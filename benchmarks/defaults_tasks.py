"""The raw tables that `defaults.py` measures on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from deepctr_torch.datasets import load_movielens, make_criteo_like
from deepctr_torch.temporal import add_history, add_rates, time_masks

SMALL_IDS = 20_000  # ids of the synthetic rows


class Task(NamedTuple):
    """Raw rows to train on and to be measured on."""

    train: pl.DataFrame
    y_train: np.ndarray
    test: pl.DataFrame
    y_test: np.ndarray
    held: np.ndarray  # training rows that everybody validates on

    @property
    def ids(self) -> list[str]:
        """Columns of strings and integers."""
        kinds = self.train.schema
        return [n for n in self.train.columns if kinds[n] in (pl.String, pl.Int64, pl.Int32)]

    @property
    def numbers(self) -> list[str]:
        return [n for n in self.train.columns if self.train.schema[n].is_float()]


def movielens(by_time: bool) -> Task:
    """User, movie, year, genres, liked movies, past like-rates and counts; the question: 4 stars or more?"""
    ratings = load_movielens().with_columns(
        liked=pl.col("rating") >= 4, user=pl.col("user_id"), movie=pl.col("movie_id")
    )
    ratings = add_history(ratings, "user", "movie", "timestamp", 20, label="liked")
    ratings = add_rates(ratings, ["user", "movie"], "liked", "timestamp", prior=10)
    counts = [pl.col(f"{k}_count").log1p() for k in ("user", "movie")]
    ratings = ratings.with_columns(*counts)
    if by_time:
        train, test = time_masks(ratings, "timestamp", fraction=0.2)
    else:
        test = last_of_users(ratings, 5)
        train = ~test
    ratings = ratings.with_columns(pl.col("liked").cast(pl.Int32))
    before, after = ratings.filter(train), ratings.filter(test)
    held = time_masks(before, "timestamp", fraction=0.1)[1] if by_time else last_of_users(before, 10)
    columns = ["user", "movie", "year", "genres", "hist_movie", "user_rate", "user_count", "movie_rate", "movie_count"]
    y = [part["liked"].to_numpy() for part in (before, after)]
    return Task(before.select(columns), y[0], after.select(columns), y[1], held)


def last_of_users(ratings: pl.DataFrame, part: int) -> np.ndarray:
    """Which of the n rows of each user are the last n // part in time."""
    rank = pl.struct("timestamp", "movie").rank("ordinal").over("user")
    late: np.ndarray = (
        ratings.select(rank > pl.len().over("user") - pl.len().over("user") // part).to_series().to_numpy()
    )
    return late


def criteo_like(rows: int, seed: int = 0) -> Task:
    """Strings with gaps, skewed numbers with gaps; a fifth of the rows is the test part."""
    data = make_criteo_like(rows, SMALL_IDS, seed)
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, values in data.x.items():
        if name.startswith("C"):
            columns[name] = pl.Series([f"{v:x}" for v in values.tolist()])
        else:
            columns[name] = np.expm1(2 * values.astype(np.float64))  # a long tail, as counts have
    table = pl.DataFrame(columns)
    gaps = {n: pl.Series(rng.random(rows) < 0.05) for n in ("I1", "I2", "C20", "C26")}
    table = table.with_columns(**{n: pl.when(~gap).then(pl.col(n)) for n, gap in gaps.items()})
    cut = rows * 4 // 5
    held = rng.random(cut) < 0.1
    return Task(table[:cut], data.y[:cut].astype(int), table[cut:], data.y[cut:].astype(int), held)
