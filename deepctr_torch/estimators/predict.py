"""Predictions of raw rows, alone or beside their labels, block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .._typing import Array
from ..encoding import FeatureEncoder
from ..encoding.column_encoder import ColumnEncoder
from ..encoding.vocabulary import UNSEEN
from ..metrics.task_metrics import TaskMetrics
from ..models import BaseModel
from ..tables import Chunk
from .labels import LabelEncoder
from .prepare import EncodedBatch, concatenate, rebatch

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "DEFAULT_METRICS",
    "LabeledPredictions",
    "MetricLike",
    "predict_batches",
    "predict_chunks",
    "predict_labeled",
]

log = logging.getLogger("deepctr_torch")
BLANK_ROWS = 20  # fewer may lack a column by chance
MetricLike: TypeAlias = str | Callable[..., Any]
DEFAULT_METRICS = {
    "binary": ("auc", "logloss", "ne", "calibration"),
    "multiclass": ("auc", "logloss", "acc"),
    "regression": ("rmse", "mae"),
}


@dataclass(frozen=True)
class LabeledPredictions:
    """Predictions beside the labels, in their units, and what else metrics need."""

    tasks: Sequence[tuple[str, str]]  # name and type of each
    y: Array  # labels [N, T]
    p: Array  # predictions [N, T], of more than two classes [N, C]
    weight: Array | None = None  # [N]
    columns: dict[str, Array] = field(default_factory=dict)  # raw columns [N], by name

    def metrics(self, names: Sequence[MetricLike], rows: slice | Array = slice(None)) -> dict[str, float]:
        """Compute metrics of these rows, name -> value; "gauc:user" groups by the column `user`."""
        weight = None if self.weight is None else self.weight[rows]
        groups = {name: column[rows] for name, column in self.columns.items()}
        return TaskMetrics(self.tasks, list(names)).evaluate(self.y[rows], self.p[rows], weight, groups)

    def metrics_by(self, column: str, names: Sequence[MetricLike]) -> Iterator[tuple[Any, int, dict[str, float]]]:
        """Yield each value of a column, its number of rows and their metrics, the most frequent value first."""
        values, place, counts = np.unique(self.columns[column], return_inverse=True, return_counts=True)
        order = np.argsort(place.reshape(-1), kind="stable")
        ends = np.cumsum(counts)
        for i in np.argsort(-counts, kind="stable"):
            rows = order[ends[i] - counts[i] : ends[i]]
            yield values[i].item(), int(counts[i]), self.metrics(names, rows)


class _BlankColumns:
    """Columns that have said nothing yet: all their values are missing, or were not seen in training."""

    def __init__(self, encoder: FeatureEncoder) -> None:
        self.columns = {name: c for name, c in encoder.column_encoders.items() if not c.spec.train_only}
        self.rows = 0

    def see(self, x: Mapping[str, Array], rows: int) -> None:
        self.rows += rows
        if self.rows >= BLANK_ROWS:
            self.columns = {name: column for name, column in self.columns.items() if _is_blank(column, x)}

    def log(self) -> None:
        """Name the columns of which training knew at least so many values among as many rows."""
        if self.rows < BLANK_ROWS:
            return
        found = [name for name, column in self.columns.items() if self.rows * _known_share(column) >= BLANK_ROWS]
        if found:
            log.warning(
                "all %s rows lack %s, or have values of it that were not seen in training: predictions do without",
                f"{self.rows:,}",
                ", ".join(map(repr, found)),
            )


def _is_blank(column: ColumnEncoder, x: Mapping[str, Array]) -> bool:
    """Tell whether all inputs that a feature gives are those of a missing or unseen value."""
    missing = column.encode_missing(1)
    given = [(x[name], missing[name]) for name in column.outputs if name in x]
    return all(
        bool(values.max(initial=0) <= UNSEEN) if values.dtype.kind in "iu" else bool((values == blank).all())
        for values, blank in given
    )


def _known_share(column: ColumnEncoder) -> float:
    """The share of training rows with a value that has a row of its own."""
    known = 1 - column.missing / max(column.rows, 1)
    return known * float(column.describe().get("coverage", 1.0))


def predict_batches(
    model: BaseModel, labels: LabelEncoder, batches: Iterable[EncodedBatch], encoder: FeatureEncoder | None = None
) -> Iterator[tuple[EncodedBatch, Array]]:
    """Yield rows with what the model predicts, float64 [n, T], in the units of the labels.

    With the encoder of the rows, columns that say nothing in all of them are logged at the end.
    """
    blank = None if encoder is None else _BlankColumns(encoder)
    for batch in rebatch(batches):
        if blank is not None:
            blank.see(batch.x, batch.rows)
        yield batch, labels.decode(model.predict(batch.x))
    if blank is not None:
        blank.log()


def predict_chunks(
    model: BaseModel,
    labels: LabelEncoder,
    encoder: FeatureEncoder,
    chunks: Iterable[Chunk],
    keep: Callable[[Chunk], pa.Table],
) -> Iterator[tuple[pa.Table, Array]]:
    """Yield what `keep` makes of the chunks with the predictions [n, T], in blocks that do not depend on the chunks."""
    import pyarrow as pa

    held: list[pa.Table] = []

    def encoded() -> Iterator[EncodedBatch]:
        for chunk in chunks:
            held.append(keep(chunk))
            yield EncodedBatch(encoder.encode_chunk(chunk), np.empty((chunk.table.num_rows, 0), np.float32))

    for batch, predicted in predict_batches(model, labels, encoded(), encoder):
        whole = pa.concat_tables(held)
        held[:] = [whole.slice(batch.rows)]
        yield whole.slice(0, batch.rows), predicted


def predict_labeled(
    model: BaseModel,
    labels: LabelEncoder,
    batches: Iterable[EncodedBatch],
    progress: Callable[[int], object] | None = None,
    encoder: FeatureEncoder | None = None,
) -> LabeledPredictions:
    """Return predictions and labels of all rows; `progress` is called with the number of rows of each block."""
    found = []
    for batch, predicted in predict_batches(model, labels, batches, encoder):
        found.append(EncodedBatch({"p": predicted}, batch.y, batch.weight, batch.columns))
        if progress is not None:
            progress(batch.rows)
    if not found:
        raise ValueError("Found array with 0 sample(s): X must have at least one row")
    rows = concatenate(found)
    y = labels.decode(rows.y.astype(np.float64))
    return LabeledPredictions(model.tasks, y, rows.x["p"], rows.weight, rows.columns)
