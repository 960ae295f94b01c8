"""Fitting from frames and files, splits, labels of any kind, and errors that name column and row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from deepctr_torch import CTRClassifier
from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, FeatureEncoder, Numeric
from deepctr_torch.estimators.build import MODEL
from deepctr_torch.models import DeepFM
from tests.support.estimators import INPUTS, assert_same_weights, classifier, frame, inputs, regressor

TABLE = frame()


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table in two files of several row groups."""
    folder = tmp_path_factory.mktemp("raw")
    TABLE[:350].write_parquet(folder / "a.parquet", row_group_size=90)
    TABLE[350:].write_parquet(folder / "b.parquet", row_group_size=100)
    return folder


@pytest.fixture(scope="module")
def fitted() -> CTRClassifier:
    return classifier().fit(inputs(TABLE), TABLE["click"])


# ------------------------------------------------------------------ one result, whatever the way


def test_a_frame_and_files_give_the_same_weights(fitted: CTRClassifier, parquet: Path) -> None:
    others = [c for c in TABLE.columns if c not in (*INPUTS, "click")]
    features = fitted.encoder_.features
    streamed = classifier(features=features).fit(parquet, "click")
    held = classifier(features=features).fit(TABLE, "click")
    assert_same_weights(fitted, streamed)
    assert_same_weights(fitted, held)
    assert streamed.training_["validation_rows"] == fitted.training_["validation_rows"] > 30
    assert streamed.history_ == fitted.history_
    assert streamed.feature_names_in_.tolist() == [*INPUTS, *others]
    assert (streamed.predict_proba(parquet) == fitted.predict_proba(inputs(TABLE))).all()


@pytest.mark.parametrize("kind", ["pandas", "arrow", "dict"])
def test_every_kind_of_table_gives_the_same_weights(fitted: CTRClassifier, kind: str) -> None:
    table = inputs(TABLE)
    X = {"pandas": table.to_pandas, "arrow": table.to_arrow, "dict": lambda: table.to_dict(as_series=False)}[kind]()
    assert_same_weights(fitted, classifier().fit(X, TABLE["click"].to_list()))


def test_it_is_what_an_encoder_and_a_model_give_by_hand(parquet: Path) -> None:
    whole = classifier(validation_fraction=0.0, features={"movie": Categorical(), "price": Numeric()}, embedding_dim=4)
    whole.fit(TABLE, "click")
    encoder = FeatureEncoder(whole.features).fit(TABLE)
    columns = encoder.feature_columns(4)
    model = DeepFM(columns, columns, dnn_hidden_units=(8,), seed=0, **MODEL)
    model.out.bias.data.fill_(np.log(TABLE["click"].mean() / (1 - TABLE["click"].mean())))
    with torch.no_grad():
        for layer in model.dnn.linears:
            layer.weight.mul_(math.sqrt(2 / layer.in_features) / MODEL["init_std"])
    model.compile("adam", "binary_crossentropy", loss_reduction="mean", embedding_lr=0.003)
    model.fit(encoder.transform(TABLE, training=True), TABLE["click"].to_numpy(), 64, 2, 0)
    whole_state = whole.model_.state_dict()
    assert all(value.equal(whole_state[key]) for key, value in model.state_dict().items())


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    one, same, other = (classifier(random_state=s).fit(inputs(TABLE), TABLE["click"]) for s in (1, 1, 2))
    assert_same_weights(one, same)
    assert not (one.predict_proba(inputs(TABLE)) == other.predict_proba(inputs(TABLE))).all()


def test_fitting_twice_starts_anew(fitted: CTRClassifier) -> None:
    twice = classifier().fit(inputs(TABLE), TABLE["click"]).fit(inputs(TABLE), TABLE["click"])
    assert_same_weights(fitted, twice)


def test_text_files_and_options_of_files(tmp_path: Path) -> None:
    flat = TABLE.select("user", "movie", "price", "click")
    flat.write_csv(tmp_path / "rows.csv")
    flat.write_csv(tmp_path / "bare.tsv", separator="\t", include_header=False)
    named = classifier().fit(tmp_path / "rows.csv", "click")
    bare = Files(tmp_path / "bare.tsv", label="click", header=flat.columns)
    assert_same_weights(named, classifier().fit(bare))
    assert_same_weights(named, classifier().fit(flat, "click"))
    assert named.evaluate(bare) == named.evaluate(flat, "click")


# ------------------------------------------------------------------ splits


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


