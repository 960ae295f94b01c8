"""From chunks of files to batches: a buffer that is shuffled and drained, and batches that cross its borders.

Reading whole row groups in a random order and mixing what the buffer holds comes close to a full shuffle at the
price of sequential reads (Xu et al., "In-Database Machine Learning with CorgiPile", 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._typing import Array
from ..tables import rechunk
from .arrays import ArraySource
from .batch import LabeledBatch
from .checks import Arrays

__all__ = ["Block", "Cursor", "ShardChunk", "batches", "shuffled_blocks", "unshuffled_blocks"]


class Cursor(NamedTuple):
    """The place in a pass where a block begins."""

    block: int = 0  # its number
    place: int = 0  # number of shards of the pass that were used up before
    skip: int = 0  # number of rows of the next shard that were
    rows: int = 0  # number of rows handed out before


class ShardChunk(NamedTuple):
    """Checked rows of one chunk of a shard."""

    source: ArraySource
    shard: int  # number of the shard, in the order of the files
    place: int  # number of the shard, in the order of the pass
    start: int  # number of rows of the shard that came before


class Block(NamedTuple):
    """Rows that are handed out together, in one order."""

    source: ArraySource
    order: Tensor | None  # the numbers of the rows as they are handed out; None for as they lie
    begin: Cursor

    def __len__(self) -> int:
        return len(self.source)

    def rows(self, start: int, stop: int) -> slice | Tensor:
        return slice(start, stop) if self.order is None else self.order[start:stop]


def unshuffled_blocks(chunks: Iterable[ShardChunk], begin: Cursor) -> Iterator[Block]:
    """Each chunk a block, as it lies."""
    cursor = begin
    for chunk in chunks:
        cursor = Cursor(cursor.block, chunk.place, chunk.start, cursor.rows)
        yield Block(chunk.source, None, cursor)
        cursor = cursor._replace(block=cursor.block + 1, rows=cursor.rows + len(chunk.source))


def shuffled_blocks(chunks: Iterable[ShardChunk], size: int, seed: Sequence[int], begin: Cursor) -> Iterator[Block]:
    """Blocks of `size` rows, each in a random order of `seed` and its number.

    One that holds all rows has the order in which `ArraySource` shuffles the same rows. The blocks share their memory:
    each is used up before the next one is asked for.
    """
    buffer: _Buffer | None = None
    for chunk in chunks:
        at = 0
        while at < len(chunk.source):
            if buffer is None:
                buffer = _Buffer(chunk.source, size, begin)
            elif buffer.count == size:
                yield buffer.block([*seed, 1, buffer.cursor.block])
                buffer.restart(
                    Cursor(buffer.cursor.block + 1, chunk.place, chunk.start + at, buffer.cursor.rows + size)
                )
            at += buffer.add(chunk, at)
    if buffer is not None:
        yield buffer.last(list(seed))


class _Buffer:
    """Arrays that chunks are copied into; pages that stay empty cost no memory."""

    def __init__(self, like: ArraySource, size: int, cursor: Cursor) -> None:
        self.like, self.size = like, size
        self.inputs = [t.new_empty((size, *t.shape[1:])) for t in (like.ids, like.dense, like.used)]
        self.extras = [None if t is None else t.new_empty((size, *t.shape[1:])) for t in (like.y, like.weight)]
        self.restart(cursor)

    def restart(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.count = 0
        self.groups: list[dict[str, Array]] = []
        self.segments: list[tuple[int, int, int]] = []  # shard, first and last row here

    def add(self, chunk: ShardChunk, start: int) -> int:
        """Copy rows of a chunk from `start` on, as many as there is room for; returns their number."""
        source = chunk.source
        rows = min(len(source) - start, self.size - self.count)
        here, there = slice(self.count, self.count + rows), slice(start, start + rows)
        given = (source.ids, source.dense, source.used, source.y, source.weight)
        for target, values in zip((*self.inputs, *self.extras), given, strict=True):
            if target is not None and values is not None:
                target[here] = values[there]
        self.groups.append({name: values[there] for name, values in source.groups.items()})
        self.segments.append((chunk.shard, here.start, here.stop))
        self.count += rows
        return rows

    def _source(self) -> ArraySource:
        arrays = Arrays(*(t[: self.count].numpy() for t in self.inputs))
        y, weight = (None if t is None else t[: self.count].numpy() for t in self.extras)
        groups = {name: np.concatenate([g[name] for g in self.groups]) for name in self.like.groups}
        return ArraySource(self.like.schema, arrays, y, weight, groups, self.like.class_weight)

    def block(self, seed: Sequence[int]) -> Block:
        order = np.random.default_rng(seed).permutation(self.count)
        return Block(self._source(), torch.from_numpy(order), self.cursor)

    def last(self, seed: list[int]) -> Block:
        """The block at the end of a pass, which may hold all of it."""
        if self.cursor.block:
            return self.block([*seed, 1, self.cursor.block])
        in_files = sorted(self.segments, key=lambda segment: segment[0])  # stable: parts of a shard stay in order
        rows = np.concatenate([np.arange(start, stop) for _, start, stop in in_files])
        order = rows[np.random.default_rng(seed).permutation(self.count)]
        return Block(self._source(), torch.from_numpy(order), self.cursor)


def batches(blocks: Iterable[Block], size: int, skip: int = 0) -> Iterator[tuple[LabeledBatch, Cursor]]:
    """Batches of exactly `size` rows, the last one of what is left, each with the cursor of the block of its last row.

    The first `skip` rows are left out.
    """

    def cut(block: Block, start: int, stop: int) -> tuple[LabeledBatch | ArraySource, Cursor]:
        rows = block.rows(start, stop)
        whole = stop - start == size  # at once, without a source between
        return block.source.take(rows) if whole else block.source.part(rows), block.begin

    def join(cuts: list[tuple[LabeledBatch | ArraySource, Cursor]]) -> tuple[LabeledBatch, Cursor]:
        last, begin = cuts[-1]
        if isinstance(last, LabeledBatch):
            return last, begin
        parts = [part for part, _ in cuts if isinstance(part, ArraySource)]
        return ArraySource.concatenate(parts).take(slice(None)), begin

    return rechunk(blocks, size, count=len, cut=cut, join=join, skip=skip)
