"""Predictions and metrics of frames and files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from tests.support.estimators import classifier, frame, inputs

TABLE = frame()


def test_rows_of_which_nothing_is_known_get_a_probability(fitted: CTRClassifier) -> None:
    unknown = {
        "user": ["never", None, ""],
        "movie": ["never", None, "ever"],
        "hist_movie": [[], None, ["never"]],
        "price": [None, float("nan"), float("inf")],
    }
    p = fitted.predict_proba(unknown)
    assert np.isfinite(p).all()
    assert (p > 0).all()
    assert np.allclose(p.sum(axis=1), 1)


def test_few_rows_get_the_predictions_of_the_way_of_many(
    fitted: CTRClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = TABLE[:40].with_columns(user=pl.when(pl.int_range(40) == 3).then(pl.lit("new")).otherwise("user"))
    tables = (few, few.to_pandas(), few.to_arrow(), few.to_dicts(), few[:1], few[:1].to_pandas(), few[:1].to_dicts())
    found = [fitted.predict_proba(table) for table in tables]
    monkeypatch.setattr("deepctr_torch.estimators.prepare.FEW_ROWS", 0)
    for table, p in zip(tables, found, strict=True):
        assert (fitted.predict_proba(table) == p).all()
    assert found[0].shape == (40, 2)
    assert all((p == found[0]).all() for p in found[:4])


def test_predict_takes_files_and_streams(fitted: CTRClassifier, parquet: Path) -> None:
    streamed = list(fitted.predict_stream(parquet))
    assert [len(part) for part in streamed] == [600]
    assert streamed[0].shape[1] == 1
    assert (np.concatenate(streamed)[:, 0] == fitted.predict_proba(TABLE)[:, 1]).all()


def test_metrics_by_group_and_by_name(fitted: CTRClassifier) -> None:
    known = TABLE.with_columns(pl.col("user").fill_null("nobody"))
    found = fitted.evaluate(known, "click", metrics=["gauc:user", "logloss"])
    assert set(found) == {"gauc:user", "logloss"}
    assert 0.5 < found["gauc:user"] < 1


def test_rows_to_predict_must_have_the_columns(fitted: CTRClassifier) -> None:
    with pytest.raises(ValueError, match=r"the table lacks \['price'\]"):
        fitted.predict(TABLE.select("user", "movie", "hist_movie"))
    with pytest.raises(ValueError, match="X has 2 features, but CTRClassifier is expecting 4"):
        fitted.predict(np.ones((3, 2)))
    matrix = classifier().fit(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2)
    with pytest.raises(ValueError, match="X must be a matrix of 2 columns"):
        matrix.predict(TABLE)


def test_a_loaded_model_predicts_from_eight_threads_at_once(fitted: CTRClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    loaded = CTRClassifier.load(tmp_path / "model")
    tables = [inputs(TABLE)[start : start + 50 + start] for start in range(0, 400, 25)]
    alone = [fitted.predict_proba(table) for table in tables]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(loaded.predict_proba, [*tables, *tables]))
    assert all(np.array_equal(one, other) for one, other in zip(together, [*alone, *alone], strict=True))


@pytest.mark.parametrize("way", ["frame", "evaluate", "parquet"])
def test_columns_that_say_nothing_in_all_rows_are_named(
    way: str, fitted: CTRClassifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(table: pl.DataFrame) -> list[str]:
        caplog.clear()
        if way == "evaluate":
            fitted.evaluate(table, "click")
        elif way == "frame":
            fitted.predict_proba(inputs(table))
        else:
            table.write_parquet(tmp_path / "rows.parquet", row_group_size=50)
            list(fitted.predict_stream(tmp_path / "rows.parquet"))
        return caplog.messages

    assert answer(TABLE) == answer(TABLE[:19].with_columns(movie=pl.lit("new"))) == []
    wrong = TABLE.with_columns(
        movie=pl.col("movie").str.to_uppercase(),
        price=pl.lit(None, pl.Float64),
        hist_movie=pl.lit([], pl.List(pl.String)),
    )
    tail = "or have values of it that were not seen in training: predictions do without"
    assert answer(wrong) == [f"all 600 rows lack 'movie', 'hist_movie', 'price', {tail}"]
    assert answer(wrong.with_columns(movie=pl.when(pl.int_range(600) == 599).then(pl.lit("m3")))) == [
        f"all 600 rows lack 'hist_movie', 'price', {tail}"
    ]


def test_a_column_that_was_mostly_missing_in_training_may_be_missing(caplog: pytest.LogCaptureFixture) -> None:
    rare = {"user": ["a", "b"] * 200, "code": [*(["x"] * 8), *([None] * 392)], "click": [0, 1, 1, 0] * 100}
    model = classifier(epochs=0).fit(rare, "click")
    rows = {"user": ["a"] * 900, "code": [None] * 900}
    model.predict_proba(rows)
    assert not caplog.records
    model.predict_proba({name: values * 2 for name, values in rows.items()})
    assert "all 1,800 rows lack 'code'" in caplog.text
