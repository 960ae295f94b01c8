"""Losses by name, and a user's callable as a loss.

A loss here is called as `loss(pred, y, reduction="sum" | "mean" | "none")`; those for two classes and for values take
`weight=` too, one number a row, for loops of a user's own. The named ones take probabilities (or, for a regression,
values) as the model's head makes them, reshape labels of the same size to the predictions, and compute in float32 at
least, outside autocast.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._checks import check_choice
from ..registry import Registry

__all__ = [
    "LOSSES",
    "Loss",
    "UserLoss",
    "binary_crossentropy",
    "cross_entropy",
    "focal",
    "get_loss",
    "huber",
    "link_of",
    "mae",
    "mse",
    "poisson",
    "tweedie",
    "weighted_loss",
]


class Loss(Protocol):
    """A loss of predictions and labels, reduced as asked for; `get_loss` returns one."""

    def __call__(self, pred: Tensor, y: Tensor, reduction: str = "sum") -> Tensor: ...


LOSSES: Registry[Loss] = Registry("loss")


def _reduce(losses: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    check_choice("reduction", reduction, ("sum", "mean", "none"))
    if weight is not None:
        losses = losses * (weight.reshape(losses.shape) if weight.numel() == losses.numel() else weight)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


def _alike(pred: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions in float32 or wider, labels in the same shape and dtype."""
    if pred.numel() != y.numel():
        raise ValueError(f"labels must have the shape of the predictions {tuple(pred.shape)}, got {tuple(y.shape)}")
    dtype = torch.promote_types(pred.dtype, torch.float32)
    return pred.to(dtype), y.reshape(pred.shape).to(dtype)


@LOSSES.register("binary_crossentropy")
def binary_crossentropy(pred: Tensor, y: Tensor, reduction: str = "sum", *, weight: Tensor | None = None) -> Tensor:
    """Cross entropy of probabilities and labels in [0, 1]; logarithms are cut off at -100. `[B], [B] -> []`

    Of a prediction that is NaN it is NaN, as with every other loss.

    >>> binary_crossentropy(torch.tensor([0.5, 0.5]), torch.tensor([1, 0]))
    tensor(1.3863)
    """
    if weight is not None:
        return _reduce(binary_crossentropy(pred, y, "none"), reduction, weight)
    check_choice("reduction", reduction, ("sum", "mean", "none"))
    pred, y = _alike(pred, y)
    kind = "cpu" if pred.is_meta else pred.device.type  # autocast does not know the meta device
    off = torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else contextlib.nullcontext()
    with off:  # autocast refuses this function
        if pred.device.type == "cpu":
            with contextlib.suppress(RuntimeError):  # of a prediction that is no probability
                return F.binary_cross_entropy(pred, y, reduction=reduction)
        nan = pred.isnan()  # torch's function would raise an error, on a GPU one that ends the process
        losses = F.binary_cross_entropy(pred.masked_fill(nan, 0.5), y, reduction="none")
        return _reduce(torch.where(nan, pred, losses), reduction)


@LOSSES.register("mse")
def mse(pred: Tensor, y: Tensor, reduction: str = "sum", *, weight: Tensor | None = None) -> Tensor:
    """Squared error. `[B], [B] -> []`

    >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
    tensor(5.)
    """
    pred, y = _alike(pred, y)
    return _reduce((pred - y).square(), reduction, weight)


@LOSSES.register("mae")
def mae(pred: Tensor, y: Tensor, reduction: str = "sum", *, weight: Tensor | None = None) -> Tensor:
    """Absolute error. `[B], [B] -> []`

    >>> mae(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]), reduction="none")
    tensor([1., 2.])
    """
    pred, y = _alike(pred, y)
    return _reduce((pred - y).abs(), reduction, weight)


