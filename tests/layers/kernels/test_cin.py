"""Weighted sums of products by chunks, against the two operations that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepctr_torch.layers.kernels import cin as _compressed
from deepctr_torch.layers.kernels.cin import compress, compress_plain

K, G, H, N = 3, 2, 4, 150  # with the smallest chunks: 64, 64 and 22 columns


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compressed, "_IN_CACHE", 1)


def _inputs(columns: int = N, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(s, dtype=dtype, requires_grad=True) for s in ((K, columns), (G, columns), (H, K * G))]


def test_the_sum_by_hand() -> None:
    left, right = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0]])
    assert compress(left, right, torch.tensor([[1.0, 10.0]])).tolist() == [[5 + 150, 12 + 240]]


@pytest.mark.parametrize("columns", [0, 1, 64, N])
def test_chunks_change_nothing(columns: int) -> None:
    inputs = _inputs(columns)
    out, plain = compress(*inputs), compress_plain(*inputs)
    torch.testing.assert_close(out, plain)
    grad = torch.randn_like(out)
    torch.testing.assert_close(torch.autograd.grad(out, inputs, grad), torch.autograd.grad(plain, inputs, grad))


def test_first_and_second_derivatives() -> None:
    inputs = _inputs(70)
    assert torch.autograd.gradcheck(compress, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(compress, _inputs(3))


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 1)])
def test_only_what_is_asked_for_has_a_gradient(needed: tuple[int, ...]) -> None:
    inputs = _inputs()
    plain = torch.autograd.grad(compress_plain(*inputs).sum(), [inputs[i] for i in needed])
    for i, tensor in enumerate(inputs):
        tensor.requires_grad_(i in needed)
    compress(*inputs).sum().backward()
    assert [i for i, tensor in enumerate(inputs) if tensor.grad is not None] == list(needed)
    torch.testing.assert_close(tuple(inputs[i].grad for i in needed), plain)


def test_no_gradient_at_all() -> None:
    with torch.no_grad():
        assert not compress(*_inputs()).requires_grad
    assert not compress(*(t.detach() for t in _inputs())).requires_grad


def test_autocast_meta_and_compilers_take_the_plain_formula() -> None:
    inputs = _inputs(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert compress(*inputs).dtype == torch.bfloat16
    assert compress(*(t.detach().to("meta") for t in inputs)).shape == (H, N)
    traced = torch.compile(compress, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(*inputs), compress_plain(*inputs))
