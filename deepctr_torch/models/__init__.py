from .deepfm import DeepFM
from .din import DIN
from .multitask.mmoe import MMOE

__all__ = ["DIN", "MMOE", "DeepFM"]
