"""Inner and outer product layers of PNN, pair by pair."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from deepctr_torch.layers.interaction import InnerProductLayer, OutterProductLayer

THREE_FIELDS = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
KERNELS = ["mat", "vec", "num"]


def test_inner_exact() -> None:
    torch.testing.assert_close(InnerProductLayer()(THREE_FIELDS), torch.tensor([[[11.0], [17.0], [39.0]]]))
    expected = torch.tensor([[[3.0, 8.0], [5.0, 12.0], [15.0, 24.0]]])
    torch.testing.assert_close(InnerProductLayer(reduce_sum=False)(THREE_FIELDS), expected)


def test_outer_exact() -> None:
    mat, vec, num = (OutterProductLayer(3, 2, kind) for kind in KERNELS)
    # kernel[i, p, j] multiplies the second field's i and the first field's j; pair 0 picks j = 1, i = 0; pair 2 all
    mat.kernel.data = torch.tensor([[[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]])
    torch.testing.assert_close(mat(THREE_FIELDS), torch.tensor([[2.0 * 3.0, 0.0, (3.0 + 4.0) * (5.0 + 6.0)]]))
    vec.kernel.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    torch.testing.assert_close(vec(THREE_FIELDS), torch.tensor([[3.0, 12.0, -9.0]]))
    num.kernel.data = torch.tensor([[1.0], [2.0], [-1.0]])
    torch.testing.assert_close(num(THREE_FIELDS), torch.tensor([[11.0, 34.0, -39.0]]))


@pytest.mark.parametrize("fields", [2, 6])
def test_inner_equals_naive(fields: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, fields, 3, dtype=torch.float64)
    products = torch.stack([x[:, i] * x[:, j] for i, j in combinations(range(fields), 2)], dim=1)
    torch.testing.assert_close(InnerProductLayer(reduce_sum=False)(x), products)
    torch.testing.assert_close(InnerProductLayer()(x), products.sum(dim=2, keepdim=True))


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("fields", [2, 5])
def test_outer_equals_naive(kind: str, fields: int) -> None:
    torch.manual_seed(0)
    layer, x = OutterProductLayer(fields, 3, kind).double(), torch.randn(4, fields, 3, dtype=torch.float64)
    for sample, result in zip(x, layer(x), strict=True):
        for p, (i, j) in enumerate(combinations(range(fields), 2)):
            outer = torch.outer(sample[j], sample[i])  # second field by first field
            if kind == "mat":
                expected = (layer.kernel[:, p] * outer).sum()
            else:
                expected = (layer.kernel[p] * outer.diagonal()).sum()
            torch.testing.assert_close(result[p], expected)


def test_one_field_has_no_pair() -> None:
    x = torch.randn(3, 1, 4)
    assert InnerProductLayer()(x).shape == (3, 0, 1)
    assert InnerProductLayer(reduce_sum=False)([x]).shape == (3, 0, 4)
    for kind in KERNELS:
        layer = OutterProductLayer(1, 4, kind)
        assert layer(x).shape == (3, 0)
        assert layer.state_dict() == {}


@pytest.mark.parametrize(("kind", "shape"), [("mat", (4, 3, 4)), ("vec", (3, 4)), ("num", (3, 1))])
def test_kernel(kind: str, shape: tuple[int, ...]) -> None:
    layer = OutterProductLayer(3, 4, kind)
    assert {key: tuple(value.shape) for key, value in layer.state_dict().items()} == {"kernel": shape}


def test_start() -> None:
    torch.manual_seed(0)
    # Xavier-uniform on [E, P, E]: fans P E and E E
    kernel = OutterProductLayer(20, 8, "mat").kernel
    bound = (6 / (190 * 8 + 8 * 8)) ** 0.5
    assert kernel.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert kernel.abs().max() <= bound


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="unknown kernel_type 'matrix': did you mean 'mat'"):
        OutterProductLayer(3, 4, "matrix")
    with pytest.raises(TypeError, match="no argument 'filed_size': did you mean 'field_size'"):
        OutterProductLayer(filed_size=3, embedding_size=4)
    with pytest.raises(ValueError, match=r"inputs must have 3 fields, got shape \(1, 2, 4\)"):
        OutterProductLayer(3, 4)(torch.zeros(1, 2, 4))
