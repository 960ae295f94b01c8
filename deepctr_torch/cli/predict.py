"""`predict`: files in, the same rows with scores out, one chunk after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..tables import common_types, read_chunks
from ..tables.text import TextFormat, text_types
from .inputs import Reading, Samples, count_rows, samples
from .output import TableWriter, check_target
from .progress import Progress
from .show import facts, print_json
from .trained_run import load_run, reading_of, scores

__all__ = ["predict"]


def predict(
    run: Path, files: Sequence[str], out: Path, columns: Sequence[str] | None, reading: Reading, as_json: bool
) -> None:
    """Write the scores.

    Args:
        run: folder that `fit` wrote.
        files: what to score.
        out: table to write.
        columns: of the files, to write before the scores; None for all.
        reading: format, header and null of `samples`.
        as_json: print JSON.
    """
    check_target(out)
    estimator = load_run(run)
    found = samples(files, *reading_of(run, reading, files))
    found.check(estimator.encoder_.serving_inputs, "a feature of the model")
    kept = found.columns if columns is None else list(columns)
    found.check(kept, "to be written")
    names = score_names(estimator)
    twice = [name for name in names if name in kept]
    if twice:
        raise ValueError(f"the files have a column {twice[0]!r} already: leave it out with --columns")
    begin = time.perf_counter()
    with Progress(not as_json) as progress, TableWriter(out) as writer:
        progress.begin("predicting", count_rows(found))
        for table in _scored(estimator, found, kept, names, keep_text=out.suffix != ".parquet"):
            writer.write(table)
            progress.advance(table.num_rows)
        if not writer.rows:
            raise ValueError(f"{found.files[0]} must hold at least one row, got none")
    seconds = time.perf_counter() - begin
    result = {"rows": writer.rows, "out": str(out), "seconds": seconds, "rows_per_s": writer.rows / seconds}
    if as_json:
        print_json({**result, "columns": [*kept, *names]})
    else:
        facts({"wrote": f"{out}: {writer.rows:,} rows, {result['rows_per_s']:,.0f} a second", "scores": names})


def score_names(estimator: Any) -> list[str]:
    """How the columns of the scores are called."""
    names = list(estimator.labels_)
    if len(names) > 1:
        return [f"prediction_{name}" for name in names]
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) > 2:
        return [f"prediction_{value}" for value in classes]
    return ["prediction"]


def _scored(
    estimator: Any, found: Samples, kept: Sequence[str], names: Sequence[str], keep_text: bool
) -> Iterator[Any]:
    """The kept columns and the scores, a table for each chunk."""
    import pyarrow as pa

    features = estimator.encoder_.serving_inputs
    columns = list(dict.fromkeys([*features, *kept]))
    text = found.text()
    written = TextFormat(found.header, found.null)
    types = text_types(found.files, kept, {}, written) if text and not keep_text else {}
    chunks = found.strings(columns) if text else read_chunks(found.paths, columns, **found.options)
    common = {} if text else common_types(found.paths, kept, **found.options)
    for table, values in scores(estimator, chunks, kept, common):
        for i, name in enumerate(kept):
            if name in types and types[name] != table.schema.field(i).type:
                table = table.set_column(i, name, _typed(table.column(i), types[name], name))
        for name, column in zip(names, values.T, strict=True):
            table = table.append_column(name, pa.array(column))
        yield table


def _typed(column: Any, kind: Any, name: str) -> Any:
    """Text as what the beginning of the files shows it to be."""
    import pyarrow as pa

    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{name!r} looked like {kind} at the beginning of the files, but: {error}; write .csv, where text stays as "
            "it is, or choose --columns"
        ) from error
