"""CrossNet and CrossNetMix against the equations of DCN and DCN-V2, sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deepctr_torch.layers.interaction import CrossNet, CrossNetMix


def randomized(layer: torch.nn.Module) -> torch.nn.Module:
    """Every parameter random, biases too."""
    torch.manual_seed(1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer.double()


def naive_cross(layer: CrossNet, sample: Tensor) -> Tensor:
    x0 = x = sample
    for kernel, bias in zip(layer.kernels, layer.bias[:, :, 0], strict=True):
        if layer.parameterization == "vector":
            x = x0 * torch.dot(x, kernel[:, 0]) + bias + x
        else:
            x = x0 * (kernel @ x + bias) + x
    return x


def naive_mix(layer: CrossNetMix, sample: Tensor) -> Tensor:
    x0 = x = sample
    for level in range(layer.layer_num):
        gates, experts = [], []
        for k in range(layer.num_experts):
            u, v, c = layer.U_list[level, k], layer.V_list[level, k], layer.C_list[level, k]
            inner = torch.tanh(c @ torch.tanh(v.T @ x))
            experts.append(x0 * (u @ inner + layer.bias[level, :, 0]))
            gates.append(layer.state_dict()[f"gating.{k}.weight"][0] @ x)
        weights = torch.stack(gates).softmax(dim=0)
        x = sum(weight * expert for weight, expert in zip(weights, experts, strict=True)) + x
    return x


def test_vector_exact() -> None:
    layer = CrossNet(2, layer_num=1)
    layer.kernels.data = torch.tensor([[[1.0], [2.0]]])
    layer.bias.data = torch.tensor([[[0.5], [-0.5]]])
    # x0 (3*1 + 4*2) + b + x0 = 11 x0 + b + x0
    torch.testing.assert_close(layer(torch.tensor([[3.0, 4.0]])), torch.tensor([[36.5, 47.5]]))


def test_matrix_exact() -> None:
    layer = CrossNet(2, layer_num=1, parameterization="matrix")
    layer.kernels.data = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]])
    layer.bias.data = torch.tensor([[[1.0], [-1.0]]])
    # W x + b = [3 + 8 + 1, 4 - 1] = [12, 3]; x0 * it + x0
    torch.testing.assert_close(layer(torch.tensor([[3.0, 4.0]])), torch.tensor([[39.0, 16.0]]))


@pytest.mark.parametrize("parameterization", ["vector", "matrix"])
def test_cross_equals_naive(parameterization: str) -> None:
    layer = randomized(CrossNet(5, 3, parameterization))
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.stack([naive_cross(layer, sample) for sample in x]))


@pytest.mark.parametrize("experts", [1, 3])
def test_mix_equals_naive(experts: int) -> None:
    layer = randomized(CrossNetMix(5, low_rank=2, num_experts=experts, layer_num=2))
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.stack([naive_mix(layer, sample) for sample in x]))


def test_mix_exact() -> None:
    layer = CrossNetMix(1, low_rank=1, num_experts=2, layer_num=1)
    layer.V_list.data = torch.tensor([[[[1.0]], [[2.0]]]])
    layer.C_list.data = torch.tensor([[[[1.0]], [[0.5]]]])
    layer.U_list.data = torch.tensor([[[[3.0]], [[4.0]]]])
    layer.bias.data = torch.tensor([[[0.25]]])
    layer.gating.weight.data = torch.tensor([[[0.0]], [[math.log(3.0)]]])
    # gates 1/4 and 3/4 at x = 1
    first, second = 3 * math.tanh(math.tanh(1)), 4 * math.tanh(0.5 * math.tanh(2))
    expected = 0.25 * first + 0.75 * second + 0.25 + 1
    torch.testing.assert_close(layer(torch.tensor([[1.0]])), torch.tensor([[expected]]))


@pytest.mark.parametrize(
    "layer", [CrossNet(3, 2), CrossNet(3, 2, "matrix"), CrossNetMix(3, 2, 2)], ids=["v", "m", "mix"]
)
def test_batch_of_one_row(layer: torch.nn.Module) -> None:
    x = torch.randn(2, 3)
    torch.testing.assert_close(layer(x[:1]), layer(x)[:1])


def test_keys_and_shapes() -> None:
    assert {k: tuple(v.shape) for k, v in CrossNet(5, 2).state_dict().items()} == {
        "kernels": (2, 5, 1),
        "bias": (2, 5, 1),
    }
    assert CrossNet(5, 2, "matrix").kernels.shape == (2, 5, 5)
    assert {k: tuple(v.shape) for k, v in CrossNetMix(5, 3, 2, layer_num=4).state_dict().items()} == {
        "U_list": (4, 2, 5, 3),
        "V_list": (4, 2, 5, 3),
        "C_list": (4, 2, 3, 3),
        "bias": (4, 5, 1),
        "gating.0.weight": (1, 5),
        "gating.1.weight": (1, 5),
    }


@pytest.mark.parametrize("kind", [CrossNet, CrossNetMix])
def test_no_layer_is_the_identity(kind: type[torch.nn.Module]) -> None:
    layer = kind(3, layer_num=0)
    x = torch.randn(2, 3)
    assert list(layer.parameters()) == []
    assert torch.equal(layer(x), x)


def test_start() -> None:
    torch.manual_seed(0)
    vector, matrix = CrossNet(400, 4), CrossNet(200, 4, "matrix")
    assert vector.bias.count_nonzero() == 0
    assert matrix.bias.count_nonzero() == 0
    assert vector.kernels.std().item() == pytest.approx((2 / 401) ** 0.5, rel=0.06)
    assert matrix.kernels.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    mix = CrossNetMix(100, low_rank=20, num_experts=3)
    # fans of a slice [K, D, r]: in = D r, out = K r
    assert mix.U_list.std().item() == pytest.approx((2 / (100 * 20 + 3 * 20)) ** 0.5, rel=0.05)
    assert mix.bias.count_nonzero() == 0


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="unknown parameterization 'matrx': did you mean 'matrix'"):
        CrossNet(3, parameterization="matrx")
    with pytest.raises(ValueError, match="layer_num must be an integer of at least 0, got -1"):
        CrossNet(3, layer_num=-1)
    with pytest.raises(ValueError, match="num_experts must be an integer of at least 1, got 0"):
        CrossNetMix(3, num_experts=0)
    with pytest.raises(TypeError, match="CrossNet has no argument 'input_feature_num': did you mean 'in_features'"):
        CrossNet(input_feature_num=3)
    with pytest.raises(TypeError, match=r"CrossNet has no argument 'l2_reg': .*'l2_reg_cross'"):
        CrossNet(3, l2_reg=0.1)
    with pytest.raises(TypeError, match=r"CrossNetMix has no argument 'l2_reg': .*'l2_reg_cross'"):
        CrossNetMix(3, l2_reg=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        CrossNet(3, depth=2)
