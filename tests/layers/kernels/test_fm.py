"""The hand-written gradient of the factorization machine, and where the plain formula stands in for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepctr_torch.layers.kernels.autograd import eager
from deepctr_torch.layers.kernels.fm import fm_interaction


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("fields", [1, 2, 5])
def test_gradients_of_the_factorization_machine(fields: int) -> None:
    vectors = numbers(3, fields, 4).requires_grad_()
    assert torch.autograd.gradcheck(fm_interaction, (vectors,))
    expected = [sum(float(v[i] @ v[j]) for i in range(fields) for j in range(i + 1, fields)) for v in vectors.detach()]
    torch.testing.assert_close(fm_interaction(vectors)[:, 0], torch.tensor(expected, dtype=torch.float64))


def test_without_fields_there_are_no_pairs() -> None:
    assert fm_interaction(torch.zeros(3, 0, 4)).tolist() == [[0.0], [0.0], [0.0]]


def test_where_a_graph_is_recorded_or_transformed_the_plain_formulas_stand() -> None:
    seen: list[bool] = []

    def spy(x: Tensor) -> Tensor:
        seen.append(eager(x))
        return fm_interaction(x).sum()

    vectors = numbers(3, 2, 4)
    per_sample = torch.func.vmap(torch.func.grad(lambda v: spy(v.unsqueeze(0))))(vectors)
    vectors.requires_grad_()
    spy(vectors).backward()
    assert seen == [False, True]
    torch.testing.assert_close(per_sample, vectors.grad)
    with torch.no_grad():
        assert not eager(vectors)
    assert not eager(torch.empty(2, device="meta"))


def test_second_derivatives() -> None:
    assert torch.autograd.gradgradcheck(lambda v: fm_interaction(v) ** 3, (numbers(3, 4, 2).requires_grad_(),))
