"""Going on from yesterday: what was known scores the same, new values start as unseen ones, the optimizer goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch.estimators.warm import grown, optimizer_state
from tests.estimators.samples import assert_same_weights, classifier, frame, inputs, regressor

OLD = frame()
NEW = frame(seed=1).with_columns(
    user=pl.concat_str(pl.lit("new "), pl.col("user")), movie=pl.col("movie").replace({"m3": "m99"})
)
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
