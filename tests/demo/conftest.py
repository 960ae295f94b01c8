"""A small part of the ratings, split as the demo splits them or in the place of all of them."""

from __future__ import annotations

import polars as pl
import pytest

import deepctr_torch.demo as demo
from deepctr_torch.datasets import load_movielens, movielens_features
from deepctr_torch.demo import baselines
from deepctr_torch.demo.task import Splits, prepare


@pytest.fixture(scope="module")
def splits() -> Splits:
    return prepare(movielens_features(load_movielens().filter(pl.col("user_id") % 20 == 0)))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratings of every twentieth user, and a few trees."""
    ratings = load_movielens().filter(pl.col("user_id") % 20 == 0)
    monkeypatch.setattr(demo, "load_movielens", lambda: ratings)
    monkeypatch.setattr(baselines, "BOOSTING", {"max_iter": 5})
