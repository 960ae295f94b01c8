"""The models, and the registry that knows them by name."""

from __future__ import annotations

from ..registry import Registry
from .basemodel import BaseModel
from .deepfm import DeepFM
from .din import DIN
from .multitask.mmoe import MMOE

__all__ = ["DIN", "MMOE", "MODELS", "DeepFM"]
MODELS: Registry[type[BaseModel]] = Registry("model")
for _cls in (DeepFM, DIN, MMOE):
    MODELS.add(_cls.__name__, _cls)
