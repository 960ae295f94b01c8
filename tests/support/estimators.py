"""Raw rows for the tests: strings, gaps, histories, numbers, days; a label that follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from deepctr_torch import CTRClassifier, CTRRegressor

SMALL = {"epochs": 2, "batch_size": 64, "model_args": {"dnn_hidden_units": (8,)}}


def frame(rows: int = 600, seed: int = 0, users: int = 40) -> pl.DataFrame:
    """Rows in the order of `day`; `click` (0 or 1), `buy` (only known after a click), `stars` (around 3)."""
    rng = np.random.default_rng(seed)
    user, movie = rng.integers(0, users, rows), rng.integers(0, 12, rows)
    price = rng.normal(size=rows) * 10 + 20
    logit = 1.5 * (movie % 3 - 1) + (price - 20) / 10 + 0.5 * (user % 2)
    click = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    return pl.DataFrame(
        {
            "user": [f"u{u}" if u % 7 else None for u in user],
            "movie": [f"m{m}" for m in movie],
            "hist_movie": [[f"m{m}" for m in rng.integers(0, 12, rng.integers(0, 5))] for _ in range(rows)],
            "price": [p if p > 8 else None for p in price.tolist()],
            "day": np.arange(rows) // 20,
            "click": click,
            "buy": [float(rng.random() < 0.3) if c else None for c in click],
            "stars": 3 + logit / 2 + rng.normal(size=rows) / 4,
        }
    )


INPUTS = ("user", "movie", "hist_movie", "price")


def inputs(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(INPUTS)


def classifier(model: str = "DeepFM", **changes: Any) -> CTRClassifier:
    arguments = {**SMALL, **changes}
    return CTRClassifier(model, **arguments)


def regressor(model: str = "DeepFM", **changes: Any) -> CTRRegressor:
    arguments = {**SMALL, **changes}
    return CTRRegressor(model, **arguments)


def assert_same_weights(one: Any, other: Any) -> None:
    """Equal to the last bit."""
    first, second = one.model_.state_dict(), other.model_.state_dict()
    assert first.keys() == second.keys()
    assert [key for key, value in first.items() if not value.equal(second[key])] == []
