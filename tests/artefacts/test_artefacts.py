"""Artefacts that version 1.0.0a1 saved (`make.py` wrote them) load, predict the same, and go on training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from deepctr_torch import CTRClassifier, CTRRegressor, load_model
from deepctr_torch.estimators import load_artefact

from ..support.cli_tables import as_json, ran
from .make import INPUTS, matrix, model, table

HERE = Path(__file__).parent
PREDICTIONS: dict[str, Any] = json.loads((HERE / "predictions.json").read_text())


def assert_as_saved(name: str, predictions: Any) -> None:
    """The predictions are those that the artefact's own version made."""
    np.testing.assert_allclose(predictions, np.array(PREDICTIONS[name]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["classifier", "multitask"])
def test_a_saved_classifier_predicts_the_same(name: str) -> None:
    assert_as_saved(name, CTRClassifier.load(HERE / name).predict_proba(table()[INPUTS]))


def test_a_saved_regressor_predicts_the_same() -> None:
    assert_as_saved("regressor", CTRRegressor.load(HERE / "regressor").predict(table()[INPUTS]))


def test_a_saved_estimator_goes_on_training() -> None:
    rows = table()
    old = load_artefact(HERE / "classifier", training=True)
    on = CTRClassifier(**old.get_params()).fit(rows[INPUTS], rows["click"], init_from=HERE / "classifier")
    assert on.encoder_.rows == old.encoder_.rows + on.training_["rows"]
    assert not np.array_equal(on.predict_proba(rows[INPUTS]), np.array(PREDICTIONS["classifier"]))


def test_the_command_line_reads_a_run(tmp_path: Path) -> None:
    ran("predict", HERE / "run", HERE / "rows.csv", "--out", tmp_path / "scores.parquet")
    assert_as_saved("run", CTRClassifier.load(HERE / "run").predict_proba(HERE / "rows.csv"))
    scores = pl.read_parquet(tmp_path / "scores.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(scores, np.array(PREDICTIONS["run"])[:, 1], rtol=0, atol=1e-6)
    assert as_json("evaluate", HERE / "run", HERE / "rows.csv")["rows"] == 48
    assert as_json("inspect", HERE / "run")["model"] == "DeepFM"


def test_the_settings_of_a_run_train_the_same_model(tmp_path: Path) -> None:
    """Words such as "auto" mean what they mean in this version, so that what they meant in that one is set."""
    then = ["--set", "eval_every=1", "--set", "early_stopping=3"]
    ran("fit", "--config", HERE / "run" / "run.toml", "--data", HERE / "rows.csv", "--out", tmp_path / "again", *then)
    again = CTRClassifier.load(tmp_path / "again").predict_proba(HERE / "rows.csv")
    np.testing.assert_allclose(again, np.array(PREDICTIONS["run"]), rtol=0, atol=1e-4)


def test_a_saved_model_predicts_the_same() -> None:
    inputs, _ = matrix()
    assert_as_saved("model", load_model(HERE / "model").predict(inputs))


def test_a_state_dict_predicts_the_same() -> None:
    inputs, _ = matrix()
    fresh = model()
    fresh.load_state_dict(torch.load(HERE / "state_dict.pt", weights_only=True))
    assert_as_saved("model", fresh.predict(inputs))


def test_a_pickled_model_predicts_the_same() -> None:
    inputs, labels = matrix()
    pickled = torch.load(HERE / "model.pt", weights_only=False)
    assert_as_saved("model", pickled.predict(inputs))
    assert np.isfinite(pickled.fit(inputs, labels, batch_size=16, epochs=1, verbose=0).history["loss"]).all()


def test_artefacts_with_checksums_predict_the_same() -> None:
    """In the format that came after: the same files, and their sums beside them."""
    folder = HERE / "with_checksums"
    expected = json.loads((folder / "predictions.json").read_text())
    for name in ("model", "classifier"):
        assert (folder / name / "checksums.json").is_file()
        assert not (HERE / name / "checksums.json").exists()
    found = CTRClassifier.load(folder / "classifier").predict_proba(table()[INPUTS])
    np.testing.assert_allclose(found, np.array(expected["classifier"]), rtol=0, atol=1e-6)
    np.testing.assert_allclose(load_model(folder / "model").predict(matrix()[0]), expected["model"], rtol=0, atol=1e-6)
