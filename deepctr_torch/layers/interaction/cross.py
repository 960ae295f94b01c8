"""Cross networks: explicit feature crosses whose order grows by one a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..._checks import check_at_least, check_choice, check_positive
from ..parallel import ParallelLinear
from ._shared import refuse

__all__ = ["CrossNet", "CrossNetMix"]


def _xavier_normal_stack(*shape: int) -> nn.Parameter:
    """Xavier-normal values of `shape`, drawn slice by slice along the first dimension."""
    weight = torch.empty(shape)
    for part in weight:
        nn.init.xavier_normal_(part)
    return nn.Parameter(weight)


class CrossNet(nn.Module):
    """Cross network of DCN or DCN-V2, `[B, D] -> [B, D]`.

    `vector` is `x_{l+1} = x_0 (x_l^T w_l) + b_l + x_l` (Wang et al., "Deep & Cross Network", ADKDD 2017, equation 3);
    `matrix` is `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l` (Wang et al., "DCN V2", WWW 2021, equation 1).

    Args:
        in_features: width D of the input.
        layer_num: number of crosses; 0 makes the layer the identity, without parameters.
        parameterization: `"vector"` or `"matrix"`.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.

    >>> layer = CrossNet(2, layer_num=1)
    >>> _ = layer.kernels.data.fill_(1.0)
    >>> layer(torch.tensor([[1.0, 2.0]]))  # x_0 * 3 + x_0
    tensor([[4., 8.]], grad_fn=<AddBackward0>)
    """

    @refuse(
        input_feature_num="did you mean 'in_features'?",
        l2_reg="declare the penalty on the model, as DCN does with 'l2_reg_cross'",
    )
    def __init__(
        self, in_features: int, layer_num: int = 2, parameterization: str = "vector", seed: int = 1024,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_at_least("in_features", in_features, 1)
        check_at_least("layer_num", layer_num, 0)
        check_choice("parameterization", parameterization, ("matrix", "vector"))
        self.layer_num = layer_num
        self.parameterization = parameterization
        if layer_num:
            columns = 1 if parameterization == "vector" else in_features
            self.kernels = _xavier_normal_stack(layer_num, in_features, columns)
            self.bias = nn.Parameter(torch.zeros(layer_num, in_features, 1))
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        cross = self._vector if self.parameterization == "vector" else self._matrix
        x = inputs
        for i in range(self.layer_num):
            x = cross(inputs, x, self.kernels[i], self.bias[i].squeeze(dim=1)) + x  # [B, D]
        return x

    @staticmethod
    def _vector(x0: Tensor, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return x0 * (x @ kernel) + bias

    @staticmethod
    def _matrix(x0: Tensor, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return x0 * nn.functional.linear(x, kernel, bias)

    def extra_repr(self) -> str:
        return f"layer_num={self.layer_num}, parameterization={self.parameterization!r}"


class CrossNetMix(nn.Module):
    """Mixture of low-rank cross experts of DCN-V2, `[B, D] -> [B, D]`.

    `x_{l+1} = sum_k G_k(x_l) E_k(x_l) + x_l` with `E_k(x) = x_0 * (U_k tanh(C_k tanh(V_k^T x)) + b_l)` and the gates
    a softmax over experts (Wang et al., "DCN V2", WWW 2021, the mixture of low-rank DCN). As the gates sum to one and
    the bias is shared, the experts are summed in their low-rank space and leave it by one matrix product.

    Args:
        in_features: width D of the input.
        low_rank: dimension of the experts' inner space.
        num_experts: number of experts K.
        layer_num: number of crosses; 0 makes the layer the identity, without parameters.
        device: where the parameters live.

    >>> CrossNetMix(6, low_rank=2, num_experts=3)(torch.zeros(1, 6)).shape
    torch.Size([1, 6])
    """

    @refuse(
        input_feature_num="did you mean 'in_features'?",
        l2_reg="declare the penalty on the model, as DCNMix does with 'l2_reg_cross'",
    )
    def __init__(
        self, in_features: int, low_rank: int = 32, num_experts: int = 4, layer_num: int = 2,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_positive(in_features=in_features, low_rank=low_rank, num_experts=num_experts)
        check_at_least("layer_num", layer_num, 0)
        self.layer_num = layer_num
        self.num_experts = num_experts
        if layer_num:
            # Xavier's fans are those of the 3-D slices [K, D, r]: kept on purpose, the starting scale is the
            # original's (W23).
            self.U_list = _xavier_normal_stack(layer_num, num_experts, in_features, low_rank)
            self.V_list = _xavier_normal_stack(layer_num, num_experts, in_features, low_rank)
            self.C_list = _xavier_normal_stack(layer_num, num_experts, low_rank, low_rank)
            self.bias = nn.Parameter(torch.zeros(layer_num, in_features, 1))
            self.gating = ParallelLinear(in_features, 1, names=[str(k) for k in range(num_experts)])
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs
        for i in range(self.layer_num):
            gates = self.gating(x).squeeze(dim=2).softmax(dim=1)  # [B, K]
            low = torch.einsum("bd,kdr->bkr", x, self.V_list[i]).tanh()  # [B, K, r]
            low = torch.einsum("bkr,ksr->bks", low, self.C_list[i]).tanh()  # [B, K, r]
            mixed = torch.einsum("bkr,kdr->bd", gates.unsqueeze(dim=2) * low, self.U_list[i])  # [B, D]
            # NOTE[DIFF] C6: no dimension is squeezed away, so a batch of one row works.
            x = inputs * (mixed + self.bias[i].squeeze(dim=1)) + x
        return x

    def extra_repr(self) -> str:
        return f"layer_num={self.layer_num}, num_experts={self.num_experts}"
