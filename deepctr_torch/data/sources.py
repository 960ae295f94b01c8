"""Sources: whatever holds the samples, as a stream of `LabeledBatch`s for the trainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..features import Batch, FeatureSchema
from .arrays import Arrays, check_samples, to_arrays
from .interop import is_table
from .labels import class_weights, group_values, labels_by_name, to_labels, to_weights

__all__ = [
    "ArraySource",
    "DataSource",
    "LabelSpec",
    "LabeledBatch",
    "StreamSource",
    "array_source",
    "is_stream",
    "make_source",
    "permutation",
    "take_rows",
]


Array = npt.NDArray[Any]


class LabeledBatch(NamedTuple):
    """A batch with what training needs besides the inputs.

    Attributes:
        batch: the inputs.
        y: float32 [B, T], or None when predicting.
        weight: float32 [B], or None.
        groups: column name -> [B] values, for metrics by group.
        complete: known to have every label; with several tasks some may be missing (NaN).
    """

    batch: Batch
    y: Tensor | None
    weight: Tensor | None
    groups: dict[str, Array]
    complete: bool = False


class LabelSpec(NamedTuple):
    """What a source must know to check labels and carry groups: tasks (name, type), classes, group columns."""

    tasks: Sequence[tuple[str, str]]
    num_classes: int | None = None
    group_columns: Sequence[str] = ()
    class_weight: Mapping[Any, float] | None = None


class DataSource(Protocol):
    """Yields examples. `rows` and `steps` are None where nobody can know before the end."""

    rows: int | None

    def steps(self, batch_size: int) -> int | None: ...

    def examples(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]: ...


class ArraySource:
    """Samples in memory: a batch is a slice of two arrays, never a row-by-row collation.

    Args:
        schema: layout of the batch.
        arrays: checked inputs.
        y: float32 [N, T] or None.
        weight: float32 [N] or None.
        groups: column name -> [N] values.
        class_weight: label -> weight, of the rows trained on.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        arrays: Arrays,
        y: Array | None = None,
        weight: Array | None = None,
        groups: Mapping[str, Array] | None = None,
        class_weight: Mapping[Any, float] | None = None,
    ) -> None:
        self.schema = schema
        self.rows: int | None = len(arrays.ids)
        self.ids, self.dense = torch.from_numpy(arrays.ids), torch.from_numpy(arrays.dense)
        self.used = torch.from_numpy(arrays.used)
        self.y = None if y is None else torch.from_numpy(y)
        self.weight = None if weight is None else torch.from_numpy(weight)
        self.groups = dict(groups or {})
        self.class_weight = class_weight
        # looked at here, once and on the host, so that no step waits for a device to tell
        self.complete = self.y is None or self.y.shape[1] == 1 or not bool(torch.isnan(self.y).any())

    @property
    def weighted(self) -> bool:
        """Whether rows carry weights."""
        return self.weight is not None or bool(self.class_weight)

    def __len__(self) -> int:
        return len(self.ids)

    def steps(self, batch_size: int) -> int:
        return -(-len(self) // batch_size)

    def examples(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        """Batches in order, or shuffled by a generator of `seed` that nothing else draws from."""
        order = self.order(seed)
        for start in range(0, len(self), batch_size):
            yield self.take(slice(start, start + batch_size) if order is None else order[start : start + batch_size])

    def order(self, seed: Sequence[int] | None) -> Tensor | None:
        """Row numbers of an epoch, int32 [N] (int64 from 2**31 rows on); None for the order of the rows."""
        return None if seed is None else permutation(len(self), seed)

    def take(self, rows: slice | Tensor) -> LabeledBatch:
        """The batch of these rows."""
        y = None if self.y is None else take_rows(self.y, rows)
        return self.example(rows, take_rows(self.ids, rows), take_rows(self.dense, rows), y, self.weights(rows))

    def example(self, rows: slice | Tensor, ids: Tensor, dense: Tensor, y: Tensor | None, weight: Any) -> LabeledBatch:
        """The batch of these rows, whose tensors were taken from copies of those here, wherever they lie."""
        ids, widths = self._trim(ids, take_rows(self.used, rows))
        groups = {n: values[rows if isinstance(rows, slice) else rows.numpy()] for n, values in self.groups.items()}
        return LabeledBatch(Batch(ids, dense, widths), y, weight, groups, self.complete)

    def weights(self, rows: slice | Tensor) -> Tensor | None:
        """Weights of these rows, those of their classes included."""
        weight = None if self.weight is None else take_rows(self.weight, rows)
        if not self.class_weight or self.y is None:
            return weight
        by_class = torch.from_numpy(class_weights(take_rows(self.y, rows).numpy(), self.class_weight))
        return by_class if weight is None else weight * by_class

    def _trim(self, ids: Tensor, used: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Cut every sequence to the longest of the batch (at least one element)."""
        full = self.schema.widths
        if not full:
            return ids, full
        widths = tuple(max(1, int(w)) for w in used.amax(dim=0))
        if widths == full:
            return ids, full
        at = len(self.schema.ids)
        pieces = [ids[:, :at]]
        for width, whole in zip(widths, full, strict=True):
            pieces.append(ids[:, at : at + width])
            at += whole
        return torch.cat([*pieces, ids[:, at:]], dim=1), widths

    def split(self, fraction: float) -> tuple[ArraySource, ArraySource]:
        """The first `1 - fraction` of the rows, and the rest, as upstream cuts them: `int(N * (1 - fraction))`."""
        at = int(len(self) * (1.0 - fraction))
        if not 0 < at < len(self):
            raise ValueError(
                f"validation_split={fraction} of {len(self)} rows leaves {at} to train on "
                f"and {len(self) - at} to validate on"
            )
        first, rest = self.part(slice(0, at)), self.part(slice(at, None))
        rest.class_weight = None  # a validation is not weighted by class
        return first, rest

    def part(self, rows: slice | Tensor) -> ArraySource:
        """A source of these rows alone."""
        at = rows if isinstance(rows, slice) else rows.numpy()
        arrays = Arrays(*(take_rows(t, rows).numpy() for t in (self.ids, self.dense, self.used)))
        return ArraySource(
            self.schema,
            arrays,
            None if self.y is None else take_rows(self.y, rows).numpy(),
            None if self.weight is None else take_rows(self.weight, rows).numpy(),
            {n: v[at] for n, v in self.groups.items()},
            self.class_weight,
        )


class StreamSource:
    """Batches from any iterable (a generator, a `DataLoader`, ...), each checked before the step that uses it.

    Each item is `(x, y)` or `(x, y, sample_weight)`, or `x` alone when predicting; `x` is anything that `to_arrays`
    accepts. The items' own size is the batch size.
    """

    def __init__(self, schema: FeatureSchema, batches: Iterable[Any], labels: LabelSpec | None) -> None:
        self.schema, self.batches, self.labels = schema, batches, labels
        self.rows: int | None = None
        sampler = getattr(batches, "batch_sampler", None)
        size = getattr(batches, "batch_size", None) or getattr(sampler, "batch_size", None)
        self.batch_size = size if isinstance(size, int) else None  # None: known to nobody
        self.once = isinstance(batches, Iterator)  # iter() of a DataLoader would draw from the global generator

    def steps(self, batch_size: int) -> int | None:
        try:
            return len(self.batches)  # type: ignore[arg-type]
        except TypeError:
            return None

    def examples(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        offset = 0
        for number, item in enumerate(self.batches):
            try:
                source = self._source(item, offset)
            except (ValueError, TypeError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"batch {number} of the stream: {error}") from error
            offset += len(source)
            yield from source.examples(len(source))

    def _source(self, item: Any, offset: int) -> ArraySource:
        x, y, weight = item, None, None
        if self.labels is not None:
            if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
                raise ValueError(
                    f"an item of the stream must be (x, y) or (x, y, sample_weight), got {type(item).__name__}"
                )
            x, y, weight = (*item, None)[:3]
        elif isinstance(item, (tuple, list)) and len(item) in (1, 2, 3) and self._is_whole(item[0]):
            x = item[0]  # a labelled stream given to predict, or the one tensor of a TensorDataset
        return array_source(self.schema, x, y, self.labels, weight, {}, offset)

    def _is_whole(self, x: Any) -> bool:
        """Whether `x` holds all inputs of a batch by itself."""
        return (
            isinstance(x, Mapping) or is_table(x) or tuple(getattr(x, "shape", ()))[1:] == (self.schema.packed_width,)
        )


def array_source(
    schema: FeatureSchema, x: Any, y: Any, labels: LabelSpec | None, weight: Any, groups: Any, offset: int = 0
) -> ArraySource:
    """Samples in memory as a source, checked; `offset` is the number of the first row, for messages."""
    arrays = to_arrays(x, schema, offset)
    rows = len(arrays.ids)
    if labels is None:
        return ArraySource(schema, arrays)
    checked = to_labels(labels_by_name(x, y, len(labels.tasks)), labels.tasks, rows, labels.num_classes, offset)
    weights = None if weight is None else to_weights(weight, rows, offset)
    found = {name: group_values(x, name, groups, schema) for name in labels.group_columns}
    for name, values in found.items():
        if len(values) != rows:
            raise ValueError(f"the group {name!r} must have one value for each of {rows} rows, got {len(values)}")
    return ArraySource(schema, arrays, checked, weights, found, labels.class_weight)


def is_stream(x: Any) -> bool:
    """Whether `x` yields batches, rather than being the samples themselves."""
    known = isinstance(x, (Mapping, list, tuple, np.ndarray, Tensor, str)) or is_table(x)
    return not known and isinstance(x, Iterable)


def _is_batches(x: Any) -> bool:
    """Whether a list holds labelled batches, as `list(DataLoader(...))` does."""
    if not isinstance(x, list) or not x:
        return False
    return all(
        isinstance(item, (tuple, list))
        and len(item) in (2, 3)
        and (isinstance(item[0], Mapping) or is_table(item[0]) or getattr(item[0], "ndim", 0) == 2)
        for item in x
    )


def make_source(
    schema: FeatureSchema,
    x: Any,
    y: Any = None,
    labels: LabelSpec | None = None,
    weight: Any = None,
    groups: Any = None,
    *,
    training: bool = False,
) -> DataSource:
    """The source for whatever the user passed; `labels=None` when only inputs are needed.

    Args:
        training: the rows are trained on, rather than looked at.

    Raises:
        ValueError, TypeError: bad input, worded for the user.
    """
    from .file_source import file_source
    from .files import means_files

    if means_files(x):
        return file_source(schema, x, y, labels, weight, groups, training)
    if is_stream(x) or (labels is not None and y is None and _is_batches(x)):
        if y is not None or weight is not None or groups is not None:
            raise ValueError(
                "a stream of batches carries its own labels, weights and group columns: "
                "pass y=None, sample_weight=None and groups=None"
            )
        return StreamSource(schema, x, labels)
    check_samples(x)
    if labels is not None and y is None:
        raise ValueError("labels are missing: pass y (only a stream of batches carries its own)")
    return array_source(schema, x, y, labels, weight, groups)


def take_rows(values: Tensor, rows: slice | Tensor) -> Tensor:
    """A view of a slice, or a copy of the rows of these numbers; three times faster than `values[rows]`."""
    return values[rows] if isinstance(rows, slice) else values.index_select(0, rows)


def permutation(rows: int, seed: Sequence[int]) -> Tensor:
    """`Generator.permutation(rows)`, in half the memory where row numbers fit into 32 bits.

    >>> permutation(4, [0])
    tensor([2, 0, 1, 3], dtype=torch.int32)
    """
    order = np.arange(rows, dtype=np.int32 if rows < 2**31 else np.int64)
    np.random.default_rng(list(seed)).shuffle(order)
    return torch.from_numpy(order)
