"""Sources: arrays in memory as slices, streams of batches checked one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from deepctr_torch.data.arrays import to_arrays
from deepctr_torch.data.sources import (
    ArraySource,
    LabeledBatch,
    LabelSpec,
    StreamSource,
    is_stream,
    make_source,
    permutation,
)
from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat, VarLenSparseFeat

SCHEMA = FeatureSchema([SparseFeat("a", 100), DenseFeat("d")])
LABELS = LabelSpec([("", "binary")])


def data(rows: int) -> dict[str, Any]:
    return {"a": np.arange(rows), "d": np.arange(rows) / 2}


def ids(examples: list[LabeledBatch]) -> list[list[int]]:
    return [e.batch.ids[:, 0].tolist() for e in examples]


# ---------------------------------------------------------------------------------------------- in memory


def test_slices_in_order() -> None:
    source = make_source(SCHEMA, data(5), np.arange(5) % 2, LABELS, np.arange(5))
    assert isinstance(source, ArraySource)
    assert (source.rows, len(source), source.steps(2)) == (5, 5, 3)
    examples = list(source.examples(2))
    assert ids(examples) == [[0, 1], [2, 3], [4]]
    assert [e.y.tolist() for e in examples if e.y is not None] == [[[0.0], [1.0]], [[0.0], [1.0]], [[0.0]]]
    assert [e.weight.tolist() for e in examples if e.weight is not None] == [[0.0, 1.0], [2.0, 3.0], [4.0]]
    assert [e.batch.dense.tolist() for e in examples] == [[[0.0], [0.5]], [[1.0], [1.5]], [[2.0]]]


def test_a_batch_in_order_is_a_view() -> None:
    source = make_source(SCHEMA, data(4))
    assert isinstance(source, ArraySource)
    first = next(iter(source.examples(2)))
    assert first.batch.ids.data_ptr() == source.ids.data_ptr()


def test_shuffling_depends_on_seed_and_epoch_only() -> None:
    source = make_source(SCHEMA, data(50), np.zeros(50), LABELS)
    torch.manual_seed(1)
    np.random.seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = ids(list(source.examples(7, (3, 0))))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(2)
    np.random.seed(2)
    assert ids(list(source.examples(7, (3, 0)))) == first
    assert ids(list(source.examples(50, (3, 0))))[0] == list(chain(*first))  # one order, whatever the batch size
    others = [ids(list(source.examples(7, seed))) for seed in ((3, 1), (4, 0), (0, 3))]
    assert len({str(o) for o in [first, *others]}) == 4
    assert sorted(chain(*first)) == list(range(50))


def test_rows_stay_together_whenshuffled() -> None:
    x = {"a": np.arange(20), "d": np.arange(20.0)}
    labels = LabelSpec([("", "regression")], group_columns=["g"])
    source = make_source(SCHEMA, {**x, "g": np.arange(20)}, np.arange(20), labels, np.arange(20))
    for example in source.examples(6, (0, 0)):
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
    by_two = [e.batch for e in source.examples(2)]
    assert [b.widths for b in by_two] == [(3, 2), (4, 3)]
    assert by_two[0].ids.tolist() == [[1, 1, 0, 0, 6, 0, 1], [2, 1, 0, 5, 6, 7, 2]]
    assert by_two[0].dense.shape == (2, 3)
    by_one = [e.batch for e in source.examples(1)]
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
    assert ids(list(first.examples(99))) == [[0, 1, 2, 3, 4, 5, 6]]
    (last,) = rest.examples(99)
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
    (example,) = make_source(SCHEMA, data(2), [0, 1], labels).examples(9)
    assert example.weight is not None
    assert example.weight.tolist() == [1.0, 3.0]
    (example,) = make_source(SCHEMA, data(2), [0, 1], labels, [2, 2]).examples(9)
    assert example.weight is not None
    assert example.weight.tolist() == [2.0, 6.0]


def test_labels_must_come() -> None:
    with pytest.raises(ValueError, match="labels are missing: pass y"):
        make_source(SCHEMA, data(2), None, LABELS)
    with pytest.raises(ValueError, match="2 inputs, 3 labels"):
        make_source(SCHEMA, data(2), [0, 1, 1], LABELS)


# ---------------------------------------------------------------------------------------------- groups

BY_USER = LABELS._replace(group_columns=["a"])


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
    (example,) = make_source(SCHEMA, x, [0, 1, 1], BY_USER).examples(9)
    assert example.groups["a"].tolist() == [3, 3, 5]


def test_groups_from_elsewhere() -> None:
    labels = LABELS._replace(group_columns=["session", "groups"])
    (example,) = make_source(
        SCHEMA, {**data(2), "session": ["x", "y"]}, [0, 1], labels, groups={"groups": [7, 8]}
    ).examples(9)
    assert example.groups["session"].tolist() == ["x", "y"]
    assert example.groups["groups"].tolist() == [7, 8]
    (example,) = make_source(
        SCHEMA, data(2), [0, 1], LABELS._replace(group_columns=["groups"]), groups=[7, 8]
    ).examples(9)
    assert example.groups["groups"].tolist() == [7, 8]
    with pytest.raises(
        ValueError, match=r"needs the group 'session': give x a column 'session', or pass groups=\{'session': array\}"
    ):
        make_source(SCHEMA, data(2), [0, 1], labels)
    with pytest.raises(ValueError, match="the group 'groups' must have one value for each of 2 rows, got 3"):
        make_source(SCHEMA, {**data(2), "session": [1, 2]}, [0, 1], labels, groups={"groups": [7, 8, 9]})


# ---------------------------------------------------------------------------------------------- streams


def batches(*sizes: int) -> Iterator[tuple[dict[str, Any], Any]]:
    for size in sizes:
        yield data(size), np.zeros(size)


def test_what_is_a_stream() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(2, 2), torch.zeros(2)))
    for stream in (batches(1), iter([1]), loader, map(str, [1])):
        assert is_stream(stream)
    for held in (
        {},
        [],
        (),
        np.zeros(2),
        torch.zeros(2),
        pd.DataFrame(),
        pl.DataFrame(),
        pa.table({}),
        "file.csv",
        3,
        None,
    ):
        assert not is_stream(held)


def test_generator() -> None:
    source = make_source(SCHEMA, batches(2, 1, 3), None, LABELS)
    assert isinstance(source, StreamSource)
    assert source.once
    assert source.rows is None
    assert source.steps(99) is None
    assert ids(list(source.examples(99))) == [[0, 1], [0], [0, 1, 2]]
    assert list(source.examples(99)) == []  # read once, it is exhausted


def test_a_generator_is_not_read_ahead() -> None:
    read = []

    def stream() -> Iterator[Any]:
        for i in range(3):
            read.append(i)
            yield data(1), [0]

    examples = make_source(SCHEMA, stream(), None, LABELS).examples(1)
    assert read == []
    next(iter(examples))
    assert read == [0]


class Rows(Dataset[Any]):
    """Five rows, each a dict of inputs and a label."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> Any:
        return {"a": i, "d": i / 2}, float(i % 2)


