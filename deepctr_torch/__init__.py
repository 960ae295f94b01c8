"""Click-through-rate prediction in PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch

from . import _moved

if TYPE_CHECKING:
    from types import ModuleType

    from .estimators import CTRClassifier, CTRRegressor

    callbacks: ModuleType
    inputs: ModuleType
    layers: ModuleType
    models: ModuleType

__all__ = ["CTRClassifier", "CTRRegressor", "__version__", "callbacks", "inputs", "layers", "load_model", "models"]

__version__ = "1.0.0a1"


def __getattr__(name: str) -> Any:
    """Import the estimators, which bring scikit-learn along, and the packages of user code when they are asked for."""
    if name in ("callbacks", "inputs", "layers", "models"):
        return importlib.import_module(f"{__name__}.{name}")
    if name not in ("CTRClassifier", "CTRRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import estimators

    return getattr(estimators, name)


def load_model(
    directory: str | PathLike[str],
    device: str | torch.device | None = None,
    custom_objects: Mapping[str, type] | None = None,
) -> Any:
    """The model that `model.save(directory)` wrote, in evaluation mode.

    Args:
        directory: where it was saved.
        device: None for the device it was saved on (the CPU where that is a GPU that is not there).
        custom_objects: class name -> class, for models of your own.

    Raises:
        FileNotFoundError: `directory` holds no model.
    """
    from .models._serialization import load

    return load(directory, device, custom_objects)


def _rebuild_model(description: str, state: dict[str, torch.Tensor], saved: dict[str, Any], training: bool) -> Any:
    """The one function that a pickled model calls: how it was built, its weights, how it was trained, as plain data."""
    from .models._serialization import rebuild

    return rebuild(description, state, saved, training)


_moved.install()
torch.serialization.add_safe_globals([_rebuild_model])  # torch.load(model) may call it in its safe mode, the default
