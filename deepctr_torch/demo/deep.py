"""DeepFM and DIN, and how the demo trains them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .._typing import Array
from ..callbacks import Callback, EarlyStopping
from ..callbacks.base import Logs
from ..datasets import MovieLens
from ..models import DIN, BaseModel, DeepFM
from .task import Inputs, Result, Splits

DIMENSION, BATCH = 16, 1024
EPOCHS, EVALUATIONS, PATIENCE = 12, 2, 3  # at most 12 epochs, 2 evaluations in each; 3 without improvement end it
MODEL: Mapping[str, Any] = {"dnn_hidden_units": (64, 32), "dnn_dropout": 0.4, "l2_reg_embedding": 0.1, "init_std": 0.05}
COMPILE: Mapping[str, Any] = {"learning_rate": 1e-3, "embedding_lr": 1e-2, "embedding_update": "dense"}


def deepfm(data: MovieLens, seed: int) -> BaseModel:
    columns = data.columns(DIMENSION)
    return DeepFM(columns.linear, columns.dnn, l2_reg_linear=0.002, seed=seed, **MODEL)


def din(data: MovieLens, seed: int) -> BaseModel:
    settings = {**MODEL, "dnn_hidden_units": (200, 80), "dnn_use_bn": True}
    columns = data.columns(DIMENSION).dnn
    return DIN(columns, data.history, att_activation="relu", att_weight_normalization=True, seed=seed, **settings)


@contextmanager
def one_thread() -> Iterator[None]:
    """Models as small as these gain nothing from a second core, and wait long for one that is busy elsewhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Stopwatch(Callback):
    """Seconds of training, without those of the evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = self._begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._begin = time.perf_counter()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self.seconds += time.perf_counter() - self._begin


def train(model: BaseModel, splits: Splits, epochs: int = EPOCHS) -> Result:
    """Train until the validation logloss no longer falls, and go back to the best weights."""
    model.compile("adam", "binary_crossentropy", metrics=["logloss", "auc"], **COMPILE)
    watch = _Stopwatch()
    begin = time.perf_counter()
    with one_thread():
        history = model.fit(
            splits.fit,
            splits.y_fit,
            batch_size=BATCH,
            epochs=epochs,
            validation_data=(splits.validation, splits.y_validation),
            eval_every=1 / EVALUATIONS,
            callbacks=[watch, EarlyStopping("val_logloss", patience=PATIENCE, restore_best_weights=True)],
        )
    seconds = time.perf_counter() - begin
    rows = len(splits.y_fit) * len(history.epoch) / EVALUATIONS

    def predict(x: Inputs) -> Array:
        return model.predict(x)[:, 0]

    return Result(type(model).__name__, predict, seconds, rows / watch.seconds, history.history, model)
