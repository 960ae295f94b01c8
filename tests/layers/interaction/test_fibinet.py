"""SENET and bilinear interaction against FiBiNET's equations, and the state of the stacked matrices."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from deepctr_torch.layers.interaction import BilinearInteraction, SENETLayer

KINDS = ["all", "each", "interaction"]


def test_senet_exact() -> None:
    layer = SENETLayer(2, reduction_ratio=2)
    layer.excitation[0].weight.data = torch.tensor([[1.0, 2.0]])
    layer.excitation[2].weight.data = torch.tensor([[0.5], [-1.0]])
    x = torch.tensor([[[1.0, 3.0], [0.0, 2.0]]])  # means 2 and 1 -> hidden 4 -> importance relu([2, -4])
    torch.testing.assert_close(layer(x), torch.tensor([[[2.0, 6.0], [0.0, 0.0]]]))


def test_senet_equals_naive() -> None:
    torch.manual_seed(0)
    layer, x = SENETLayer(6).double(), torch.randn(4, 6, 3, dtype=torch.float64)
    first, second = layer.excitation[0].weight, layer.excitation[2].weight
    for sample, result in zip(x, layer(x), strict=True):
        squeezed = torch.stack([field.sum() / 3 for field in sample])
        importance = (second @ (first @ squeezed).clamp(min=0)).clamp(min=0)
        torch.testing.assert_close(result, torch.stack([a * v for a, v in zip(importance, sample, strict=True)]))


@pytest.mark.parametrize(
    ("fields", "ratio", "reduced"), [(1, 3, 1), (2, 3, 1), (3, 3, 1), (7, 3, 2), (9, 3, 3), (4, 1, 4)]
)
def test_senet_shapes(fields: int, ratio: int, reduced: int) -> None:
    state = SENETLayer(filed_size=fields, reduction_ratio=ratio).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "excitation.0.weight": (reduced, fields),
        "excitation.2.weight": (fields, reduced),
    }


def test_bilinear_exact() -> None:
    layer = BilinearInteraction(3, 2, "each")
    identity, swap = torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    layer.load_state_dict({"bilinear.0.weight": identity, "bilinear.1.weight": swap})
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    # pairs (0, 1), (0, 2), (1, 2)
    torch.testing.assert_close(layer(x), torch.tensor([[[3.0, 8.0], [5.0, 12.0], [20.0, 18.0]]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fields", [2, 5])
def test_bilinear_equals_naive(kind: str, fields: int) -> None:
    torch.manual_seed(0)
    layer = BilinearInteraction(fields, 3, kind).double()
    state, x = layer.state_dict(), torch.randn(4, fields, 3, dtype=torch.float64)
    products = []
    for number, (i, j) in enumerate(combinations(range(fields), 2)):
        key = {"all": "bilinear.weight", "each": f"bilinear.{i}.weight", "interaction": f"bilinear.{number}.weight"}[
            kind
        ]
        products.append(torch.stack([(state[key] @ sample[i]) * sample[j] for sample in x]))
    torch.testing.assert_close(layer(x), torch.stack(products, dim=1))


@pytest.mark.parametrize("kind", KINDS)
def test_one_field_has_no_pair(kind: str) -> None:
    layer = BilinearInteraction(1, 3, kind)
    assert layer(torch.randn(4, 1, 3)).shape == (4, 0, 3)
    assert list(layer.parameters()) == []


@pytest.mark.parametrize(("kind", "items"), [("each", 3), ("interaction", 6)])
def test_one_parameter_spelled_item_by_item(kind: str, items: int) -> None:
    layer = BilinearInteraction(4, 3, kind)
    assert [tuple(p.shape) for p in layer.parameters()] == [(items, 3, 3)]
    assert list(layer.state_dict()) == [f"bilinear.{i}.weight" for i in range(items)]


def test_matrix_of_the_last_field_is_accepted_and_dropped() -> None:
    layer = BilinearInteraction(3, 2, "each")
    state = {f"bilinear.{i}.weight": torch.full((2, 2), float(i)) for i in range(3)}
    layer.load_state_dict(state)
    assert list(layer.state_dict()) == ["bilinear.0.weight", "bilinear.1.weight"]
    torch.testing.assert_close(layer.bilinear.weight[1], torch.ones(2, 2))
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"bilinear.3.weight"'):
        layer.load_state_dict({**state, "bilinear.3.weight": torch.zeros(2, 2)})


def test_start_is_that_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    for kind in KINDS:
        weight = BilinearInteraction(30, 16, kind).bilinear.weight
        assert weight.abs().max() <= 0.25
        assert weight.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.1)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="unknown bilinear_type 'inter': did you mean 'interaction'"):
        BilinearInteraction(3, 2, "inter")
    with pytest.raises(ValueError, match=r"inputs must have 3 fields, got shape \(1, 4, 2\)"):
        BilinearInteraction(3, 2)(torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match="reduction_ratio must be an integer of at least 1, got 0"):
        SENETLayer(3, reduction_ratio=0)
