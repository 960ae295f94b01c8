"""The artefact: a folder that holds all of a fitted estimator as plain data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from .._json_files import read_json, write_json
from .._tensor_files import read_tensors, write_tensors
from .._whole_files import check_files, replaced_files
from ..encoding import FeatureEncoder
from ..encoding.serialization import write_encoder
from ..encoding.specs import spec_from_json, spec_to_json
from ..models import MODELS, BaseModel
from ..models import _serialization as _saving
from ..registry import suggest
from .labels import LabelEncoder
from .warm_start import optimizer_state, restore_optimizer

if TYPE_CHECKING:
    from .base import CTREstimator

__all__ = ["FORMAT", "Fitted", "load_estimator", "save_estimator"]

FORMAT = "deepctr_torch.estimator/1"
OPTIMIZER = "optimizer.safetensors"
PARTS = ("config.json", "weights.safetensors", "encoder.json", "vocab", "training.json", OPTIMIZER)


@dataclass(frozen=True)
class Fitted:
    """All that an estimator has after `fit`."""

    encoder: FeatureEncoder
    model: BaseModel
    labels: LabelEncoder
    names: list[str]  # of the columns of `X`
    named: bool  # whether they have names of their own
    training: dict[str, Any]  # how the fit went
    validation_metrics: dict[str, float] | None = None  # of the rows to validate on, where they were asked for


def _params_to_json(params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The parameters as JSON."""
    others = {name: value for name, value in params.items() if name != "features"}
    if not isinstance(others["random_state"], (int, type(None))):
        others["random_state"] = seed
    features = params["features"]
    if isinstance(features, Mapping):
        kinds = {name: kind if isinstance(kind, str) else spec_to_json(kind) for name, kind in features.items()}
        features = {"kinds": kinds}
    elif isinstance(features, FeatureEncoder):
        features = {"encoder": True}
    return {"features": features, **{name: _saving.encode_argument(value, name) for name, value in others.items()}}


def _params_from_json(saved: Mapping[str, Any], encoder: FeatureEncoder) -> dict[str, Any]:
    params = {name: _saving.decode_argument(value) for name, value in saved.items() if name != "features"}
    features = saved["features"]
    if isinstance(features, dict):
        features = encoder
        if "kinds" in saved["features"]:
            kinds = saved["features"]["kinds"].items()
            features = {name: kind if isinstance(kind, str) else spec_from_json(kind, name) for name, kind in kinds}
    return {**params, "features": features}


def save_estimator(name: str, params: Mapping[str, Any], fitted: Fitted, directory: str | PathLike[str]) -> None:
    """Write the artefact of an estimator of the class `name`, whole or not at all, with the checksums of its files.

    The model lies in it as `model.save` writes it, so that `deepctr_torch.load_model` reads it, too.
    """
    about = {
        "format": FORMAT,
        "library": __version__,
        "class": name,
        "params": _params_to_json(params, fitted.training["seed"]),
        "labels": list(fitted.labels.names),
        "targets": fitted.labels.state(),
        "named": fitted.named,
        "columns": fitted.names,
    }
    tensors, numbers = optimizer_state(fitted.model)
    trained = {**_saving.training_of(fitted.model), "estimator": fitted.training, "optimizer": numbers}
    with replaced_files(Path(directory)) as part:
        write_encoder(fitted.encoder, part)
        write_tensors(tensors, part / OPTIMIZER)
        _saving.write_weights(fitted.model, part)
        write_json(part / "training.json", trained)
        write_json(part / "config.json", {**_saving.config(fitted.model), "estimator": about})


def load_estimator(
    directory: str | PathLike[str],
    classes: Mapping[str, type[CTREstimator]],
    *,
    training: bool = False,
    device: str | None = None,
) -> tuple[CTREstimator, Fitted]:
    """Read the estimator of one of the classes, by name, with its parameters, and what it has after `fit`."""
    source = Path(directory)
    missing = [name for name in PARTS if not (source / name).exists()]
    if missing:
        raise FileNotFoundError(f"{source} must hold a saved estimator, but lacks {', '.join(missing)}")
    check_files(source, "config.json", "training.json", OPTIMIZER)
    about = _about(read_json(source / "config.json"), source, classes)
    try:
        encoder = FeatureEncoder.load(source)
        estimator = classes[about["class"]](**_params_from_json(about["params"], encoder))
        labels = estimator.label_encoder_class.restore([str(n) for n in about["labels"]], about["targets"])
        model = _saving.load(source, device)
        logged = read_json(source / "training.json")
        if training and model.optim is None:
            raise ValueError(f"{source} must hold how its model was compiled, to train it further, got none")
        if training:
            restore_optimizer(model, read_tensors(source / OPTIMIZER), logged["optimizer"])
        fitted = Fitted(encoder, model, labels, about["columns"], about["named"], logged["estimator"])
    except KeyError as error:
        raise ValueError(f"{source} must hold a whole artefact of format {FORMAT}, got one without {error}") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        if str(source) in str(error):
            raise
        raise ValueError(f"{source} must hold an artefact as it was saved, got a changed one: {error}") from error
    return estimator, fitted


def _about(config: Mapping[str, Any], source: Path, classes: Collection[str]) -> dict[str, Any]:
    """The entry of `config.json` that is of the estimator, if this version knows it."""
    about = config.get("estimator")
    if not isinstance(about, dict):
        raise ValueError(f"{source} must hold a saved estimator, got a saved model: deepctr_torch.load_model reads it")
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{source} must be of format {FORMAT}, got {about.get('format')!r}, saved by deepctr-torch "
            f"{about.get('library')}: this is {__version__}"
        )
    if about.get("class") not in classes:
        raise ValueError(f"{source} must hold one of {sorted(classes)}, got {about.get('class')!r}")
    name = str(config.get("class"))
    if name not in MODELS or MODELS.get(name).__module__ != config.get("module"):
        raise ValueError(
            f"{source} must hold a model of this version, got {config.get('module')}.{name}: {suggest(name, MODELS)}"
        )
    return about
