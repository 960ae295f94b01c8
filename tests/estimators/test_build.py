"""Every model by name, from the same raw rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from deepctr_torch.estimators.build import is_multitask, model_class
from deepctr_torch.features import DenseFeat
from deepctr_torch.models import MODELS, model_traits
from tests.support.estimators import classifier, frame, regressor

SHORT = frame(200).with_columns(buy=pl.col("buy").fill_null(0), title=pl.concat_str("movie", pl.lit("|x")))


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_learns_from_raw_rows(name: str) -> None:
    labels = ["click", "buy"] if is_multitask(model_class(name)) else "click"
    model = classifier(name, model_args=None, epochs=1).fit(SHORT.drop("stars"), labels)
    p = model.predict_proba(SHORT[:7])
    assert p.shape == (7, 2)
    assert np.isfinite(p).all()
    dims = {c.embedding_dim for c in model.model_.dnn_feature_columns if not isinstance(c, DenseFeat)}
    assert len(dims) == (1 if model_traits(MODELS.get(name)).one_dimension else 2)


def test_several_numbers_are_learned_together() -> None:
    both = regressor("SharedBottom", model_args=None).fit(SHORT, ["stars", "day"])
    assert both.predict(SHORT).shape == (200, 2)
    assert set(both.evaluate(SHORT)) >= {"stars_rmse", "day_rmse"}
    assert both.score(SHORT) < 1


def test_the_history_of_a_target_is_no_part_of_the_linear_side() -> None:
    model = classifier().fit(SHORT, "click").model_
    assert "hist_movie" not in {c.name for c in model.linear_feature_columns}
    assert "hist_movie" in {c.name for c in model.dnn_feature_columns}


def test_a_regression_has_no_dropout_and_a_classification_some() -> None:
    assert regressor(epochs=0).fit(SHORT, "stars").model_.dnn.dropout_rate == 0.0
    assert classifier(epochs=0).fit(SHORT, "click").model_.dnn.dropout_rate == 0.2


def test_an_ensemble_goes_on_with_its_members() -> None:
    first = classifier(ensemble=2).fit(SHORT, "click")
    assert len(first.model_.further_members) == 1
    again = classifier().fit(SHORT, "click", init_from=first)
    assert len(again.model_.further_members) == 1
    assert not hasattr(classifier().fit(SHORT, "click").model_, "further_members")  # too few rows for "auto"
    with pytest.raises(ValueError, match=r"model_args must not hold 'ensemble': it follows from ensemble"):
        classifier(model_args={"ensemble": 2}).fit(SHORT, "click")
