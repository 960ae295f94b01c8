"""ConvLayer against CCPM: convolution along the fields, tanh, the largest values kept."""

from __future__ import annotations

import pytest
import torch

from deepctr_torch.layers.interaction import ConvLayer


def naive(layer: ConvLayer, sample: torch.Tensor, keep: list[int]) -> torch.Tensor:
    """One sample `[1, F, E]`, each convolution written as sums over width and channels."""
    for convolution, k in zip(layer.conv_layer[::3], keep, strict=True):
        width, fields = convolution.kernel_size[0], sample.shape[1]
        before = (width - 1) // 2  # "same" padding, the odd zero at the end
        maps = torch.zeros(convolution.out_channels, fields, sample.shape[2], dtype=sample.dtype)
        for out in range(convolution.out_channels):
            for position in range(fields):
                total = convolution.bias[out].expand(sample.shape[2]).clone()
                for channel in range(sample.shape[0]):
                    for step in range(width):
                        field = position + step - before
                        if 0 <= field < fields:
                            total = total + convolution.weight[out, channel, step, 0] * sample[channel, field]
                maps[out, position] = total.tanh()
        sample = maps.sort(dim=1, descending=True).values[:, :k]
    return sample


def test_exact() -> None:
    layer = ConvLayer(4, [2], [1])
    layer.conv_layer[0].weight.data = torch.tensor([1.0, -1.0]).reshape(1, 1, 2, 1)
    layer.conv_layer[0].bias.data.zero_()
    x = torch.tensor([1.0, 3.0, 2.0, 2.0]).reshape(1, 1, 4, 1)  # differences -2, 1, 0, then 2 - padding
    expected = torch.tensor([2.0, 1.0, 0.0]).tanh().reshape(1, 1, 3, 1)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("fields", "widths", "filters", "keep"),
    [
        (6, [3, 2], [3, 2], [3, 3]),  # (1 - 1/2) * 6 = 3, then 3
        (10, [6, 5, 3], [2, 2, 1], [8, 3, 3]),  # (1 - 1/9) * 10 = 8, (1 - 2/3) * 10 = 3, then 3
        (2, [2, 1], [2, 1], [1, 1]),  # never more than there are
        (1, [3], [2], [1]),
    ],
)
def test_equals_naive(fields: int, widths: list[int], filters: list[int], keep: list[int]) -> None:
    torch.manual_seed(0)
    layer = ConvLayer(fields, widths, filters).double()
    x = torch.randn(2, 1, fields, 3, dtype=torch.float64)
    output = layer(x)
    assert layer.filed_shape == keep[-1]
    assert output.shape == (2, filters[-1], layer.filed_shape, 3)
    torch.testing.assert_close(output, torch.stack([naive(layer, sample, keep) for sample in x]))


def test_keys_and_shapes() -> None:
    assert {key: tuple(value.shape) for key, value in ConvLayer(3, (2, 2), (2, 1)).state_dict().items()} == {
        "conv_layer.0.weight": (2, 1, 2, 1),
        "conv_layer.0.bias": (2,),
        "conv_layer.3.weight": (1, 2, 2, 1),
        "conv_layer.3.bias": (1,),
    }


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="as many as conv_filters, got 2 and 1"):
        ConvLayer(3, [2, 2], [2])
    with pytest.raises(ValueError, match=r"at least one layer, .*got 0 and 0"):
        ConvLayer(3, [], [])
    with pytest.raises(ValueError, match=r"inputs must have four dimensions \[B, 1, F, E\], got shape \(2, 3, 4\)"):
        ConvLayer(3, [2], [2])(torch.zeros(2, 3, 4))


def test_many_fields_take_the_convolution() -> None:
    torch.manual_seed(0)
    layer = ConvLayer(70, [5, 2], [2, 2]).double()
    x = torch.randn(1, 1, 70, 2, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], naive(layer, x[0], [35, 3]))
