"""Work on chunks in several threads, with results in the order of the chunks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from .._checks import check_at_least
from .._parallel import ordered_map
from ..hashing import hash_values
from ..tables import Chunk
from .arrow_columns import Factorized, RowError
from .categorical import SharedVocabulary
from .column_encoder import ColumnEncoder, Context

__all__ = [
    "Memo",
    "Reader",
    "checked",
    "encode_columns",
    "encode_one",
    "encode_table",
    "finish",
    "is_text",
    "learn",
    "learn_columns",
    "located",
    "worker_count",
]


T = TypeVar("T")


def worker_count(threads: int | None) -> int:
    """Threads to work with: as many as were asked for, else as many as there are processors, at most 8."""
    if threads is not None:
        check_at_least("threads", threads, 1)
    return threads or min(8, os.cpu_count() or 1)


def checked(chunk: Any, columns: list[str]) -> Chunk:
    """A chunk of `read_chunks`, or a pyarrow table as one, that has the columns."""
    whole = chunk if isinstance(chunk, Chunk) else Chunk(chunk, "", 0, 0)
    there = getattr(whole.table, "column_names", None)
    if there is None:
        raise TypeError(f"a chunk must be a Chunk or a pyarrow table, got {type(chunk).__name__}: use transform")
    missing = [name for name in columns if name not in there]
    if missing:
        raise ValueError(f"the chunk lacks {missing}; it has {there}")
    return whole


def is_text(chunk: Chunk) -> bool:
    """Whether the rows are of a text file, where integers and strings look alike."""
    return bool(chunk.file) and not chunk.file.lower().endswith(".parquet")


def located(work: Callable[[Any, Context], T], chunk: Chunk, context: Context) -> T:
    """`work` on a chunk; errors say where in the data."""
    try:
        return work(chunk.table, context)
    except RowError as error:
        raise ValueError(f"{error.message} in {chunk.where(error.row)}") from error
    except ValueError as error:
        if not chunk.file:
            raise
        raise ValueError(f"{error} in {chunk.file}") from error


Array = npt.NDArray[Any]
Memo: TypeAlias = dict[str, Factorized]  # of one feature, or of one chunk: by raw column
Reader: TypeAlias = Callable[[Sequence[str]], Iterator[Chunk]]  # the chunks of these columns


def learn(parts: Mapping[str, ColumnEncoder], chunks: Iterable[Chunk], threads: int | None) -> int:
    """Let features learn from all chunks, several chunks at a time; the number of rows."""

    def count(chunk: Chunk) -> tuple[Chunk, list[Any]]:
        context = Context(text=is_text(chunk))
        return chunk, [located(part.partial, chunk, context) for part in parts.values()]

    rows = 0
    for chunk, counted in ordered_map(count, chunks, worker_count(threads)):
        rows += chunk.table.num_rows
        for part, partial in zip(parts.values(), counted, strict=True):
            located(_add(part, partial), chunk, Context())
    return rows


def learn_columns(
    parts: Mapping[str, ColumnEncoder], read: Reader, threads: int | None, memos: dict[str, list[Memo]] | None = None
) -> None:
    """Let features learn from rows in memory, several features at a time.

    A value is hashed once with those of all rows, where chunks would bring it again and again.

    Args:
        memos: where to put, for each feature and chunk, what `encode_columns` needs not do once more.
    """

    def count(part: ColumnEncoder) -> tuple[ColumnEncoder, list[tuple[Chunk, Any, Memo | None]]]:
        found = []
        for chunk in read(part.raw):
            context = Context(memo=None if memos is None else {})
            partial = located(part.partial, chunk, context)
            found.append((chunk._replace(table=None), partial, context.memo))
        return part, found

    for part, found in ordered_map(count, parts.values(), worker_count(threads)):
        for chunk, partial, memo in found:
            located(_add(part, partial), chunk, Context())
            if memos is not None and memo is not None:
                memos.setdefault(part.name, []).append(memo)


def finish(parts: Mapping[str, ColumnEncoder], tables: Mapping[str, SharedVocabulary], threads: int | None) -> None:
    """All rows were counted: settle what was learned."""
    stages: Sequence[Mapping[str, SharedVocabulary | ColumnEncoder]] = (tables, parts)
    for learners in stages:  # features after the tables they look values up in
        for _ in ordered_map(_finish, learners.values(), worker_count(threads)):
            pass


def _add(part: ColumnEncoder, partial: Any) -> Callable[[Any, Context], None]:
    return lambda table, context: part.add(partial)


def _finish(learner: SharedVocabulary | ColumnEncoder) -> None:
    learner.finish()


def encode_table(
    parts: Mapping[str, ColumnEncoder], chunks: Iterable[Chunk], training: bool, seed: int, threads: int | None
) -> dict[str, Array]:
    """The inputs that the features make of all chunks, several chunks at a time."""
    pieces: dict[str, list[Array]] = {}

    def work(chunk: Chunk) -> dict[str, Array]:
        return encode_one(parts, chunk, training, seed)

    for encoded in ordered_map(work, chunks, worker_count(threads)):
        for name, values in encoded.items():
            pieces.setdefault(name, []).append(values)
    return _joined(parts, pieces)


def encode_columns(
    parts: Mapping[str, ColumnEncoder],
    read: Reader,
    rows: int,
    training: bool,
    seed: int,
    threads: int | None,
    memos: dict[str, list[Memo]] | None = None,
) -> dict[str, Array]:
    """The inputs that the features make of `rows` rows in memory, several features at a time."""

    def work(part: ColumnEncoder) -> list[dict[str, Array]]:
        if part.kind.train_only and not training:
            return [part.blank(rows)]
        remembered = iter(memos.pop(part.name, [])) if memos is not None else iter(())
        return [encode_one({part.name: part}, c, training, seed, next(remembered, None)) for c in read(part.raw)]

    pieces: dict[str, list[Array]] = {}
    for encoded in ordered_map(work, parts.values(), worker_count(threads)):
        for chunk in encoded:
            for name, values in chunk.items():
                pieces.setdefault(name, []).append(values)
    return _joined(parts, pieces)


def _joined(parts: Mapping[str, ColumnEncoder], pieces: dict[str, list[Array]]) -> dict[str, Array]:
    """The pieces of each input as one array; of inputs without a piece, as there was no chunk, an empty one."""
    out = {}
    for part in parts.values():
        for name, empty in part.blank(0).items():
            arrays = pieces.pop(name, [empty])
            out[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    return out


def encode_one(
    parts: Mapping[str, ColumnEncoder], chunk: Chunk, training: bool, seed: int, memo: Memo | None = None
) -> dict[str, Array]:
    """The inputs that the features make of one chunk; those only training knows are missing otherwise."""
    key = None
    if training:
        file = chunk.file.replace("\\", "/").rpartition("/")[2]  # the same rows elsewhere are dropped alike
        key = int(hash_values([seed])[0] ^ hash_values([file])[0])
    context = Context(is_text(chunk), key, chunk.first_row, memo)
    out: dict[str, Array] = {}
    for part in parts.values():
        if part.kind.train_only and not training:
            out.update(part.blank(chunk.table.num_rows))
        else:
            out.update(located(part.encode, chunk, context))
    return out
