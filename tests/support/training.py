"""Small models and data that the tests of the loop share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepctr_torch.callbacks import Callback
from deepctr_torch.data.arrays import ArraySource
from deepctr_torch.data.batch import LabelSpec
from deepctr_torch.data.loader import make_source
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import MMOE, DeepFM

USERS, ITEMS = 7, 5
COLUMNS: list[Any] = [
    SparseFeat("user", USERS, 4),
    SparseFeat("item", ITEMS, 4),
    VarLenSparseFeat(SparseFeat("tags", 6, 4), 3),
    DenseFeat("price", 2),
]
TASKS = ("click", "spend")


def deepfm(seed: int = 1, columns: list[Any] | None = None, **kwargs: Any) -> DeepFM:
    """A small DeepFM with visible weights."""
    columns = COLUMNS if columns is None else columns
    return DeepFM(columns, columns, **{"dnn_hidden_units": (6, 5), "init_std": 0.3, "seed": seed, **kwargs})


def mmoe(task_types: tuple[str, str] = ("binary", "regression"), seed: int = 1, **kwargs: Any) -> MMOE:
    """A small model of two tasks."""
    sizes = {"expert_dnn_hidden_units": (6,), "gate_dnn_hidden_units": (4,), "tower_dnn_hidden_units": (5,)}
    return MMOE(COLUMNS, task_types=task_types, task_names=TASKS, init_std=0.3, seed=seed, **{**sizes, **kwargs})


def inputs(rows: int = 40, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Samples of `COLUMNS`, and a column `session` that is no feature."""
    rng = np.random.default_rng(seed)
    return {
        "user": rng.integers(0, USERS, rows),
        "item": rng.integers(0, ITEMS, rows),
        "tags": rng.integers(0, 6, (rows, 3)),
        "price": rng.normal(size=(rows, 2)).astype(np.float32),
        "session": rng.integers(0, 4, rows),
    }


def labels(rows: int = 40, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed + 100).integers(0, 2, rows).astype(np.float32)


def both_labels(rows: int = 40, seed: int = 0) -> np.ndarray[Any, Any]:
    """[N, 2]: a click and an amount."""
    amounts = np.random.default_rng(seed + 200).normal(size=rows).astype(np.float32)
    return np.stack([labels(rows, seed), amounts], axis=1)


def taken(x: dict[str, Any], rows: Any) -> dict[str, Any]:
    """Some rows of a dict of columns."""
    return {name: values[rows] for name, values in x.items()}


def source_of(model: Any, x: Any, y: Any, **kwargs: Any) -> ArraySource:
    made = make_source(model.schema, x, y, LabelSpec(model.tasks), **kwargs)
    assert isinstance(made, ArraySource)
    return made


def weights_of(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(one: Any, other: Any, **tolerance: Any) -> None:
    """Equal weights: bit for bit unless a tolerance is given."""
    exact = {"rtol": 0, "atol": 0}
    first = one if isinstance(one, dict) else one.state_dict()
    second = other if isinstance(other, dict) else other.state_dict()
    torch.testing.assert_close(dict(first), dict(second), **(tolerance or exact))


class Recorder(Callback):
    """Writes down every hook, learning rate and mode."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[str] = []
        self.rates: list[float] = []
        self.modes: list[bool] = []
        self.losses: list[float] = []
        self.logs: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.hooks.append("train_begin")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.hooks.append(f"epoch_begin {epoch}")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.hooks.append(f"batch_begin {batch}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.hooks.append(f"batch_end {batch}")
        self.rates.append(self.model.optim.param_groups[0]["lr"])
        self.modes.append(self.model.training)
        self.losses.append((logs or {})["loss"])

    def on_test_begin(self, logs: Any = None) -> None:
        self.hooks.append("test_begin")

    def on_test_end(self, logs: Any = None) -> None:
        self.hooks.append("test_end")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.hooks.append(f"epoch_end {epoch}")
        self.logs.append(dict(logs or {}))

    def on_train_end(self, logs: Any = None) -> None:
        self.hooks.append("train_end")
