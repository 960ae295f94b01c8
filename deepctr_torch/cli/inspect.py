"""`inspect`: the content of a folder, from its JSON files alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .._json_files import read_json
from .._whole_files import check_files
from ..encoding import FeatureEncoder
from .console import print_facts, print_features, print_json
from .run_config import FILE


def inspect(run: Path, as_json: bool) -> None:
    """Print what the folder holds, which `fit`, or `save` of an estimator, wrote."""
    config = _read(run, "config.json").get("estimator")
    training = _read(run, "training.json").get("estimator")
    if not isinstance(config, dict) or not isinstance(training, dict):
        raise ValueError(f"{run} must hold what fit wrote, got a model without its encoder: load_model reads it")
    features = FeatureEncoder.load(run).describe()
    weights = _weights(run / "weights.safetensors")
    about = {
        "estimator": config["class"],
        "model": config["params"]["model"],
        "labels": config["labels"],
        "rows": training.get("rows"),
        "validation rows": training.get("validation_rows"),
        "weights": sum(weights.values()),
        "bytes": sum(path.stat().st_size for path in run.rglob("*") if path.is_file()),
        "trained in seconds": training.get("seconds"),
        "evaluations": training.get("evaluations"),
        "validation": _best(training),
        "made with": f"deepctr-torch {config.get('library')}",
        "settings": str(run / FILE) if (run / FILE).is_file() else None,
    }
    if as_json:
        print_json({**{n.replace(" ", "_"): v for n, v in about.items()}, "features": features, "tables": weights})
        return
    validation = {f"validation {name}": value for name, value in (about.pop("validation") or {}).items()}
    print_facts({**about, **validation})
    print_features(features)


def _read(run: Path, name: str) -> dict[str, Any]:
    if not (run / name).exists():
        raise FileNotFoundError(f"{run} must be a folder that fit wrote, but it lacks {name}")
    check_files(run, name)
    return read_json(run / name)


def _weights(path: Path) -> dict[str, int]:
    """Name -> number of weights, from the header of the file."""
    from safetensors import safe_open

    with path.open("rb"), safe_open(path, framework="np") as file:  # the first says where permission is missing
        return {name: math.prod(file.get_slice(name).get_shape()) for name in list(file.keys())}


def _best(training: dict[str, Any]) -> dict[str, float] | None:
    """The numbers of the evaluation whose state was kept."""
    best, history = training.get("best_evaluation"), training.get("history") or {}
    if best is None:
        return None
    return {name.removeprefix("val_"): values[best] for name, values in history.items() if name.startswith("val_")}