class Endless(IterableDataset[Any]):
    """Rows of a stream whose length nobody knows."""

    def __iter__(self) -> Iterator[Any]:
        for i in range(5):
            yield {"a": i, "d": i / 2}, float(i % 2)


@pytest.mark.parametrize(
    "dataset",
    [
        TensorDataset(torch.stack([torch.arange(5.0), torch.arange(5.0) / 2], dim=1), torch.arange(5) % 2),
        TensorDataset(torch.stack([torch.arange(5), torch.zeros(5).long()], dim=1), torch.arange(5) % 2, torch.ones(5)),
        Rows(),
        Endless(),
    ],
)
def test_data_loader(dataset: Any) -> None:
    loader = DataLoader(dataset, batch_size=2)
    state = torch.get_rng_state()
    source = make_source(SCHEMA, loader, None, LABELS)
    assert torch.equal(torch.get_rng_state(), state)  # asking whether it can be read again starts no iteration
    assert isinstance(source, StreamSource)
    assert not source.once
    assert source.steps(99) == (None if isinstance(dataset, Endless) else 3)
    for _ in range(2):  # it can be read again
        examples = list(source.examples(99))
        assert ids(examples) == [[0, 1], [2, 3], [4]]
        assert [e.y.flatten().tolist() for e in examples if e.y is not None] == [[0.0, 1.0], [0.0, 1.0], [0.0]]