@LOSSES.register("huber")
def huber(
    pred: Tensor, y: Tensor, reduction: str = "sum", *, delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the squared error up to `delta`, and from there on linear (Huber 1964, section 3). `[B], [B] -> []`

    >>> huber(torch.tensor([0.5, 3.0]), torch.zeros(2), reduction="none")
    tensor([0.1250, 2.5000])
    """
    pred, y = _alike(pred, y)
    return _reduce(F.huber_loss(pred, y, reduction="none", delta=delta), reduction, weight)


@LOSSES.register("poisson")
def poisson(pred: Tensor, y: Tensor, reduction: str = "sum", *, weight: Tensor | None = None) -> Tensor:
    """`pred - y log pred`: half the Poisson deviance, up to what depends on labels alone. `[B], [B] -> []`

    Predictions are above 0: the head takes the exponential of its logit (the log link of McCullagh and Nelder 1989,
    section 2.2.4).

    >>> poisson(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0]), reduction="none")
    tensor([1., 2.])
    """
    pred, y = _alike(pred, y)
    return _reduce(pred - torch.xlogy(y, pred), reduction, weight)


@LOSSES.register("tweedie")
def tweedie(
    pred: Tensor, y: Tensor, reduction: str = "sum", *, power: float = 1.5, weight: Tensor | None = None
) -> Tensor:
    """Half the Tweedie deviance of a variance `mean^power`, up to what depends on labels alone. `[B], [B] -> []`

    `pred^(2 - power) / (2 - power) - y pred^(1 - power) / (1 - power)` (Jorgensen 1987, section 5), with the log link
    of `poisson`. For sums of money of which most are 0.

    >>> tweedie(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0]), reduction="none")
    tensor([8., 4.])
    """
    pred, y = _alike(pred, y)
    losses = pred.pow(2 - power) / (2 - power) - y * pred.pow(1 - power) / (1 - power)
    return _reduce(losses, reduction, weight)


@LOSSES.register("focal")
def focal(pred: Tensor, y: Tensor, reduction: str = "sum", *, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Focal loss of probabilities, `-alpha_t (1 - p_t)^gamma log p_t` (Lin et al. 2017, eq. 5). `[B], [B] -> []`

    A soft label takes `p_t = y p + (1 - y)(1 - p)`, the same mixture for `alpha_t`, the cross entropy for `-log p_t`.
    Other settings go in as `functools.partial(focal, gamma=1.0, alpha=0.25)`.

    Args:
        gamma: how much a row that is right already is discounted; 0 gives the cross entropy.
        alpha: weight of the positive rows, the negative ones taking 1 - alpha; None for no such weights.

    >>> focal(torch.tensor([0.5]), torch.tensor([1.0])) / binary_crossentropy(torch.tensor([0.5]), torch.tensor([1.0]))
    tensor(0.2500)
    """
    pred, y = _alike(pred, y)
    losses = (pred + y - 2 * pred * y).pow(gamma) * binary_crossentropy(pred, y, "none")  # 1 - p_t = p + y - 2 p y
    if alpha is not None:
        losses = losses * (alpha * y + (1 - alpha) * (1 - y))
    return _reduce(losses, reduction)


@LOSSES.register("cross_entropy", "sparse_categorical_crossentropy")
def cross_entropy(pred: Tensor, y: Tensor, reduction: str = "sum") -> Tensor:
    """`-log` of the probability of the labelled class, cut off at 1e-12. `[B, C], [B] -> []`

    >>> cross_entropy(torch.tensor([[0.25, 0.75]]), torch.tensor([1]), reduction="none")
    tensor([0.2877])
    """
    if pred.dim() != 2 or y.numel() != len(pred):
        raise ValueError(
            f"cross_entropy must be given [B, C] probabilities and B labels, got the shapes {tuple(pred.shape)} and "
            f"{tuple(y.shape)}"
        )
    pred = pred.to(torch.promote_types(pred.dtype, torch.float32))
    return _reduce(F.nll_loss(pred.clamp(min=1e-12).log(), y.reshape(-1).long(), reduction="none"), reduction)


