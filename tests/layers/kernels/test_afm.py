"""Attention over the products of all pairs, pair by pair; gradients: see `test_autograd.py`."""

from __future__ import annotations

from itertools import combinations

import torch

from deepctr_torch.layers.kernels.afm import attended_pairs


def test_a_mean_of_the_products_weighted_by_their_scores() -> None:
    fields, weight, bias, projection = (torch.randn(s).double() for s in ((3, 4, 5), (5, 2), (2,), (2, 1)))
    pooled, scores = attended_pairs(fields.requires_grad_(), weight, bias, projection)
    for sample in range(3):
        products = torch.stack([fields[sample, i] * fields[sample, j] for i, j in combinations(range(4), 2)])
        logits = torch.stack([torch.relu(p @ weight + bias) @ projection for p in products]).squeeze(1)
        torch.testing.assert_close(scores[sample], logits.softmax(dim=0).detach())
        torch.testing.assert_close(pooled[sample], scores[sample] @ products)


def test_scores_of_pairs_sum_to_one_and_have_no_gradient() -> None:
    inputs = [torch.randn(s).double().requires_grad_() for s in ((5, 4, 3), (3, 2), (2,), (2, 1))]
    scores = attended_pairs(*inputs)[1]
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert not scores.requires_grad
