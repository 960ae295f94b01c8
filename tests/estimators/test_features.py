"""The features an estimator begins with: given, inferred, histories; labels and weights are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.encoding import Categorical, FeatureEncoder, MultiValue, Numeric, Sequence
from deepctr_torch.estimators.features import history_targets
from deepctr_torch.tables import text
from tests.support.estimators import assert_same_weights, classifier, frame, regressor

WEIGHTED = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))


BOTH = {"movie": Categorical(), "price": Numeric()}


@pytest.mark.parametrize(
    ("name", "y", "weight", "what"),
    [
        ("click", "click", None, "a label"),
        ("click", WEIGHTED["click"], None, "a label"),
        ("w", "click", "w", "the sample weight"),
        ("w", WEIGHTED["click"], "w", "the sample weight"),
    ],
)
def test_a_feature_cannot_read_a_label_or_the_weight(name: str, y: Any, weight: str | None, what: str) -> None:
    kinds = {**BOTH, "copy": Categorical(column=name)}
    for features in (kinds, FeatureEncoder(kinds), FeatureEncoder(kinds).fit(WEIGHTED)):
        with pytest.raises(
            ValueError, match=f"features must not read the column of {what}, got one that reads '{name}'"
        ):
            classifier(features=features).fit(WEIGHTED, y, sample_weight=weight)


def test_nor_can_one_of_the_model_to_go_on_from(tmp_path: Path) -> None:
    old = regressor(features={**BOTH, "click": Numeric()}).fit(WEIGHTED, "stars")
    with pytest.raises(ValueError, match="the column of the sample weight, got one that reads 'click'"):
        regressor().fit(WEIGHTED, "stars", sample_weight="click", init_from=old)
    WEIGHTED.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="the column of the sample weight, got one that reads 'click'"):
        regressor().fit(tmp_path, "stars", sample_weight="click", init_from=old)


def test_a_named_weight_is_no_feature_whatever_the_labels_are() -> None:
    table = WEIGHTED.select("user", "movie", "price", "w", "click")
    named = classifier().fit(table, "click", sample_weight="w")
    given = classifier().fit(table.drop("click"), table["click"].to_numpy(), sample_weight="w")
    assert "w" not in given.encoder_.features
    assert given.feature_names_in_.tolist() == named.feature_names_in_.tolist() == ["user", "movie", "price"]
    assert_same_weights(named, given)
    with pytest.raises(ValueError, match="sample_weight must be numbers or the name of a column"):
        classifier().fit(np.ones((4, 2)), [0, 1, 0, 1], sample_weight="x0")


SHORT = frame(200).with_columns(buy=pl.col("buy").fill_null(0), title=pl.concat_str("movie", pl.lit("|x")))


def test_a_history_may_be_called_anything() -> None:
    named = SHORT.rename({"hist_movie": "watched"})
    din = classifier("DIN", history={"movie": "watched"}).fit(named, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(vocabulary_of="movie", column="watched")
    assert din.encoder_.inputs[-1] == "watched"
    assert din.predict_proba(named).shape == (200, 2)
    plain = classifier("DIN", history="hist_movie").fit(SHORT, "click")
    assert (plain.predict_proba(SHORT)[:, 1] > 0).all()


def test_a_history_of_text_keeps_its_separator() -> None:
    text = SHORT.with_columns(hist_movie=pl.col("hist_movie").list.join("|"))
    kinds = {"movie": Categorical(), "hist_movie": MultiValue(separator="|"), "price": Numeric()}
    din = classifier("DIN", history=["hist_movie"], features=kinds).fit(text, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(vocabulary_of="movie", separator="|")


def test_a_history_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="DIN needs a history: name its column"):
        classifier("DIN").fit(SHORT.drop("hist_movie"), "click")
    with pytest.raises(ValueError, match="needs a Categorical feature 'film': there are"):
        classifier("DIN", history={"film": "hist_movie"}).fit(SHORT, "click")
    assert history_targets(None) == {}


def test_a_column_that_looks_like_numbers_at_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_SAMPLE", 256)
    lines = [f"08044295{i % 20:02d},{i % 2}" for i in range(200)]
    lines[150] = "080442957X,1"
    path = tmp_path / "books.csv"
    path.write_text("\n".join(["isbn,click", *lines]) + "\n")
    model = CTRClassifier(epochs=1).fit(path, "click")
    assert isinstance(model.encoder_.features["isbn"], Categorical)
    assert "080442957X" in model.encoder_.vocabulary("isbn").values.to_pylist()
