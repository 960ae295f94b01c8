"""Batches on a CUDA device: data that fit live there, others come ahead of the step, and nothing waits for a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from .arrays import ArraySource
from .batch import DataSource, LabeledBatch, map_tensors, take_rows

__all__ = ["AsyncScalar", "CudaCopier", "DeviceArraySource", "PrefetchSource", "copier_for", "on_device", "to_device"]

SHARE = 4  # data in memory move to the device if they take at most one part in so many of its free memory

Copying: TypeAlias = tuple[LabeledBatch, torch.cuda.Event]  # a batch on its way, and when it is there


class CudaCopier:
    """Copies of data on a CUDA device; all else here is independent of CUDA and tested with a stand-in."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._side: torch.cuda.Stream | None = None

    def free_bytes(self) -> int:
        """Memory that nobody uses."""
        return int(torch.cuda.mem_get_info(self.device)[0])

    def store(self, values: Tensor) -> Tensor:
        """A copy on the device, to stay there."""
        return values.to(self.device)

    def send(self, values: Tensor) -> Tensor:
        """A copy of part of a batch, by way of pinned memory, so that the program goes on."""
        pinned = values.pin_memory() if values.numel() and values.device.type == "cpu" else values
        return pinned.to(self.device, non_blocking=True)

    def begin(self, labeled: LabeledBatch) -> Copying:
        """Start copying a batch beside the work of the device."""
        if self._side is None:
            self._side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._side):
            return map_tensors(labeled, self.send), self._side.record_event()

    def finish(self, copying: Copying) -> LabeledBatch:
        """The batch, for whatever the device is given from now on."""
        labeled, there = copying
        now = torch.cuda.current_stream(self.device)
        now.wait_event(there)

        def used_here(values: Tensor) -> Tensor:
            values.record_stream(now)  # memory of the side stream is not given away before this stream has read it
            return values

        return map_tensors(labeled, used_here)


def copier_for(device: torch.device) -> CudaCopier | None:
    """The copier of a CUDA device; None where batches are used as they come."""
    return CudaCopier(device) if device.type == "cuda" else None


def to_device(labeled: LabeledBatch, device: torch.device) -> LabeledBatch:
    """The batch with its tensors on `device`."""
    if device.type == "cpu":
        return labeled
    return map_tensors(labeled, lambda values: values.to(device, non_blocking=True))


class DeviceArraySource:
    """Data in memory that live on the device, in the batches and the order of the source.

    An epoch's order is made on the host, by the same generator, and copied once; what is looked at on the host (the
    lengths of sequences, group columns) stays there.
    """

    batch_size: int | None = None
    once = False
    negative_rate = 1.0

    def __init__(self, source: ArraySource, copier: CudaCopier) -> None:
        self.source, self.copier = source, copier
        self.rows, self.weighted = source.rows, source.weighted
        self.ids, self.dense = copier.store(source.ids), copier.store(source.dense)
        weight = source.weights(slice(None))
        self.y, self.weight = (None if t is None else copier.store(t) for t in (source.y, weight))

    def steps(self, batch_size: int) -> int:
        return self.source.steps(batch_size)

    def batches(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        order = self.source.order(seed)
        there = None if order is None else self.copier.store(order)
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
        return self.source.assemble(rows, ids, dense, y, weight)


class PrefetchSource:
    """The batches of a source, copied to the device as they come.

    With `ahead`, one is copied while the one before it is used; a source that knows its position must not be read so.
    """

    def __init__(self, source: DataSource, copier: CudaCopier, ahead: bool) -> None:
        self.source, self.copier, self.ahead = source, copier, ahead
        self.rows, self.batch_size, self.once = source.rows, source.batch_size, source.once
        self.weighted, self.negative_rate = source.weighted, source.negative_rate

    def steps(self, batch_size: int) -> int | None:
        return self.source.steps(batch_size)

    def batches(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        batches = self.source.batches(batch_size, seed)
        if not self.ahead:
            yield from (map_tensors(labeled, self.copier.send) for labeled in batches)
            return
        waiting: Copying | None = None
        for labeled in batches:
            coming = self.copier.begin(labeled)
            if waiting is not None:
                yield self.copier.finish(waiting)
            waiting = coming
        if waiting is not None:
            yield self.copier.finish(waiting)


def _size(source: ArraySource) -> int:
    """Bytes on the device, an epoch's order included."""
    tensors = (source.ids, source.dense, source.y, source.weights(slice(0, 1)))
    row = sum(t[:1].numel() * t.element_size() for t in tensors if t is not None)
    return len(source) * (row + 4)


def on_device(source: DataSource, device: torch.device, passes: int = 2) -> DataSource:
    """The same batches, with tensors on `device`; the source itself where there is nothing to gain.

    With one of `passes` over them, data do not move to the device to stay.
    """
    copier = copier_for(device)
    if copier is None or isinstance(source, (DeviceArraySource, PrefetchSource)):
        return source
    if not isinstance(source, ArraySource):
        return PrefetchSource(source, copier, ahead=False)
    if passes > 1 and SHARE * _size(source) <= copier.free_bytes():
        return DeviceArraySource(source, copier)
    return PrefetchSource(source, copier, ahead=True)


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
