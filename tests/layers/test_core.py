"""DNN, prediction head, local activation unit and "same" convolution: exact numbers and naive references."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.layers.activation import BatchNorm
from deepctr_torch.layers.core import DNN, Conv2dSame, LocalActivationUnit, PredictionLayer


def fill(module: nn.Module, seed: int = 0) -> None:
    """Random parameters of ordinary size."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)


def test_dnn_exact_numbers() -> None:
    dnn = DNN(2, (2, 1))
    with torch.no_grad():
        dnn.linears[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
        dnn.linears[0].bias.copy_(torch.tensor([0.5, 1.0]))
        dnn.linears[1].weight.copy_(torch.tensor([[2.0, 3.0]]))
        dnn.linears[1].bias.copy_(torch.tensor([-1.0]))
    out = dnn(torch.tensor([[1.0, 1.0], [0.0, -1.0]]))  # hidden: [3.5, 0] and [0, 1]
    assert_close(out, torch.tensor([[6.0], [2.0]]))


def test_dnn_order_is_linear_norm_activation_dropout() -> None:
    dnn, x = DNN(3, (4, 2), "sigmoid", use_bn=True, dropout_rate=0.5), torch.randn(6, 3)
    fill(dnn)
    torch.manual_seed(1)
    out = dnn(x)
    torch.manual_seed(1)
    for linear in dnn.linears:
        x = x @ linear.weight.T + linear.bias
        x = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt()
        bn = dnn.bn[0 if x.shape[1] == 4 else 1]
        x = nn.functional.dropout(1 / (1 + torch.exp(-(x * bn.weight + bn.bias))), 0.5)
    assert_close(out, x, rtol=1e-4, atol=1e-5)


def test_dnn_keys() -> None:
    dnn = DNN(3, [4, 2], "dice", use_bn=True)
    bn = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    expected = [f"linears.{i}.{key}" for i in range(2) for key in ("weight", "bias")]
    expected += [f"bn.{i}.{key}" for i in range(2) for key in bn]
    expected += [f"activation_layers.{i}.{key}" for i in range(2) for key in ("alpha", *(f"bn.{k}" for k in bn))]
    assert list(dnn.state_dict()) == expected
    assert dnn.activation_layers[1].alpha.shape == (2, 1)
    assert isinstance(dnn.bn[0], BatchNorm)
    assert list(DNN(3, (4,), "prelu").state_dict())[-1] == "activation_layers.0.weight"


def test_dnn_initial_values() -> None:
    dnn = DNN(400, (300,), init_std=0.01)
    assert dnn.linears[0].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert dnn.linears[0].bias.abs().max().item() <= 1 / math.sqrt(400)
    assert dnn.linears[0].bias.std().item() > 0.01


def test_dnn_without_layers_is_the_identity() -> None:
    dnn, x = DNN(3, (), dropout_rate=0.9, use_bn=True), torch.randn(2, 3)
    assert dnn(x) is x
    assert dnn.output_dim == dnn.inputs_dim == 3
    assert not dnn.state_dict()
    assert DNN(0, ()).output_dim == 0


def test_dnn_takes_more_dimensions() -> None:
    dnn, x = DNN(3, (4, 2), "dice", use_bn=True), torch.randn(5, 6, 3)
    fill(dnn)
    flat = DNN(3, (4, 2), "dice", use_bn=True)
    flat.load_state_dict(dnn.state_dict())
    assert_close(dnn(x), flat(x.reshape(-1, 3)).reshape(5, 6, 2))


def test_dnn_mask_reaches_norm_and_dice() -> None:
    dnn, x = DNN(3, (4,), "dice", use_bn=True), torch.randn(2, 3, 3)
    fill(dnn)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    changed = x.masked_fill(~mask.unsqueeze(-1), 50.0)
    assert_close(dnn(x, mask)[mask], dnn(changed, mask)[mask])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, (1,)), ValueError, "inputs_dim must be an integer of at least 1, got 0"),
        ((2, (1, 0)), ValueError, r"hidden_units\[1\] must be"),
        ((2, "ab"), TypeError, "hidden_units must be a list or tuple"),
        ((2, (1,), "rely"), ValueError, "did you mean 'relu'"),
        ((2, (1,), "relu", 0, 1.0), ValueError, r"dropout_rate must be in \[0, 1\), got 1.0"),
        ((2, (1,), "relu", 0, 0, False, -1.0), ValueError, "init_std must be a number >= 0, got -1.0"),
    ],
)
def test_dnn_refuses(arguments: tuple[object, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        DNN(*arguments)


def test_prediction_layer_exact_numbers() -> None:
    x = torch.tensor([[0.0], [2.0]])
    for task, expected in (("binary", [[0.7310586], [0.9525741]]), ("regression", [[1.0], [3.0]])):
        layer = PredictionLayer(task)
        nn.init.ones_(layer.bias)
        assert_close(layer(x), torch.tensor(expected))
    assert_close(x, torch.tensor([[0.0], [2.0]]), rtol=0, atol=0)


def test_prediction_layer_multiclass() -> None:
    layer = PredictionLayer("multiclass", num_classes=3)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.0, 0.0, math.log(2.0)]))
    assert_close(layer(torch.zeros(1, 3)), torch.tensor([[0.25, 0.25, 0.5]]))
    assert PredictionLayer("multiclass").bias.shape == (1,)


