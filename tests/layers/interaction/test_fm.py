"""FM and bi-interaction pooling: exact numbers and the sum over pairs as the papers write it."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepctr_torch.layers.interaction import FM
from deepctr_torch.layers.interaction.fm import BiInteractionPooling

THREE_FIELDS = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]])


def test_fm_exact() -> None:
    # 1*3 + 2*4 + 1*5 + 2*6 + 3*5 + 4*6 = 67; 0 + 2 + 2 = 4
    torch.testing.assert_close(FM()(THREE_FIELDS), torch.tensor([[67.0], [4.0]]))


def test_bi_interaction_exact() -> None:
    torch.testing.assert_close(BiInteractionPooling()(THREE_FIELDS), torch.tensor([[[23.0, 44.0]], [[2.0, 2.0]]]))


@settings(deadline=None, max_examples=25)
@given(batch=st.integers(1, 4), fields=st.integers(2, 6), width=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_equal_to_the_sum_over_pairs(batch: int, fields: int, width: int, seed: int) -> None:
    x = torch.randn(batch, fields, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    products = sum(x[:, i] * x[:, j] for i, j in combinations(range(fields), 2))
    torch.testing.assert_close(BiInteractionPooling()(x), products.unsqueeze(1))
    torch.testing.assert_close(FM()(x), products.sum(dim=1, keepdim=True))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_order_of_fields_does_not_matter(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 5, 4, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(FM()(x[:, torch.randperm(5, generator=generator)]), FM()(x))


@pytest.mark.parametrize("fields", [0, 1])
def test_no_pair_gives_zeros(fields: int) -> None:
    x = torch.randn(3, fields, 4)
    torch.testing.assert_close(FM()(x), torch.zeros(3, 1), rtol=0, atol=0)
    torch.testing.assert_close(BiInteractionPooling()(x), torch.zeros(3, 1, 4), rtol=0, atol=0)
