"""CCPM: convolutions over neighbouring fields with flexible pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._checks import check_at_least, check_positive_units
from ..._tracing import tracing
from ..core import Conv2dSame
from ..sequence import KMaxPooling

__all__ = ["ConvLayer"]

_FEW = 64  # fields up to which a product with mostly zeros is faster than a convolution


def _kept(field_size: int, layer: int, layers: int) -> int:
    """Values kept after convolution `layer` (from 1) of `layers`: the rule of flexible p-max pooling."""
    if layer == layers:
        return 3
    return max(1, int((1 - (layer / layers) ** (layers - layer)) * field_size))


class ConvLayer(nn.Module):
    """Convolution, tanh and p-max pooling over the field axis, layer by layer, `[B, 1, F, E] -> [B, filters, kept, E]`.

    Liu et al., "A Convolutional Click Prediction Model", CIKM 2015, section 3. `filed_shape` (the original's
    spelling) is the number of values kept by the last pooling.

    Args:
        field_size: number of fields F.
        conv_kernel_width: width of each convolution along the fields.
        conv_filters: number of filters of each convolution.
        device: where the parameters live.

    >>> layer = ConvLayer(6, conv_kernel_width=[3, 2], conv_filters=[4, 2])
    >>> layer(torch.zeros(5, 1, 6, 8)).shape
    torch.Size([5, 2, 3, 8])
    """

    def __init__(
        self, field_size: int, conv_kernel_width: Sequence[int], conv_filters: Sequence[int],
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_at_least("field_size", field_size, 1)
        check_positive_units("conv_kernel_width", conv_kernel_width)
        check_positive_units("conv_filters", conv_filters)
        if len(conv_kernel_width) != len(conv_filters) or not conv_filters:
            raise ValueError(
                "conv_kernel_width must name at least one layer, and as many as conv_filters, "
                f"got {len(conv_kernel_width)} and {len(conv_filters)}"
            )
        layers: list[nn.Module] = []
        self.device = device
        self.filed_shape = field_size
        channels = 1
        for i, (width, filters) in enumerate(zip(conv_kernel_width, conv_filters, strict=True), start=1):
            self.filed_shape = min(self.filed_shape, _kept(field_size, i, len(conv_filters)))
            layers.append(Conv2dSame(channels, filters, kernel_size=(width, 1), stride=1))
            layers.append(nn.Tanh())
            layers.append(KMaxPooling(k=self.filed_shape, axis=2))
            channels = filters
        self.conv_layer = nn.Sequential(*layers)
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dim() != 4:
            raise ValueError(f"inputs must have four dimensions [B, 1, F, E], got shape {tuple(inputs.shape)}")
        batch, _, fields, width = inputs.shape
        if tracing() or fields > _FEW:
            return self.conv_layer(inputs)  # type: ignore[no-any-return]
        # fields last: along them runs all that follows, and a convolution is one product with a banded matrix
        rows = inputs.permute(0, 3, 1, 2).reshape(batch * width, fields)  # [B E, C F]
        for conv, activation, pooling in zip(*(self.conv_layer[i::3] for i in range(3)), strict=True):
            matrix = _banded(conv.weight.squeeze(dim=3), fields)
            maps = (rows @ matrix).view(-1, conv.out_channels, fields) + conv.bias.unsqueeze(dim=1)  # [B E, C, F]
            # the activation grows with its argument: the largest are the same before and after it
            rows = activation(pooling(maps)).flatten(1)
            fields = pooling.k
        return rows.view(batch, width, conv.out_channels, fields).permute(0, 2, 3, 1)


def _banded(weight: Tensor, fields: int) -> Tensor:
    """The matrix of a convolution with "same" padding, `[C', C, W] -> [C F, C' F]`."""
    outputs, channels, width = weight.shape
    steps = torch.arange(fields, device=weight.device)
    tap = steps.unsqueeze(dim=1) - steps + (width - 1) // 2  # [F in, F out]: which weight leads from one to the other
    inside = (tap >= 0) & (tap < width)
    matrix = weight.index_select(2, tap.clamp(0, width - 1).flatten()).view(outputs, channels, fields, fields)
    return matrix.where(inside, 0.0).permute(1, 2, 0, 3).reshape(channels * fields, outputs * fields)