def test_prediction_layer_without_bias() -> None:
    layer, x = PredictionLayer("regression", use_bias=False), torch.randn(2, 1)
    assert not layer.state_dict()
    assert layer(x) is x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_prediction_layer_computes_in_float32(dtype: torch.dtype, task: str) -> None:
    x = torch.tensor([[0.1, 5.3]], dtype=dtype)
    layer = PredictionLayer(task)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.float32
    assert_close(out, layer(x.float()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"task": "binry"}, ValueError, "unknown task 'binry': did you mean 'binary'"),
        ({"num_classes": 3}, ValueError, "num_classes must be None for task 'binary', got 3"),
        ({"task": "multiclass", "num_classes": 1}, ValueError, "num_classes must be an integer of at least 2, got 1"),
        ({"biass": True}, TypeError, "biass"),
    ],
)
def test_prediction_layer_refuses(arguments: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        PredictionLayer(**arguments)


def test_local_activation_unit_follows_the_paper() -> None:
    unit = LocalActivationUnit((5, 3), embedding_dim=2, activation="sigmoid")
    fill(unit)
    query, keys = torch.randn(4, 1, 2), torch.randn(4, 6, 2)
    out = unit(query, keys)
    assert out.shape == (4, 6, 1)
    for b in range(4):
        for t in range(6):
            q, k = query[b, 0], keys[b, t]
            x = torch.tensor([*q, *k, *(q - k), *(q * k)])
            for linear in unit.dnn.linears:
                x = torch.sigmoid(linear.weight @ x + linear.bias)
            assert_close(out[b, t], unit.dense.weight @ x + unit.dense.bias)


def test_local_activation_unit_exact_numbers() -> None:
    unit = LocalActivationUnit((), embedding_dim=1)
    with torch.no_grad():
        unit.dense.weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
        unit.dense.bias.fill_(0.5)
    out = unit(torch.tensor([[[2.0]]]), torch.tensor([[[3.0], [1.0]]]))
    assert_close(out, torch.tensor([[[5932.5], [2112.5]]]))


def test_local_activation_unit_arguments() -> None:
    unit = LocalActivationUnit((5,), 2, "dice", dropout_rate=0.5, dice_dim=2, use_bn=True)
    assert set(unit.state_dict()) >= {"dnn.linears.0.weight", "dnn.bn.0.weight", "dense.weight", "dense.bias"}
    assert unit.state_dict()["dnn.activation_layers.0.alpha"].shape == (5,)
    assert unit.dnn.dropout.p == 0.5


def test_local_activation_unit_leaves_padding_out_of_the_statistics() -> None:
    unit, mask = (
        LocalActivationUnit((4,), 2, "dice", use_bn=True),
        torch.tensor([[True, True, False], [True, False, False]]),
    )
    fill(unit)
    query, keys = torch.randn(2, 1, 2), torch.randn(2, 3, 2)
    other = keys.masked_fill(~mask.unsqueeze(-1), 9.0)
    assert_close(unit(query, keys, mask)[mask], unit(query, other, mask)[mask])


def naive_same(x: Tensor, conv: Conv2dSame) -> Tensor:
    """TensorFlow's definition, point by point."""
    sizes = [math.ceil(x.shape[2 + d] / conv.stride[d]) for d in (0, 1)]
    before = []
    for d in (0, 1):
        reach = (conv.kernel_size[d] - 1) * conv.dilation[d] + 1
        before.append(max((sizes[d] - 1) * conv.stride[d] + reach - x.shape[2 + d], 0) // 2)
    out = torch.zeros(x.shape[0], conv.out_channels, *sizes)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            for u in range(conv.kernel_size[0]):
                for v in range(conv.kernel_size[1]):
                    row = i * conv.stride[0] + u * conv.dilation[0] - before[0]
                    column = j * conv.stride[1] + v * conv.dilation[1] - before[1]
                    if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                        out[:, :, i, j] += x[:, :, row, column] @ conv.weight[:, :, u, v].T
    return out + conv.bias.view(1, -1, 1, 1)


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 3)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
)
def test_conv_is_tensorflows_same(height: int, width: int, kernel: tuple[int, int], stride: int, dilation: int) -> None:
    conv = Conv2dSame(2, 3, kernel, stride, dilation=dilation)
    x = torch.randn(2, 2, height, width)
    out = conv(x)
    assert out.shape[2:] == (math.ceil(height / stride), math.ceil(width / stride))
    assert_close(out, naive_same(x, conv), rtol=1e-4, atol=1e-5)


def test_conv_exact_numbers_and_padding_after() -> None:
    conv = Conv2dSame(1, 1, (2, 1), bias=False)
    nn.init.ones_(conv.weight)
    x = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1)
    assert conv(x).flatten().tolist() == [3.0, 6.0, 4.0]


def test_conv_groups_keys_and_initial_values() -> None:
    conv = Conv2dSame(4, 6, (3, 3), groups=2)
    assert {k: tuple(v.shape) for k, v in conv.state_dict().items()} == {"weight": (6, 2, 3, 3), "bias": (6,)}
    assert conv(torch.randn(2, 4, 5, 5)).shape == (2, 6, 5, 5)
    bound = math.sqrt(6 / (30 * 9 + 40 * 9))
    weight = Conv2dSame(30, 40, 3).weight
    assert weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_conv_refuses_padding() -> None:
    with pytest.raises(ValueError, match="padding must be 0"):
        Conv2dSame(1, 1, 3, padding=1)
