"""Going on from yesterday: what was known scores the same, new values start as unseen ones, the optimizer goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, Numeric
from deepctr_torch.estimators.warm_start import grown, optimizer_state
from tests.support.artefacts import edited
from tests.support.estimators import assert_same_weights, classifier, frame, inputs, regressor

OLD = frame()
NEW = frame(seed=1).with_columns(
    user=pl.concat_str(pl.lit("new "), pl.col("user")), movie=pl.col("movie").replace({"m3": "m99"})
)
KINDS = {"user": Categorical(), "movie": Categorical(), "price": Numeric()}
HOW: list[dict[str, Any]] = [
    {"embedding_update": "sparse"},
    {"embedding_update": "dense"},
    {"embedding_update": "dense", "embedding_lr": 0.01},
    {"optimizer": "adagrad", "embedding_update": "sparse"},
    {"optimizer": "rowwise_adagrad", "embedding_update": "dense"},
    {"optimizer": "sgd", "embedding_update": "sparse"},
    {"model": "DCN", "embedding_update": "sparse"},
    {"model": "DIN", "embedding_update": "sparse"},
]


@pytest.mark.parametrize("how", HOW, ids=str)
def test_old_rows_score_the_same_and_new_values_like_unseen_ones(how: dict[str, Any], tmp_path: Path) -> None:
    old = classifier(**how).fit(inputs(OLD), OLD["click"])
    old.save(tmp_path)
    warm = classifier(**how, epochs=0).fit(inputs(NEW), NEW["click"], init_from=tmp_path)
    assert (warm.predict_proba(inputs(OLD)) == old.predict_proba(inputs(OLD))).all()
    assert (warm.predict_proba(inputs(NEW)) == old.predict_proba(inputs(NEW))).all()
    before, after = old.model_.state_dict(), warm.model_.state_dict()
    table = before["embedding_dict.user.weight"]
    assert len(after["embedding_dict.user.weight"]) > len(table)
    assert after["embedding_dict.user.weight"].equal(grown(table, len(after["embedding_dict.user.weight"])))


@pytest.mark.parametrize("how", HOW, ids=str)
def test_the_optimizer_goes_on_where_it_was(how: dict[str, Any], tmp_path: Path) -> None:
    old = classifier(**how).fit(inputs(OLD), OLD["click"])
    old.save(tmp_path)
    warm = classifier(**how, epochs=0).fit(inputs(NEW), NEW["click"], init_from=tmp_path)
    (tensors, numbers), (mine, counts) = optimizer_state(old.model_), optimizer_state(warm.model_)
    assert numbers == counts
    assert tensors.keys() == mine.keys()
    assert all(mine[key].equal(grown(value, len(mine[key]))) for key, value in tensors.items())
    again = optimizer_state(classifier(**how).load(tmp_path, training=True).model_)
    assert all(again[0][key].equal(value) for key, value in tensors.items())


@pytest.mark.parametrize("how", HOW[:5], ids=str)
def test_going_on_with_known_values_is_training_on(how: dict[str, Any], tmp_path: Path) -> None:
    """Two fits by way of a folder give the weights of one model that was fitted twice."""
    first = classifier(**how, validation_fraction=0.0).fit(inputs(OLD), OLD["click"])
    first.save(tmp_path)
    warm = classifier(**how, validation_fraction=0.0).fit(inputs(OLD), OLD["click"], init_from=tmp_path)
    x = first.encoder_.transform(inputs(OLD), training=True)
    first.model_.fit(x, OLD["click"].to_numpy(), 64, 2, 0)
    assert_same_weights(first, warm)
    live = classifier(**how, validation_fraction=0.0).fit(inputs(OLD), OLD["click"])
    from_object = classifier(**how, validation_fraction=0.0).fit(inputs(OLD), OLD["click"], init_from=live)
    assert_same_weights(warm, from_object)


def test_files_go_on_as_frames_do(tmp_path: Path) -> None:
    old = classifier(features=classifier(epochs=0).fit(inputs(OLD), OLD["click"]).encoder_.features)
    old.fit(OLD, "click").save(tmp_path / "yesterday")
    NEW.write_parquet(tmp_path / "new.parquet", row_group_size=100)
    frames = classifier().fit(NEW, "click", init_from=tmp_path / "yesterday")
    files = classifier().fit(tmp_path / "new.parquet", "click", init_from=tmp_path / "yesterday")
    assert_same_weights(frames, files)
    assert frames.encoder_.rows == old.encoder_.rows + frames.training_["rows"]


def test_training_makes_new_values_known(tmp_path: Path) -> None:
    old = classifier(epochs=4, learning_rate=0.01).fit(inputs(OLD), OLD["click"])
    warm = classifier(epochs=4, learning_rate=0.01).fit(inputs(NEW), NEW["click"], init_from=old)
    assert warm.score(inputs(NEW), NEW["click"]) > old.score(inputs(NEW), NEW["click"])
    assert old.encoder_.vocabulary("movie").values.to_pylist().count("m99") == 0


def test_a_regressor_keeps_its_scale() -> None:
    old = regressor().fit(inputs(OLD), OLD["stars"])
    warm = regressor(epochs=0).fit(inputs(OLD), OLD["stars"] + 5, init_from=old)
    assert (warm.predict(inputs(OLD)) == old.predict(inputs(OLD))).all()


def test_the_rate_of_the_negatives_goes_on(tmp_path: Path) -> None:
    """Predictions before the first step are yesterday's, whatever share of the negatives comes next."""
    OLD.write_parquet(tmp_path / "old.parquet", row_group_size=100)
    sampled, whole = Files(tmp_path / "old.parquet", label="click", negative_rate=0.1), tmp_path / "old.parquet"
    old = classifier(features=KINDS).fit(sampled)
    old.save(tmp_path / "yesterday")
    before = old.predict_proba(OLD)
    same = classifier(features=KINDS, epochs=0).fit(OLD, "click", init_from=tmp_path / "yesterday")
    assert same.model_.negative_rate == 0.1
    assert (same.predict_proba(OLD) == before).all()
    still = {"features": KINDS, "learning_rate": 1e-12, "embedding_lr": 1e-12}
    for X, y, rate in ((OLD, "click", 1.0), (whole, "click", 1.0), (sampled, None, 0.1)):
        warm = classifier(**still).fit(X, y, init_from=old)
        assert warm.model_.negative_rate == rate
        np.testing.assert_allclose(warm.predict_proba(OLD), before, rtol=1e-4)
    back = classifier(**still).fit(sampled, init_from=classifier(features=KINDS).fit(OLD, "click"))
    assert back.model_.negative_rate == 0.1
    np.testing.assert_allclose(back.predict_proba(OLD).mean(axis=0)[1], OLD["click"].mean(), atol=0.1)


