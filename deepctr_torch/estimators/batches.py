"""Raw rows, encoded as in use: chunk by chunk as they are read, or in blocks that do not depend on that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.interop import column_of, to_numpy
from ..data.labels import to_weights
from ..encoding import FeatureEncoder
from ..tables import Chunk, RowSubset, rechunk
from .inputs import Data
from .labels import Targets

__all__ = ["Encoded", "blocks", "joined", "read_encoded"]

Array = npt.NDArray[Any]
BLOCK = 65_536  # rows predicted together, whatever chunks they came in: the last bits of a product depend on it


class Encoded(NamedTuple):
    """Rows as a model takes them.

    Attributes:
        x: its inputs.
        y: labels [N, T].
        weight: [N], or None.
        groups: raw columns to keep.
    """

    x: dict[str, Array]
    y: Array
    weight: Array | None = None
    groups: dict[str, Array] = {}  # noqa: RUF012  # never changed

    @property
    def rows(self) -> int:
        return len(self.y)

    def arguments(self) -> tuple[Any, ...]:
        return (self.x, self.y) if self.weight is None else (self.x, self.y, self.weight)

    def part(self, rows: slice) -> Encoded:
        """Some of the rows."""
        x = {name: values[rows] for name, values in self.x.items()}
        groups = {name: values[rows] for name, values in self.groups.items()}
        return Encoded(x, self.y[rows], None if self.weight is None else self.weight[rows], groups)


def joined(pieces: Sequence[Encoded]) -> Encoded:
    """The rows of several pieces, of at least one."""
    if len(pieces) == 1:
        return pieces[0]
    x = {name: np.concatenate([p.x[name] for p in pieces]) for name in pieces[0].x}
    groups = {name: np.concatenate([p.groups[name] for p in pieces]) for name in pieces[0].groups}
    weights = [p.weight for p in pieces if p.weight is not None]
    return Encoded(x, np.concatenate([p.y for p in pieces]), np.concatenate(weights) if weights else None, groups)


def read_encoded(
    encoder: FeatureEncoder,
    data: Data,
    targets: Targets | None,
    part: RowSubset | None = None,
    keep: Sequence[str] = (),
) -> Iterator[Encoded]:
    """Rows in their order, chunk by chunk.

    Args:
        encoder: fitted.
        data: the rows.
        targets: what the labels mean; None where there are none to read.
        part: the rows to read, if not all.
        keep: raw columns to keep.

    Raises:
        ValueError: labels or weights that are none; names the file and the row.
    """
    others = [*data.labels, *([data.weight] if isinstance(data.weight, str) else [])] if targets else []
    columns = list(dict.fromkeys([*encoder.serving_inputs, *keep, *(others if data.in_files else [])]))
    for chunk in encoder.read(data.where, training=False, part=part, columns=columns, **data.options):
        rows = chunk.table.num_rows
        if not rows:
            continue
        y, weight = np.empty((rows, 0), np.float32), None
        if targets is not None:
            found, given = data.columns_of(chunk)
            weight = None if given is None else _weights(given, chunk)
            named = zip(targets.names, found, strict=True)
            y = np.stack([targets.encode(name, values, chunk.where) for name, values in named], axis=1)
        groups = {name: to_numpy(column_of(chunk.table, name)) for name in keep}
        yield Encoded(encoder.encode_chunk(chunk), y, weight, groups)


def _weights(weight: Array, chunk: Chunk) -> Array:
    """The weights of a chunk, checked as those of training are."""
    try:
        return to_weights(weight, chunk.table.num_rows, chunk.first_row)
    except ValueError as error:
        raise ValueError(f"{chunk.file}: {error}" if chunk.file else str(error)) from error


def blocks(pieces: Iterator[Encoded]) -> Iterator[Encoded]:
    """The same rows in blocks of `BLOCK`, the last one of what is left."""
    return rechunk(
        pieces,
        BLOCK,
        count=lambda encoded: encoded.rows,
        cut=lambda encoded, start, stop: encoded.part(slice(start, stop)),
        join=joined,
    )
