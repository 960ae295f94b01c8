"""Batches on a CUDA device: data that fit live there, others come ahead of the step, and nothing waits for a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .sources import ArraySource, DataSource, LabeledBatch, take_rows

__all__ = [
    "AsyncScalar",
    "DeviceArraySource",
    "Placement",
    "PrefetchSource",
    "map_tensors",
    "on_device",
    "placement_of",
    "to_device",
]

SHARE = 4  # data in memory move to the device if they take at most one part in so many of its free memory

Moved = tuple[LabeledBatch, Any]


class Placement:
    """A CUDA device, as far as data need one; all else is independent of CUDA and tested with a stand-in.

    Args:
        device: where batches are used.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._side: Any = None

    def free_bytes(self) -> int:
        """Memory that nobody uses."""
        return int(torch.cuda.mem_get_info(self.device)[0])

    def hold(self, values: Tensor) -> Tensor:
        """A copy on the device, to stay there."""
        return values.to(self.device)

    def send(self, values: Tensor) -> Tensor:
        """A copy of part of a batch, by way of pinned memory, so that the program goes on."""
        pinned = values.pin_memory() if values.numel() and values.device.type == "cpu" else values
        return pinned.to(self.device, non_blocking=True)

    def begin(self, example: LabeledBatch) -> Moved:
        """Start copying a batch beside the work of the device."""
        if self._side is None:
            self._side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._side):
            return map_tensors(example, self.send), self._side.record_event()

    def finish(self, begun: Moved) -> LabeledBatch:
        """The batch, for whatever the device is given from now on."""
        example, copied = begun
        now = torch.cuda.current_stream(self.device)
        now.wait_event(copied)
        return map_tensors(example, lambda values: _used_by(values, now))


def _used_by(values: Tensor, stream: Any) -> Tensor:
    """Memory of a side stream that another stream reads must not be given away before it has."""
    values.record_stream(stream)
    return values


def placement_of(device: torch.device) -> Placement | None:
    """None where batches are used as they come."""
    return Placement(device) if device.type == "cuda" else None


def map_tensors(example: LabeledBatch, move: Callable[[Tensor], Tensor]) -> LabeledBatch:
    """The example with every tensor moved."""
    batch = example.batch
    y, weight = (None if t is None else move(t) for t in (example.y, example.weight))
    return example._replace(batch=batch._replace(ids=move(batch.ids), dense=move(batch.dense)), y=y, weight=weight)


def to_device(example: LabeledBatch, device: torch.device) -> LabeledBatch:
    """The example with its tensors on `device`."""
    if device.type == "cpu":
        return example
    return map_tensors(example, lambda values: values.to(device, non_blocking=True))


class DeviceArraySource:
    """Data in memory that live on the device, in the batches and the order of the source.

    An epoch's order is made on the host, by the same generator, and copied once; what is looked at on the host (the
    lengths of sequences, group columns) stays there.
    """

    def __init__(self, source: ArraySource, placement: Placement) -> None:
        self.source, self.placement = source, placement
        self.rows = source.rows
        self.ids, self.dense = placement.hold(source.ids), placement.hold(source.dense)
        weight = source.weights(slice(None))
        self.y, self.weight = (None if t is None else placement.hold(t) for t in (source.y, weight))

    def steps(self, batch_size: int) -> int:
        return self.source.steps(batch_size)

    def examples(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        order = self.source.order(seed)
        there = None if order is None else self.placement.hold(order)
        for start in range(0, len(self.source), batch_size):
            rows = slice(start, start + batch_size)
            if order is None or there is None:
                yield self._take(rows, rows)
            else:
                yield self._take(order[rows], there[rows])

    def _take(self, rows: slice | Tensor, there: slice | Tensor) -> LabeledBatch:
        """The batch of these rows, numbered on the host and on the device."""
        ids, dense = take_rows(self.ids, there), take_rows(self.dense, there)
        y, weight = (None if t is None else take_rows(t, there) for t in (self.y, self.weight))
        return self.source.example(rows, ids, dense, y, weight)


class PrefetchSource:
    """The batches of a source, copied to the device as they come.

    Args:
        source: anything; what else it has (a position in files, ...) is had here too.
        placement: the device.
        ahead: copy one batch while the one before it is used. A source that knows its position must not be read ahead.
    """

    def __init__(self, source: DataSource, placement: Placement, ahead: bool) -> None:
        self.source, self.placement, self.ahead = source, placement, ahead
        self.rows = source.rows

    def __getattr__(self, name: str) -> Any:
        if name == "source":  # asked for while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self.source, name)

    def steps(self, batch_size: int) -> int | None:
        return self.source.steps(batch_size)

    def examples(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        examples = self.source.examples(batch_size, seed)
        if not self.ahead:
            yield from (map_tensors(example, self.placement.send) for example in examples)
            return
        begun: Moved | None = None
        for example in examples:
            coming = self.placement.begin(example)
            if begun is not None:
                yield self.placement.finish(begun)
            begun = coming
        if begun is not None:
            yield self.placement.finish(begun)


def _size(source: ArraySource) -> int:
    """Bytes on the device, an epoch's order included."""
    tensors = (source.ids, source.dense, source.y, source.weights(slice(0, 1)))
    row = sum(t[:1].numel() * t.element_size() for t in tensors if t is not None)
    return len(source) * (row + 4)


def on_device(source: DataSource, device: torch.device, passes: int = 2) -> DataSource:
    """The same batches, with tensors on `device`; the source itself where there is nothing to gain.

    Args:
        source: any source.
        device: where batches are used.
        passes: with one pass over them, data do not move to the device to stay.
    """
    placement = placement_of(device)
    if placement is None or isinstance(source, (DeviceArraySource, PrefetchSource)):
        return source
    if not isinstance(source, ArraySource):
        return PrefetchSource(source, placement, ahead=False)
    if passes > 1 and SHARE * _size(source) <= placement.free_bytes():
        return DeviceArraySource(source, placement)
    return PrefetchSource(source, placement, ahead=True)


class AsyncScalar:
    """A number of the device as it was a moment ago, for those who would rather not wait for it.

    >>> AsyncScalar().read(torch.tensor(2.5), 2.0)
    1.25
    """

    def __init__(self) -> None:
        self.value: float | None = None
        self._coming: tuple[Tensor, float, Callable[[], bool]] | None = None

    def read(self, number: Tensor | float, divisor: float) -> float:
        """`number / divisor`; on CUDA the last one that has arrived. Only the first is waited for."""
        if self.value is None or not isinstance(number, Tensor) or number.device.type == "cpu":
            self.value = float(number) / divisor
            return self.value
        if self._coming is not None:
            host, of, arrived = self._coming
            if not arrived():
                return self.value
            self.value = float(host) / of
        host, arrived = self._start(number)
        self._coming = host, divisor, arrived
        return self.value

    def _start(self, number: Tensor) -> tuple[Tensor, Callable[[], bool]]:
        """Start copying to the host; (where it will be, whether it is there)."""
        host = torch.empty((), dtype=number.dtype, pin_memory=True)
        host.copy_(number.detach(), non_blocking=True)
        return host, torch.cuda.current_stream(number.device).record_event().query
