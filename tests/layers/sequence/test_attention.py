"""Attention pooling: exact numbers, the paper's formula in loops, empty histories."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.layers.sequence import AttentionSequencePoolingLayer

B, T, E = 4, 5, 2
LENGTHS = torch.tensor([[5], [2], [1], [0]])
MASK = torch.arange(T) < LENGTHS


def build(**arguments: object) -> AttentionSequencePoolingLayer:
    layer = AttentionSequencePoolingLayer((3,), embedding_dim=E, **arguments)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(B, 1, E), torch.randn(B, T, E)


@pytest.mark.parametrize("normalised", [False, True])
def test_exact_numbers(normalised: bool) -> None:
    layer = AttentionSequencePoolingLayer((), embedding_dim=1, weight_normalization=normalised)
    with torch.no_grad():
        layer.local_att.dense.weight.copy_(torch.tensor([[0.0, 1.0, 0.0, 0.0]]))  # the score is the key
        layer.local_att.dense.bias.zero_()
    keys = torch.tensor([[[0.0], [0.6931472], [9.0]]])
    out = layer(torch.ones(1, 1, 1), keys, torch.tensor([[2]]))
    expected = 0.6931472 * 2 / 3 if normalised else 0.6931472**2
    assert_close(out, torch.tensor([[[expected]]]))


@pytest.mark.parametrize("normalised", [False, True])
def test_equal_to_loops(normalised: bool) -> None:
    layer, (query, keys) = build(weight_normalization=normalised), data()
    out = layer(query, keys, LENGTHS)
    assert out.shape == (B, 1, E)
    for b in range(B):
        positions = range(LENGTHS[b].item())
        scores = [layer.local_att(query[b : b + 1], keys[b : b + 1, t : t + 1]).reshape(()) for t in positions]
        if normalised and scores:
            scores = list(torch.softmax(torch.stack(scores), dim=0))
        expected = sum((s * keys[b, t] for s, t in zip(scores, positions, strict=True)), torch.zeros(E))
        assert_close(out[b, 0], expected)


@pytest.mark.parametrize("normalised", [False, True])
def test_scores(normalised: bool) -> None:
    layer, (query, keys) = build(weight_normalization=normalised, return_score=True), data()
    scores = layer(query, keys, LENGTHS)
    assert scores.shape == (B, 1, T)
    assert (scores[:, 0][~MASK] == 0).all()
    if normalised:
        assert_close(scores.sum(dim=-1), torch.tensor([[1.0], [1.0], [1.0], [0.0]]))
    layer.return_score = False
    assert_close(layer(query, keys, LENGTHS), scores @ keys)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "dice"])
def test_empty_history_is_zero_with_finite_gradients(normalised: bool, activation: str) -> None:
    layer, (query, keys) = build(weight_normalization=normalised, att_activation=activation), data()
    keys.requires_grad_()
    out = layer(query, keys, torch.zeros(B, 1, dtype=torch.long))
    assert (out == 0).all()
    out = layer(query, keys, LENGTHS)
    assert (out[3] == 0).all()
    (out**2).sum().backward()
    assert (keys.grad[~MASK] == 0).all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("normalised", [False, True])
def test_padding_and_its_length_change_nothing(normalised: bool) -> None:
    layer, (query, keys) = build(weight_normalization=normalised, att_activation="dice"), data()
    out = layer(query, keys, LENGTHS)
    longer = torch.cat([keys.masked_fill(~MASK.unsqueeze(-1), 77.0), torch.full((B, 3, E), -9.0)], dim=1)
    layer.local_att.dnn.activation_layers[0].bn.reset_running_stats()
    assert_close(layer(query, longer, LENGTHS), out)


@pytest.mark.parametrize("shape", [(B, T), (B, 1, T)])
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_mask_stands_for_lengths(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    layer, (query, keys) = build(supports_masking=True), data()
    expected = build()
    expected.load_state_dict(layer.state_dict())
    assert_close(layer(query, keys, None, MASK.to(dtype).reshape(shape)), expected(query, keys, LENGTHS))


def test_keys() -> None:
    keys = {"dnn.linears.0.weight", "dnn.linears.0.bias", "dense.weight", "dense.bias"}
    assert set(build().state_dict()) == {f"local_att.{key}" for key in keys}


def test_attention_net_arguments() -> None:
    layer = AttentionSequencePoolingLayer((300,), "dice", embedding_dim=50, dropout_rate=0.5, use_bn=True, init_std=0.3)
    net = layer.local_att.dnn
    assert net.dropout.p == 0.5
    assert len(net.bn) == 1
    assert net.linears[0].weight.std().item() == pytest.approx(0.3, rel=0.05)


def test_refuses() -> None:
    query, keys = data()
    with pytest.raises(TypeError, match="att_hidden_size"):
        AttentionSequencePoolingLayer(att_hidden_size=(3,))
    with pytest.raises(ValueError, match="mask must be given when supports_masking is True, got None"):
        build(supports_masking=True)(query, keys, LENGTHS)
    with pytest.raises(ValueError, match="keys_length or mask must be given, got None for both"):
        build()(query, keys)


@pytest.mark.parametrize("normalised", [False, True])
def test_leaving_padding_out_changes_no_number(normalised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Dice, whose statistics are those of the valid positions."""
    torch.manual_seed(0)
    layers = [AttentionSequencePoolingLayer((6, 4), "dice", normalised, embedding_dim=3).double() for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    inputs = torch.randn(4, 1, 3, dtype=torch.float64), torch.randn(4, 5, 3, dtype=torch.float64)
    lengths = torch.tensor([5, 0, 2, 3])
    left_out = layers[0](*inputs, lengths)
    monkeypatch.setattr("deepctr_torch.layers.sequence.attention.valid_rows", lambda _: None)
    torch.testing.assert_close(left_out, layers[1](*inputs, lengths))
    torch.testing.assert_close(dict(layers[0].named_buffers()), dict(layers[1].named_buffers()))
