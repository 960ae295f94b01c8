"""Hand-written gradients against the plain formulas that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from deepctr_torch.layers.kernels import afm as _attended
from deepctr_torch.layers.kernels import afn as _powers
from deepctr_torch.layers.kernels import autograd as _by_hand
from deepctr_torch.layers.kernels import pairwise as _pairwise

F, E, P = 4, 3, 6


class Case(NamedTuple):
    by_hand: Callable[..., Tensor]
    plain: Callable[..., Tensor]
    shapes: list[tuple[int, ...]]  # of the arguments, after the samples; those that have no samples: see `shared`
    shared: int  # how many of the last arguments have no samples
    places: tuple[Tensor, ...] = ()  # further arguments, integers


MATES = _pairwise.Mates.of(torch.tensor([0, 3, 4]), torch.tensor([5, 1, 2]))
CASES = {
    "pair_products": Case(_pairwise.pair_products, _pairwise._pair_products, [(F, E), (F, E)], 0),
    "pair_products-without-last": Case(_pairwise.pair_products, _pairwise._pair_products, [(F - 1, E), (F, E)], 0),
    "bilinear_products": Case(_pairwise.bilinear_products, _pairwise._bilinear_products, [(F, E), (P, E, E)], 1),
    "mate_products": Case(
        lambda v, d, *m: _pairwise.mate_products(v, d, _pairwise.Mates(*m)),
        _pairwise._mate_products,
        [(6, E), (2,)],
        0,
        tuple(MATES),
    ),
    "attended_pairs": Case(
        lambda *a: _attended.attended_pairs(*a)[0], _attended._plain, [(F, E), (E, 2), (2,), (2, 1)], 3
    ),
    "normalized_powers": Case(
        lambda *a: _powers.normalized_powers(*a, eps=1e-3)[0],
        partial(_powers._plain, eps=1e-3),
        [(E, F), (F, 5), (5,), (E,), (E,)],
        4,
    ),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 2 samples, and of 16 where less is never taken."""
    monkeypatch.setattr(_by_hand, "_IN_CACHE", 40)
    monkeypatch.setattr(_attended, "_IN_CACHE", 1)


def arguments(case: Case, batch: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    own = len(case.shapes) - case.shared
    shapes = [(batch, *s) if i < own else s for i, s in enumerate(case.shapes)]
    return [torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes]


@each_case
@pytest.mark.parametrize("batch", [2, 5, 37])
def test_equal_to_the_plain_formula(case: Case, batch: int) -> None:
    inputs = arguments(case, batch)
    out, plain = case.by_hand(*inputs, *case.places), case.plain(*inputs, *case.places)
    torch.testing.assert_close(out, plain)
    grad = torch.randn_like(out)
    torch.testing.assert_close(torch.autograd.grad(out, inputs, grad), torch.autograd.grad(plain, inputs, grad))


@each_case
def test_first_and_second_derivatives(case: Case) -> None:
    def run(*inputs: Tensor) -> Tensor:
        return case.by_hand(*inputs, *case.places)

    assert torch.autograd.gradcheck(run, arguments(case, 17), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, arguments(case, 3), fast_mode=True)


@each_case
def test_one_input_alone_may_need_a_gradient(case: Case) -> None:
    for number in range(len(case.shapes)):
        inputs = [t.detach().requires_grad_(i == number) for i, t in enumerate(arguments(case, 5))]
        out, plain = case.by_hand(*inputs, *case.places), case.plain(*inputs, *case.places)
        weight = torch.randn_like(out)
        (got,) = torch.autograd.grad((out * weight).sum(), inputs[number])
        torch.testing.assert_close(got, torch.autograd.grad((plain * weight).sum(), inputs[number])[0])


@each_case
def test_no_gradient_no_sample_no_columns_in_a_row(case: Case) -> None:
    inputs = arguments(case, 5)
    with torch.no_grad():
        assert not case.by_hand(*inputs, *case.places).requires_grad
    turned = [t.detach().transpose(0, -1).contiguous().transpose(0, -1) for t in inputs]
    torch.testing.assert_close(case.by_hand(*turned, *case.places), case.plain(*inputs, *case.places).detach())
    if case is not CASES["normalized_powers"]:  # without samples there is no mean
        empty = arguments(case, 0)
        out = case.by_hand(*empty, *case.places)
        out.sum().backward()
        assert out.shape[0] == 0
        assert empty[0].grad is not None


@each_case
def test_meta_autocast_and_compilers_take_the_plain_formula(case: Case) -> None:
    inputs = arguments(case, 5, torch.float32)
    plain = case.plain(*inputs, *case.places)
    on_meta: list[Any] = [t.detach().to("meta") for t in (*inputs, *case.places)]
    assert case.by_hand(*on_meta).shape == plain.shape
    with torch.autocast("cpu", torch.bfloat16):
        assert case.by_hand(*inputs, *case.places).shape == plain.shape
    compiled = torch.compile(case.by_hand, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs, *case.places), plain)


@each_case
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch, at the first jvp
def test_transforms_take_the_plain_formula(case: Case) -> None:
    inputs = [t.detach() for t in arguments(case, 5)]
    number = len(case.shapes) - case.shared

    def total(*some: Tensor) -> Tensor:
        return case.by_hand(*some, *inputs[number:], *case.places).square().sum()

    own = [t.requires_grad_() for t in inputs[:number]]
    expected = torch.autograd.grad(total(*own), own)
    detached = [t.detach() for t in own]
    every = tuple(range(number))
    torch.testing.assert_close(torch.func.grad(total, every)(*detached), expected)
    ones = tuple(torch.ones_like(t) for t in detached)
    _, along = torch.func.jvp(total, tuple(detached), ones)
    torch.testing.assert_close(along, torch.stack([g.sum() for g in expected]).sum())
    with forward_ad.dual_level():
        dual = total(*(forward_ad.make_dual(t, one) for t, one in zip(detached, ones, strict=True)))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, along)
    if case is not CASES["normalized_powers"]:  # whose samples depend on each other
        each = torch.func.vmap(torch.func.grad(lambda *v: total(*(t.unsqueeze(0) for t in v)), every))(*detached)
        torch.testing.assert_close(each, expected)
    assert torch.func.hessian(total)(*detached).isfinite().all()
