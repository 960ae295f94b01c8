"""InteractingLayer against AutoInt's equations, head by head and field by field."""

from __future__ import annotations

import math

import pytest
import torch

from deepctr_torch.layers.interaction import InteractingLayer


def test_exact() -> None:
    layer = InteractingLayer(1, head_num=1)
    layer.W_Query.data = torch.tensor([[1.0]])
    layer.W_key.data = torch.tensor([[math.log(3.0)]])
    layer.W_Value.data = torch.tensor([[4.0]])
    layer.W_Res.data = torch.tensor([[-1.0]])
    # field 0 = 1: weights 3/4 and 1/4 -> 4 * 3/4 - 1 = 2; field 1 = 0: equal weights -> 2
    torch.testing.assert_close(layer(torch.tensor([[[1.0], [0.0]]])), torch.tensor([[[2.0], [2.0]]]))
    expected = torch.tensor([[[[0.75, 0.25], [0.5, 0.5]]]])
    torch.testing.assert_close(layer.normalized_att_scores, expected)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("use_res", [True, False])
@pytest.mark.parametrize("scaling", [True, False])
def test_equals_naive(heads: int, use_res: bool, scaling: bool) -> None:
    torch.manual_seed(0)
    fields, width = 3, 4
    layer = InteractingLayer(width, heads, use_res, scaling).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, fields, width, dtype=torch.float64)
    result, part = layer(x), width // heads
    for b, sample in enumerate(x):
        for m in range(fields):
            heads_out = []
            for h in range(heads):
                columns = slice(h * part, (h + 1) * part)
                query = sample[m] @ layer.W_Query[:, columns]
                scores = torch.stack([query @ (sample[k] @ layer.W_key[:, columns]) for k in range(fields)])
                weights = (scores / part**0.5 if scaling else scores).softmax(dim=0)
                heads_out.append(sum(weights[k] * (sample[k] @ layer.W_Value[:, columns]) for k in range(fields)))
                torch.testing.assert_close(layer.normalized_att_scores[h, b, m], weights)
            expected = torch.cat(heads_out, dim=0) + (sample[m] @ layer.W_Res if use_res else 0)
            torch.testing.assert_close(result[b, m], expected.clamp(min=0))


def test_order_of_fields_is_carried_along() -> None:
    layer, x, order = InteractingLayer(4), torch.randn(2, 5, 4), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order])


def test_scores_are_kept_detached_and_not_in_the_state() -> None:
    layer = InteractingLayer(6, head_num=3)
    assert layer.normalized_att_scores is None
    layer(torch.randn(2, 5, 6))
    assert layer.normalized_att_scores.shape == (3, 2, 5, 5)
    assert not layer.normalized_att_scores.requires_grad
    torch.testing.assert_close(layer.normalized_att_scores.sum(dim=3), torch.ones(3, 2, 5))
    assert list(layer.state_dict()) == ["W_Query", "W_key", "W_Value", "W_Res"]
    assert list(InteractingLayer(6, use_res=False).state_dict()) == ["W_Query", "W_key", "W_Value"]


def test_start() -> None:
    torch.manual_seed(0)
    for parameter in InteractingLayer(100).parameters():
        assert parameter.std().item() == pytest.approx(0.05, rel=0.05)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="embedding_size must be a multiple of head_num = 3, got 4"):
        InteractingLayer(4, head_num=3)
    with pytest.raises(ValueError, match="head_num must be an integer of at least 1, got 0"):
        InteractingLayer(4, head_num=0)
    with pytest.raises(
        TypeError, match="InteractingLayer has no argument 'in_features': did you mean 'embedding_size'"
    ):
        InteractingLayer(in_features=4)
