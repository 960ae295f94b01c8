"""The protocol between the training loop and a model: all that training, evaluation and prediction ask of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from ..callbacks import History
from ..embedding import EmbeddingLookup
from ..features import Batch, FeatureSchema

__all__ = ["Trainable"]


class Trainable(Protocol):
    """A model that can be trained: a module with a lookup, and what comes after it."""

    training: bool  # set by `train` and `eval`
    schema: FeatureSchema  # layout of a batch, and of the packed matrix that an overridden `forward(X)` takes
    embedding: EmbeddingLookup
    seed: int  # of shuffling and dropout
    epochs_trained: int  # how many ever; with `seed` it determines all random choices of the next epoch
    stop_training: bool  # True ends the training after the step, set by callbacks
    negative_rate: float  # share of the negative rows that it was trained on
    history: History  # of the last `fit`
    aux_loss: Tensor  # set by an overridden `forward(X)` for the loss of its step
    regularization_weight: list[tuple[list[nn.Parameter], float, float]]  # (weights, l1, l2) of each penalty

    @property
    def overrides_forward(self) -> bool:
        """True for a `forward(X)` of its own, whose lookups nobody sees."""

    @property
    def overrides_penalty(self) -> bool:
        """True for a `get_regularization_loss()` of its own."""

    def predict_rows(self, batch: Batch, rows: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return predictions [B, T] and an auxiliary loss a sample [B] (or None), from the rows looked up."""

    def get_regularization_loss(self) -> Tensor:
        """Return the penalty of the current weights [1]."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Return all weights."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return all weights with their names."""

    def state_dict(self) -> dict[str, Any]:
        """Return all weights and buffers by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over what `state_dict` gave."""

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Return all modules with their names."""

    def train(self, mode: bool = True) -> Any:
        """Set training mode."""

    def eval(self) -> Any:
        """Set evaluation mode."""

    def __call__(self, X: Tensor) -> Tensor:
        """Return predictions [B, T] (or [B]) of a packed matrix."""
