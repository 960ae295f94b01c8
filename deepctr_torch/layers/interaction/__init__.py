"""Feature interactions, one family a file; every layer is importable from here, as in the original."""

from __future__ import annotations

from .afm import AFMLayer
from .afn import LogTransformLayer
from .autoint import InteractingLayer
from .ccpm import ConvLayer
from .cin import CIN
from .cross import CrossNet, CrossNetMix
from .fibinet import BilinearInteraction, SENETLayer
from .fm import FM, BiInteractionPooling
from .product import InnerProductLayer, OutterProductLayer

__all__ = [
    "CIN",
    "FM",
    "AFMLayer",
    "BiInteractionPooling",
    "BilinearInteraction",
    "ConvLayer",
    "CrossNet",
    "CrossNetMix",
    "InnerProductLayer",
    "InteractingLayer",
    "LogTransformLayer",
    "OutterProductLayer",
    "SENETLayer",
]
