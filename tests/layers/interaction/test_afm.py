"""AFMLayer against the attention of the AFM paper, pair by pair."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from deepctr_torch.layers.interaction import FM, AFMLayer


def test_exact() -> None:
    layer = AFMLayer(1, attention_factor=1)
    layer.attention_W.data = torch.tensor([[1.0]])
    layer.attention_b.data = torch.tensor([-1.0])
    layer.projection_h.data = torch.tensor([[math.log(2.0)]])
    layer.projection_p.data = torch.tensor([[10.0]])
    # products 2, 0, 0 -> hidden 1, 0, 0 -> weights 2/4, 1/4, 1/4 -> 10 * (2 * 2/4)
    x = torch.tensor([[[1.0], [2.0], [0.0]]])
    torch.testing.assert_close(layer(x), torch.tensor([[10.0]]))
    torch.testing.assert_close(layer.normalized_att_score, torch.tensor([[[0.5], [0.25], [0.25]]]))


@pytest.mark.parametrize("outputs", [1, 3])
def test_equals_naive(outputs: int) -> None:
    torch.manual_seed(0)
    layer = AFMLayer(4, attention_factor=3, outputs=outputs).double()
    torch.nn.init.normal_(layer.attention_b)
    x = torch.randn(5, 6, 4, dtype=torch.float64)
    for sample, result in zip(x, layer(x), strict=True):
        products = [sample[i] * sample[j] for i, j in combinations(range(6), 2)]
        scores = [layer.projection_h[:, 0] @ (p @ layer.attention_W + layer.attention_b).clamp(min=0) for p in products]
        weights = torch.stack(scores).softmax(dim=0)
        attended = sum(w * p for w, p in zip(weights, products, strict=True))
        torch.testing.assert_close(result, layer.projection_p.T @ attended)


def test_equal_attention_is_a_mean_of_fm() -> None:
    layer, x = AFMLayer(4), torch.randn(3, 5, 4)
    torch.nn.init.zeros_(layer.projection_h)
    torch.nn.init.ones_(layer.projection_p)
    torch.testing.assert_close(layer(x), FM()(x) / 10)


@pytest.mark.parametrize("outputs", [1, 2])
def test_one_field_gives_zeros(outputs: int) -> None:
    layer, x = AFMLayer(4, outputs=outputs), torch.randn(3, 1, 4, requires_grad=True)
    output = layer(x)
    torch.testing.assert_close(output, torch.zeros(3, outputs), rtol=0, atol=0)
    output.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    torch.testing.assert_close(layer([x]), torch.zeros(3, outputs), rtol=0, atol=0)


def test_no_field_gives_zeros() -> None:
    torch.testing.assert_close(AFMLayer(4)(torch.zeros(3, 0, 4)), torch.zeros(3, 1), rtol=0, atol=0)


def test_scores_are_kept_detached_and_not_in_the_state() -> None:
    layer = AFMLayer(4, attention_factor=3)
    assert layer.normalized_att_score is None
    layer(torch.randn(2, 5, 4))
    assert layer.normalized_att_score.shape == (2, 10, 1)
    assert not layer.normalized_att_score.requires_grad
    torch.testing.assert_close(layer.normalized_att_score.sum(dim=1), torch.ones(2, 1))
    assert {key: tuple(value.shape) for key, value in layer.state_dict().items()} == {
        "attention_W": (4, 3),
        "attention_b": (3,),
        "projection_h": (3, 1),
        "projection_p": (4, 1),
    }


def test_scores_do_not_break_a_compiled_forward() -> None:
    torch.compiler.reset()
    layer = AFMLayer(4)
    x = torch.randn(2, 3, 4)
    expected = layer(x)
    score = layer.normalized_att_score
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), expected)
    layer(x)
    torch.testing.assert_close(layer.normalized_att_score, score)


def test_dropout_works_on_the_attended_sum() -> None:
    torch.manual_seed(0)
    layer, x = AFMLayer(4, dropout_rate=0.9), torch.randn(200, 3, 4)
    torch.nn.init.ones_(layer.projection_p)
    assert (layer(x) == 0).double().mean().item() == pytest.approx(0.9**4, abs=0.1)
    layer.eval()
    assert (layer(x) != 0).all()


def test_start() -> None:
    torch.manual_seed(0)
    layer = AFMLayer(300, attention_factor=100)
    assert layer.attention_W.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert layer.projection_p.std().item() == pytest.approx((2 / 301) ** 0.5, rel=0.15)
    for weight in (layer.attention_W, layer.projection_p):  # normal, not uniform: beyond the square root of 3
        assert weight.abs().max() > 2 * weight.std()
    assert layer.attention_b.count_nonzero() == 0


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"dropout_rate must be in \[0, 1\), got 1"):
        AFMLayer(4, dropout_rate=1)
    with pytest.raises(ValueError, match="outputs must be an integer of at least 1, got 0"):
        AFMLayer(4, outputs=0)
