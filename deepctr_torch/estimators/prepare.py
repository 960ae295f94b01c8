"""Raw rows as a model takes them: encoded, with the numbers of their labels, in memory or as files are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .._typing import Array
from ..data import Files
from ..data.interop import column_of, to_numpy
from ..data.labels import to_weights
from ..data.negative_sampling import keep_rows
from ..encoding import FEW_ROWS, FeatureEncoder
from ..tables import Chunk, RowSubset, rechunk
from .inputs import LabelsLike, RawData, open_data, row_name
from .labels import ClassLabelEncoder, ClassLearner, LabelEncoder, LabelLearner
from .split import Scan, Split, TimeLike

__all__ = [
    "EncodedBatch",
    "concatenate",
    "count_training_rows",
    "encode_batches",
    "open_validation",
    "rebatch",
    "training_rows",
    "validation_rows",
]

BATCH = 65_536  # rows predicted together, whatever chunks they came in: the last bits of a product depend on it


@dataclass(frozen=True)
class EncodedBatch:
    """Rows as a model takes them."""

    x: dict[str, Array]
    y: Array  # labels [N, T]
    weight: Array | None = None  # [N]
    columns: dict[str, Array] = field(default_factory=dict)  # raw columns that were kept

    @property
    def rows(self) -> int:
        return len(self.y)

    def as_tuple(self) -> tuple[dict[str, Array], Array, Array | None]:
        """Return inputs, labels and weights, as `model.fit` takes validation data."""
        return self.x, self.y, self.weight

    def slice(self, start: int, stop: int) -> EncodedBatch:
        """Return the rows from `start` to `stop`."""
        rows = slice(start, stop)
        return EncodedBatch(
            x={name: values[rows] for name, values in self.x.items()},
            y=self.y[rows],
            weight=None if self.weight is None else self.weight[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )


def concatenate(batches: Sequence[EncodedBatch]) -> EncodedBatch:
    """Return the rows of several batches, of at least one."""
    if len(batches) == 1:
        return batches[0]
    weights = [batch.weight for batch in batches if batch.weight is not None]
    return EncodedBatch(
        x={name: np.concatenate([batch.x[name] for batch in batches]) for name in batches[0].x},
        y=np.concatenate([batch.y for batch in batches]),
        weight=np.concatenate(weights) if weights else None,
        columns={name: np.concatenate([batch.columns[name] for batch in batches]) for name in batches[0].columns},
    )


def rebatch(batches: Iterable[EncodedBatch], size: int = BATCH) -> Iterator[EncodedBatch]:
    """Yield the same rows in batches of `size`, the last one of what is left."""
    return rechunk(batches, size, count=lambda batch: batch.rows, cut=EncodedBatch.slice, join=concatenate)


def encode_batches(
    encoder: FeatureEncoder,
    data: RawData,
    labels: LabelEncoder | None,
    part: RowSubset | None = None,
    keep: Sequence[str] = (),
) -> Iterator[EncodedBatch]:
    """Read and encode rows, of all or a part, in their order, chunk by chunk; labels None: there are none to read."""
    own = [*data.labels, *([data.weight] if isinstance(data.weight, str) else [])] if labels and data.in_files else []
    if labels is None and not keep and not data.in_files and 0 < (rows := data.count_rows()) <= FEW_ROWS:
        yield EncodedBatch(encoder.transform(data.table), np.empty((rows, 0), np.float32))
        return
    columns = list(dict.fromkeys([*encoder.serving_inputs, *keep, *own]))
    for chunk in encoder.read(data.source, training=False, part=part, columns=columns, **data.options):
        rows = chunk.table.num_rows
        if not rows:
            continue
        y, weight = np.empty((rows, 0), np.float32), None
        if labels is not None:
            found, given = data.labels_and_weights(chunk)
            weight = None if given is None else _checked_weights(given, chunk)
            y = labels.encode_all(found, chunk.where)
        kept = {name: to_numpy(column_of(chunk.table, name)) for name in keep}
        yield EncodedBatch(encoder.encode_chunk(chunk), y, weight, kept)


def _checked_weights(weight: Array, chunk: Chunk) -> Array:
    """The weights of a chunk, checked as those of training are."""
    try:
        return to_weights(weight, chunk.table.num_rows, chunk.first_row)
    except ValueError as error:
        raise ValueError(f"{chunk.file}: {error}" if chunk.file else str(error)) from error


def count_training_rows(
    data: RawData, found: Scan, train: RowSubset | None, labels: LabelEncoder, learner: LabelLearner
) -> tuple[int, list[float] | None]:
    """Return how many rows an epoch trains on, and the biases that predict the mean of their labels.

    These are the rows of the training part; with a `negative_rate` those that it keeps.
    """
    rate, binary = data.negative_rate, isinstance(labels, ClassLabelEncoder) and labels.kind == "binary"
    if rate == 1 or not binary or not isinstance(learner, ClassLearner) or not isinstance(labels, ClassLabelEncoder):
        return found.rows if train is None else train.rows, labels.initial_bias
    observed, positive = learner.binary(labels)
    kept = np.ones(found.rows, bool) if train is None else train.mask.copy()
    for file, rows in found.files().items():
        kept[rows] &= keep_rows(np.asarray(positive[rows].any(axis=1)), Path(file).name, 0, rate, data.table.seed)
    if not kept.any():
        raise ValueError(f"{data.source} must hold rows that negative_rate={rate} keeps, got none")
    shares = positive[kept].sum(axis=0) / np.maximum(observed[kept].sum(axis=0), 1)
    rates = [[1 - share, share] for share in shares.tolist()]
    return int(kept.sum()), ClassLabelEncoder(labels.names, labels.classes, rates).initial_bias


def training_rows(
    data: RawData, part: RowSubset | None, encoder: FeatureEncoder, labels: LabelEncoder, x: dict[str, Array] | None
) -> EncodedBatch | Files:
    """Return the rows to train on: `x`, those in memory; those of files are encoded as they are read."""
    if x is None:
        return _encoding_files(data, encoder, labels, part)
    return EncodedBatch(x, _labels_of(data, part, labels), _weight_of(data, part))


def _encoding_files(
    data: RawData, encoder: FeatureEncoder, labels: LabelEncoder, part: RowSubset | None = None
) -> Files:
    label, weight = list(data.labels), data.weight
    files: Files = replace(data.table, label=label, weight=weight, encoder=encoder, part=part, targets=labels.encode)
    return files


def _labels_of(data: RawData, part: RowSubset | None, labels: LabelEncoder) -> Array:
    y = labels.encode_all(data.y, row_name)
    return y if part is None else y[part.mask]


def _weight_of(data: RawData, part: RowSubset | None) -> Array | None:
    if not isinstance(data.weight, np.ndarray):
        return None
    return data.weight if part is None else data.weight[part.mask]


def open_validation(validation: LabelsLike, data: RawData, time: TimeLike = None) -> RawData:
    """Return the rows to validate on that were given, with as many labels as those to train on."""
    if time is not None:
        raise ValueError(f"validation gives the rows to validate on, so time must be left out, got {time!r}")
    if isinstance(validation, tuple):
        if len(validation) not in (2, 3):
            raise ValueError(f"validation must be (X, y), (X, y, sample_weight) or files, got {len(validation)} parts")
        X, y, weight = (*validation, None)[:3]
        opened = open_data(X, y, weight)
    else:
        opened = open_data(validation, list(data.labels), data.weight if isinstance(data.weight, str) else None)
    if len(opened.labels) != len(data.labels):
        raise ValueError(f"validation must have the labels {list(data.labels)}, got {list(opened.labels)}")
    return opened


def validation_rows(
    data: RawData, parts: Split, given: RawData | None, encoder: FeatureEncoder, labels: LabelEncoder
) -> EncodedBatch | Files | None:
    """Return the rows to validate on: those cut off are held in memory, files given are read at each evaluation."""
    if given is None:
        return None if parts.validation is None else _encoded(data, parts.validation, encoder, labels)
    labels = labels.renamed(given.labels)
    return _encoding_files(given, encoder, labels) if given.in_files else _encoded(given, None, encoder, labels)


def _encoded(data: RawData, part: RowSubset | None, encoder: FeatureEncoder, labels: LabelEncoder) -> EncodedBatch:
    if data.in_files:
        return concatenate(list(encode_batches(encoder, data, labels, part)))
    x = encoder.transform(data.source, part=part)
    return EncodedBatch(x, _labels_of(data, part, labels), _weight_of(data, part))
