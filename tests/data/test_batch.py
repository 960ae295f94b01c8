"""The order of an epoch, rows of tensors, and batches moved tensor by tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.data.batch import map_tensors, permutation, take_rows
from deepctr_torch.data.loader import make_source
from tests.support.sources import LABELS, SCHEMA, data


@pytest.mark.parametrize("rows", [1, 2, 1_000])
def test_the_order_of_an_epoch_is_the_permutation_of_its_seed(rows: int) -> None:
    order = permutation(rows, [3, 1])
    assert order.dtype == torch.int32
    np.testing.assert_array_equal(order.numpy(), np.random.default_rng([3, 1]).permutation(rows))


def test_a_slice_of_rows_is_a_view_and_numbers_of_rows_are_copied() -> None:
    values = torch.arange(6.0)
    assert take_rows(values, slice(2, 4)).data_ptr() == values[2:].data_ptr()
    assert take_rows(values, torch.tensor([5, 0])).tolist() == [5.0, 0.0]


@pytest.mark.parametrize("weight", [None, [1, 2, 3]])
def test_every_tensor_of_a_batch_is_moved_and_nothing_else(weight: list[int] | None) -> None:
    (batch,) = make_source(SCHEMA, data(3), [0, 1, 0], LABELS._replace(group_columns=["a"]), weight).batches(3)
    moved = map_tensors(batch, lambda values: values.to("meta"))
    tensors = [moved.batch.ids, moved.batch.dense, moved.y, *([] if weight is None else [moved.weight])]
    assert all(values is not None and values.device.type == "meta" for values in tensors)
    assert (moved.weight is None) == (weight is None)
    assert moved.batch.widths == batch.batch.widths
    np.testing.assert_array_equal(moved.groups["a"], batch.groups["a"])
