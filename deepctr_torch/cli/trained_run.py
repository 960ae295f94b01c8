"""What `fit` left in a folder, for the commands that use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tables import Chunk, list_files, typed
from ..tables.files import suffix_of
from .inputs import Reading, fields_of, first_line
from .run_config import FILE, Run, read_run

__all__ = ["in_units", "load_run", "reading_of", "run_of", "scores"]

Array = npt.NDArray[Any]


def load_run(folder: Path) -> Any:
    """The estimator in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    from ..estimators import load_artefact

    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return load_artefact(folder)


def run_of(folder: Path) -> Run | None:
    """The settings of the run, if it was made on the command line."""
    return read_run(folder / FILE) if (folder / FILE).is_file() else None


def reading_of(folder: Path, given: Reading, files: Sequence[str]) -> Reading:
    """How to read files: as said, and else as in training, if that was with names that the files do not have."""
    layout, header, null = given
    run = run_of(folder)
    if run is None:
        return given
    null = null or run.null
    if header or layout or not run.header:
        return layout, header, null
    texts = [path for path in list_files(list(files)) if suffix_of(path) != ".parquet"]
    if texts and fields_of(texts[0]) == len(run.header) and not set(run.header) <= set(names_in(texts[0])):
        return layout, run.header, null
    return layout, header, null


def names_in(path: Path) -> list[str]:
    """The fields of the first line."""
    from ..tables.files import DELIMITERS

    return [field.strip('"') for field in first_line(path).split(DELIMITERS[suffix_of(path)])]


def in_units(estimator: Any, values: Array) -> Array:
    """What the model predicts, or its labels [N, T], in the units of the labels."""
    decode = getattr(estimator.targets_, "decode", None)  # numbers are standardised, classes are not
    return values if decode is None else np.asarray(decode(values))


def scores(
    estimator: Any, chunks: Iterable[Chunk], kept: Sequence[str], types: Mapping[str, Any]
) -> Iterator[tuple[Any, Array]]:
    """The kept columns and the predictions [n, number of scores], in blocks that do not depend on the chunks.

    So that a row gets the same bits whatever file it comes in.

    Args:
        estimator: fitted.
        chunks: the rows.
        kept: columns to keep.
        types: what `common_types` says of them.
    """
    import pyarrow as pa

    from ..estimators.batches import Encoded, blocks

    held: list[Any] = []

    def pieces() -> Iterator[Any]:
        for chunk in chunks:
            held.append(typed(chunk, kept, types))
            rows = chunk.table.num_rows
            yield Encoded(estimator.encoder_.encode_chunk(chunk), np.empty((rows, 0), np.float32))

    for block in blocks(pieces()):
        whole = pa.concat_tables(held)
        held[:] = [whole.slice(block.rows)]
        yield whole.slice(0, block.rows), in_units(estimator, estimator.model_.predict(block.x))
