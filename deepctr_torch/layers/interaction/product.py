"""Product layers of PNN: each pair of fields multiplied, plainly or through a kernel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._checks import check_choice, check_positive
from ..kernels.pairwise import pair_products, pairs
from ._shared import as_fields, refuse

__all__ = ["InnerProductLayer", "OutterProductLayer"]


def _inner_products(inputs: Tensor) -> Tensor:
    """Dot product of each pair of fields, picked out of one batched matrix product, `[B, F, E] -> [B, P]`."""
    first, second = pairs(inputs.shape[1], inputs.device)
    gram = inputs @ inputs.transpose(1, 2)  # [B, F, F]
    return gram.flatten(1).index_select(1, first * inputs.shape[1] + second)


class InnerProductLayer(nn.Module):
    """Inner product of each pair of fields, `[B, F, E] -> [B, P, 1]`; unreduced, `[B, P, E]`; `P = F (F - 1) / 2`.

    Qu et al., "Product-based Neural Networks for User Response Prediction", ICDM 2016, section III-B. Input: one
    tensor `[B, F, E]` or a list of F tensors `[B, 1, E]`; a single field gives no pair.

    Args:
        reduce_sum: sum over E (the inner product), else the elementwise product.
        device: accepted for compatibility; the layer has no parameter.

    >>> layer = InnerProductLayer()
    >>> layer(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[11.]]])
    """

    def __init__(self, reduce_sum: bool = True, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.reduce_sum = reduce_sum

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        inputs = as_fields(inputs)
        return _inner_products(inputs).unsqueeze(dim=2) if self.reduce_sum else pair_products(inputs, inputs)

    def extra_repr(self) -> str:
        return f"reduce_sum={self.reduce_sum}"


class OutterProductLayer(nn.Module):
    """Outer product of each pair of fields, summed under a kernel, `[B, F, E] -> [B, P]`; `P = F (F - 1) / 2`.

    Qu et al., "Product-based Neural Networks for User Response Prediction over Multi-field Categorical Data", TOIS
    2018. Input: one tensor `[B, F, E]` or a list of F tensors `[B, 1, E]`; a single field gives `[B, 0]` and has no
    kernel.

    Args:
        field_size: number of fields F.
        embedding_size: width E of a field.
        kernel_type: a matrix (`"mat"`), a vector (`"vec"`: its diagonal) or a number (`"num"`) for each pair.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the kernel lives.

    >>> layer = OutterProductLayer(2, 2, kernel_type="num")
    >>> _ = layer.kernel.data.fill_(2.0)
    >>> layer(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[22.]], grad_fn=<MulBackward0>)
    """

    kernel: nn.Parameter | None

    @refuse(filed_size="did you mean 'field_size'?")
    def __init__(
        self, field_size: int, embedding_size: int, kernel_type: str = "mat", seed: int = 1024,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_positive(field_size=field_size, embedding_size=embedding_size)
        check_choice("kernel_type", kernel_type, ("mat", "num", "vec"))
        self.field_size = field_size
        self.kernel_type = kernel_type
        number = field_size * (field_size - 1) // 2
        shapes = {"mat": (embedding_size, number, embedding_size), "vec": (number, embedding_size), "num": (number, 1)}
        self.kernel = None
        if number:
            # Xavier's fans of "mat" are those of the 3-D tensor: kept on purpose, the starting scale is the
            # original's (W23).
            self.kernel = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shapes[kernel_type])))
        self.to(device)

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        inputs = as_fields(inputs)
        if inputs.shape[1] != self.field_size:
            raise ValueError(f"inputs must have {self.field_size} fields, got shape {tuple(inputs.shape)}")
        if self.kernel is None:
            return inputs[:, :0, 0]  # [B, 0]
        if self.kernel_type == "num":
            return _inner_products(inputs) * self.kernel.squeeze(dim=1)
        left, right = (inputs.index_select(1, fields) for fields in pairs(inputs.shape[1], inputs.device))  # [B, P, E]
        is_matrix = self.kernel_type == "mat"
        left = torch.einsum("bpj,ipj->bpi", left, self.kernel) if is_matrix else left * self.kernel  # [B, P, E]
        return (left * right).sum(dim=2)

    def extra_repr(self) -> str:
        return f"field_size={self.field_size}, kernel_type={self.kernel_type!r}"
