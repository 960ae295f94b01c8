"""The linear layer over parts against autograd's, and where the plain formula stands in for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepctr_torch.layers.core import DNN
from deepctr_torch.layers.kernels.linear import linear_of_parts


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradients_of_the_linear_layer_over_parts() -> None:
    parts = [numbers(3, 2).requires_grad_(), numbers(3, 3, seed=1), numbers(3, 1, seed=2).requires_grad_()]
    weight, bias = numbers(4, 6, seed=3).requires_grad_(), numbers(4, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, c, w, b: linear_of_parts([a, parts[1], c], w, b), (parts[0], parts[2], weight, bias)
    )
    assert torch.autograd.gradcheck(lambda a, w: linear_of_parts([a, *parts[1:]], w, None), (parts[0], weight))
    out = linear_of_parts(parts, weight, bias)
    torch.testing.assert_close(out, nn.functional.linear(torch.cat(parts, dim=1), weight, bias))
    assert type(out.grad_fn).__name__ == "_LinearOfPartsBackward"


def test_frozen_weights_get_no_gradient() -> None:
    part, other = numbers(3, 2).requires_grad_(), numbers(3, 3)
    weight = numbers(4, 5)
    linear_of_parts([part, other], weight, None).sum().backward()
    assert part.grad is not None
    torch.testing.assert_close(part.grad, weight[:, :2].sum(dim=0).expand(3, 2))
    assert weight.grad is None


def test_second_derivatives() -> None:
    parts = [numbers(3, 2).requires_grad_(), numbers(3, 3, seed=1), numbers(3, 1, seed=2).requires_grad_()]
    weight, bias = numbers(4, 6, seed=3).requires_grad_(), numbers(4, seed=4).requires_grad_()

    def cubed(a: Tensor, c: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return linear_of_parts([a, parts[1], c], w, b) ** 3

    assert torch.autograd.gradgradcheck(cubed, (parts[0], parts[2], weight, bias))
    assert torch.autograd.gradgradcheck(cubed, (parts[0], parts[2], weight))
    assert torch.autograd.gradgradcheck(lambda a: cubed(a, parts[2].detach(), weight.detach()), (parts[0],))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
def test_compiled_and_eager_agree() -> None:
    torch.manual_seed(0)
    dnn = DNN(7, (4, 2), init_std=0.5).double()
    parts = [numbers(3, 5).requires_grad_(), numbers(3, 2, seed=1)]

    def both(function: Any) -> tuple[Tensor, ...]:
        out = function(parts).sum()
        return (out, *torch.autograd.grad(out, [parts[0], *dnn.parameters()]))

    compiled = torch.compile(lambda p: dnn(p), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(both(compiled), both(dnn))
    torch.testing.assert_close(both(dnn), both(lambda p: dnn(torch.cat(p, dim=1))))


HOOKS = ["forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("of_all_modules", [False, True])
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # of the modules around, whose input is a list
def test_hooks_of_the_first_layer_are_called(hook: str, of_all_modules: bool) -> None:
    dnn = DNN(3, (2,))
    seen: list[nn.Module] = []

    def note(module: nn.Module, *_: Any) -> None:
        seen.append(module)

    owner: Any = torch.nn.modules.module if of_all_modules else dnn.linears[0]
    handle = getattr(owner, f"register_module_{hook}" if of_all_modules else f"register_{hook}")(note)
    try:
        dnn([torch.ones(1, 2, requires_grad=True), torch.ones(1, 1)]).sum().backward()
    finally:
        handle.remove()
    assert seen.count(dnn.linears[0]) == 1


def test_without_layers_the_parts_lie_side_by_side() -> None:
    assert DNN(3, ())([torch.ones(1, 2), torch.ones(1, 1)]).shape == (1, 3)
