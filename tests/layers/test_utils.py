"""Joining tensors, slicing arrays, masks from lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from deepctr_torch.layers.utils import concat_fun, sequence_mask, slice_arrays, valid_rows


def test_concat_fun() -> None:
    a, b = torch.ones(2, 1), torch.zeros(2, 2)
    assert_close(concat_fun([a, b]), torch.tensor([[1.0, 0.0, 0.0]] * 2))
    assert_close(concat_fun([b, b], axis=0), torch.zeros(4, 2))
    assert concat_fun([a]) is a
    with pytest.raises(ValueError, match="inputs must hold at least one tensor"):
        concat_fun([])


def test_slice_arrays_of_one_array() -> None:
    array = np.arange(5)
    assert slice_arrays(array, 1, 3).tolist() == [1, 2]
    assert slice_arrays(array, 3).tolist() == [3, 4]
    assert slice_arrays(array, stop=2).tolist() == [0, 1]
    assert slice_arrays(array, np.array([4, 0])).tolist() == [4, 0]
    assert slice_arrays(array, [4, 0]).tolist() == [4, 0]


def test_slice_arrays_of_lists() -> None:
    a, b = np.arange(4), np.arange(4, 8)
    assert [x.tolist() for x in slice_arrays([a, b], 1, 3)] == [[1, 2], [5, 6]]
    assert [x.tolist() for x in slice_arrays([a, b], [3, 0])] == [[3, 0], [7, 4]]
    one = slice_arrays([a], 2)
    assert isinstance(one, list)
    assert one[0].tolist() == [2, 3]
    assert slice_arrays([None, a], 3)[0] is None
    assert slice_arrays(None) == [None]


def test_slice_arrays_refuses_rows_and_stop() -> None:
    with pytest.raises(ValueError, match="stop must be None when start lists rows, got 2"):
        slice_arrays([np.arange(3)], [0], 2)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_sequence_mask(shape: tuple[int, ...]) -> None:
    mask = sequence_mask(torch.tensor([0, 2, 9]).reshape(shape), 3)
    assert mask.tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_valid_rows_are_left_to_no_compiler_and_no_accelerator() -> None:
    mask = torch.tensor([[True, False], [False, True]])
    rows = valid_rows(mask)
    assert rows is not None
    assert rows.tolist() == [0, 3]
    assert valid_rows(mask.to("meta")) is None
    compiled = torch.compile(lambda m: m.sum() if valid_rows(m) is None else m, backend="eager", fullgraph=True)
    assert compiled(mask).item() == 2
