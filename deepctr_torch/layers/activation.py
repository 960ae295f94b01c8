"""Activations by name, and Dice with the batch normalisation it shares with `DNN`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_at_least, check_choice

__all__ = ["ActivationLike", "BatchNorm", "Dice", "Identity", "activation_layer"]

ActivationLike: TypeAlias = str | nn.Module | type[nn.Module] | None  # a name, a module, its class, or None for none


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the last dimension, over the valid rows only: `[..., H] -> [..., H]`.

    Equal to `nn.BatchNorm1d` where that is defined. Two things are more: a mask leaves rows out of the statistics, and
    a training batch with fewer than two valid rows, which has no variance, is normalised with the running statistics
    and leaves them unchanged.

    Args:
        num_features: H.
        eps: added to the variance.

    >>> norm = BatchNorm(1)
    >>> norm(torch.tensor([[1.0], [3.0], [99.0]]), mask=torch.tensor([True, True, False]))[:2]
    tensor([[-1.0000],
            [ 1.0000]], grad_fn=<SliceBackward0>)
    >>> norm.running_mean
    tensor([0.2000])
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        check_at_least("num_features", num_features, 1)
        super().__init__(num_features, eps=eps, momentum=0.1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # [N, H]
        if self.training and mask is not None:
            mean, var = self._valid_statistics(rows, mask.reshape(-1, 1))
            out = (rows - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias
        else:
            out = super().forward(rows) if self.training and len(rows) > 1 else self.by_running(rows)
        return out.to(x.dtype).reshape(x.shape)

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise dimension 1 with the running statistics: `[N, H] or [N, H, L] -> the same`."""
        mean, var = self.running_mean, self.running_var
        return functional.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards mean and biased variance [H] of `count` values a feature."""
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), 0.1)
        self.running_var.lerp_(variance.to(self.running_var.dtype) * (count / (count - 1)), 0.1)
        self.num_batches_tracked.add_(1)

    def _valid_statistics(self, rows: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance [H] of the valid rows; the running ones where fewer than two are valid."""
        dtype = torch.promote_types(rows.dtype, self.running_mean.dtype)
        rows = rows.to(dtype).masked_fill(~valid, 0.0)  # [N, H]
        count = valid.sum().to(dtype)
        mean = rows.sum(dim=0) / count.clamp(min=1.0)
        var = ((rows - mean) ** 2).masked_fill(~valid, 0.0).sum(dim=0) / count.clamp(min=1.0)
        enough = count > 1.0
        with torch.no_grad():
            rate = torch.where(enough, 0.1, 0.0).to(dtype)
            unbiased = var * count / (count - 1.0).clamp(min=1.0)
            old_mean, old_var = self.running_mean.clone(), self.running_var.clone()
            self.running_mean.copy_(old_mean + rate * (mean - old_mean))
            self.running_var.copy_(old_var + rate * (unbiased - old_var))
            self.num_batches_tracked.add_(enough.to(self.num_batches_tracked.dtype))
        return torch.where(enough, mean, old_mean), torch.where(enough, var, old_var)


class Dice(nn.Module):
    r"""Data adaptive activation: `[..., H] -> [..., H]`.

    :math:`p\,x + \alpha\,(1 - p)\,x` with :math:`p = \sigma(\mathrm{BN}(x))`: PReLU whose turning point follows the
    distribution of its input (Zhou et al., Deep Interest Network, 2018, section 5.2).

    Args:
        emb_size: H.
        dim: 2 or 3; only the shape of `alpha` depends on it ((H,) or (H, 1)), inputs may have any number of dimensions.
        epsilon: added to the variance.
        device: where the parameters live.

    >>> dice = Dice(1).eval()
    >>> dice(torch.tensor([[0.0], [2.0]]))
    tensor([[0.0000],
            [1.7616]], grad_fn=<AddBackward0>)
    """

    def __init__(self, emb_size: int, dim: int = 2, epsilon: float = 1e-8, device: str | torch.device = "cpu") -> None:
        super().__init__()
        check_at_least("emb_size", emb_size, 1)
        if dim not in (2, 3):
            raise ValueError(f"dim must be 2 or 3, got {dim!r}")
        self.dim = dim
        self.sigmoid = nn.Sigmoid()
        self.bn = BatchNorm(emb_size, eps=epsilon)
        self.alpha = nn.Parameter(torch.zeros(emb_size) if dim == 2 else torch.zeros(emb_size, 1))
        self.to(device)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        # NOTE[DIFF] C11: `dim` fixes the shape of alpha alone; upstream also refuses inputs of another rank.
        # NOTE[DIFF] W10: with a mask, padded positions stay out of the statistics.
        p: Tensor = self.sigmoid(self.bn(x, mask))
        return p * x + self.alpha.reshape(-1) * (1.0 - p) * x


class Identity(nn.Module):
    """Return the input: `[...] -> [...]`.

    Args:
        kwargs: arguments of the activation that it stands in for; nothing to do here, as in `nn.Identity`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    **{"gelu": nn.GELU, "leaky_relu": nn.LeakyReLU, "linear": Identity, "prelu": nn.PReLU},
    **{"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "tanh": nn.Tanh},
}


def activation_layer(act_name: ActivationLike, hidden_size: int | None = None, dice_dim: int = 2) -> nn.Module:
    """Build an activation.

    Args:
        act_name: a name (case does not matter), an `nn.Module` class, an `nn.Module` (copied, so that two layers never
            share its parameters), or None for none.
        hidden_size: H, needed by Dice.
        dice_dim: `dim` of Dice.

    >>> activation_layer("ReLU")
    ReLU()
    >>> activation_layer("rely")
    Traceback (most recent call last):
        ...
    ValueError: unknown activation 'rely': did you mean 'relu'? Known: dice, gelu, leaky_relu, linear, prelu, relu, \
sigmoid, silu, tanh
    """
    if act_name is None:
        return Identity()
    # NOTE[DIFF] C12: more names, and modules as well as classes.
    if isinstance(act_name, nn.Module):
        return copy.deepcopy(act_name)
    if act_name is Dice or (isinstance(act_name, str) and act_name.lower() == "dice"):
        if hidden_size is None:
            raise ValueError("hidden_size must be given for the activation 'dice', got None")
        return Dice(hidden_size, dice_dim)
    if isinstance(act_name, type) and issubclass(act_name, nn.Module):
        return act_name()
    if not isinstance(act_name, str):
        raise TypeError(f"activation must be a name, an nn.Module or its class, got {act_name!r}")
    check_choice("activation", act_name.lower(), [*_ACTIVATIONS, "dice"])
    return _ACTIVATIONS[act_name.lower()]()
