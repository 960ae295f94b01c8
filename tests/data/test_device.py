"""Where batches go: with a stand-in for the device all but the copies themselves, and those where there is CUDA."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from deepctr_torch.data import device as device_module
from deepctr_torch.data.arrays import ArraySource
from deepctr_torch.data.batch import LabeledBatch, LabelSpec, map_tensors
from deepctr_torch.data.device import AsyncScalar, CudaCopier, DeviceArraySource, PrefetchSource, on_device
from deepctr_torch.data.file_source import FileSource
from deepctr_torch.data.loader import make_source
from deepctr_torch.data.stream import StreamSource
from tests.support.training import assert_same_weights, deepfm, inputs, labels, source_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Fake(CudaCopier):
    """A device whose copies are copies on the host, and that writes down what it is asked for."""

    def __init__(self, free: int = 10**9) -> None:
        super().__init__(CPU)
        self.free, self.held, self.events = free, 0, []

    def free_bytes(self) -> int:
        return self.free

    def store(self, values: torch.Tensor) -> torch.Tensor:
        self.held += values.numel() * values.element_size()
        return values.clone()

    def send(self, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    def begin(self, example: LabeledBatch) -> Any:
        number = sum(e.startswith("begin") for e in self.events)
        self.events.append(f"begin {number}")
        return map_tensors(example, self.send), number

    def finish(self, begun: Any) -> LabeledBatch:
        self.events.append(f"finish {begun[1]}")
        return begun[0]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(device_module, "copier_for", lambda device: made)
    return made


def assert_same_batches(one: Any, other: Any) -> None:
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.batch.widths == b.batch.widths
        pairs = [(a.batch.ids, b.batch.ids), (a.batch.dense, b.batch.dense), (a.y, b.y), (a.weight, b.weight)]
        for mine, its in pairs:
            assert (mine is None) == (its is None)
            if mine is not None:
                assert torch.equal(mine.cpu(), its.cpu())
        assert a.groups.keys() == b.groups.keys()
        assert all((a.groups[n] == b.groups[n]).all() for n in a.groups)
        assert a.complete == b.complete


def sources() -> Iterator[ArraySource]:
    """With sequences, groups and weights; with weights of classes; for prediction."""
    model, x, y = deepfm(), inputs(40), labels(40)
    some = LabelSpec(model.tasks, None, ["session"])
    yield make_source(model.schema, x, y, some, np.arange(40))  # type: ignore[misc]
    yield source_of(model, x, y)
    weighted = LabelSpec(model.tasks, None, (), {1: 3.0})
    yield make_source(model.schema, x, y, weighted, np.arange(40))  # type: ignore[misc]
    yield make_source(model.schema, x)  # type: ignore[misc]


@pytest.mark.parametrize("source", list(sources()), ids=["groups", "plain", "classes", "unlabelled"])
@pytest.mark.parametrize("seed", [None, [1, 2]])
def test_batches_are_those_of_the_source(source: ArraySource, seed: Any, fake: Fake) -> None:
    resident = on_device(source, CUDA)
    ahead = on_device(source, CUDA, passes=1)
    assert isinstance(resident, DeviceArraySource)
    assert isinstance(ahead, PrefetchSource)
    for made in (resident, ahead):
        assert (made.rows, made.steps(16)) == (40, 3)
        assert_same_batches(made.batches(16, seed), source.batches(16, seed))


def test_data_move_once_and_an_order_once_an_epoch(fake: Fake) -> None:
    source = next(sources())
    resident = on_device(source, CUDA)
    data = 40 * (source.ids.shape[1] + source.dense.shape[1] + 1 + 1) * 4
    assert fake.held == data
    for epoch in range(2):
        list(resident.batches(16, [epoch]))
    list(resident.batches(16))
    assert fake.held == data + 2 * 40 * 4


def test_data_move_to_the_device_if_they_fit_into_a_quarter_of_its_memory(fake: Fake) -> None:
    source = next(sources())
    needed = 40 * (source.ids.shape[1] + source.dense.shape[1] + 1 + 1 + 1) * 4
    fake.free = 4 * needed
    assert isinstance(on_device(source, CUDA), DeviceArraySource)
    fake.free -= 1
    assert isinstance(on_device(source, CUDA), PrefetchSource)
    assert isinstance(on_device(source, CUDA, passes=1), PrefetchSource)


def test_one_batch_is_copied_ahead(fake: Fake) -> None:
    batches = on_device(next(sources()), CUDA, passes=1).batches(16)
    next(batches)
    assert fake.events == ["begin 0", "begin 1", "finish 0"]
    next(batches)
    assert fake.events[3:] == ["begin 2", "finish 1"]
    next(batches)
    assert fake.events[5:] == ["finish 2"]
    assert next(batches, None) is None


def test_streams_and_files_are_not_read_ahead(fake: Fake, tmp_path: Any) -> None:
    model = deepfm(columns=[c for c in deepfm().schema.ids])
    x, y = inputs(40), labels(40)
    given = ({n: v[i : i + 8] for n, v in x.items()} for i in range(0, 40, 8))
    stream = on_device(StreamSource(model.schema, given, None), CUDA)
    assert isinstance(stream, PrefetchSource)
    assert stream.once
    assert stream.rows is None
    next(stream.batches(8))
    assert len(list(given)) == 4
    pl.DataFrame({"user": x["user"], "item": x["item"], "y": y}).write_parquet(tmp_path / "a.parquet")
    files = make_source(model.schema, str(tmp_path / "a.parquet"), "y", LabelSpec(model.tasks), training=True)
    assert isinstance(files, FileSource)
    ahead = on_device(files, CUDA)
    batches = ahead.batches(16, [1])
    next(batches)
    assert files.position.rows == 16
    assert_same_batches(ahead.batches(16, [1]), files.batches(16, [1]))
    assert fake.events == []


def test_nothing_changes_on_the_cpu_or_for_what_is_placed(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(sources())
    placed = on_device(source, CUDA)
    assert on_device(placed, CUDA) is placed
    monkeypatch.undo()
    assert on_device(source, CPU) is source
    assert on_device(source, torch.device("meta")) is source


def test_what_callers_ask_of_a_source_is_that_of_the_source_on_the_device_too(fake: Fake) -> None:
    for source in sources():
        for made in (on_device(source, CUDA), on_device(source, CUDA, passes=1)):
            for name in ("rows", "batch_size", "weighted", "once", "negative_rate"):
                assert getattr(made, name) == getattr(source, name)


def test_a_prefetch_source_can_be_copied(fake: Fake) -> None:
    ahead = on_device(next(sources()), CUDA, passes=1)
    assert_same_batches(copy.deepcopy(ahead).batches(16), ahead.batches(16))


@pytest.mark.parametrize("free", [10**9, 0], ids=["resident", "ahead"])
def test_training_is_the_same_bit_for_bit(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = inputs(60), labels(60)
    made = []
    for copier in (None, Fake(free)):
        monkeypatch.setattr(device_module, "copier_for", lambda device, p=copier: p)
        model = deepfm()
        model.compile("adam", "binary_crossentropy", metrics=["auc", "gauc:session"])
        how = {"sample_weight": np.linspace(0, 1, 60), "class_weight": {1: 2.0}, "validation_split": 0.3}
        history = model.fit(x, y, batch_size=16, epochs=3, verbose=0, **how).history
        made.append((model, history, model.predict(x), model.evaluate(x, y)))
        if copier is not None:
            assert bool(copier.held) == bool(free)
            assert copier.events != []  # predict and evaluate
    assert_same_weights(made[0][0], made[1][0])
    assert made[0][1] == made[1][1]
    np.testing.assert_array_equal(made[0][2], made[1][2])
    assert made[0][3] == made[1][3]


class LateForMeta(AsyncScalar):
    """Numbers of the meta device, which arrive when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.here, self.started = 9.0, False, 0

    def _start(self, number: torch.Tensor) -> Any:
        self.started += 1
        return torch.tensor(float(self.started)), lambda: self.here


