"""The artefact: a folder that holds all of a fitted estimator as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .. import __version__
from ..encoding import FeatureEncoder
from ..encoding.specs import spec_from_json, spec_to_json
from ..models import MODELS
from ..models import _serialization as _saving
from ..registry import suggest
from .labels import ClassTargets, NumberTargets
from .warm_start import optimizer_state, restore_optimizer

__all__ = ["FORMAT", "load_artefact", "save"]

FORMAT = "deepctr_torch.estimator/1"
OPTIMIZER = "optimizer.safetensors"
PARTS = ("config.json", "weights.safetensors", "encoder.json", "vocab", "training.json", OPTIMIZER)


def _params(est: Any) -> dict[str, Any]:
    """The parameters as JSON.

    Raises:
        TypeError: one that is no plain data.
    """
    params = dict(est.get_params(deep=False))
    features = params.pop("features")
    if isinstance(features, Mapping):
        params["features"] = {"kinds": {name: spec_to_json(kind) for name, kind in features.items()}}
    else:
        params["features"] = {"encoder": True} if isinstance(features, FeatureEncoder) else features
    if not isinstance(params["random_state"], (int, type(None))):
        params["random_state"] = est.training_["seed"]
    keep = params.pop("features")
    return {"features": keep, **{name: _saving.encode(value, name) for name, value in params.items()}}


def _parameters(saved: Mapping[str, Any], encoder: FeatureEncoder) -> dict[str, Any]:
    params = {name: _saving.decode(value) for name, value in saved.items() if name != "features"}
    features = saved["features"]
    if isinstance(features, dict):
        kinds = features.get("kinds")
        features = encoder if kinds is None else {n: spec_from_json(k, n) for n, k in kinds.items()}
    return {**params, "features": features}


def save(est: Any, directory: str | PathLike[str]) -> None:
    """Write `est`; `config.json` last, so that a folder with one is whole.

    The model lies in it as `model.save` writes it, so that `deepctr_torch.load_model` reads it, too.
    """
    target = Path(directory)
    about = {
        "format": FORMAT,
        "library": __version__,
        "class": type(est).__name__,
        "params": _params(est),
        "labels": est.labels_,
        "targets": est.targets_.state(),
        "named": hasattr(est, "feature_names_in_"),
        "columns": [str(n) for n in getattr(est, "feature_names_in_", range(est.n_features_in_))],
    }
    target.mkdir(parents=True, exist_ok=True)
    config, training = target / "config.json", target / "training.json"
    config.unlink(missing_ok=True)
    for old in (target / "vocab").glob("*.arrow"):
        old.unlink()
    est.encoder_.save(target)
    tensors, numbers = optimizer_state(est.model_)
    save_file(tensors, str(target / OPTIMIZER))
    est.model_.save(target)
    description, trained = _read(config), _read(training)
    config.unlink()
    _write(training, {**trained, "estimator": est.training_, "optimizer": numbers})
    _write(config, {**description, "estimator": about})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be a JSON object, got {type(content).__name__}")
    return content


def load_artefact(directory: str | PathLike[str], *, training: bool = False, device: Any = None) -> Any:
    """The `CTRClassifier` or `CTRRegressor` that `save` wrote; executes nothing of what is in the folder.

    Args:
        directory: where it is.
        training: also read the optimizer's state, to go on from it (`init_from`).
        device: None for that of the saved parameters.

    Raises:
        FileNotFoundError: `directory` holds no artefact, or only a part of one.
        ValueError: it holds what this version does not know.
    """
    source = Path(directory)
    missing = [name for name in PARTS if not (source / name).exists()]
    if missing:
        raise FileNotFoundError(f"{source} must hold a saved estimator, but lacks {', '.join(missing)}")
    config = _read(source / "config.json")
    about = _known(config, source)
    try:
        encoder = FeatureEncoder.load(source)
        est = _classes()[about["class"]](**_parameters(about["params"], encoder))
        est.encoder_, est.labels_ = encoder, [str(n) for n in about["labels"]]
        kind: Any = ClassTargets if est._classifies else NumberTargets
        est.targets_ = kind.restore(est.labels_, about["targets"])
        est._keep_names(about["columns"], about["named"])
        est.model_ = _model(source, device)
        logged = _read(source / "training.json")
        est.training_, est.history_ = logged["estimator"], est.model_.history.history
        est._stateless = not training
        if training and est.model_.optim is None:
            raise ValueError(f"{source} must hold how its model was compiled, to train it further, got none")
        if training:
            restore_optimizer(est.model_, _tensors(source / OPTIMIZER), logged["optimizer"])
    except KeyError as error:
        raise ValueError(f"{source} must hold a whole artefact of format {FORMAT}, got one without {error}") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        if str(source) in str(error):
            raise
        raise ValueError(f"{source} must hold an artefact as it was saved, got a changed one: {error}") from error
    return est


def _known(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """What `config.json` says of the estimator, if this version knows it."""
    about = config.get("estimator")
    if not isinstance(about, dict):
        raise ValueError(f"{source} must hold a saved estimator, got a saved model: deepctr_torch.load_model reads it")
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{source} must be of format {FORMAT}, got {about.get('format')!r}, saved by deepctr-torch "
            f"{about.get('library')}: this is {__version__}"
        )
    if about.get("class") not in _classes():
        raise ValueError(f"{source} must hold one of {sorted(_classes())}, got {about.get('class')!r}")
    name = str(config.get("class"))
    if name not in MODELS or MODELS.get(name).__module__ != config.get("module"):
        raise ValueError(
            f"{source} must hold a model of this version, got {config.get('module')}.{name}: {suggest(name, MODELS)}"
        )
    return about


def _classes() -> dict[str, Any]:
    from .classifier import CTRClassifier
    from .regressor import CTRRegressor

    return {"CTRClassifier": CTRClassifier, "CTRRegressor": CTRRegressor}


def _model(source: Path, device: Any) -> Any:
    try:
        return _saving.load_model(source, device)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{source / 'weights.safetensors'} must fit config.json, got: {error}") from error


def _tensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(str(path)))
    except SafetensorError as error:
        raise ValueError(f"{path} must be a safetensors file, got: {error}") from error
