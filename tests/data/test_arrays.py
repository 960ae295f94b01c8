"""Samples in memory: batches as slices, shuffled, cut to their longest sequence, split and weighted."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from deepctr_torch.data.arrays import ArraySource
from deepctr_torch.data.batch import LabelSpec
from deepctr_torch.data.checks import to_arrays
from deepctr_torch.data.loader import make_source
from deepctr_torch.features import FeatureSchema, SparseFeat, VarLenSparseFeat
from tests.support.sources import BY_USER, LABELS, SCHEMA, data, ids


def test_slices_in_order() -> None:
    source = make_source(SCHEMA, data(5), np.arange(5) % 2, LABELS, np.arange(5))
    assert isinstance(source, ArraySource)
    assert (source.rows, len(source), source.steps(2)) == (5, 5, 3)
    examples = list(source.batches(2))
    assert ids(examples) == [[0, 1], [2, 3], [4]]
    assert [e.y.tolist() for e in examples if e.y is not None] == [[[0.0], [1.0]], [[0.0], [1.0]], [[0.0]]]
    assert [e.weight.tolist() for e in examples if e.weight is not None] == [[0.0, 1.0], [2.0, 3.0], [4.0]]
    assert [e.batch.dense.tolist() for e in examples] == [[[0.0], [0.5]], [[1.0], [1.5]], [[2.0]]]


def test_a_batch_in_order_is_a_view() -> None:
    source = make_source(SCHEMA, data(4))
    assert isinstance(source, ArraySource)
    first = next(iter(source.batches(2)))
    assert first.batch.ids.data_ptr() == source.ids.data_ptr()


def test_shuffling_depends_on_seed_and_epoch_only() -> None:
    source = make_source(SCHEMA, data(50), np.zeros(50), LABELS)
    torch.manual_seed(1)
    np.random.seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = ids(list(source.batches(7, (3, 0))))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(2)
    np.random.seed(2)
    assert ids(list(source.batches(7, (3, 0)))) == first
    assert ids(list(source.batches(50, (3, 0))))[0] == list(chain(*first))  # one order, whatever the batch size
    others = [ids(list(source.batches(7, seed))) for seed in ((3, 1), (4, 0), (0, 3))]
    assert len({str(o) for o in [first, *others]}) == 4
    assert sorted(chain(*first)) == list(range(50))


def test_rows_stay_together_when_shuffled() -> None:
    x = {"a": np.arange(20), "d": np.arange(20.0)}
    labels = LabelSpec([("", "regression")], group_columns=["g"])
    source = make_source(SCHEMA, {**x, "g": np.arange(20)}, np.arange(20), labels, np.arange(20))
    for example in source.batches(6, (0, 0)):
        row = example.batch.ids[:, 0]
        assert example.y is not None
        assert example.weight is not None
        assert torch.equal(example.y[:, 0], row.float())
        assert torch.equal(example.weight, row.float())
        assert torch.equal(example.batch.dense[:, 0], row.float())
        assert example.groups["g"].tolist() == row.tolist()


def test_sequences_are_cut_to_the_longest_of_the_batch() -> None:
    schema = FeatureSchema(
        [
            SparseFeat("a", 9),
            VarLenSparseFeat(SparseFeat("s", 9), 4),
            VarLenSparseFeat(SparseFeat("t", 9), 3, length_name="n", weight_name="w"),
        ]
    )
    x = {
        "a": [1, 2, 3, 4],
        "s": [[1, 0, 0, 0], [1, 0, 5, 0], [0, 0, 0, 0], [1, 2, 3, 4]],
        "t": [[6, 0, 0], [6, 7, 0], [0, 0, 0], [6, 7, 8]],
        "n": [1, 2, 0, 9],
        "w": np.ones((4, 3)),
    }
    source = make_source(schema, x)
    by_two = [e.batch for e in source.batches(2)]
    assert [b.widths for b in by_two] == [(3, 2), (4, 3)]
    assert by_two[0].ids.tolist() == [[1, 1, 0, 0, 6, 0, 1], [2, 1, 0, 5, 6, 7, 2]]
    assert by_two[0].dense.shape == (2, 3)
    by_one = [e.batch for e in source.batches(1)]
    assert [b.widths for b in by_one] == [(1, 1), (3, 2), (1, 1), (4, 3)]  # an empty sequence keeps one element
    assert by_one[2].ids.tolist() == [[3, 0, 0, 0]]
    for b in by_two:
        assert torch.equal(
            schema.unpack(schema.pack(b)).ids, torch.from_numpy(to_arrays(x, schema).ids)[b.ids[:, 0].long() - 1].long()
        )


def test_split_takes_the_last_rows() -> None:
    source = make_source(SCHEMA, data(10), np.arange(10) % 2, LABELS, np.arange(10))
    assert isinstance(source, ArraySource)
    first, rest = source.split(0.25)  # int(10 * 0.75) = 7
    assert ids(list(first.batches(99))) == [[0, 1, 2, 3, 4, 5, 6]]
    (last,) = rest.batches(99)
    assert ids([last]) == [[7, 8, 9]]
    assert last.weight is not None
    assert last.weight.tolist() == [7.0, 8.0, 9.0]
    for fraction in (0.01, 0.99):
        small = make_source(SCHEMA, data(3), [0, 1, 0], LABELS)
        assert isinstance(small, ArraySource)
        if fraction == 0.99:
            with pytest.raises(
                ValueError, match=r"validation_split=0.99 of 3 rows leaves 0 to train on and 3 to validate on"
            ):
                small.split(fraction)
        else:
            assert len(small.split(fraction)[1]) == 1


def test_class_weight_multiplies_the_weights() -> None:
    labels = LABELS._replace(class_weight={1: 3.0})
    (example,) = make_source(SCHEMA, data(2), [0, 1], labels).batches(9)
    assert example.weight is not None
    assert example.weight.tolist() == [1.0, 3.0]
    (example,) = make_source(SCHEMA, data(2), [0, 1], labels, [2, 2]).batches(9)
    assert example.weight is not None
    assert example.weight.tolist() == [2.0, 6.0]


@pytest.mark.parametrize(
    "x",
    [
        {"a": [3, 3, 5], "d": [1.0, 2.0, 3.0]},
        pd.DataFrame({"a": [3, 3, 5], "d": [1.0, 2.0, 3.0]}),
        pl.DataFrame({"a": [3, 3, 5], "d": [1.0, 2.0, 3.0]}),
        pa.table({"a": [3, 3, 5], "d": [1.0, 2.0, 3.0]}),
        [[3, 3, 5], [1.0, 2.0, 3.0]],
        [np.array([[3], [3], [5]]), np.ones((3, 1))],
        np.array([[3, 1.0], [3, 2.0], [5, 3.0]]),
        torch.tensor([[3, 1.0], [3, 2.0], [5, 3.0]]),
    ],
)
def test_groups_from_a_feature(x: Any) -> None:
    (example,) = make_source(SCHEMA, x, [0, 1, 1], BY_USER).batches(9)
    assert example.groups["a"].tolist() == [3, 3, 5]


def test_groups_from_elsewhere() -> None:
    labels = LABELS._replace(group_columns=["session", "groups"])
    (example,) = make_source(
        SCHEMA, {**data(2), "session": ["x", "y"]}, [0, 1], labels, groups={"groups": [7, 8]}
    ).batches(9)
    assert example.groups["session"].tolist() == ["x", "y"]
    assert example.groups["groups"].tolist() == [7, 8]
    (example,) = make_source(SCHEMA, data(2), [0, 1], LABELS._replace(group_columns=["groups"]), groups=[7, 8]).batches(
        9
    )
    assert example.groups["groups"].tolist() == [7, 8]
    with pytest.raises(
        ValueError, match=r"needs the group 'session': give x a column 'session', or pass groups=\{'session': array\}"
    ):
        make_source(SCHEMA, data(2), [0, 1], labels)
    with pytest.raises(ValueError, match="the group 'groups' must have one value for each of 2 rows, got 3"):
        make_source(SCHEMA, {**data(2), "session": [1, 2]}, [0, 1], labels, groups={"groups": [7, 8, 9]})


def test_parts_of_a_source_make_the_source_again() -> None:
    labels = LABELS._replace(group_columns=["a"], class_weight={1: 3.0})
    source = make_source(SCHEMA, data(7), np.arange(7) % 2, labels, np.arange(7))
    assert isinstance(source, ArraySource)
    cuts = [slice(0, 2), torch.tensor([2, 3]), slice(4, None)]
    again = ArraySource.concatenate([source.part(rows) for rows in cuts])
    for one, other in zip(source.batches(3), again.batches(3), strict=True):
        assert torch.equal(one.batch.ids, other.batch.ids)
        assert torch.equal(one.batch.dense, other.batch.dense)
        assert one.y is not None
        assert other.y is not None
        assert torch.equal(one.y, other.y)
        assert one.weight is not None
        assert other.weight is not None
        assert torch.equal(one.weight, other.weight)
        assert one.groups["a"].tolist() == other.groups["a"].tolist()
    assert ArraySource.concatenate([source]) is source
