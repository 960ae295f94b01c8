"""Fitting from frames and files gives one result; what cannot be fitted is said, what was is reported."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from deepctr_torch import CTRClassifier
from deepctr_torch.callbacks import Callback, EarlyStopping
from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, FeatureEncoder, Numeric
from deepctr_torch.estimators.build import MODEL
from deepctr_torch.estimators.fit import _best_evaluation
from deepctr_torch.models import DeepFM
from tests.support.estimators import INPUTS, assert_same_weights, classifier, frame, inputs

TABLE = frame()


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


def test_early_stopping_ends_within_an_epoch_and_restores_the_best() -> None:
    noise = TABLE.with_columns(click=pl.Series(np.random.default_rng(3).integers(0, 2, 600)))
    stopped = classifier(epochs=50, learning_rate=0.05, eval_every=0.5, early_stopping=2).fit(noise, "click")
    losses = stopped.history_["val_loss"]
    best = stopped.training_["best_evaluation"]
    assert best == int(np.argmin(losses))
    assert len(losses) == best + 3 < 100
    free = classifier(epochs=2, early_stopping=False, eval_every=5).fit(noise, "click")
    assert len(free.history_["val_loss"]) == 2 * 2


def test_a_training_that_ends_while_it_improves_says_so(caplog: pytest.LogCaptureFixture) -> None:
    table = TABLE.select(*INPUTS, "click")
    message = "training ended at epochs=3 while val_loss was still improving: more epochs may be better"
    short = classifier(epochs=3).fit(table, "click")
    assert (short.training_["still_improving"], caplog.messages) == (True, [message])
    caplog.clear()
    long = classifier(epochs=200, learning_rate=0.02).fit(table, "click")
    assert long.training_["evaluations"] < 200
    for other in ({"epochs": 1}, {"epochs": 3, "early_stopping": False}, {"epochs": 3, "validation_fraction": 0.0}):
        assert not classifier(**other).fit(table, "click").training_["still_improving"]
    stopped = classifier(epochs=3).fit(table, "click", callbacks=[_Stop()])  # by the user
    assert [each.training_["still_improving"] for each in (long, stopped)] == [False, False]
    assert not caplog.messages


class _Stop(Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = True


def test_weights_count() -> None:
    heavy = np.where(TABLE["click"] == 1, 10.0, 1.0)
    plain, weighted = classifier(epochs=4, learning_rate=0.01), classifier(epochs=4, learning_rate=0.01)
    plain.fit(inputs(TABLE), TABLE["click"])
    weighted.fit(inputs(TABLE), TABLE["click"], sample_weight=heavy)
    assert weighted.predict_proba(TABLE)[:, 1].mean() > plain.predict_proba(TABLE)[:, 1].mean() + 0.05
    named = classifier(epochs=4, learning_rate=0.01, features=plain.encoder_.features)
    named.fit(TABLE.with_columns(weight=pl.Series(heavy)), "click", sample_weight="weight")
    assert_same_weights(weighted, named)


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


WEIGHTED = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))


BOTH = {"movie": Categorical(), "price": Numeric()}


def test_the_evaluation_reported_is_the_one_whose_weights_are_kept() -> None:
    noise = WEIGHTED.with_columns(click=pl.Series(np.random.default_rng(3).integers(0, 2, 600)))
    how = {"epochs": 5, "learning_rate": 0.05, "features": BOTH}
    data = {"X": noise[:400], "y": "click", "validation": (noise[400:], "click")}
    last = classifier(**how, early_stopping=False).fit(**data)
    stopped = classifier(**how, early_stopping=50).fit(**data)
    own = classifier(**how, early_stopping=False)
    own.fit(**data, callbacks=EarlyStopping("val_auc", patience=50, restore_best_weights=True))
    assert own.training_["best_evaluation"] == int(np.argmax(own.history_["val_auc"]))
    assert last.training_["best_evaluation"] == last.training_["evaluations"] - 1
    assert int(np.argmin(last.history_["val_loss"])) < last.training_["best_evaluation"]
    for each in (last, stopped, own):
        kept = each.history_["val_loss"][each.training_["best_evaluation"]]
        assert each.evaluate(noise[400:], "click", ["logloss"])["logloss"] == pytest.approx(kept, rel=1e-5)


def test_an_evaluation_without_a_number_is_none_to_keep() -> None:
    stopper = EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    stopper.set_model(classifier(epochs=0).fit(inputs(WEIGHTED), WEIGHTED["click"]).model_)
    stopper.on_train_begin()
    assert _best_evaluation([stopper], 0) is None
    for epoch, loss in enumerate([float("nan"), 0.7, 0.6, float("nan")]):
        stopper.on_epoch_end(epoch, {"val_loss": loss})
    assert _best_evaluation([stopper], 4) == 2
    assert _best_evaluation([EarlyStopping("val_loss", restore_best_weights=True)], 4) == 3


def test_the_log_names_the_passes_over_files(parquet: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "deepctr_torch"):
        known = classifier(epochs=0).fit(parquet, "click", time="day").encoder_
    passes = [record.getMessage() for record in caplog.records if record.getMessage().startswith("pass over")]
    assert passes == [
        "pass over the files: labels and times are read",
        "pass over the files: the encoder learns",
        "pass over the files: the rows to validate on are encoded",
    ]
    caplog.clear()
    with caplog.at_level("INFO", "deepctr_torch"):
        classifier(epochs=0, features=known, validation_fraction=0.0).fit(parquet, "click")
    assert caplog.text.count("pass over the files") == 1


def test_metrics_of_the_rows_to_validate_on_are_computed_when_asked_for(parquet: Path) -> None:
    plain = classifier().fit(TABLE, "click")
    assert plain.validation_metrics_ is None
    asked = classifier().fit(parquet, "click", metrics="default")
    assert asked.validation_metrics_ is not None
    assert list(asked.validation_metrics_) == asked.default_metrics
    best = asked.training_["best_evaluation"]
    assert asked.validation_metrics_["auc"] == pytest.approx(asked.history_["val_auc"][best], abs=1e-9)
