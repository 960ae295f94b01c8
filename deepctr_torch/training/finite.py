"""Numbers that are NaN or infinite are found before a step moves the weights by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..embedding.sparse_grad import SparseGrad
from .protocol import Trainable

__all__ = ["NonFiniteError", "check_gradients", "check_loss", "non_finite_weight"]


class NonFiniteError(FloatingPointError):
    """A tensor holds a number that is NaN or infinite.

    Args:
        name: of the tensor.
        value: the number.
    """

    def __init__(self, name: str, value: float) -> None:
        super().__init__(f"{name} is {value}")
        self.value = value


def check_loss(model: Trainable, loss: Tensor, predictions: Sequence[Tensor]) -> None:
    """Check the loss of a batch, which is waited for.

    Args:
        predictions: of each member of an ensemble.

    Raises:
        NonFiniteError: names a weight or the predictions where the loss is not finite because of them.
    """
    value = loss.item()
    if math.isfinite(value):
        return
    wrong = [found for prediction in predictions if (found := _first(prediction.detach())) is not None]
    raise NonFiniteError(*(non_finite_weight(model) or (("a prediction", wrong[0]) if wrong else ("the loss", value))))


def non_finite_weight(model: Trainable) -> tuple[str, float] | None:
    """Name and value of the first weight or buffer that is not finite."""
    for name, tensor in model.state_dict().items():
        found = _first(tensor)
        if found is not None:
            return name, found
    return None


def check_gradients(model: Trainable, parameters: Iterable[nn.Parameter], grads: Sequence[SparseGrad]) -> None:
    """Check the gradients of a batch, which are waited for: two thousandths of the time of a step.

    Args:
        model: for the names of its weights.
        parameters: whose `grad` is looked at.
        grads: of rows of tables.

    Raises:
        NonFiniteError: names the weight.
    """
    for parameter in parameters:
        if parameter.grad is not None:
            gradient = parameter.grad._values() if parameter.grad.is_sparse else parameter.grad
            _check(model, gradient, partial(list, [parameter]))
    for each in grads:
        _check(model, each.gradient, partial(_weights, each))


def _check(model: Trainable, gradient: Tensor, weights: Callable[[], Iterable[nn.Parameter]]) -> None:
    found = _first(gradient)
    if found is not None:
        names = {id(p): name for name, p in model.named_parameters()}
        raise NonFiniteError(f"the gradient of {names.get(id(next(iter(weights()))), 'a weight')}", found)


def _weights(grad: SparseGrad) -> Iterator[nn.Parameter]:
    """The weights of the tables whose rows have a gradient that is not finite."""
    wrong = grad.rows[~grad.gradient.isfinite().all(dim=1)]
    for span in grad.table.spans:
        if bool(((wrong >= span.first_row) & (wrong < span.last_row)).any()):
            yield span.weight


def _first(tensor: Tensor) -> float | None:
    """The first number that is not finite; a sum tells where there is none, and is cheap."""
    if not tensor.is_floating_point() or math.isfinite(tensor.sum().item()):
        return None
    wrong: Any = tensor[~tensor.isfinite()]
    return float(wrong[0]) if len(wrong) else None
