"""`CTRRegressor`: units of the labels, R^2 of rows in any form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score

from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, Numeric
from tests.support.estimators import assert_same_weights, frame, regressor

TABLE = frame()


def test_a_regressor_answers_in_the_units_of_its_labels(parquet: Path) -> None:
    far = TABLE.with_columns(stars=pl.col("stars") * 1000 + 1e5)
    model = regressor(epochs=10, batch_size=32, learning_rate=0.01).fit(far, "stars")
    assert model.score(far) == model.score(far, far["stars"]) > 0.5
    assert model.evaluate(far)["rmse"] < far["stars"].std()
    assert abs(model.predict(far).mean() - far["stars"].mean()) < 300
    held = regressor().fit(TABLE, "stars")
    assert_same_weights(held, regressor().fit(parquet, "stars"))


WEIGHTED = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))


BOTH = {"movie": Categorical(), "price": Numeric()}


def test_a_regressor_scores_files_as_it_does_frames(tmp_path: Path) -> None:
    model = regressor(epochs=4, features=BOTH).fit(WEIGHTED, "stars")
    WEIGHTED[:250].write_parquet(tmp_path / "a.parquet", row_group_size=60)
    WEIGHTED[250:].write_parquet(tmp_path / "b.parquet", row_group_size=90)
    stars, w = WEIGHTED["stars"].to_numpy(), WEIGHTED["w"].to_numpy()
    plain = r2_score(stars, model.predict(WEIGHTED))
    weighted = r2_score(stars, model.predict(WEIGHTED), sample_weight=w)
    assert abs(plain - weighted) > 1e-4
    for X, y, weight, expected in (
        (tmp_path, "stars", None, plain),
        (Files(tmp_path, label="stars"), None, None, plain),
        (tmp_path, "stars", "w", weighted),
        (Files(tmp_path, label="stars", weight="w"), None, None, weighted),
        (WEIGHTED, "stars", "w", weighted),
        (WEIGHTED, stars, "w", weighted),
        (WEIGHTED, stars, w, weighted),
        (WEIGHTED, None, None, plain),
        (WEIGHTED, ["stars"], None, plain),
    ):
        assert model.score(X, y, sample_weight=weight) == pytest.approx(expected, abs=1e-6)


def test_a_regressor_of_several_labels_scores_them_by_name(tmp_path: Path) -> None:
    table = WEIGHTED.with_columns(sold=pl.when(pl.col("click") == 1).then(pl.col("stars") * 100))
    arguments = {"expert_dnn_hidden_units": (8,), "gate_dnn_hidden_units": (), "tower_dnn_hidden_units": (8,)}
    model = regressor("MMOE", model_args=arguments, features=BOTH).fit(table, ["stars", "sold"])
    table.write_parquet(tmp_path / "rows.parquet", row_group_size=100)
    p, there = model.predict(table), table["sold"].is_not_null().to_numpy()
    each = [r2_score(table["stars"], p[:, 0]), r2_score(table["sold"].to_numpy()[there], p[there, 1])]
    for X, y in ((table, ["stars", "sold"]), (table, table[["stars", "sold"]]), (table, None), (tmp_path, None)):
        assert model.score(X, y) == pytest.approx(np.mean(each), abs=1e-6)


@pytest.mark.parametrize("loss", ["poisson", "tweedie:1.2", "huber"])
def test_losses_of_counts_and_sums_of_money(loss: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 8, 600)
    table = pl.DataFrame({"shop": [f"s{s}" for s in shop], "sold": rng.poisson(2.0 ** (shop - 2)) * 10})
    table.write_parquet(tmp_path / "a.parquet", row_group_size=200)
    model = regressor(epochs=20, learning_rate=0.05, loss=loss).fit(table, "sold")
    assert_same_weights(model, regressor(epochs=20, learning_rate=0.05, loss=loss).fit(tmp_path / "a.parquet", "sold"))
    seen = pl.DataFrame({"shop": [f"s{s}" for s in range(8)]})
    found, means = model.predict(seen), [table["sold"].to_numpy()[shop == s].mean() for s in range(8)]
    np.testing.assert_allclose(found[3:], means[3:], rtol=0.35)
    positive = loss != "huber"
    assert (found.min() > 0) == positive or not positive
    assert (model.label_encoder_.mean == [0.0]) == positive
    model.save(tmp_path / "m")
    assert (type(model).load(tmp_path / "m").predict(seen) == found).all()
    going_on = regressor(epochs=1, loss=loss).fit(table, "sold", init_from=tmp_path / "m")
    np.testing.assert_allclose(going_on.predict(seen)[3:], means[3:], rtol=0.35)
    wrong = table.with_columns(sold=pl.Series(np.where(np.arange(600) == 450, -3, table["sold"])))
    wrong.write_parquet(tmp_path / "b.parquet", row_group_size=200)
    if positive:
        for data, where in ((wrong, "row 450"), (tmp_path / "b.parquet", rf"row 450 of {tmp_path / 'b.parquet'}")):
            with pytest.raises(ValueError, match=f"the label 'sold' must be >= 0 for its loss, got -3 in {where}"):
                regressor(loss=loss).fit(data, "sold")
