"""Pooling: exact numbers, a naive reference, empty sequences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from deepctr_torch.layers.sequence import KMaxPooling, SequencePoolingLayer, pool, pool_steps, valid_steps

VALUES = torch.tensor([[[1.0, -5.0], [3.0, -1.0], [100.0, 100.0]], [[7.0, 7.0]] * 3])
MASK = torch.tensor([[True, True, False], [False, False, False]])
MODES = {
    "sum": [[4.0, -6.0], [0.0, 0.0]],
    "mean": [[2.0, -3.0], [0.0, 0.0]],
    "max": [[3.0, -1.0], [0.0, 0.0]],
}


@pytest.mark.parametrize("mode", MODES)
def test_exact_numbers(mode: str) -> None:
    expected = torch.tensor(MODES[mode])
    assert_close(pool(VALUES, MASK, mode), expected)
    assert_close(SequencePoolingLayer(mode)([VALUES, torch.tensor([[2], [0]])]), expected.unsqueeze(1))
    assert_close(SequencePoolingLayer(mode)([VALUES, torch.tensor([2, 0])]), expected.unsqueeze(1))
    for mask in (MASK, MASK.int(), MASK.float()):
        assert_close(SequencePoolingLayer(mode, supports_masking=True)([VALUES, mask]), expected.unsqueeze(1))


def test_exact_numbers_with_weights() -> None:
    weights = torch.tensor([[3.0, 1.0, 9.0], [1.0, 1.0, 1.0]])
    assert_close(pool(VALUES, MASK, "sum", weights), torch.tensor([[6.0, -16.0], [0.0, 0.0]]))
    assert_close(pool(VALUES, MASK, "mean", weights), torch.tensor([[1.5, -4.0], [0.0, 0.0]]))
    assert_close(pool(VALUES, MASK, "max", weights), torch.tensor([[3.0, -1.0], [0.0, 0.0]]))
    assert_close(pool(VALUES, MASK, "mean", torch.zeros(2, 3)), torch.zeros(2, 2))


def naive(embeddings: Tensor, mask: Tensor, mode: str, weights: Tensor | None) -> Tensor:
    out = torch.zeros(embeddings.shape[0], embeddings.shape[2])
    for b in range(len(out)):
        valid = [t for t in range(mask.shape[1]) if mask[b, t]]
        w = [1.0 if weights is None else weights[b, t].item() for t in valid]
        items = [x * embeddings[b, t] for x, t in zip(w, valid, strict=True)]
        if items and mode == "max":
            out[b] = torch.stack(items).max(dim=0).values
        elif items and (mode == "sum" or sum(w) > 0):
            out[b] = sum(items) / (sum(w) if mode == "mean" else 1.0)
    return out


@given(
    batch=st.integers(1, 4),
    steps=st.integers(1, 5),
    mode=st.sampled_from(sorted(MODES)),
    weighted=st.booleans(),
    seed=st.integers(0, 999),
)
def test_equal_to_a_loop(batch: int, steps: int, mode: str, weighted: bool, seed: int) -> None:
    torch.manual_seed(seed)
    embeddings, mask = torch.randn(batch, steps, 3), torch.rand(batch, steps) < 0.5
    weights = (torch.rand(batch, steps) - 0.3).clamp(min=0) if weighted else None
    assert_close(pool(embeddings, mask, mode, weights), naive(embeddings, mask, mode, weights))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", [None, torch.ones(2, 3)])
def test_padding_has_no_influence_and_no_gradient(mode: str, weights: Tensor | None) -> None:
    values = VALUES.masked_fill(~MASK.unsqueeze(-1), float("nan")).requires_grad_()
    out = pool(values, MASK, mode, weights)
    assert_close(out, torch.tensor(MODES[mode]))
    out.sum().backward()
    assert (values.grad[~MASK] == 0).all()
    assert values.grad[MASK].isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_is_kept(mode: str) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        out = pool(VALUES.to(dtype), MASK, mode)
        assert out.dtype == dtype
        assert_close(out.float(), torch.tensor(MODES[mode]))


@pytest.mark.parametrize("make", [lambda: SequencePoolingLayer("men"), lambda: pool(VALUES, MASK, "men")])
def test_unknown_mode(make: object) -> None:
    with pytest.raises(ValueError, match="unknown mode 'men': did you mean 'mean'"):
        make()


def test_k_max_exact_numbers() -> None:
    x = torch.tensor([[[3.0, 1.0], [1.0, 5.0], [2.0, 4.0]]])
    assert KMaxPooling(2, 1)(x).tolist() == [[[3.0, 5.0], [2.0, 4.0]]]
    assert KMaxPooling(1, axis=-1)(x).tolist() == [[[3.0], [5.0], [4.0]]]


@given(size=st.integers(1, 6), k=st.integers(1, 6), axis=st.integers(0, 2))
def test_k_max_is_the_head_of_the_sorted_values(size: int, k: int, axis: int) -> None:
    x = torch.randn([size] * 3)
    layer = KMaxPooling(k, axis)
    if k > size:
        with pytest.raises(ValueError, match=f"k must be at most the {size} values along axis {axis}, got {k}"):
            layer(x)
    else:
        assert_close(layer(x), x.sort(dim=axis, descending=True).values.narrow(axis, 0, k), rtol=0, atol=0)


def test_k_max_refuses() -> None:
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got 0"):
        KMaxPooling(0, 1)
    with pytest.raises(ValueError, match="axis must be a dimension of the 2-dimensional input, got 2"):
        KMaxPooling(1, 2)(torch.zeros(2, 2))


@given(
    ids=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), max_size=4),
    width=st.sampled_from([1, 2, 3, 6]),
    mode=st.sampled_from(["sum", "mean", "max"]),
)
def test_steps_are_pooled_as_short_sequences(ids: list[list[int]], width: int, mode: str) -> None:
    given = torch.tensor(ids, dtype=torch.int32).reshape(-1, 6)
    values = torch.randn(len(ids), 6, 2)
    pooled, valid = pool_steps(values, given, width, mode), valid_steps(given, width)
    assert pooled.shape == (len(ids), 6 // width, 2)
    assert valid.shape == (len(ids), 6 // width)
    for step in range(6 // width):
        part = slice(step * width, (step + 1) * width)
        assert_close(pooled[:, step], pool(values[:, part], given[:, part] != 0, mode))
        assert valid[:, step].tolist() == [any(row[part]) for row in ids]