def test_several_tasks_keep_their_rate(tmp_path: Path) -> None:
    table = OLD.with_columns(pl.col("buy").fill_null(0))
    table.write_parquet(tmp_path / "old.parquet", row_group_size=100)
    sampled, tower = Files(tmp_path, negative_rate=0.1), {"tower_dnn_hidden_units": (8,)}
    old = classifier("ESMM", features=KINDS, model_args=tower).fit(sampled, ["click", "buy"])
    with pytest.raises(ValueError, match=r"negative_rate must stay 0\.1, that of init_from, .* got 1\.0"):
        classifier("ESMM", model_args=tower).fit(table, ["click", "buy"], init_from=old)
    again = classifier("ESMM", model_args=tower, epochs=0).fit(table, ["click", "buy"], init_from=old)
    assert (again.predict_proba(table) == old.predict_proba(table)).all()
    on = classifier("ESMM", model_args=tower).fit(sampled, ["click", "buy"], init_from=old)
    assert on.model_.negative_rate == 0.1


def test_frozen_tables_stay_frozen() -> None:
    old = classifier().fit(inputs(OLD), OLD["click"])
    rows = old.encoder_.vocabulary("movie").rows
    width = old.model_.embedding_dict["movie"].embedding_dim
    old.model_.set_embedding("movie", np.ones((rows, width)), trainable=False)
    warm = classifier().fit(inputs(OLD), OLD["click"], init_from=old)
    assert (warm.model_.embedding_dict["movie"].weight == 1).all()


def test_another_optimizer_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    old = classifier().fit(inputs(OLD), OLD["click"])
    with caplog.at_level("INFO", "deepctr_torch"):
        warm = classifier(optimizer="adagrad", epochs=0).fit(inputs(OLD), OLD["click"], init_from=old)
    assert not any(value.any() for value in optimizer_state(warm.model_)[0].values())
    assert "the state of the optimizer begins anew" in caplog.text


def test_what_cannot_go_on_is_said(tmp_path: Path) -> None:
    old = classifier().fit(inputs(OLD), OLD["click"])
    old.save(tmp_path)
    cases: list[tuple[Any, Any, str]] = [
        (classifier("DCN"), tmp_path, "init_from must be of the model 'DCN', got 'DeepFM'"),
        (classifier(model_args={"dnn_hidden_units": (9,)}), old, r"must have shape \[9, .*got \[8, "),
        (regressor(), tmp_path, "init_from must be a CTRRegressor or the folder of one, got CTRClassifier"),
        (classifier(), classifier().load(tmp_path), "init_from must have the state of its optimizer"),
        (classifier(), tmp_path / "no", "must hold a saved estimator, but lacks config.json"),
    ]
    for model, source, message in cases:
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
            model.fit(inputs(NEW), NEW["click"], init_from=source)
    with pytest.raises(ValueError, match=r"must be one of \[0, 1\], got .*2.* in row"):
        classifier().fit(inputs(NEW), NEW["click"] * 2, init_from=old)
    with pytest.raises(ValueError, match=r"init_from must know the labels \['other'\], got \['click'\]"):
        classifier().fit(inputs(NEW), NEW["click"].alias("other"), init_from=old)
    stars = regressor().fit(inputs(OLD), OLD["stars"])
    with pytest.raises(ValueError, match=r"init_from must know the labels \['rating'\], got \['stars'\]"):
        regressor().fit(inputs(NEW), NEW["stars"].alias("rating"), init_from=stars)


def test_a_folder_without_the_compilation_is_not_trained_further(tmp_path: Path) -> None:
    old = classifier().fit(inputs(OLD), OLD["click"])
    old.save(tmp_path)
    edited(tmp_path / "training.json", lambda content: content.update(compile=None))
    message = "must hold how its model was compiled, to train it further, got none"
    for call in (
        lambda: classifier().load(tmp_path, training=True),
        lambda: classifier().fit(inputs(NEW), NEW["click"], init_from=tmp_path),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert (classifier().load(tmp_path).predict_proba(inputs(OLD)) == old.predict_proba(inputs(OLD))).all()
