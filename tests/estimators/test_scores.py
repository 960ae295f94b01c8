"""`CTRRegressor.score`: R^2 of rows in any form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score

from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, Numeric
from tests.support.estimators import frame, regressor

TABLE = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))
BOTH = {"movie": Categorical(), "price": Numeric()}


def test_a_regressor_scores_files_as_it_does_frames(tmp_path: Path) -> None:
    model = regressor(epochs=4, features=BOTH).fit(TABLE, "stars")
    TABLE[:250].write_parquet(tmp_path / "a.parquet", row_group_size=60)
    TABLE[250:].write_parquet(tmp_path / "b.parquet", row_group_size=90)
    stars, w = TABLE["stars"].to_numpy(), TABLE["w"].to_numpy()
    plain = r2_score(stars, model.predict(TABLE))
    weighted = r2_score(stars, model.predict(TABLE), sample_weight=w)
    assert abs(plain - weighted) > 1e-4
    for X, y, weight, expected in (
        (tmp_path, "stars", None, plain),
        (Files(tmp_path, label="stars"), None, None, plain),
        (tmp_path, "stars", "w", weighted),
        (Files(tmp_path, label="stars", weight="w"), None, None, weighted),
        (TABLE, "stars", "w", weighted),
        (TABLE, stars, "w", weighted),
        (TABLE, stars, w, weighted),
        (TABLE, None, None, plain),
        (TABLE, ["stars"], None, plain),
    ):
        assert model.score(X, y, sample_weight=weight) == pytest.approx(expected, abs=1e-6)


def test_a_regressor_of_several_labels_scores_them_by_name(tmp_path: Path) -> None:
    table = TABLE.with_columns(sold=pl.when(pl.col("click") == 1).then(pl.col("stars") * 100))
    arguments = {"expert_dnn_hidden_units": (8,), "gate_dnn_hidden_units": (), "tower_dnn_hidden_units": (8,)}
    model = regressor("MMOE", model_args=arguments, features=BOTH).fit(table, ["stars", "sold"])
    table.write_parquet(tmp_path / "rows.parquet", row_group_size=100)
    p, there = model.predict(table), table["sold"].is_not_null().to_numpy()
    each = [r2_score(table["stars"], p[:, 0]), r2_score(table["sold"].to_numpy()[there], p[there, 1])]
    for X, y in ((table, ["stars", "sold"]), (table, table[["stars", "sold"]]), (table, None), (tmp_path, None)):
        assert model.score(X, y) == pytest.approx(np.mean(each), abs=1e-6)
