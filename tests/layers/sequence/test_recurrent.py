"""AGRU and AUGRU: the paper's formula unit by unit, packed and padded sequences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

from deepctr_torch.layers.sequence import AGRUCell, AUGRUCell, DynamicGRU

CELLS = {"AGRU": AGRUCell, "AUGRU": AUGRUCell}
B, T, INPUT, HIDDEN = 4, 5, 3, 2
LENGTHS = torch.tensor([3, 5, 1, 3])


def fill(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter)


def naive(cell: nn.Module, kind: str, x: Tensor, h: Tensor, a: float) -> list[float]:
    """One step of one sample, in plain numbers: blocks reset, update, candidate."""

    def affine(weight: Tensor, bias: Tensor | None, v: Tensor, row: int) -> float:
        total = sum(weight[row, i].item() * v[i].item() for i in range(len(v)))
        return total + (0.0 if bias is None else bias[row].item())

    out = []
    for i in range(len(h)):
        of_x = [affine(cell.weight_ih, cell.bias_ih, x, block * len(h) + i) for block in range(3)]
        of_h = [affine(cell.weight_hh, cell.bias_hh, h, block * len(h) + i) for block in range(3)]
        reset, update = (1 / (1 + math.exp(-(of_x[block] + of_h[block]))) for block in (0, 1))
        candidate = math.tanh(of_x[2] + reset * of_h[2])
        update = a if kind == "AGRU" else a * update
        out.append((1 - update) * h[i].item() + update * candidate)
    return out


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_cell_follows_the_paper(kind: str, bias: bool) -> None:
    cell = CELLS[kind](INPUT, HIDDEN, bias)
    fill(cell)
    x, h, a = torch.randn(B, INPUT), torch.randn(B, HIDDEN), torch.rand(B, 1)
    expected = torch.tensor([naive(cell, kind, x[b], h[b], a[b].item()) for b in range(B)])
    assert_close(cell(x, h, a), expected)
    assert_close(cell(x, h, a.squeeze(1)), expected)


@pytest.mark.parametrize(("kind", "expected"), [("AGRU", 0.8021839), ("AUGRU", 0.9010920)])
def test_cell_exact_numbers(kind: str, expected: float) -> None:
    cell = CELLS[kind](1, 1)
    nn.init.zeros_(cell.weight_ih)
    nn.init.zeros_(cell.weight_hh)
    with torch.no_grad():
        cell.weight_ih[2] = 0.7  # the candidate alone sees the input: tanh(0.7) = 0.6043678
    x, h = torch.ones(1, 1), torch.ones(1, 1)
    assert_close(cell(x, h, torch.full((1, 1), 0.5)), torch.tensor([[expected]]))


def test_augru_with_full_attention_is_a_gru_with_the_gate_turned_round() -> None:
    cell, gru = AUGRUCell(INPUT, HIDDEN), nn.GRUCell(INPUT, HIDDEN)
    gru.load_state_dict(cell.state_dict())
    with torch.no_grad():
        for name, parameter in gru.named_parameters():
            parameter[HIDDEN : 2 * HIDDEN] *= -1
            assert parameter.shape == cell.get_parameter(name).shape
    x, h = torch.randn(B, INPUT), torch.randn(B, HIDDEN)
    assert_close(cell(x, h, torch.ones(B, 1)), gru(x, h))


@pytest.mark.parametrize("kind", CELLS)
def test_biases_are_two_and_values_start_well(kind: str) -> None:
    cell = CELLS[kind](INPUT, 100)
    assert {k: tuple(v.shape) for k, v in cell.state_dict().items()} == {
        "weight_ih": (300, INPUT),
        "weight_hh": (300, 100),
        "bias_ih": (300,),
        "bias_hh": (300,),
    }
    assert cell.bias_ih is not cell.bias_hh
    assert cell.bias_ih.abs().sum() == cell.bias_hh.abs().sum() == 0
    assert 0.09 < cell.weight_hh.abs().max().item() <= 0.1
    assert set(CELLS[kind](INPUT, 2, bias=False).state_dict()) == {"weight_ih", "weight_hh"}


@pytest.mark.parametrize("shape", [(B, T), (B, T, 1), (B, 1, T)])
@pytest.mark.parametrize("first", [None, (B, HIDDEN), (1, B, HIDDEN)])
@pytest.mark.parametrize("kind", CELLS)
def test_sweep_is_step_by_step(kind: str, first: tuple[int, ...] | None, shape: tuple[int, ...]) -> None:
    gru = DynamicGRU(INPUT, HIDDEN, gru_type=kind)
    fill(gru)
    x, scores = torch.randn(B, T, INPUT), torch.rand(B, T)
    hx = None if first is None else torch.randn(first)
    out = gru(x, scores.reshape(shape), hx)
    assert out.shape == (B, T, HIDDEN)
    state = torch.zeros(B, HIDDEN) if hx is None else hx.reshape(B, HIDDEN)
    for t in range(T):
        state = gru.rnn(x[:, t], state, scores[:, t])
        assert_close(out[:, t], state)


@pytest.mark.parametrize("flat_scores", [True, False])
@pytest.mark.parametrize("with_state", [True, False])
def test_packed_is_padded(with_state: bool, flat_scores: bool) -> None:
    gru = DynamicGRU(INPUT, HIDDEN, gru_type="AUGRU")
    fill(gru)
    x, scores = torch.randn(B, T, INPUT), torch.rand(B, T, 1)
    hx = torch.randn(B, HIDDEN) if with_state else None

    def pack(sequence: Tensor) -> object:
        return pack_padded_sequence(sequence, LENGTHS, batch_first=True, enforce_sorted=False)

    out, reference = gru(pack(x), pack(scores.squeeze(-1) if flat_scores else scores), hx), pack(gru(x, scores, hx))
    assert_close(out.data, reference.data)
    for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        assert_close(getattr(out, field), getattr(reference, field), rtol=0, atol=0)
    assert_close(pad_packed_sequence(out, batch_first=True)[1], LENGTHS)


def test_packed_in_given_order() -> None:
    gru, lengths = DynamicGRU(INPUT, HIDDEN), torch.tensor([5, 3, 3, 1])
    x, scores, hx = torch.randn(B, T, INPUT), torch.rand(B, T), torch.randn(B, HIDDEN)
    packed = [pack_padded_sequence(each, lengths, batch_first=True) for each in (x, scores, gru(x, scores, hx))]
    out = gru(packed[0], packed[1], hx)
    assert out.sorted_indices is None
    assert_close(out.data, packed[2].data)


def test_hidden_size_defaults_to_the_input_size() -> None:
    assert DynamicGRU(3)(torch.randn(2, 4, 3), torch.rand(2, 4)).shape == (2, 4, 3)
    assert list(DynamicGRU(3).state_dict()) == ["rnn.weight_ih", "rnn.weight_hh", "rnn.bias_ih", "rnn.bias_hh"]


def test_refuses() -> None:
    x, scores = torch.randn(B, T, INPUT), torch.rand(B, T)
    with pytest.raises(ValueError, match="unknown gru_type 'AUGRUU': did you mean 'AUGRU'"):
        DynamicGRU(3, gru_type="AUGRUU")
    with pytest.raises(ValueError, match="input_size must be an integer of at least 1, got 0"):
        AGRUCell(0, 1)
    with pytest.raises(ValueError, match="hidden_size must be an integer of at least 1, got 0"):
        AGRUCell(1, 0)
    with pytest.raises(ValueError, match="att_scores must be given, got None"):
        DynamicGRU(INPUT)(x)
    with pytest.raises(TypeError, match="both be tensors or both packed"):
        DynamicGRU(INPUT)(x, pack_padded_sequence(scores, torch.tensor([5, 5, 5, 5]), batch_first=True))
