"""CIN against xDeepFM's equation 6, map by map."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepctr_torch.layers.activation import Dice
from deepctr_torch.layers.interaction import CIN


def naive(layer: CIN, x: torch.Tensor, split_half: bool) -> torch.Tensor:
    """Equations 6 to 8 with a linear activation replaced by ReLU, for one sample `[F, E]`."""
    hidden, pooled = x, []
    for i, conv in enumerate(layer.conv1ds):
        maps = []
        for h in range(conv.out_channels):
            weight = conv.weight[h, :, 0].reshape(len(hidden), len(x))
            total = conv.bias[h] + sum(
                weight[a, b] * hidden[a] * x[b] for a in range(len(hidden)) for b in range(len(x))
            )
            maps.append(total.clamp(min=0))
        last = i == len(layer.conv1ds) - 1
        half = len(maps) // 2
        pooled += maps if last or not split_half else maps[half:]
        hidden = torch.stack(maps[:half] if split_half else maps, dim=0) if not last else hidden
    return torch.stack([m.sum() for m in pooled])


def test_exact() -> None:
    layer = CIN(2, layer_size=(1,), activation="linear")
    layer.conv1ds[0].weight.data = torch.tensor([[[1.0], [2.0], [0.0], [1.0]]])  # (0,0), (0,1), (1,0), (1,1)
    layer.conv1ds[0].bias.data = torch.tensor([0.5])
    # e = 0: 1 + 2*3 + 9 + .5 = 16.5; e = 1: 4 + 2*8 + 16 + .5 = 36.5
    torch.testing.assert_close(layer(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])), torch.tensor([[53.0]]))


@pytest.mark.parametrize("split_half", [True, False])
@pytest.mark.parametrize("layer_size", [(3,), (4, 3), (4, 6, 5)])
def test_equals_naive(split_half: bool, layer_size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = CIN(3, layer_size, split_half=split_half).double(), torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.stack([naive(layer, sample, split_half) for sample in x]))


@pytest.mark.parametrize(
    ("layer_size", "split_half", "expected"),
    [((8, 6), True, 10), ((8, 6), False, 14), ((5,), True, 5), ((4, 4, 3), True, 7)],
)
def test_output_dim(layer_size: tuple[int, ...], split_half: bool, expected: int) -> None:
    layer = CIN(3, layer_size, split_half=split_half)
    assert layer.output_dim == layer.featuremap_num == expected
    assert layer(torch.randn(2, 3, 5)).shape == (2, expected)


def test_keys_and_shapes() -> None:
    assert {key: tuple(value.shape) for key, value in CIN(3, (4, 2)).state_dict().items()} == {
        "conv1ds.0.weight": (4, 9, 1),
        "conv1ds.0.bias": (4,),
        "conv1ds.1.weight": (2, 6, 1),
        "conv1ds.1.bias": (2,),
    }


def test_one_field() -> None:
    assert CIN(1, (2, 2))(torch.randn(3, 1, 4)).shape == (3, 3)


@pytest.mark.parametrize("activation", ["tanh", "prelu", nn.ELU, nn.Softplus(beta=2), Dice(5)])
def test_activations(activation: str | type[nn.Module] | nn.Module) -> None:
    layer = CIN(3, (4, 2), activation)
    assert layer(torch.randn(2, 3, 5)).isfinite().all()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="layer_size must name at least one layer"):
        CIN(3, ())
    with pytest.raises(ValueError, match=r"layer_size\[0\] must be even with split_half=True .*, got 5"):
        CIN(3, (5, 4))
    CIN(3, (5, 4), split_half=False)
    CIN(3, (4, 5))
    with pytest.raises(ValueError, match="unknown activation 'rely': did you mean 'relu'"):
        CIN(3, activation="rely")
    for dice in ("dice", "Dice", Dice):
        with pytest.raises(ValueError, match=r"give Dice\(E\)"):
            CIN(3, activation=dice)
    with pytest.raises(TypeError, match="no argument 'filed_size': did you mean 'field_size'"):
        CIN(filed_size=3)
