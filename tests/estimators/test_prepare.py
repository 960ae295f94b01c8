"""Which rows are trained on and validated on, what of them are features, and what is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch.callbacks import Callback, EarlyStopping
from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, FeatureEncoder, Numeric
from deepctr_torch.estimators.build import batch_rows
from deepctr_torch.estimators.fit import _best_evaluation
from tests.support.estimators import assert_same_weights, classifier, frame, inputs, regressor

TABLE = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))
BOTH = {"movie": Categorical(), "price": Numeric()}
RARE = frame(8000).with_columns(
    click=pl.when(pl.col("price").fill_null(0) > 30).then(pl.col("click")).otherwise(0), buy=pl.col("buy").fill_null(0)
)


def logit(p: Any) -> Any:
    return np.log(p / (1 - p))


class Rows(Callback):
    """Counts the rows trained on."""

    count = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += logs["size"]


# ------------------------------------------------------------------ labels and weights are no features


@pytest.mark.parametrize(
    ("name", "y", "weight", "what"),
    [
        ("click", "click", None, "a label"),
        ("click", TABLE["click"], None, "a label"),
        ("w", "click", "w", "the sample weight"),
        ("w", TABLE["click"], "w", "the sample weight"),
    ],
)
def test_a_feature_cannot_read_a_label_or_the_weight(name: str, y: Any, weight: str | None, what: str) -> None:
    kinds = {**BOTH, "copy": Categorical(column=name)}
    for features in (kinds, FeatureEncoder(kinds), FeatureEncoder(kinds).fit(TABLE)):
        with pytest.raises(
            ValueError, match=f"features must not read the column of {what}, got one that reads '{name}'"
        ):
            classifier(features=features).fit(TABLE, y, sample_weight=weight)


def test_nor_can_one_of_the_model_to_go_on_from(tmp_path: Path) -> None:
    old = regressor(features={**BOTH, "click": Numeric()}).fit(TABLE, "stars")
    with pytest.raises(ValueError, match="the column of the sample weight, got one that reads 'click'"):
        regressor().fit(TABLE, "stars", sample_weight="click", init_from=old)
    TABLE.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="the column of the sample weight, got one that reads 'click'"):
        regressor().fit(tmp_path, "stars", sample_weight="click", init_from=old)


def test_a_named_weight_is_no_feature_whatever_the_labels_are() -> None:
    table = TABLE.select("user", "movie", "price", "w", "click")
    named = classifier().fit(table, "click", sample_weight="w")
    given = classifier().fit(table.drop("click"), table["click"].to_numpy(), sample_weight="w")
    assert "w" not in given.encoder_.features
    assert given.feature_names_in_.tolist() == named.feature_names_in_.tolist() == ["user", "movie", "price"]
    assert_same_weights(named, given)
    with pytest.raises(ValueError, match="sample_weight must be numbers or the name of a column"):
        classifier().fit(np.ones((4, 2)), [0, 1, 0, 1], sample_weight="x0")


# ------------------------------------------------------------------ a share of the negatives


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("held", [0.0, 0.1])
def test_batches_and_evaluations_go_by_the_rows_that_are_kept(suffix: str, held: float, tmp_path: Path) -> None:
    table = RARE.drop("hist_movie", "buy")
    for name, part in (("a", table[:1500]), ("b", table[1500:])):
        path = tmp_path / f"{name}.{suffix}"
        part.write_csv(path) if suffix == "csv" else part.write_parquet(path, row_group_size=400)
    rows = Rows()
    files = Files(tmp_path, label="click", negative_rate=0.1, seed=3)
    arguments = {"batch_size": "auto", "epochs": 1, "early_stopping": False, "validation_fraction": held}
    seen = classifier("WDL", **arguments, features=BOTH, eval_every=0.25).fit(files, callbacks=rows).training_
    assert (batch_rows(seen["rows"]), batch_rows(8000)) == (32, 64)
    assert seen["rows"] == rows.count < 2500
    assert (seen["batch_size"], seen["evaluations"]) == (32, 4 if held else 0)


def test_a_sampled_model_begins_at_the_rate_of_its_labels(tmp_path: Path) -> None:
    table = RARE.drop("hist_movie")
    table.write_parquet(tmp_path / "rows.parquet", row_group_size=500)
    files = Files(tmp_path, label="click", negative_rate=0.1)
    untrained = classifier("WDL", epochs=0, validation_fraction=0.0, features=BOTH).fit(files)
    everything = classifier("WDL", epochs=0, validation_fraction=0.0, features=BOTH).fit(tmp_path, "click")
    assert untrained.model_.negative_rate == 0.1
    rate = table["click"].mean()
    assert untrained.predict_proba(table)[:, 1].mean() == pytest.approx(rate, rel=0.1)
    assert everything.predict_proba(table)[:, 1].mean() == pytest.approx(rate, rel=0.1)
    kept = untrained.training_["rows"]
    assert untrained.model_.out.bias.item() == pytest.approx(logit(table["click"].sum() / kept), rel=1e-5)
    tower = {"tower_dnn_hidden_units": (8,)}
    both = classifier("SharedBottom", epochs=0, validation_fraction=0.0, features=BOTH, model_args=tower)
    both.fit(Files(tmp_path, negative_rate=0.1), ["click", "buy"])
    shares = [table[name].sum() / both.training_["rows"] for name in ("click", "buy")]
    assert [head.bias.item() for head in both.model_.out] == pytest.approx(logit(np.array(shares)), rel=1e-5)


def test_a_rate_that_keeps_no_row_is_said(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "rows.parquet")
    old = classifier(features=BOTH).fit(TABLE, "click")
    TABLE.filter(pl.col("click") == 0)[:3].write_parquet(tmp_path / "rows.parquet")
    files = Files(tmp_path, label="click", negative_rate=1e-6)
    with pytest.raises(ValueError, match=r"must hold rows that negative_rate=1e-06 keeps, got none"):
        classifier(features=BOTH, validation_fraction=0.0).fit(files, init_from=old)


# ------------------------------------------------------------------ rows to validate on that are given


def test_files_to_validate_on_may_call_the_label_otherwise(tmp_path: Path) -> None:
    valid = TABLE[400:].rename({"click": "clicked", "stars": "rating"})
    valid.write_parquet(tmp_path / "valid.parquet", row_group_size=50)
    y = TABLE[:400]["click"].to_numpy()
    held = classifier().fit(inputs(TABLE[:400]), y, validation=(valid, "clicked"))
    streamed = classifier().fit(inputs(TABLE[:400]), y, validation=(tmp_path / "valid.parquet", "clicked"))
    assert streamed.history_ == held.history_
    assert streamed.training_["validation_rows"] == held.training_["validation_rows"] == 200
    stars = regressor(features=BOTH).fit(TABLE[:400], "stars", validation=(tmp_path / "valid.parquet", "rating"))
    assert stars.training_["validation_rows"] == 200


def test_time_and_given_rows_do_not_go_together(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "valid.parquet")
    for validation in ((TABLE, "click"), tmp_path / "valid.parquet"):
        for time in ("day", {"column": "day", "valid_from": 20}):
            with pytest.raises(ValueError, match="validation gives the rows to validate on, so time must be left out"):
                classifier().fit(TABLE, "click", validation=validation, time=time)


@pytest.mark.parametrize("time", ["day", {"column": "day", "fraction": 0}, {"column": "day", "gap": 0}])
def test_a_fraction_of_nothing_cuts_nothing_off(time: Any) -> None:
    table = TABLE.select("user", "movie", "day", "click")
    whole = classifier(validation_fraction=0.0).fit(table, "click", time=time)
    assert (whole.training_["rows"], whole.training_["validation_rows"]) == (600, 0)
    assert "day" not in whole.encoder_.features
    assert_same_weights(whole, classifier(validation_fraction=0.0).fit(table.drop("day"), "click"))


def test_a_time_that_cuts_nothing_off_is_checked_all_the_same() -> None:
    with pytest.raises(ValueError, match="data must have the time column 'dag': did you mean 'day'"):
        classifier(validation_fraction=0.0).fit(TABLE, "click", time="dag")
    with pytest.raises(ValueError, match="gap lies before the rows to validate on, got 2 with a fraction of 0"):
        classifier(validation_fraction=0.0).fit(TABLE, "click", time={"column": "day", "gap": 2})


# ------------------------------------------------------------------ the report


def test_the_evaluation_reported_is_the_one_whose_weights_are_kept() -> None:
    noise = TABLE.with_columns(click=pl.Series(np.random.default_rng(3).integers(0, 2, 600)))
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
    stopper.set_model(classifier(epochs=0).fit(inputs(TABLE), TABLE["click"]).model_)
    stopper.on_train_begin()
    assert _best_evaluation([stopper], 0) is None
    for epoch, loss in enumerate([float("nan"), 0.7, 0.6, float("nan")]):
        stopper.on_epoch_end(epoch, {"val_loss": loss})
    assert _best_evaluation([stopper], 4) == 2
    assert _best_evaluation([EarlyStopping("val_loss", restore_best_weights=True)], 4) == 3
