"""`evaluate`: predictions against labels, over all rows, by value of a column, within groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .inputs import Reading, Samples, count_rows, files_of, samples
from .progress import Progress
from .show import print_json, print_metrics, print_table
from .trained_run import in_units, load_run, reading_of

__all__ = ["Seen", "evaluate", "look", "usual_metrics"]

Array = npt.NDArray[Any]
SHOWN = 20  # values of --by in the table
MISSING = "(missing)"


@dataclass(frozen=True)
class Seen:
    """Labels and predictions of rows.

    Attributes:
        tasks: name and kind of each task.
        y, p: labels and predictions [N, T] (of several classes p is [N, C]), in the units of the labels.
        weight: [N], or None.
        columns: raw columns [N] by name.
    """

    tasks: Any
    y: Array
    p: Array
    weight: Array | None
    columns: dict[str, Array]

    def metrics(self, names: Sequence[str], rows: Any = slice(None)) -> dict[str, float]:
        """The metrics of all rows, or of some."""
        from ..metrics.task_metrics import TaskMetrics

        weight = None if self.weight is None else self.weight[rows]
        groups = {name: column[rows] for name, column in self.columns.items()}
        return TaskMetrics(self.tasks, list(names)).evaluate(self.y[rows], self.p[rows], weight, groups)


def evaluate(
    run: Path, files: Sequence[str], label: Sequence[str], weight: str | None, by: str | None, group: str | None,
    reading: Reading, as_json: bool,
) -> None:  # fmt: skip
    """Print the metrics.

    Args:
        run: folder that `fit` wrote.
        files: rows with labels.
        label: columns of the labels, if not those of the training.
        weight: column of sample weights.
        by: column for whose values there are metrics of their own.
        group: column within whose values AUC is computed.
        reading: format, header and null of `samples`.
        as_json: print JSON.
    """
    estimator = load_run(run)
    found = samples(files, *reading_of(run, reading, files))
    labels = list(label) or list(estimator.labels_)
    columns = [name for name in dict.fromkeys((by, group)) if name]
    found.check([*labels, *columns, *([weight] if weight else [])], "as asked for")
    with Progress(not as_json) as progress:
        seen = look(estimator, found, labels, weight, columns, None, progress)
    names = usual_metrics(estimator) + ([f"gauc:{group}", f"gauc_skipped:{group}"] if group else [])
    metrics = seen.metrics(names)
    within = [name for name in names if not name.startswith("gauc_skipped")]
    parts = [] if by is None else list(_by_value(seen, by, within))
    if as_json:
        result: dict[str, Any] = {"rows": len(seen.p), "metrics": metrics}
        print_json(result if by is None else {**result, "by": by, "parts": parts})
        return
    print_metrics(metrics, estimator.labels_, f"{len(seen.p):,} rows")
    if by is not None:
        shown = [{by: part["value"], "rows": part["rows"], **part["metrics"]} for part in parts[:SHOWN]]
        more = f", the {SHOWN} most frequent of {len(parts):,} values" if len(parts) > SHOWN else ""
        print_table(shown, f"By {by}{more}")


def usual_metrics(estimator: Any) -> list[str]:
    """Names of the metrics for what the model predicts."""
    return list(estimator._metrics())


def look(
    estimator: Any, found: Samples, label: Sequence[str], weight: str | None, columns: Sequence[str], part: Any,
    progress: Progress,
) -> Seen:  # fmt: skip
    """Predict rows and keep what metrics need.

    Args:
        estimator: fitted.
        found: the files.
        label, weight: columns.
        columns: further ones to keep.
        part: the rows to look at; None for all.
        progress: where to show how far it is.
    """
    from ..estimators.batches import blocks, read_encoded
    from ..estimators.inputs import open_data

    data = open_data(files_of(found, label, weight, columns), list(label), weight)
    theirs = type(estimator.targets_).restore(data.labels, estimator.targets_.state())  # by the names of these columns
    y: list[Array] = []
    p: list[Array] = []
    weights: list[Any] = []
    kept: dict[str, list[Array]] = {name: [] for name in columns}
    progress.begin("evaluating", count_rows(found) if part is None else part.rows)
    for block in blocks(read_encoded(estimator.encoder_, data, theirs, part, columns)):
        y.append(in_units(estimator, block.y.astype(np.float64)))
        p.append(in_units(estimator, estimator.model_.predict(block.x)))
        weights.append(block.weight)
        for name, values in kept.items():
            values.append(_codes(block.groups[name]))
        progress.advance(block.rows)
    if not y:
        raise ValueError(f"{found.files[0]} must hold at least one row, got none")
    joined = {name: np.concatenate(values) for name, values in kept.items()}
    weighted = None if weights[0] is None else np.concatenate(weights)
    return Seen(estimator.model_.tasks, np.concatenate(y), np.concatenate(p), weighted, joined)


def _codes(values: Array) -> Array:
    """Values to group by; what is missing is one group."""
    if values.dtype.kind != "O":
        return values
    return np.array([MISSING if value is None else str(value) for value in values])


def _by_value(seen: Seen, by: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows and metrics of each value, the most frequent first."""
    values, place, counts = np.unique(seen.columns[by], return_inverse=True, return_counts=True)
    order = np.argsort(place.reshape(-1), kind="stable")
    ends = np.cumsum(counts)
    for i in np.argsort(-counts, kind="stable"):
        rows = order[ends[i] - counts[i] : ends[i]]
        yield {"value": values[i].item(), "rows": int(counts[i]), "metrics": seen.metrics(names, rows)}
