"""Which rows are trained on and which are validated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.encoding import FeatureEncoder
from deepctr_torch.estimators.inputs import open_data
from deepctr_torch.estimators.labels import (
    ClassLearner,
)
from deepctr_torch.estimators.split import Split, SplitOptions, scan, split
from tests.support.estimators import assert_same_weights, classifier, frame

TABLE = frame()


def test_validation_is_drawn_and_teaches_nothing(fitted: CTRClassifier) -> None:
    seen = fitted.training_
    assert seen["rows"] + seen["validation_rows"] == 600
    assert fitted.encoder_.rows == seen["rows"]
    assert len(fitted.history_["val_loss"]) == seen["evaluations"] == 6


def test_a_time_split_trains_on_the_past_only() -> None:
    late = TABLE.with_columns(
        movie=pl.when(pl.col("day") >= 27).then(pl.lit("only late")).otherwise("movie"),
        price=pl.when(pl.col("day") >= 27).then(1e6).otherwise("price"),
    )
    shuffled = late.sample(fraction=1.0, shuffle=True, seed=1)
    split = classifier().fit(shuffled, "click", time="day", validation=None)
    assert (split.training_["rows"], split.training_["validation_rows"]) == (540, 60)
    assert "only late" not in split.encoder_.vocabulary("movie").values.to_pylist()
    early = TABLE.filter(pl.col("day") < 27)
    alone = FeatureEncoder(split.encoder_.features).fit(early)
    assert {n: p.state() for n, p in alone.column_encoders.items()} == {
        n: p.state() for n, p in split.encoder_.column_encoders.items()
    }
    assert "day" not in split.encoder_.features
    assert {"feature": "day", "kind": "left out", "why": "the time to split by"} in list(split.encoder_.explain())


def test_a_time_split_of_files_is_that_of_the_frame(parquet: Path) -> None:
    when = {"column": "day", "valid_from": 25, "gap": 2}
    held = classifier().fit(TABLE, "click", time=when)
    assert (held.training_["rows"], held.training_["validation_rows"]) == (460, 100)
    assert_same_weights(held, classifier().fit(parquet, "click", time=when))


def test_a_split_depends_on_seed_and_number_alone() -> None:
    data = open_data({"a": np.arange(1000)}, np.arange(1000) % 2)

    def parts(fraction: float, seed: int) -> Split:
        found = scan(data, ClassLearner(data.labels), None)
        assert found.rows == 1000
        return split(found, SplitOptions.parse(fraction, None), seed)

    one, same, other = (parts(0.2, seed) for seed in (0, 0, 1))
    assert one.train is not None
    assert one.validation is not None and same.validation is not None and other.validation is not None  # noqa: PT018
    assert (one.validation.mask == same.validation.mask).all()
    assert (one.validation.mask != other.validation.mask).any()
    assert one.train.rows + one.validation.rows == 1000
    assert 150 < one.validation.rows < 250
    assert parts(0.0, 0) == (None, None)
    with pytest.raises(TypeError, match="time must be the name of a column, or a dict"):
        SplitOptions.parse(0.1, {"gap": 1})


WEIGHTED = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))


@pytest.mark.parametrize("time", ["day", {"column": "day", "fraction": 0}, {"column": "day", "gap": 0}])
def test_a_fraction_of_nothing_cuts_nothing_off(time: Any) -> None:
    table = WEIGHTED.select("user", "movie", "day", "click")
    whole = classifier(validation_fraction=0.0).fit(table, "click", time=time)
    assert (whole.training_["rows"], whole.training_["validation_rows"]) == (600, 0)
    assert "day" not in whole.encoder_.features
    assert_same_weights(whole, classifier(validation_fraction=0.0).fit(table.drop("day"), "click"))


def test_a_time_that_cuts_nothing_off_is_checked_all_the_same() -> None:
    with pytest.raises(ValueError, match="data must have the time column 'dag': did you mean 'day'"):
        classifier(validation_fraction=0.0).fit(WEIGHTED, "click", time="dag")
    with pytest.raises(ValueError, match="gap lies before the rows to validate on, got 2 with a fraction of 0"):
        classifier(validation_fraction=0.0).fit(WEIGHTED, "click", time={"column": "day", "gap": 2})
