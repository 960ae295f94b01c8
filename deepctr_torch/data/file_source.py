"""`FileSource`: a stream of batches from files, in an order that depends on seeds alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from .._parallel import ordered_map
from ..features import FeatureSchema
from ..tables import (
    Chunk,
    PathsLike,
    Shard,
    TextFormat,
    list_shards,
    missing_columns,
    read_shard,
    shard_types,
)
from .arrays import ArraySource, array_source
from .batch import LabeledBatch, LabelSpec
from .files import FileColumns, Files, resolve_columns
from .interop import LabelsLike, column_of, to_numpy
from .negative_sampling import keep_rows
from .prefetch import read_ahead
from .shuffle_buffer import Cursor, ShardChunk, batches, shuffled_blocks, unshuffled_blocks

__all__ = ["FileSource", "Position", "file_source"]

CHUNK_ROWS = 65_536  # rows converted at a time


class Position(NamedTuple):
    """The place in a pass over files.

    Attributes:
        groups: row groups (text: files) of the pass that are used up.
        rows: rows handed out.
    """

    groups: int
    rows: int


class FileSource:
    """Batches from files, each chunk checked before the step that uses it.

    Args:
        schema: layout of the batch.
        files: what to read.
        columns: the columns to read.
        labels: what labels must be; None where only inputs are needed.
        training: the rows are trained on.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a column that a file lacks, no row, or a part of the files too small to be divided.
    """

    batch_size: int | None = None
    once = False

    def __init__(
        self, schema: FeatureSchema, files: Files, columns: FileColumns, labels: LabelSpec | None, training: bool
    ) -> None:
        self.schema = schema
        self.files = files
        self.columns = columns
        self.labels = labels
        self.training = training
        shards = list_shards(files.paths)
        if len(shards) < files.world_size:
            raise ValueError(
                f"{files.paths} must hold at least {files.world_size} row groups (or text files), one for each of "
                f"world_size, got {len(shards)}"
            )
        problem = missing_columns(shards, columns.all(), files.header)
        if problem:
            raise ValueError(problem)
        known_types = {} if files.encoder is None else files.encoder.schema()
        bad = files.bad_rows(columns.all(), known_types)
        if files.on_bad_rows == "skip":
            bad.warn()
        self._written = TextFormat(files.header, files.null, bad)
        self.types = shard_types(shards, columns.all(), {**known_types, **(files.schema or {})}, self._written)
        self.shards = shards[files.rank :: files.world_size]
        self.negative_rate = files.negative_rate
        self.rows = self._known_rows()
        self.passes = 0
        self._state = self._at(None, Cursor(), 0)
        self._resume: Mapping[str, Any] | None = None

    def _known_rows(self) -> int | None:
        if self.files.negative_rate < 1:
            return None
        if self.files.part is not None:
            return self.files.part.rows
        sizes = [shard.rows for shard in self.shards]
        return None if None in sizes else sum(filter(None, sizes))

    @property
    def weighted(self) -> bool:
        """True where rows carry weights."""
        return self.columns.weight is not None or bool(self.labels is not None and self.labels.class_weight)

    @property
    def position(self) -> Position:
        """The place in the current pass, behind the last batch handed out."""
        return Position(self._state["place"], self._state["rows"])

    def state_dict(self) -> dict[str, Any]:
        """The position as plain data; after `load_state_dict` the next pass goes on behind the last batch."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass be the rest of the one that `state` was taken from, in its order, whatever the seed.

        Raises:
            ValueError: it was taken from other files, another buffer, or another part of the files.
        """
        for name, value in self._identity().items():
            if state[name] != value:
                raise ValueError(f"the position is of a source with {name}={state[name]}, this one has {value}")
        self._resume = dict(state) if state["rows"] else None  # a pass that has not begun has no order yet

    def _identity(self) -> dict[str, Any]:
        part = f"{self.files.rank} of {self.files.world_size}"
        chosen = {name: getattr(self.files, name) for name in ("buffer_rows", "negative_rate", "seed")}
        return {"units": len(self.shards), "part": part, **chosen}

    def _at(self, seed: Sequence[int] | None, cursor: Cursor, rows: int) -> dict[str, Any]:
        order = None if seed is None else [int(s) for s in seed]
        where = {"block": cursor.block, "place": cursor.place, "skip": cursor.skip, "begin": cursor.rows, "rows": rows}
        return {**self._identity(), "order": order, "passes": self.passes, **where}

    def steps(self, batch_size: int) -> int | None:
        return None if self.rows is None else -(-self.rows // batch_size)

    def batches(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        """Batches in the order of the files, or shuffled by `seed`; or the rest of a pass (`load_state_dict`).

        Raises:
            ValueError: a value that is wrong, or no row at all.
        """
        cursor, rows = Cursor(), 0
        if self._resume is not None:
            state, self._resume = self._resume, None
            seed, self.passes, rows = state["order"], state["passes"], state["rows"]
            cursor = Cursor(state["block"], state["place"], state["skip"], state["begin"])
        skip = rows - cursor.rows
        chunks: Iterator[ShardChunk] = self._chunks(seed, cursor)
        limit = 2 * CHUNK_ROWS if seed is None else self.files.buffer_rows
        with contextlib.ExitStack() as stack:
            if self.files.threads:
                ahead = read_ahead(chunks, lambda chunk: len(chunk.source), limit)
                chunks = stack.enter_context(contextlib.closing(ahead))
            size = self.files.buffer_rows
            blocks = unshuffled_blocks(chunks, cursor) if seed is None else shuffled_blocks(chunks, size, seed, cursor)
            for labeled, at in batches(blocks, batch_size, skip):
                rows += len(labeled.batch.ids)
                self._state = self._at(seed, at, rows)
                yield labeled
        if not rows:
            raise ValueError(self._nothing())
        self.passes += 1

    def _nothing(self) -> str:
        """The reason why there is no row, in words."""
        rate = self.files.negative_rate
        kept = "" if rate == 1 else f" that negative_rate={rate} keeps"
        where = [str(path) for path in dict.fromkeys(shard.path for shard in self.shards)]
        named = where[0] if len(where) == 1 else f"{where[0]} and {len(where) - 1} more"
        return f"the files to read must hold at least one row{kept}, got none in {named}"

    def _chunks(self, seed: Sequence[int] | None, begin: Cursor) -> Iterator[ShardChunk]:
        """Checked rows of each chunk, behind the first `begin.skip` rows of shard number `begin.place` of the pass."""
        order: Sequence[int] = range(len(self.shards))
        if seed is not None:
            order = np.random.default_rng([*seed, 0]).permutation(len(self.shards)).tolist()
        ahead = list(enumerate(order))[begin.place :]
        draws = int(np.random.SeedSequence([self.files.seed, *(seed or [self.passes])]).generate_state(1)[0])
        work = ((place, shard, chunk) for place, shard in ahead for chunk in self._read(self.shards[shard]))
        place, start = -1, 0
        for now, shard, source in ordered_map(partial(self._convert, draws), work, self.files.threads):
            place, start = now, start if now == place else 0
            if source is None:
                continue
            skip = min(len(source), max(0, begin.skip - start)) if place == begin.place else 0
            if skip < len(source):
                rest = source.part(slice(skip, None)) if skip else source
                yield ShardChunk(rest, shard=shard, place=place, start=start + skip)
            start += len(source)

    def _read(self, shard: Shard) -> Iterator[Chunk]:
        return read_shard(shard, self.columns.all(), CHUNK_ROWS, self.types, self._written)

    def _convert(self, draws: int, item: tuple[int, int, Chunk]) -> tuple[int, int, ArraySource | None]:
        """The place and the number of a shard, and of its chunk the rows that are kept; None if none is."""
        place, shard, chunk = item
        try:
            return place, shard, self._kept(self._checked(chunk, draws), chunk)
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            part = "" if self.shards[shard].group is None else f", row group {chunk.group}"
            raise kind(f"{chunk.file}{part}: {error}") from error

    def _kept(self, source: ArraySource, chunk: Chunk) -> ArraySource | None:
        subset, rate = self.files.part, self.files.negative_rate
        kept = np.ones(len(source), bool) if subset is None else subset.of(chunk, len(source))
        if rate < 1 and self.labels is not None:
            y = np.zeros((len(source), 1)) if source.y is None else source.y.numpy()  # [N, T], NaN: not observed
            positive = np.any(y > 0, axis=1)
            kept = kept & keep_rows(positive, Path(chunk.file).name, chunk.first_row, rate=rate, seed=self.files.seed)
        if kept.all():
            return source
        return source.part(torch.from_numpy(np.flatnonzero(kept))) if kept.any() else None

    def _checked(self, chunk: Chunk, draws: int) -> ArraySource:
        """The rows of a chunk; the encoder draws by the seed `draws`."""
        table, columns, encoder = chunk.table, self.columns, self.files.encoder
        x = table if encoder is None else encoder.encode_chunk(chunk, training=self.training, seed=draws)
        if self.labels is None:
            return array_source(self.schema, x, offset=chunk.first_row)
        weight = None if columns.weight is None else column_of(table, columns.weight)
        groups = {name: to_numpy(column_of(table, column)) for name, column in columns.groups.items()}
        y = [column_of(table, name) for name in columns.labels]
        if self.files.targets is not None:
            named = zip(columns.labels, y, strict=True)
            y = [self.files.targets(name, values, chunk.where) for name, values in named]
        one = y if len(y) > 1 else y[0]
        return array_source(self.schema, x, one, self.labels, weight, groups, offset=chunk.first_row)


def file_source(
    schema: FeatureSchema,
    x: Files | PathsLike,
    y: LabelsLike,
    labels: LabelSpec | None,
    weight: object,
    groups: object,
    training: bool,
) -> FileSource:
    """The source for the files that `make_source` was given, checked by names and metadata."""
    files = x if isinstance(x, Files) else Files(x)
    columns = resolve_columns(files, schema, y, labels, weight, groups, training)
    if files.negative_rate < 1:
        if not training:
            raise ValueError(
                f"negative_rate={files.negative_rate} is for training: predictions are made and evaluated for all "
                "rows, so leave it out of these files"
            )
        other = [kind for _, kind in labels.tasks if kind != "binary"] if labels else []
        if other:
            raise ValueError(f"negative_rate={files.negative_rate} needs binary tasks, got a {other[0]} task")
    return FileSource(schema, files, columns, labels, training)
