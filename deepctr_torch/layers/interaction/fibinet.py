"""FiBiNET: field importance by squeeze and excitation, and bilinear products of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._checks import check_choice, check_positive
from ..._tracing import tracing
from ..kernels.pairwise import bilinear_products, pair_products
from ..parallel import ParallelLinear
from ._shared import as_fields

__all__ = ["BilinearInteraction", "SENETLayer"]


class SENETLayer(nn.Module):
    """Reweights each field by its learned importance, `[B, F, E] -> [B, F, E]`.

    Squeeze to the mean of each field, excite by two bias-free layers with ReLU, multiply (Huang, Zhang and Zhang,
    "FiBiNET", RecSys 2019, the SENET layer).

    Args:
        filed_size: number of fields F; the spelling is the original's.
        reduction_ratio: the inner layer has `max(1, F // reduction_ratio)` units.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.

    >>> SENETLayer(4)(torch.ones(2, 4, 3)).shape
    torch.Size([2, 4, 3])
    """

    def __init__(
        self, filed_size: int, reduction_ratio: int = 3, seed: int = 1024, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        check_positive(filed_size=filed_size, reduction_ratio=reduction_ratio)
        reduced = max(1, filed_size // reduction_ratio)
        self.filed_size = filed_size
        self.reduction_size = reduced
        self.seed = seed
        self.excitation = nn.Sequential(
            nn.Linear(filed_size, reduced, bias=False), nn.ReLU(), nn.Linear(reduced, filed_size, bias=False), nn.ReLU()
        )
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = as_fields(inputs)
        importance: Tensor = self.excitation(inputs.mean(dim=2))  # [B, F]
        return inputs * importance.unsqueeze(dim=2)


class BilinearInteraction(nn.Module):
    """Bilinear product `(W v_i) * v_j` of each pair of fields, `[B, F, E] -> [B, P, E]` with `P = F (F - 1) / 2`.

    Huang, Zhang and Zhang, "FiBiNET", RecSys 2019, the bilinear-interaction layer. A single field has no pair: the
    result is `[B, 0, E]` and the layer has no parameter.

    Args:
        filed_size: number of fields F; the spelling is the original's.
        embedding_size: width E of a field.
        bilinear_type: one matrix W for `"all"` pairs, one for `"each"` first field, or one for each `"interaction"`.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.

    >>> layer = BilinearInteraction(2, 2, "all")
    >>> _ = layer.bilinear.weight.data.copy_(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    >>> layer(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))  # [1 + 2, 2] * [3, 4]
    tensor([[[9., 8.]]], grad_fn=<_PairProductsBackward>)
    """

    bilinear: nn.Linear | ParallelLinear | None

    def __init__(
        self, filed_size: int, embedding_size: int, bilinear_type: str = "interaction", seed: int = 1024,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_positive(filed_size=filed_size, embedding_size=embedding_size)
        check_choice("bilinear_type", bilinear_type, ("all", "each", "interaction"))
        self.filed_size = filed_size
        self.bilinear_type = bilinear_type
        self.seed = seed
        if filed_size == 1:
            self.bilinear = None
        elif bilinear_type == "all":
            self.bilinear = nn.Linear(embedding_size, embedding_size, bias=False)
        elif bilinear_type == "each":
            # NOTE[DIFF]: the last field is nobody's first field. The original holds a matrix for it that no forward
            # uses; here there is none, and that of an old checkpoint is dropped.
            names = [str(i) for i in range(filed_size)]
            self.bilinear = ParallelLinear(embedding_size, embedding_size, names[:-1], [f"{names[-1]}.weight"])
        else:
            names = [str(p) for p in range(filed_size * (filed_size - 1) // 2)]
            self.bilinear = ParallelLinear(embedding_size, embedding_size, names)
        self.to(device)

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        inputs = as_fields(inputs)
        if not tracing() and inputs.shape[1] != self.filed_size:
            raise ValueError(f"inputs must have {self.filed_size} fields, got shape {tuple(inputs.shape)}")
        if self.bilinear is None:
            return inputs[:, :0]  # [B, 0, E]
        if self.bilinear_type == "interaction":
            return bilinear_products(inputs, self.bilinear.weight)
        return pair_products(self.bilinear(inputs[:, :-1]), inputs)  # the last field is nobody's first

    def extra_repr(self) -> str:
        return f"filed_size={self.filed_size}, bilinear_type={self.bilinear_type!r}"