class UserLoss:
    """A user's callable as a loss: a function, a partial, a lambda, a module such as `nn.BCELoss()`.

    How the reduction that the trainer asks for is reached:

    1. A module with a `reduction` attribute is called through a shallow copy whose attribute is set to it; the
       module itself stays as it was.
    2. A callable with a `reduction` parameter (or `**kwargs`) gets it as `reduction=`, whatever a partial bound there.
    3. Any other callable is called as `f(pred, y)`.

    Where a value for each row comes back, it is summed or averaged here. Where case 3 returns one number, that number
    counts as the **mean** over the batch: a sum is that number times the number of rows, and single rows
    (`reduction="none"`, needed for sample weights) are an error, as they are for case 2 if one number comes back.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        inner = function.func if isinstance(function, partial) else function
        self.__name__ = getattr(inner, "__name__", type(inner).__name__)
        self._own_reduction = isinstance(function, nn.Module) and isinstance(getattr(function, "reduction", None), str)
        self._takes_reduction = not self._own_reduction and _takes_reduction(function)

    def __call__(self, pred: Tensor, y: Tensor, reduction: str = "sum") -> Tensor:
        check_choice("reduction", reduction, ("sum", "mean", "none"))
        value = self._call(pred, y, reduction)
        if not isinstance(value, Tensor):
            raise TypeError(f"loss {self.__name__!r} must return a tensor, got {type(value).__name__}")
        rows = len(pred)
        if value.dim() and len(value) == rows and (value.numel() > 1 or rows == 1):
            return _reduce(value, reduction)
        if value.numel() != 1:
            raise ValueError(
                f"loss {self.__name__!r} must return one number or one value for each of the {rows} rows, got the "
                f"shape {tuple(value.shape)}"
            )
        if reduction == "none" and value.dim() == 0 and rows == 1:
            return value.reshape(1)
        if reduction == "none":
            raise ValueError(
                f"loss {self.__name__!r} must return one value for each row where rows are weighted: give it a "
                "parameter `reduction` that knows 'none', or no reduction at all, got one number for the batch"
            )
        scale = rows if reduction == "sum" and not (self._own_reduction or self._takes_reduction) else 1
        return value.reshape(()) * scale

    def _call(self, pred: Tensor, y: Tensor, reduction: str) -> Any:
        if self._own_reduction:
            reduced: Any = copy.copy(self.function)
            reduced.reduction = reduction
            return reduced(pred, y)
        return self.function(pred, y, reduction=reduction) if self._takes_reduction else self.function(pred, y)


def _takes_reduction(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except ValueError:  # a builtin without a signature
        return False
    return any(name == "reduction" or p.kind is p.VAR_KEYWORD for name, p in signature.parameters.items())


def _with_number(name: str, number: str) -> Loss:
    """The loss of a name with its number, as in "tweedie:1.2" and "huber:0.5"."""
    loss: Any = LOSSES.get(name)
    option = {"tweedie": "power", "huber": "delta"}.get(name)
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if option is None or not (1 < value < 2 if option == "power" else 0 < value < math.inf):
        known = "tweedie:POWER with a power between 1 and 2, huber:DELTA with a delta above 0"
        raise ValueError(f"losses with a number are {known}, got {name + ':' + number!r}")
    return partial(loss, **{option: value})


def link_of(loss: Loss) -> str:
    """Return the link that the head of a regression needs: "log" for `poisson` and `tweedie`, else "identity".

    >>> link_of(get_loss("tweedie:1.2")), link_of(get_loss("mse"))
    ('log', 'identity')
    """
    inner: Any = loss.function if isinstance(loss, UserLoss) else loss
    return "log" if getattr(inner, "func", inner) in (poisson, tweedie) else "identity"


def get_loss(loss: str | Callable[..., Any]) -> Loss:
    """The loss of a name, with its number ("huber:0.5") or without, or a user's callable as a loss (see `UserLoss`).

    >>> get_loss("mse")(torch.ones(2), torch.zeros(2), reduction="mean")
    tensor(1.)
    >>> get_loss(nn.BCELoss())(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    tensor(1.3863)
    """
    if isinstance(loss, str):
        name, colon, number = loss.lower().partition(":")
        return _with_number(name, number) if colon else LOSSES.get(name)
    if isinstance(loss, type):
        raise TypeError(f"loss must be a name or a callable, got the class {loss.__name__}: make an instance of it")
    if not callable(loss):
        raise TypeError(f"loss must be a name or a callable, got {type(loss).__name__}")
    if isinstance(loss, UserLoss) or any(loss is LOSSES.get(name) for name in LOSSES):
        return loss
    return UserLoss(loss)


def weighted_loss(loss: Loss, pred: Tensor, y: Tensor, weight: Tensor | None, reduction: str = "sum") -> Tensor:
    """`loss` with each row's value multiplied by its weight; None for no weights. `[B], [B], [B] -> []`

    "mean" divides by the number of rows, not by the sum of weights: a batch of little weight counts little, and the
    gradient is the one of "sum" over the batch length.

    >>> weighted_loss(mse, torch.tensor([1.0, 3.0]), torch.zeros(2), torch.tensor([2.0, 0.0]), "mean")
    tensor(1.)
    """
    if weight is None:
        return loss(pred, y, reduction=reduction)
    losses = loss(pred, y, reduction="none")
    if weight.numel() != len(losses):
        raise ValueError(f"weights must be one number for each of the {len(losses)} rows, got {tuple(weight.shape)}")
    return _reduce(losses * weight.reshape(-1, *[1] * (losses.dim() - 1)).to(losses.dtype), reduction)
