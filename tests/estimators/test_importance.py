"""Importance by permutation, against predictions of tables that were shuffled by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.encoding import Categorical, Cross, MultiValue, Numeric, Timestamp
from tests.support.estimators import classifier, frame, inputs, regressor

TABLE = frame()


def shuffled(table: pl.DataFrame, columns: list[str], seed: int, repeat: int) -> pl.DataFrame:
    order = np.random.default_rng((seed, repeat)).permutation(len(table))
    return table.with_columns(table[order].select(columns))


def test_a_column_that_decides_all_and_one_that_is_constant() -> None:
    rng = np.random.default_rng(0)
    tells = rng.integers(0, 2, 400)
    table = pl.DataFrame({"tells": np.where(tells, "yes", "no"), "same": ["x"] * 400, "click": tells})
    kinds = {"tells": Categorical(), "same": Categorical()}
    model = classifier(features=kinds, epochs=4, learning_rate=0.05).fit(table, "click")
    assert model.evaluate(table, metrics=["auc"]) == {"auc": 1.0}
    first, second = model.feature_importances(table, repeats=3)
    assert second == {"column": "same", "importance": 0.0, "std": 0.0}
    orders = [np.random.default_rng((0, i)).permutation(400) for i in range(3)]
    hits = [[(tells[order] == tells)[tells == k].mean() for k in (0, 1)] for order in orders]
    drops = [1 - sum(hit) / 2 for hit in hits]  # one score a class: the AUC is the mean of the shares told right
    assert first["column"] == "tells"
    assert first["importance"] == pytest.approx(np.mean(drops), abs=1e-12)
    assert first["std"] == pytest.approx(np.std(drops), abs=1e-12)


def test_every_feature_of_a_column_moves_with_it(tmp_path: Path) -> None:
    times = pl.Series([f"2024-05-{1 + i % 28:02d} {i % 24:02d}:00:00" for i in range(600)])
    table = TABLE.with_columns(time=times)
    kinds = {
        "user": Categorical(),
        "user_movie": Cross(columns=("user", "movie")),
        "movie": Categorical(),
        "hist_movie": MultiValue(vocabulary_of="movie"),
        "price": Numeric(),
        "bucket": Numeric("quantile", column="price"),
        "time": Timestamp(),
        "day": Categorical(train_only=True),
    }
    model = classifier(features=kinds).fit(table, "click")
    table.write_parquet(tmp_path / "rows.parquet", row_group_size=130)
    for metric, sign in (("auc", 1), ("logloss", -1), ("gauc:movie", 1)):
        found = model.feature_importances(table, metric=metric, repeats=2, seed=7)
        assert {row["column"] for row in found} == {"user", "movie", "hist_movie", "price", "time"}
        assert [row["importance"] for row in found] == sorted((row["importance"] for row in found), reverse=True)
        groups = {"movie": table["movie"].to_numpy()}  # those of the metric stay where they are
        before = model.evaluate(table, "click", [metric])[metric]
        for row in found:
            drops = []
            for repeat in range(2):
                moved = shuffled(table, [row["column"]], 7, repeat)
                rows = replace(model.predict_labeled(moved, "click"), columns=groups)
                drops.append(sign * (before - rows.metrics([metric])[metric]))
            assert row["importance"] == pytest.approx(np.mean(drops), abs=1e-6)
            assert row["std"] == pytest.approx(np.std(drops), abs=1e-6)
        assert model.feature_importances(tmp_path, metric=metric, repeats=2, seed=7) == found
    assert model.feature_importances(table, metric="auc", seed=8, repeats=2) != found


def test_weights_of_elements_move_with_them() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 4, 200)
    table = {
        "tags": [[f"t{t}" for t in rng.integers(0, 5, n)] for n in sizes],
        "w": [rng.random(n).tolist() for n in sizes],
        "price": rng.random(200),
        "click": rng.integers(0, 2, 200),
    }
    kinds = {"tags": MultiValue(weights="w"), "price": Numeric()}
    found = classifier(features=kinds).fit(table, "click").feature_importances(table, repeats=1)
    assert {row["column"] for row in found} == {"tags, w", "price"}


def test_weighted_rows_other_metrics_and_several_labels() -> None:
    weight = np.random.default_rng(1).uniform(0.1, 4, len(TABLE))
    model = classifier().fit(inputs(TABLE), TABLE["click"])
    (first, *_) = model.feature_importances(inputs(TABLE), TABLE["click"], repeats=1, sample_weight=weight)
    moved = shuffled(inputs(TABLE), [first["column"]], 0, 0)
    before, after = (
        model.evaluate(x, TABLE["click"], ["auc"], sample_weight=weight)["auc"] for x in (inputs(TABLE), moved)
    )
    assert first["importance"] == pytest.approx(before - after, abs=1e-6)
    assert first["std"] == 0

    stars = regressor().fit(inputs(TABLE), TABLE["stars"])
    best, *_ = stars.feature_importances(inputs(TABLE), TABLE["stars"], repeats=1)
    before, after = (  # the error grows
        stars.evaluate(x, TABLE["stars"], ["rmse"])["rmse"]
        for x in (inputs(TABLE), shuffled(inputs(TABLE), [best["column"]], 0, 0))
    )
    assert best["importance"] == pytest.approx(after - before, abs=1e-6)
    assert best["importance"] > 0
    several = CTRClassifier("MMOE", epochs=1).fit(TABLE.drop("stars"), ["click", "buy"])
    assert len(several.feature_importances(TABLE, repeats=1)) == 5
    matrix = np.random.default_rng(0).normal(size=(80, 2))
    unnamed = classifier().fit(matrix, matrix[:, 0] > 0)
    assert {row["column"] for row in unnamed.feature_importances(matrix, matrix[:, 0] > 0)} == {"x0", "x1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats must be an integer of at least 1, got 0"),
        ({"metric": "calibration"}, "metric must be one that gets better upwards or downwards, got 'calibration'"),
        ({"metric": "aucc"}, "did you mean 'auc'"),
    ],
)
def test_refused(fitted: CTRClassifier, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted.feature_importances(inputs(TABLE), TABLE["click"], **options)


def test_there_is_no_attribute_and_the_error_says_what_there_is(fitted: CTRClassifier) -> None:
    assert not hasattr(fitted, "feature_importances_")
    with pytest.raises(AttributeError, match=r"call feature_importances\(X, y\)"):
        _ = fitted.feature_importances_
