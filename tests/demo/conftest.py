"""A small part of the ratings, split as the demo splits them."""

from __future__ import annotations

import polars as pl
import pytest

from deepctr_torch.datasets import load_movielens, movielens_features
from deepctr_torch.demo.task import Splits, prepare


@pytest.fixture(scope="module")
def splits() -> Splits:
    return prepare(movielens_features(load_movielens().filter(pl.col("user_id") % 20 == 0)))
