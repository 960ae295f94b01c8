"""The passes of an encoder over data: chunks of files, or columns in memory, in several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from .._checks import check_at_least
from .._parallel import ordered_map
from .._typing import Array
from ..hashing import hash_values
from ..tables import Chunk
from .arrow_columns import Factorized, RowError
from .categorical import SharedVocabulary
from .column_encoder import ColumnEncoder, Context

__all__ = [
    "Memo",
    "Reader",
    "check_chunk",
    "compute",
    "encode_chunk",
    "encode_chunks",
    "encode_columns",
    "is_text",
    "learn",
    "learn_columns",
]

T = TypeVar("T")
Item = TypeVar("Item")
Memo: TypeAlias = dict[str, Factorized]  # of one feature, or of one chunk: by raw column
Reader: TypeAlias = Callable[[Sequence[str]], Iterator[Chunk]]  # the chunks of these columns


def _map(work: Callable[[Item], T], items: Iterable[Item], threads: int | None) -> Iterator[T]:
    """Work in `threads` threads, for None one a processor, at most 8; results in the order of the items."""
    if threads is not None:
        check_at_least("threads", threads, 1)
    return ordered_map(work, items, threads or min(8, pa.cpu_count()))


def check_chunk(chunk: Chunk | pa.Table, columns: Sequence[str]) -> Chunk:
    """Return a chunk, or a pyarrow table as one, if all columns are there."""
    whole = chunk if isinstance(chunk, Chunk) else Chunk(chunk, "", 0, 0)
    if not isinstance(whole.table, (pa.Table, pa.RecordBatch)):
        raise TypeError(f"a chunk must be a Chunk or a pyarrow table, got {type(chunk).__name__}: use transform")
    there = whole.table.schema.names
    missing = [name for name in columns if name not in there]
    if missing:
        raise ValueError(f"the chunk lacks {missing}; it has {there}")
    return whole


def is_text(chunk: Chunk) -> bool:
    """Tell if the rows come from a text file, where integers and strings look alike."""
    return bool(chunk.file) and not chunk.file.lower().endswith(".parquet")


def _located(work: Callable[[pa.Table, Context], T], chunk: Chunk, context: Context) -> T:
    """Do `work` on a chunk; errors name the place in the data."""
    try:
        return work(chunk.table, context)
    except RowError as error:
        raise ValueError(f"{error.message} in {chunk.where(error.row)}") from error
    except ValueError as error:
        if not chunk.file:
            raise
        raise ValueError(f"{error} in {chunk.file}") from error


def _update(column: ColumnEncoder, summary: Any, chunk: Chunk) -> None:
    _located(lambda table, context: column.update(summary), chunk, Context())


def learn(columns: Mapping[str, ColumnEncoder], chunks: Iterable[Chunk], threads: int | None) -> int:
    """Let features learn from all chunks, several chunks at a time; return the number of rows."""

    def summarize(chunk: Chunk) -> tuple[Chunk, list[Any]]:
        context = Context(text=is_text(chunk))
        return chunk, [_located(column.summarize, chunk, context) for column in columns.values()]

    rows = 0
    for chunk, summaries in _map(summarize, chunks, threads):
        rows += chunk.table.num_rows
        for column, summary in zip(columns.values(), summaries, strict=True):
            _update(column, summary, chunk)
    return rows


def learn_columns(
    columns: Mapping[str, ColumnEncoder], read: Reader, threads: int | None, memos: dict[str, list[Memo]] | None = None
) -> None:
    """Let features learn from rows in memory, several features at a time.

    A value is hashed once with those of all rows, where chunks would bring it again and again. `memos` is a place to
    put, for each feature and chunk, what `encode_columns` need not compute once more.
    """

    def summarize(column: ColumnEncoder) -> tuple[ColumnEncoder, list[tuple[Chunk, Any, Memo | None]]]:
        found = []
        for chunk in read(column.inputs):
            context = Context(memo=None if memos is None else {})
            summary = _located(column.summarize, chunk, context)
            found.append((chunk._replace(table=None), summary, context.memo))
        return column, found

    for column, found in _map(summarize, columns.values(), threads):
        for chunk, summary, memo in found:
            _update(column, summary, chunk)
            if memos is not None and memo is not None:
                memos.setdefault(column.name, []).append(memo)


def compute(
    columns: Mapping[str, ColumnEncoder], vocabularies: Mapping[str, SharedVocabulary], threads: int | None
) -> None:
    """Settle what was learned, after the last chunk: vocabularies first, then the features that look values up."""
    learners: Sequence[Iterable[SharedVocabulary | ColumnEncoder]] = (vocabularies.values(), columns.values())
    for each in learners:
        for _ in _map(lambda learner: learner.compute(), each, threads):
            pass


def encode_chunks(
    columns: Mapping[str, ColumnEncoder], chunks: Iterable[Chunk], training: bool, seed: int, threads: int | None
) -> dict[str, Array]:
    """Encode all chunks, several at a time, as one array for each input."""
    encoded = _map(lambda chunk: encode_chunk(columns, chunk, training, seed), chunks, threads)
    return _concatenated(columns, encoded)


def encode_columns(
    columns: Mapping[str, ColumnEncoder],
    read: Reader,
    rows: int,
    training: bool,
    seed: int,
    threads: int | None,
    memos: dict[str, list[Memo]] | None = None,
) -> dict[str, Array]:
    """Encode `rows` rows in memory, several features at a time, as one array for each input."""

    def work(column: ColumnEncoder) -> list[dict[str, Array]]:
        if column.spec.train_only and not training:
            return [column.encode_missing(rows)]
        remembered = iter(memos.pop(column.name, [])) if memos is not None else iter(())
        alone = {column.name: column}
        return [encode_chunk(alone, c, training, seed, next(remembered, None)) for c in read(column.inputs)]

    return _concatenated(columns, chain.from_iterable(_map(work, columns.values(), threads)))


def _concatenated(columns: Mapping[str, ColumnEncoder], encoded: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Join the pieces of each input; an input without a piece, as there was no chunk, gets an empty array."""
    pieces: dict[str, list[Array]] = {}
    for chunk in encoded:
        for name, values in chunk.items():
            pieces.setdefault(name, []).append(values)
    out = {}
    for column in columns.values():
        for name, empty in column.encode_missing(0).items():
            arrays = pieces.pop(name, [empty])
            out[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    return out


def encode_chunk(
    columns: Mapping[str, ColumnEncoder], chunk: Chunk, training: bool, seed: int, memo: Memo | None = None
) -> dict[str, Array]:
    """Encode one chunk; features that only training knows are missing otherwise."""
    key = None
    if training:
        file = chunk.file.replace("\\", "/").rpartition("/")[2]  # the same rows elsewhere are dropped alike
        key = int(hash_values([seed])[0] ^ hash_values([file])[0])
    context = Context(is_text(chunk), key, chunk.first_row, memo)
    out: dict[str, Array] = {}
    for column in columns.values():
        if column.spec.train_only and not training:
            out.update(column.encode_missing(chunk.table.num_rows))
        else:
            out.update(_located(column.encode, chunk, context))
    return out
