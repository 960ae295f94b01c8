"""The saved folder: complete, plain data, refused where it is not understood."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import deepctr_torch
from deepctr_torch import CTRClassifier
from deepctr_torch._whole_files import write_checksums
from deepctr_torch.encoding import Categorical, FeatureEncoder, Numeric
from deepctr_torch.estimators import load_artefact
from tests.support.artefacts import edited, overwritten
from tests.support.estimators import assert_same_weights, classifier, frame, inputs, regressor

TABLE = frame()


@pytest.fixture(scope="module")
def fitted() -> CTRClassifier:
    return classifier().fit(inputs(TABLE), TABLE["click"])


def changed(fitted: CTRClassifier, folder: Path, file: str, change: Any) -> Path:
    """The artefact with one file edited."""
    fitted.save(folder)
    return edited(folder / file, change)


def test_everything_comes_back(fitted: CTRClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "a")
    loaded = CTRClassifier.load(tmp_path / "a")
    assert_same_weights(fitted, loaded)
    assert (loaded.predict_proba(inputs(TABLE)) == fitted.predict_proba(inputs(TABLE))).all()
    assert loaded.get_params() == fitted.get_params()
    for name in ("labels_", "history_", "training_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    assert loaded.feature_names_in_.tolist() == fitted.feature_names_in_.tolist()
    assert loaded.classes_.tolist() == [0, 1]
    assert loaded.evaluate(inputs(TABLE), TABLE["click"]) == fitted.evaluate(inputs(TABLE), TABLE["click"])


def test_the_folder_holds_plain_data(fitted: CTRClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    rest = {"config.json", "weights.safetensors", "encoder.json", "training.json", "optimizer.safetensors"}
    rest |= {"checksums.json"}
    assert files - rest == {"vocab/000_user.arrow", "vocab/001_movie.arrow"}
    assert len({(tmp_path / file).stat().st_mode for file in files}) == 1  # who may read one may read all
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["class"], config["estimator"]["class"]) == ("DeepFM", "CTRClassifier")
    assert config["estimator"]["library"] == deepctr_torch.__version__
    assert deepctr_torch.load_model(tmp_path).predict(fitted.encoder_.transform(inputs(TABLE))).shape == (600, 1)


@pytest.mark.parametrize("features", ["kinds", "encoder", "fitted"])
def test_features_of_any_form_come_back(features: str, tmp_path: Path) -> None:
    kinds = {"movie": Categorical(min_count=2), "price": Numeric("quantile")}
    given: Any = {"kinds": kinds, "encoder": FeatureEncoder(kinds), "fitted": FeatureEncoder(kinds).fit(TABLE)}[
        features
    ]
    model = classifier(features=given).fit(TABLE, "click")
    model.save(tmp_path)
    loaded = load_artefact(tmp_path)
    assert (loaded.predict_proba(TABLE) == model.predict_proba(TABLE)).all()
    again = loaded.features
    assert (again if features == "kinds" else again.features) == kinds
    assert isinstance(given, dict) or given.fitted == (features == "fitted")


def test_several_labels_numbers_and_matrices_come_back(tmp_path: Path) -> None:
    both = classifier("MMOE", model_args={"num_experts": 2}).fit(inputs(TABLE), TABLE[["click", "buy"]])
    both.save(tmp_path / "both")
    loaded = load_artefact(tmp_path / "both")
    assert (loaded.predict(inputs(TABLE)) == both.predict(inputs(TABLE))).all()
    stars = regressor().fit(inputs(TABLE), TABLE["stars"])
    stars.save(tmp_path / "stars")
    assert (load_artefact(tmp_path / "stars").predict(inputs(TABLE)) == stars.predict(inputs(TABLE))).all()
    X = np.random.default_rng(0).normal(size=(60, 2))
    matrix = classifier(random_state=np.random.RandomState(3)).fit(X, np.arange(60) % 2 == 0)
    matrix.save(tmp_path / "matrix")
    again = load_artefact(tmp_path / "matrix")
    assert (again.predict(X) == matrix.predict(X)).all()
    assert again.predict(X).dtype == bool
    assert not hasattr(again, "feature_names_in_")


def test_saving_again_leaves_nothing_of_the_old(fitted: CTRClassifier, tmp_path: Path) -> None:
    classifier(features={"day": Categorical(), "movie": Categorical()}).fit(TABLE, "click").save(tmp_path)
    fitted.save(tmp_path)
    assert sorted(p.name for p in (tmp_path / "vocab").iterdir()) == ["000_user.arrow", "001_movie.arrow"]
    assert (load_artefact(tmp_path).predict(inputs(TABLE)) == fitted.predict(inputs(TABLE))).all()


def test_what_is_not_known_is_refused(fitted: CTRClassifier, tmp_path: Path) -> None:
    def estimator(**values: Any) -> Any:
        return lambda content: content["estimator"].update(values)

    cases: list[tuple[str, Any, str]] = [
        (
            "config.json",
            estimator(format="deepctr_torch.estimator/9"),
            "must be of format deepctr_torch.estimator/1, got",
        ),
        ("config.json", estimator(**{"class": "Ranker"}), r"must hold one of \['CTRClassifier', 'CTRRegressor'\], got"),
        ("config.json", estimator(params={"features": 1, "modell": 2}), "must hold an artefact as it was saved"),
        ("config.json", estimator(params={"feature": 1}), "must hold a whole artefact of format"),
        ("config.json", estimator(params=[]), "must hold an artefact as it was saved, got a changed one"),
        ("config.json", estimator(params={"features": None, "epochs": {"tuple": [], "dict": []}}), "got a changed one"),
        ("config.json", estimator(targets=[]), "must hold an artefact as it was saved, got a changed one"),
        ("config.json", lambda c: c.pop("estimator"), "must hold a saved estimator, got a saved model"),
        ("config.json", lambda c: c.update({"class": "DeepFN"}), "must hold a model of this version.*did you mean"),
        ("config.json", lambda c: c.update(module="os"), "must hold a model of this version, got os.DeepFM"),
        ("config.json", lambda c: c.update(format=9), "must be of format 1, got 9"),
        ("encoder.json", lambda c: c.update(format="x"), "must be of format deepctr_torch.encoder/1, got 'x'"),
        ("training.json", lambda c: c.pop("optimizer"), "must hold a whole artefact"),
    ]
    for number, (file, change, message) in enumerate(cases):
        with pytest.raises(ValueError, match=message):
            load_artefact(changed(fitted, tmp_path / str(number), file, change), training=True)


def test_what_is_missing_or_broken_is_said(fitted: CTRClassifier, tmp_path: Path) -> None:
    for name in ("config.json", "weights.safetensors", "encoder.json", "training.json", "optimizer.safetensors"):
        fitted.save(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"must hold a saved estimator, but lacks {name}"):
            load_artefact(tmp_path)
    fitted.save(tmp_path)
    overwritten(tmp_path / "config.json", "{")
    with pytest.raises(ValueError, match=r"config.json must be JSON, got"):
        load_artefact(tmp_path)
    overwritten(tmp_path / "config.json", "[]")
    with pytest.raises(ValueError, match=r"config.json must be a JSON object, got list"):
        load_artefact(tmp_path)
    fitted.save(tmp_path)
    overwritten(tmp_path / "weights.safetensors", b"\0" * 20)
    with pytest.raises(ValueError, match=r"weights.safetensors must be a safetensors file, got"):
        load_artefact(tmp_path)
    fitted.save(tmp_path)
    overwritten(tmp_path / "optimizer.safetensors", b"\0" * 20)
    with pytest.raises(ValueError, match=r"optimizer.safetensors must be a safetensors file, got"):
        load_artefact(tmp_path, training=True)
    fitted.save(tmp_path)
    with pytest.raises(ValueError, match="must hold a CTRRegressor, got a CTRClassifier"):
        deepctr_torch.CTRRegressor.load(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"embedding_update": "dense"},
        {"embedding_update": "sparse"},
        {"optimizer": "rowwise_adagrad", "embedding_update": "sparse"},
    ],
)
def test_the_state_of_an_optimizer_fits_its_parameters(options: dict[str, Any], tmp_path: Path) -> None:
    classifier(**options).fit(inputs(TABLE), TABLE["click"]).save(tmp_path)
    path = tmp_path / "optimizer.safetensors"
    tensors = load_file(path)
    load_artefact(tmp_path, training=True)
    for name, value in tensors.items():
        for wrong in (value[..., None], value[:0], value[:1], value[:-1], torch.cat([value, value])):
            if wrong.shape == value.shape:
                continue
            save_file({**tensors, name: wrong.contiguous()}, path)
            write_checksums(tmp_path)
            with pytest.raises(ValueError, match=re.escape(f"{name!r} of the optimizer must be of shape")):
                load_artefact(tmp_path, training=True)


def test_what_is_no_plain_data_is_not_saved(tmp_path: Path) -> None:
    odd = classifier(loss=lambda p, y: ((p - y) ** 2).sum()).fit(inputs(TABLE), TABLE["click"])
    with pytest.raises(TypeError, match=r"loss=.* is not plain data"):
        odd.save(tmp_path / "odd")
    assert not (tmp_path / "odd").exists()


@pytest.mark.slow
def test_a_new_process_predicts_the_same_to_the_last_bit(fitted: CTRClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    inputs(TABLE).write_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, numpy as np; from deepctr_torch import CTRClassifier\n"
        "model = CTRClassifier.load(sys.argv[1] + '/run')\n"
        "np.save(sys.argv[1] + '/p.npy', model.predict_proba(sys.argv[1] + '/rows.parquet'))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    assert (np.load(tmp_path / "p.npy") == fitted.predict_proba(inputs(TABLE))).all()
