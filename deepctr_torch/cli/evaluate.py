"""`evaluate`: predictions against labels, over all rows, by value of a column, within groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .console import Progress, print_json, print_metrics, print_table
from .inputs import Reading, input_files
from .run_config import load_run, reading_of

SHOWN = 20  # values of --by in the table
MISSING = "(missing)"


def evaluate(
    run: Path, files: Sequence[str], label: Sequence[str], weight: str | None, by: str | None, group: str | None,
    reading: Reading, as_json: bool,
) -> None:  # fmt: skip
    """Print the metrics of all rows, and of those of each value of the column `by`."""
    estimator = load_run(run)
    found = input_files(files, reading_of(run, reading, files))
    labels = list(label) or list(estimator.labels_)
    columns = [name for name in dict.fromkeys((by, group)) if name]
    found.check([*labels, *columns, *([weight] if weight else [])], "as asked for")
    with Progress(not as_json) as progress:
        progress.begin("evaluating", found.estimate_rows())
        data = found.dataset(labels, weight, columns)
        rows = estimator.predict_labeled(data, labels, keep=columns, progress=progress.advance)
    rows = replace(rows, columns={name: _as_groups(values) for name, values in rows.columns.items()})
    names = estimator.default_metrics + ([f"gauc:{group}"] if group else [])
    metrics = rows.metrics(names + ([f"gauc_skipped:{group}"] if group else []))
    parts = [] if by is None else list(rows.metrics_by(by, names))
    count = len(rows.p)
    if as_json:
        found_by = [{"value": value, "rows": n, "metrics": own} for value, n, own in parts]
        print_json({"rows": count, "metrics": metrics, **({} if by is None else {"by": by, "parts": found_by})})
        return
    print_metrics(metrics, estimator.labels_, f"{count:,} rows")
    if by is not None:
        shown = [{by: value, "rows": n, **found} for value, n, found in parts[:SHOWN]]
        more = f", the {SHOWN} most frequent of {len(parts):,} values" if len(parts) > SHOWN else ""
        print_table(shown, f"By {by}{more}")


def _as_groups(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values to group by; what is missing is one group."""
    if values.dtype.kind != "O":
        return values
    return np.array([MISSING if value is None else str(value) for value in values])