def test_validation_can_be_given(parquet: Path) -> None:
    held = classifier().fit(TABLE[:400], "click", validation=(TABLE[400:], "click"))
    TABLE[400:].write_parquet(parquet.parent / "valid.parquet")
    assert held.training_["rows"] == 400
    streamed = classifier().fit(TABLE[:400], "click", validation=parquet.parent / "valid.parquet")
    assert held.history_ == streamed.history_
    with pytest.raises(ValueError, match=r"validation must be \(X, y\)"):
        classifier().fit(TABLE, "click", validation=(TABLE,))


def test_early_stopping_ends_within_an_epoch_and_restores_the_best() -> None:
    noise = TABLE.with_columns(click=pl.Series(np.random.default_rng(3).integers(0, 2, 600)))
    stopped = classifier(epochs=50, learning_rate=0.05, eval_every=0.5, early_stopping=2).fit(noise, "click")
    losses = stopped.history_["val_loss"]
    best = stopped.training_["best_evaluation"]
    assert best == int(np.argmin(losses))
    assert len(losses) == best + 3 < 100
    free = classifier(epochs=2, early_stopping=False, eval_every=5).fit(noise, "click")
    assert len(free.history_["val_loss"]) == 2 * 2


# ------------------------------------------------------------------ rows nobody has seen


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


def test_predict_takes_files_and_streams(fitted: CTRClassifier, parquet: Path) -> None:
    streamed = list(fitted.predict_stream(parquet))
    assert [len(part) for part in streamed] == [600]
    assert streamed[0].shape[1] == 1
    assert (np.concatenate(streamed)[:, 0] == fitted.predict_proba(TABLE)[:, 1]).all()


# ------------------------------------------------------------------ labels


@pytest.mark.parametrize(
    ("values", "classes"),
    [(["no", "yes"], ["no", "yes"]), ([False, True], [False, True]), ([-1, 1], [-1, 1]), ([2.0, 7.0], [2.0, 7.0])],
)
def test_classes_are_of_any_type(values: list[Any], classes: list[Any], fitted: CTRClassifier) -> None:
    y = np.array(values)[TABLE["click"].to_numpy()]
    named = classifier().fit(inputs(TABLE), y)
    assert named.classes_.tolist() == classes
    assert_same_weights(fitted, named)
    assert set(named.predict(inputs(TABLE)).tolist()) <= set(classes)
    assert named.score(inputs(TABLE), y) == fitted.score(inputs(TABLE), TABLE["click"]) > 0.6


def test_classes_of_files_are_of_any_type(tmp_path: Path, fitted: CTRClassifier) -> None:
    table = TABLE.with_columns(click=pl.col("click").replace_strict({0: "no", 1: "yes"}))
    table.select([*INPUTS, "click"]).write_parquet(tmp_path / "words.parquet", row_group_size=100)
    streamed = classifier().fit(tmp_path / "words.parquet", "click")
    assert streamed.classes_.tolist() == ["no", "yes"]
    assert_same_weights(fitted, streamed)


def test_three_classes_are_learned_as_such() -> None:
    y = np.array(["low", "mid", "high"])[np.digitize(TABLE["price"].fill_null(0).to_numpy(), [15, 25])]
    three = classifier(epochs=8, learning_rate=0.01).fit(inputs(TABLE), y)
    assert three.classes_.tolist() == ["high", "low", "mid"]
    assert three.predict_proba(inputs(TABLE)).shape == (600, 3)
    assert (three.predict(inputs(TABLE)) == y).mean() > 0.6
    assert three.score(inputs(TABLE), y) > 0.8


def test_several_labels_with_gaps() -> None:
    both = classifier("ESMM", model_args={"tower_dnn_hidden_units": (8,)}).fit(
        TABLE.with_columns(buy=pl.col("buy").fill_null(0)), ["click", "buy"]
    )
    assert both.labels_ == ["click", "buy"]
    assert (p := both.predict_proba(TABLE)).shape == (600, 2)
    assert (p[:, 1] <= p[:, 0]).all()
    assert both.predict(TABLE).shape == (600, 2)
    gaps = classifier("MMOE", model_args={"expert_dnn_hidden_units": (8,)}).fit(inputs(TABLE), TABLE[["click", "buy"]])
    assert set(gaps.evaluate(TABLE)) >= {"click_auc", "buy_auc", "auc"}
    assert [c.tolist() for c in gaps.classes_] == [[0, 1], [0.0, 1.0]]