@pytest.mark.parametrize(
    "kind", ["labelled dicts", "dicts", "labelled matrices", "TensorDataset of one", "lists", "frames"]
)
def test_streams_to_predict(kind: str) -> None:
    matrix = np.array([[3, 1.5], [4, 2.5]])
    items: dict[str, Any] = {
        "labelled dicts": ({"a": [3, 4], "d": [1.5, 2.5]}, [0, 1]),
        "dicts": {"a": [3, 4], "d": [1.5, 2.5]},
        "labelled matrices": (torch.from_numpy(matrix), torch.zeros(2), torch.ones(2)),
        "TensorDataset of one": [torch.from_numpy(matrix)],
        "lists": [np.array([[3], [4]]), np.array([[1.5], [2.5]])],  # two inputs, not an input and its label
        "frames": pd.DataFrame({"a": [3, 4], "d": [1.5, 2.5]}),
    }
    (example,) = make_source(SCHEMA, iter([items[kind]])).examples(9)
    assert example.y is None
    assert example.batch.ids.tolist() == [[3], [4]]
    assert example.batch.dense.tolist() == [[1.5], [2.5]]


def test_stream_weights_and_groups() -> None:
    stream = [({"a": [3, 4], "d": [1.0, 2.0]}, [0, 1], [0.5, 2.0])]
    labels = BY_USER._replace(class_weight={1: 3.0})
    (example,) = make_source(SCHEMA, iter(stream), None, labels).examples(9)
    assert example.weight is not None
    assert example.weight.tolist() == [0.5, 6.0]
    assert example.groups["a"].tolist() == [3, 4]


def test_stream_errors_name_the_batch_and_the_row() -> None:
    bad = [({"a": [1, 2], "d": [0.0, 0.0]}, [0, 1]), ({"a": [1, 2, 100], "d": [0.0, 0.0, 0.0]}, [0, 1, 1])]
    examples = iter(make_source(SCHEMA, iter(bad), None, LABELS).examples(9))
    next(examples)  # the first batch is used before the second is looked at
    with pytest.raises(ValueError) as caught:
        next(examples)
    assert str(caught.value).startswith(
        "batch 1 of the stream: ids of 'a' must be in [0, 100) (its vocabulary_size is 100), got 100 in row 4"
    )


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (
            {"a": [1], "d": [1.0]},
            ValueError,
            "batch 0 of the stream: an item of the stream must be (x, y) or (x, y, sample_weight), got dict",
        ),
        (
            (1, 2, 3, 4),
            ValueError,
            "batch 0 of the stream: an item of the stream must be (x, y) or (x, y, sample_weight), got tuple",
        ),
        (
            (3, [1]),
            TypeError,
            "batch 0 of the stream: inputs must be a dict, list, 2-D array, table or iterable of batches, got int",
        ),
        (
            ({"a": [1], "d": [1.0]}, [3]),
            ValueError,
            "batch 0 of the stream: labels must be in [0, 1] for a binary task, got 3.0 in row 0",
        ),
        (
            ({"a": [1], "d": [1.0]}, [1], [-1]),
            ValueError,
            "batch 0 of the stream: sample_weight must be finite and >= 0, got -1.0 in row 0",
        ),
        (({"a": [], "d": []}, []), ValueError, "batch 0 of the stream: the input is empty: at least one row is needed"),
    ],
)
def test_bad_items(item: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        list(make_source(SCHEMA, iter([item]), None, LABELS).examples(9))
    assert str(caught.value) == message


def test_errors_of_the_stream_itself_pass() -> None:
    def broken() -> Iterator[Any]:
        yield data(1), [0]
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        list(make_source(SCHEMA, broken(), None, LABELS).examples(1))


@pytest.mark.parametrize("extra", [{"y": [1]}, {"weight": [1]}, {"groups": [1]}])
def test_streams_carry_their_own_labels(extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a stream of batches carries its own labels"):
        make_source(SCHEMA, batches(1), labels=LABELS, **extra)


@pytest.mark.parametrize("rows", [1, 2, 1_000])
def test_the_order_of_an_epoch_is_the_permutation_of_its_seed(rows: int) -> None:
    order = permutation(rows, [3, 1])
    assert order.dtype == torch.int32
    np.testing.assert_array_equal(order.numpy(), np.random.default_rng([3, 1]).permutation(rows))
