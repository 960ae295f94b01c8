"""Batches that somebody else makes: each is checked before the step that uses it, and none is read ahead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from deepctr_torch.data.loader import make_source
from deepctr_torch.data.stream import StreamSource, is_stream
from tests.support.sources import BY_USER, LABELS, SCHEMA, data, ids


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
    assert ids(list(source.batches(99))) == [[0, 1], [0], [0, 1, 2]]
    assert list(source.batches(99)) == []  # read once, it is exhausted


def test_a_generator_is_not_read_ahead() -> None:
    read = []

    def stream() -> Iterator[Any]:
        for i in range(3):
            read.append(i)
            yield data(1), [0]

    examples = make_source(SCHEMA, stream(), None, LABELS).batches(1)
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
        examples = list(source.batches(99))
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
    (example,) = make_source(SCHEMA, iter([items[kind]])).batches(9)
    assert example.y is None
    assert example.batch.ids.tolist() == [[3], [4]]
    assert example.batch.dense.tolist() == [[1.5], [2.5]]


def test_stream_weights_and_groups() -> None:
    stream = [({"a": [3, 4], "d": [1.0, 2.0]}, [0, 1], [0.5, 2.0])]
    labels = BY_USER._replace(class_weight={1: 3.0})
    (example,) = make_source(SCHEMA, iter(stream), None, labels).batches(9)
    assert example.weight is not None
    assert example.weight.tolist() == [0.5, 6.0]
    assert example.groups["a"].tolist() == [3, 4]


def test_stream_errors_name_the_batch_and_the_row() -> None:
    bad = [({"a": [1, 2], "d": [0.0, 0.0]}, [0, 1]), ({"a": [1, 2, 100], "d": [0.0, 0.0, 0.0]}, [0, 1, 1])]
    examples = iter(make_source(SCHEMA, iter(bad), None, LABELS).batches(9))
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
        list(make_source(SCHEMA, iter([item]), None, LABELS).batches(9))
    assert str(caught.value) == message


def test_errors_of_the_stream_itself_pass() -> None:
    def broken() -> Iterator[Any]:
        yield data(1), [0]
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        list(make_source(SCHEMA, broken(), None, LABELS).batches(1))


@pytest.mark.parametrize("extra", [{"y": [1]}, {"weight": [1]}, {"groups": [1]}])
def test_streams_carry_their_own_labels(extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a stream of batches carries its own labels"):
        make_source(SCHEMA, batches(1), labels=LABELS, **extra)
