"""Callbacks: what is told of the training's events, and may stop it, save it, record it or show it."""

from __future__ import annotations

from .._star_names import lend_names
from .base import Callback, CallbackList
from .checkpoint import ModelCheckpoint
from .early_stopping import EarlyStopping, TerminateOnNaN
from .history import History
from .learning_rate import LearningRateScheduler, ReduceLROnPlateau, get_lr, set_lr
from .loggers import CSVLogger, TensorBoard
from .monitor import MonitorCallback
from .progress import ProgressBar

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "get_lr",
    "set_lr",
]

lend_names(__name__)
