"""`evaluate`: metrics of all rows, by value, within groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ..support.cli_tables import as_json, failed, ran, views_frame

METRICS = {"auc", "logloss", "ne", "calibration"}


def test_metrics_are_those_of_the_scores(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    ran("predict", criteo_like, test, "--out", tmp_path / "scores.parquet")
    frame = pl.read_csv(test, schema_overrides={f"C{i}": pl.String for i in range(1, 27)})
    frame.with_columns(w=pl.arange(pl.len()) % 3).write_csv(tmp_path / "weighted.csv")
    weighted = as_json("evaluate", criteo_like, tmp_path / "weighted.csv", "--weight", "w")["metrics"]
    done = as_json("evaluate", criteo_like, test, "--by", "C9", "--group", "C6")
    scored = pl.read_parquet(tmp_path / "scores.parquet")
    assert done["rows"] == 100
    assert {*METRICS, "gauc:C6", "gauc_skipped:C6"} == set(done["metrics"])
    plain = as_json("evaluate", criteo_like, test)["metrics"]
    y, p = scored["label"].to_numpy(), scored["prediction"].to_numpy()
    assert plain["auc"] == pytest.approx(roc_auc_score(y, p))
    assert plain["logloss"] == pytest.approx(log_loss(y, p))
    assert plain["calibration"] == pytest.approx(p.sum() / y.sum())
    assert weighted["logloss"] == pytest.approx(log_loss(y, p, sample_weight=np.arange(len(y)) % 3))


def test_metrics_by_value(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    ran("predict", criteo_like, test, "--out", tmp_path / "scores.parquet")
    done = as_json("evaluate", criteo_like, test, "--by", "C9")
    scored = pl.read_parquet(tmp_path / "scores.parquet").with_columns(pl.col("C9").fill_null("(missing)"))
    assert done["by"] == "C9"
    assert sum(part["rows"] for part in done["parts"]) == 100
    assert [p["rows"] for p in done["parts"]] == sorted((p["rows"] for p in done["parts"]), reverse=True)
    for part in done["parts"]:
        rows = scored.filter(pl.col("C9") == part["value"])
        assert part["rows"] == rows.height
        if rows["label"].n_unique() == 2:
            assert part["metrics"]["auc"] == pytest.approx(roc_auc_score(rows["label"], rows["prediction"]))
    out = ran("evaluate", criteo_like, test, "--by", "C9")
    assert "By C9" in out
    assert "(missing)" in out
    assert "the 20 most frequent of" in ran("evaluate", criteo_like, test, "--by", "C3")


def test_weights_are_checked_when_metrics_are_computed(views: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for value, message in ((None, "got nan in row 7"), (-1, "got -1.0 in row 7")):
        values = [value if i == 7 else 1 for i in range(300)]
        views_frame().with_columns(weight=pl.Series(values)).write_csv(path)
        said = failed("evaluate", views / "run", path, "--weight", "weight")
        assert f"rows.csv: sample_weight must be finite and >= 0, {message}" in said


@pytest.mark.parametrize("option", ["--by", "--group"])
def test_metrics_by_the_label_or_the_weight(views: Path, option: str) -> None:
    path = views / "views.csv"
    for name in ("click", "weight"):
        found = as_json("evaluate", views / "run", path, option, name, "--weight", "weight")
        plain = as_json("evaluate", views / "run", path, "--weight", "weight")
        assert found["rows"] == 300
        assert {name: found["metrics"][name] for name in plain["metrics"]} == plain["metrics"]
