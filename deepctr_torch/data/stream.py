"""`StreamSource`: batches that somebody else makes, a generator or a `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..features import FeatureSchema
from .arrays import ArraySource, array_source
from .batch import LabeledBatch, LabelSpec
from .interop import InputsLike, is_table

__all__ = ["StreamSource", "is_labeled_batches", "is_stream"]


class StreamSource:
    """Batches from any iterable (a generator, a `DataLoader`, ...), each checked before the step that uses it.

    Each item is `(x, y)` or `(x, y, sample_weight)`, or `x` alone when predicting; `x` is anything that `to_arrays`
    accepts. The items' own size is the batch size.
    """

    rows: int | None = None
    weighted = False  # not known: an item may carry weights
    negative_rate = 1.0

    def __init__(self, schema: FeatureSchema, items: Iterable[Any], labels: LabelSpec | None) -> None:
        self.schema = schema
        self.items = items
        self.labels = labels
        sampler = getattr(items, "batch_sampler", None)
        size = getattr(items, "batch_size", None) or getattr(sampler, "batch_size", None)
        self.batch_size = size if isinstance(size, int) else None  # None: known to nobody
        self.once = isinstance(items, Iterator)  # iter() of a DataLoader would draw from the global generator

    def steps(self, batch_size: int) -> int | None:
        try:
            return len(self.items)  # type: ignore[arg-type]
        except TypeError:
            return None

    def batches(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        offset = 0
        for number, item in enumerate(self.items):
            try:
                source = self._source(item, offset)
            except (ValueError, TypeError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"batch {number} of the stream: {error}") from error
            offset += len(source)
            yield from source.batches(len(source))

    def _source(self, item: Any, offset: int) -> ArraySource:
        x, y, weight = item, None, None
        if self.labels is not None:
            if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
                got = type(item).__name__
                raise ValueError(f"an item of the stream must be (x, y) or (x, y, sample_weight), got {got}")
            x, y, weight = (*item, None)[:3]
        elif isinstance(item, (tuple, list)) and len(item) in (1, 2, 3) and self._is_whole(item[0]):
            x = item[0]  # a labelled stream given to predict, or the one tensor of a TensorDataset
        return array_source(self.schema, x, y, self.labels, weight, {}, offset=offset)

    def _is_whole(self, x: InputsLike) -> bool:
        """True if `x` holds all inputs of a batch by itself."""
        matrix = tuple(getattr(x, "shape", ()))[1:] == (self.schema.packed_width,)
        return isinstance(x, Mapping) or is_table(x) or matrix


def is_stream(x: object) -> bool:
    """True if `x` yields batches, rather than being the samples themselves."""
    known = isinstance(x, (Mapping, list, tuple, np.ndarray, Tensor, str)) or is_table(x)
    return not known and isinstance(x, Iterable)


def is_labeled_batches(x: object) -> bool:
    """True for a list of labelled batches, such as `list(DataLoader(...))`."""
    if not isinstance(x, list) or not x:
        return False
    return all(
        isinstance(item, (tuple, list))
        and len(item) in (2, 3)
        and (isinstance(item[0], Mapping) or is_table(item[0]) or getattr(item[0], "ndim", 0) == 2)
        for item in x
    )
