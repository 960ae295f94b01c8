"""The models, and the registry that knows them by name. Each registers itself where it is defined."""

from __future__ import annotations

from .._star_names import lend_names
from ._registry import MODELS, ModelTraits, model_traits, register_model
from .afm import AFM
from .afn import AFN
from .autoint import AutoInt
from .basemodel import BaseModel
from .ccpm import CCPM
from .dcn import DCN
from .dcnmix import DCNMix
from .deepfm import DeepFM
from .dien import DIEN
from .difm import DIFM
from .din import DIN
from .fibinet import FiBiNET
from .ifm import IFM
from .mlr import MLR
from .multitask import ESMM, MMOE, PLE, SharedBottom
from .nfm import NFM
from .onn import ONN
from .pnn import PNN
from .wdl import WDL
from .xdeepfm import xDeepFM

__all__ = [
    "AFM",
    "AFN",
    "CCPM",
    "DCN",
    "DIEN",
    "DIFM",
    "DIN",
    "ESMM",
    "IFM",
    "MLR",
    "MMOE",
    "MODELS",
    "NFM",
    "ONN",
    "PLE",
    "PNN",
    "WDL",
    "AutoInt",
    "BaseModel",
    "DCNMix",
    "DeepFM",
    "FiBiNET",
    "ModelTraits",
    "SharedBottom",
    "model_traits",
    "register_model",
    "xDeepFM",
]

lend_names(__name__)