def test_a_late_number_is_the_last_that_arrived() -> None:
    late, number = LateForMeta(), torch.zeros((), device="meta")
    assert late.read(number, 2.0) == 9.0
    assert late.read(number, 4.0) == 9.0  # has not arrived: no other is asked for
    assert late.started == 1
    late.here = True
    assert late.read(number, 4.0) == 0.5
    assert late.read(number, 8.0) == 2 / 4
    assert late.started == 3


def test_a_number_of_the_host_is_not_late() -> None:
    late = AsyncScalar()
    assert late.read(0.0, 1) == 0.0
    assert late.read(torch.tensor(3.0), 2) == 1.5
    assert late.read(torch.tensor(4.0), 2) == 2.0


# ---------------------------------------------------------------------------------------------- with a device


@pytest.mark.cuda
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("seed", [None, [1, 2]])
def test_batches_on_cuda_are_those_of_the_source(passes: int, seed: Any) -> None:
    for source in sources():
        placed = on_device(source, torch.device("cuda", 0), passes)
        found = list(placed.batches(16, seed))
        assert all(example.batch.ids.is_cuda for example in found)
        assert_same_batches(found, source.batches(16, seed))


@pytest.mark.cuda
def test_a_late_number_of_cuda() -> None:
    late = AsyncScalar()
    assert late.read(torch.tensor(3.0, device="cuda"), 2) == 1.5
    late.read(torch.tensor(5.0, device="cuda"), 2)
    torch.cuda.synchronize()
    assert late.read(torch.tensor(7.0, device="cuda"), 2) == 2.5