def test_a_regressor_answers_in_the_units_of_its_labels(parquet: Path) -> None:
    far = TABLE.with_columns(stars=pl.col("stars") * 1000 + 1e5)
    model = regressor(epochs=10, batch_size=32, learning_rate=0.01).fit(far, "stars")
    assert model.score(far) == model.score(far, far["stars"]) > 0.5
    assert model.evaluate(far)["rmse"] < far["stars"].std()
    assert abs(model.predict(far).mean() - far["stars"].mean()) < 300
    held = regressor().fit(TABLE, "stars")
    assert_same_weights(held, regressor().fit(parquet, "stars"))


def test_weights_count() -> None:
    heavy = np.where(TABLE["click"] == 1, 10.0, 1.0)
    plain, weighted = classifier(epochs=4, learning_rate=0.01), classifier(epochs=4, learning_rate=0.01)
    plain.fit(inputs(TABLE), TABLE["click"])
    weighted.fit(inputs(TABLE), TABLE["click"], sample_weight=heavy)
    assert weighted.predict_proba(TABLE)[:, 1].mean() > plain.predict_proba(TABLE)[:, 1].mean() + 0.05
    named = classifier(epochs=4, learning_rate=0.01, features=plain.encoder_.features)
    named.fit(TABLE.with_columns(weight=pl.Series(heavy)), "click", sample_weight="weight")
    assert_same_weights(weighted, named)


def test_metrics_by_group_and_by_name(fitted: CTRClassifier) -> None:
    known = TABLE.with_columns(pl.col("user").fill_null("nobody"))
    found = fitted.evaluate(known, "click", metrics=["gauc:user", "logloss"])
    assert set(found) == {"gauc:user", "logloss"}
    assert 0.5 < found["gauc:user"] < 1


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        ({}, {"model": "DeepFN"}, "unknown model 'DeepFN': did you mean 'DeepFM'"),
        ({}, {"features": 3}, "features must be \"infer\""),
        ({}, {"epochs": -1}, "epochs must be an integer of at least 0"),
        ({}, {"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({}, {"eval_every": 1.5}, "eval_every must be steps"),
        ({}, {"model_args": {"seed": 3}}, "model_args must not hold 'seed': it follows from random_state"),
        ({}, {"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\)"),
        ({"y": "clack"}, {}, "there is no column 'clack': did you mean 'click'"),
        ({"y": None}, {}, "requires y to be passed"),
        ({"y": [0, 1]}, {}, "must have the same number of rows, got 600 and 2"),
        ({"y": "buy"}, {}, "the label 'buy' must not be missing, got nan in row"),
        ({"y": "price"}, {}, "Unknown label type: continuous. The label 'price'"),
        ({"y": [1] * 600}, {}, "the label 'label' must have at least two classes, got"),
        ({"y": ["click", "buy"]}, {}, "DeepFM learns one label, got"),
        ({}, {"model": "MMOE"}, "MMOE learns several labels, got"),
        ({}, {"model": "DIN", "history": "watched"}, "history must be a column called hist_<target>"),
        ({"time": "when"}, {}, "data must have the time column 'when'"),
        ({"time": {"column": "day", "valid": 3}}, {}, "unknown option 'valid' of time"),
        ({"sample_weight": np.zeros(600)}, {}, "sample_weight must be numbers >= 0"),
        ({"sample_weight": "w"}, {}, "there is no column 'w'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(arguments: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    table = TABLE.with_columns(buy=pl.col("buy").fill_null(float("nan")), price=pl.col("price").fill_null(0.5))
    given = {"X": table, "y": "click", **arguments}
    with pytest.raises((ValueError, TypeError), match=message):
        classifier(**changes).fit(**given)


def test_wrong_labels_of_files_name_file_and_row(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"the label 'buy' must not be missing, got .* in row \d+ of .*a.parquet"):
        classifier().fit(tmp_path / "a.parquet", "buy")
    known = classifier().fit(tmp_path / "a.parquet", "click")
    TABLE[:5].with_columns(click=pl.Series([0, 1, 7, 0, 1])).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(
        ValueError, match=r"the label 'click' must be one of \[0, 1\], got .*7.* in row 2 of .*b.parquet"
    ):
        known.evaluate(tmp_path / "b.parquet")


def test_rows_to_predict_must_have_the_columns(fitted: CTRClassifier) -> None:
    with pytest.raises(ValueError, match=r"the table lacks \['price'\]"):
        fitted.predict(TABLE.select("user", "movie", "hist_movie"))
    with pytest.raises(ValueError, match="X has 2 features, but CTRClassifier is expecting 4"):
        fitted.predict(np.ones((3, 2)))
    matrix = classifier().fit(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2)
    with pytest.raises(ValueError, match="X must be a matrix of 2 columns"):
        matrix.predict(TABLE)
