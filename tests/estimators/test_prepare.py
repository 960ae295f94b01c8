"""Encoded rows: batches, kept negatives, rows to validate on that are given."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch.callbacks import Callback
from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, Numeric
from deepctr_torch.estimators.build import batch_rows
from deepctr_torch.estimators.prepare import EncodedBatch, rebatch
from tests.support.estimators import classifier, frame, inputs, regressor

TABLE = frame()


def test_validation_can_be_given(parquet: Path) -> None:
    held = classifier().fit(TABLE[:400], "click", validation=(TABLE[400:], "click"))
    TABLE[400:].write_parquet(parquet.parent / "valid.parquet")
    assert held.training_["rows"] == 400
    streamed = classifier().fit(TABLE[:400], "click", validation=parquet.parent / "valid.parquet")
    assert held.history_ == streamed.history_
    with pytest.raises(ValueError, match=r"validation must be \(X, y\)"):
        classifier().fit(TABLE, "click", validation=(TABLE,))


def test_batches_do_not_depend_on_the_chunks() -> None:
    rows = np.arange(11)
    weight = rows / 10

    def cut(*at: int) -> Any:
        ends = [0, *at, 11]
        for a, b in itertools.pairwise(ends):
            yield EncodedBatch({"x": rows[a:b]}, rows[a:b, None], weight[a:b], {"g": rows[a:b]})

    for pieces in (cut(), cut(1, 2, 9), cut(4, 8), cut(5, 6, 7)):
        found = list(rebatch(pieces, 4))
        assert [b.x["x"].tolist() for b in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        assert [len(b.y) for b in found] == [len(b.columns["g"]) for b in found] == [4, 4, 3]
        assert found[1].weight is not None
        assert found[1].weight.tolist() == weight[4:8].tolist()


WEIGHTED = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))


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
    WEIGHTED.write_parquet(tmp_path / "rows.parquet")
    old = classifier(features=BOTH).fit(WEIGHTED, "click")
    WEIGHTED.filter(pl.col("click") == 0)[:3].write_parquet(tmp_path / "rows.parquet")
    files = Files(tmp_path, label="click", negative_rate=1e-6)
    with pytest.raises(ValueError, match=r"must hold rows that negative_rate=1e-06 keeps, got none"):
        classifier(features=BOTH, validation_fraction=0.0).fit(files, init_from=old)


def test_files_to_validate_on_may_call_the_label_otherwise(tmp_path: Path) -> None:
    valid = WEIGHTED[400:].rename({"click": "clicked", "stars": "rating"})
    valid.write_parquet(tmp_path / "valid.parquet", row_group_size=50)
    y = WEIGHTED[:400]["click"].to_numpy()
    held = classifier().fit(inputs(WEIGHTED[:400]), y, validation=(valid, "clicked"))
    streamed = classifier().fit(inputs(WEIGHTED[:400]), y, validation=(tmp_path / "valid.parquet", "clicked"))
    assert streamed.history_ == held.history_
    assert streamed.training_["validation_rows"] == held.training_["validation_rows"] == 200
    stars = regressor(features=BOTH).fit(WEIGHTED[:400], "stars", validation=(tmp_path / "valid.parquet", "rating"))
    assert stars.training_["validation_rows"] == 200


def test_time_and_given_rows_do_not_go_together(tmp_path: Path) -> None:
    WEIGHTED.write_parquet(tmp_path / "valid.parquet")
    for validation in ((WEIGHTED, "click"), tmp_path / "valid.parquet"):
        for time in ("day", {"column": "day", "valid_from": 20}):
            with pytest.raises(ValueError, match="validation gives the rows to validate on, so time must be left out"):
                classifier().fit(WEIGHTED, "click", validation=validation, time=time)
