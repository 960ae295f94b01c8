"""CCPM: convolutions over neighbouring fields with flexible pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._checks import check_at_least, check_positive_units
from ..core import Conv2dSame
from ..sequence import KMaxPooling

__all__ = ["ConvLayer"]


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
        self,
        field_size: int,
        conv_kernel_width: Sequence[int],
        conv_filters: Sequence[int],
        device: str | torch.device = "cpu",
    ) -> None:
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
        channels, self.filed_shape = 1, field_size
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
        return self.conv_layer(inputs)  # type: ignore[no-any-return]
