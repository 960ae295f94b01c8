"""Every model by name, from the same raw rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from deepctr_torch.encoding import Categorical, MultiValue, Numeric, Sequence
from deepctr_torch.estimators.build import is_multitask, model_class
from deepctr_torch.estimators.features import history_targets
from deepctr_torch.features import DenseFeat
from deepctr_torch.models import MODELS, model_traits
from tests.support.estimators import classifier, frame, regressor

TABLE = frame(200).with_columns(buy=pl.col("buy").fill_null(0), title=pl.concat_str("movie", pl.lit("|x")))


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_learns_from_raw_rows(name: str) -> None:
    labels = ["click", "buy"] if is_multitask(model_class(name)) else "click"
    model = classifier(name, model_args=None, epochs=1).fit(TABLE.drop("stars"), labels)
    p = model.predict_proba(TABLE[:7])
    assert p.shape == (7, 2)
    assert np.isfinite(p).all()
    dims = {c.embedding_dim for c in model.model_.dnn_feature_columns if not isinstance(c, DenseFeat)}
    assert len(dims) == (1 if model_traits(MODELS.get(name)).one_dimension else 2)


def test_a_history_may_be_called_anything() -> None:
    named = TABLE.rename({"hist_movie": "watched"})
    din = classifier("DIN", history={"movie": "watched"}).fit(named, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(vocabulary_of="movie", column="watched")
    assert din.encoder_.inputs[-1] == "watched"
    assert din.predict_proba(named).shape == (200, 2)
    plain = classifier("DIN", history="hist_movie").fit(TABLE, "click")
    assert (plain.predict_proba(TABLE)[:, 1] > 0).all()


def test_a_history_of_text_keeps_its_separator() -> None:
    text = TABLE.with_columns(hist_movie=pl.col("hist_movie").list.join("|"))
    kinds = {"movie": Categorical(), "hist_movie": MultiValue(separator="|"), "price": Numeric()}
    din = classifier("DIN", history=["hist_movie"], features=kinds).fit(text, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(vocabulary_of="movie", separator="|")


def test_a_history_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="DIN needs a history: name its column"):
        classifier("DIN").fit(TABLE.drop("hist_movie"), "click")
    with pytest.raises(ValueError, match="needs a Categorical feature 'film': there are"):
        classifier("DIN", history={"film": "hist_movie"}).fit(TABLE, "click")
    assert history_targets(None) == {}


def test_several_numbers_are_learned_together() -> None:
    both = regressor("SharedBottom", model_args=None).fit(TABLE, ["stars", "day"])
    assert both.predict(TABLE).shape == (200, 2)
    assert set(both.evaluate(TABLE)) >= {"stars_rmse", "day_rmse"}
    assert both.score(TABLE) < 1


def test_the_history_of_a_target_is_no_part_of_the_linear_side() -> None:
    model = classifier().fit(TABLE, "click").model_
    assert "hist_movie" not in {c.name for c in model.linear_feature_columns}
    assert "hist_movie" in {c.name for c in model.dnn_feature_columns}
