"""CIN: the compressed interaction network of xDeepFM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..._checks import check_at_least, check_positive_units
from ..activation import ActivationLike, Dice, activation_layer
from ..kernels.cin import compress
from ..kernels.pairwise import pairs
from ._shared import as_fields, refuse

__all__ = ["CIN"]


def _squares(base: Tensor, weight: Tensor) -> Tensor:
    """The first layer, whose two factors are the same rows: `[F, N], [H, F F] -> [H, N]`.

    A product of two fields is formed once, with the sum of its two weights.
    """
    fields = base.shape[0]
    first, second = pairs(fields, base.device, offset=0)
    both = weight.index_select(1, first * fields + second) + weight.index_select(1, second * fields + first).where(
        first != second, 0.0
    )
    return both @ (base.index_select(0, first) * base.index_select(0, second))


class CIN(nn.Module):
    """Compressed interaction network: vector-wise crosses of growing order, `[B, F, E] -> [B, output_dim]`.

    `x^k_h = activation(sum_{i,j} W^k_{hij} (x^{k-1}_i * x^0_j) + b_h)`, each map summed over E (Lian et al.,
    "xDeepFM", KDD 2018, equations 6 to 8). `output_dim` (also `featuremap_num`) is the number of maps that reach the
    output.

    Args:
        field_size: number of fields F.
        layer_size: feature maps of each layer; all but the last must be even with `split_half`.
        activation: name, class or instance; one instance serves all layers and sees maps `[B, size, E]`.
        split_half: one half of a layer's maps goes to the next layer, the other to the output; else all go to both.
        l2_reg: accepted for compatibility; the penalty is declared by the model.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.

    >>> layer = CIN(3, layer_size=(4, 2))
    >>> layer(torch.zeros(5, 3, 8)).shape  # 4 / 2 + 2
    torch.Size([5, 4])
    """

    @refuse(filed_size="did you mean 'field_size'?")
    def __init__(
        self, field_size: int, layer_size: Sequence[int] = (128, 128), activation: ActivationLike = "relu",
        split_half: bool = True, l2_reg: float = 1e-5, seed: int = 1024, device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_at_least("field_size", field_size, 1)
        check_positive_units("layer_size", layer_size)
        if not layer_size:
            raise ValueError("layer_size must name at least one layer, got an empty one")
        if odd := [(i, size) for i, size in enumerate(layer_size[:-1]) if split_half and size % 2]:
            i, size = odd[0]
            raise ValueError(
                f"layer_size[{i}] must be even with split_half=True (only the last may be odd), got {size}"
            )
        if activation is Dice or (isinstance(activation, str) and activation.lower() == "dice"):  # of what width?
            raise ValueError(
                "activation must not be the name 'dice' in a CIN, whose maps are [B, size, E]: give Dice(E), got 'dice'"
            )
        *inner, last = layer_size
        self.passed_on = [size // 2 if split_half else size for size in inner]
        self.split_half = split_half
        self.layer_size = layer_size
        self.l2_reg = l2_reg
        self.seed = seed
        self.output_dim = self.featuremap_num = sum(self.passed_on) + last
        maps = [field_size, *self.passed_on]
        self.field_nums = maps
        self.conv1ds = nn.ModuleList(
            nn.Conv1d(maps[i] * field_size, size, kernel_size=1) for i, size in enumerate(layer_size)
        )
        self.activation = activation_layer(activation)
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = as_fields(inputs)
        batch, fields, width = inputs.shape
        # samples come last: sums over maps, fields and E then run along contiguous rows
        base = inputs.permute(1, 2, 0).reshape(fields, -1)  # [F, E B]
        hidden, results = base, []
        for i, layer in enumerate(self.conv1ds):
            conv = cast("nn.Conv1d", layer)
            weight, bias = conv.weight.squeeze(dim=2), cast("Tensor", conv.bias).unsqueeze(dim=1)
            crossed = (_squares(base, weight) if i == 0 else compress(hidden, base, weight)) + bias  # [size, E B]
            maps = self.activation(crossed.view(conv.out_channels, width, batch).permute(2, 0, 1))  # [B, size, E]
            is_last = i == len(self.conv1ds) - 1
            results.append(maps if is_last or not self.split_half else maps[:, self.passed_on[i] :])
            if not is_last:
                hidden = maps[:, : self.passed_on[i]].permute(1, 2, 0).reshape(self.passed_on[i], -1)
        return torch.cat([maps.sum(dim=2) for maps in results], dim=1)

    def extra_repr(self) -> str:
        return f"output_dim={self.output_dim}, split_half={self.split_half}"
