"""Products of pairs of fields, pair by pair; gradients: see `test_autograd.py`."""

from __future__ import annotations

from itertools import combinations

import torch

from deepctr_torch.layers.kernels.pairwise import Mates, bilinear_products, mate_products, pair_products, pairs, runs

PAIRS = list(combinations(range(4), 2))


def test_pairs_come_in_the_order_of_combinations() -> None:
    first, second = pairs(4, torch.device("cpu"))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == PAIRS
    for i, run in runs(4):
        assert PAIRS[run] == [p for p in PAIRS if p[0] == i]


def test_a_product_for_each_pair() -> None:
    left, right = torch.randn(2, 4, 3).requires_grad_(), torch.randn(2, 4, 3)
    expected = torch.stack([left[:, i] * right[:, j] for i, j in PAIRS], dim=1)
    assert torch.equal(pair_products(left, right), expected)
    assert torch.equal(pair_products(left[:, :-1], right), expected)


def test_a_matrix_for_each_pair() -> None:
    fields, weight = torch.randn(2, 4, 3).requires_grad_(), torch.randn(6, 3, 3)
    expected = torch.stack(
        [(fields[:, i] @ w.t()) * fields[:, j] for (i, j), w in zip(PAIRS, weight, strict=True)], dim=1
    )
    torch.testing.assert_close(bilinear_products(fields, weight), expected)


def test_mates_and_what_stands_beside_them() -> None:
    vectors, beside = torch.randn(2, 4, 3).requires_grad_(), torch.randn(2, 2)
    mates = Mates.of(torch.tensor([0, 3]), torch.tensor([2, 1]))
    expected = torch.cat([vectors[:, 0] * vectors[:, 2], vectors[:, 3] * vectors[:, 1], beside], dim=1)
    assert torch.equal(mate_products(vectors, beside, mates), expected)
