"""The two passes over the chunks of a table: learn, and encode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..hashing import hash_values
from ..tables import Chunk
from .chunks import in_order, is_text, located
from .feature import Context, Feature
from .ids import Table
from .values import Coded

__all__ = ["Memo", "encode", "encode_one", "learn"]

Array = npt.NDArray[Any]
Memo: TypeAlias = dict[str, Coded]  # of one chunk, by raw column


def learn(
    parts: Mapping[str, Feature],
    tables: Mapping[str, Table],
    chunks: Iterable[Chunk],
    threads: int | None,
    memos: list[Memo] | None = None,
) -> int:
    """Let features and their tables learn from all chunks; the number of rows.

    Args:
        memos: where to put what `encode` needs not do once more, one for each chunk.
    """

    def count(chunk: Chunk) -> tuple[list[Any], Memo | None]:
        context = Context(text=is_text(chunk), memo=None if memos is None else {})
        return [located(part.partial, chunk, context) for part in parts.values()], context.memo

    rows = 0
    for chunk, (counted, memo) in in_order(count, chunks, threads):
        rows += chunk.table.num_rows
        if memos is not None and memo is not None:
            memos.append(memo)
        for part, partial in zip(parts.values(), counted, strict=True):
            located(_add(part, partial), chunk, Context())
    if not rows:
        raise ValueError("data to learn from must have at least one row, got none")
    for learner in (tables, parts):  # features after the tables they look values up in
        for _ in in_order(_finish, learner.values(), threads):
            pass
    return rows


def _add(part: Feature, partial: Any) -> Callable[[Any, Context], None]:
    return lambda table, context: part.add(partial)


def _finish(learner: Table | Feature) -> None:
    learner.finish()


def encode(
    parts: Mapping[str, Feature],
    chunks: Iterable[Chunk],
    training: bool,
    seed: int,
    threads: int | None,
    memos: list[Memo] | None = None,
) -> dict[str, Array]:
    """The inputs that the features make of all chunks."""
    pieces: dict[str, list[Array]] = {}

    def work(numbered: tuple[int, Chunk]) -> dict[str, Array]:
        number, chunk = numbered
        memo = None
        if memos is not None:
            memo, memos[number] = memos[number], {}  # freed once it was used
        return encode_one(parts, chunk, training, seed, memo)

    for _, encoded in in_order(work, enumerate(chunks), threads):
        for name, values in encoded.items():
            pieces.setdefault(name, []).append(values)
    if not pieces:
        return {name: values for part in parts.values() for name, values in part.blank(0).items()}
    return {name: np.concatenate(pieces.pop(name)) for name in list(pieces)}


def encode_one(
    parts: Mapping[str, Feature], chunk: Chunk, training: bool, seed: int, memo: Memo | None = None
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
