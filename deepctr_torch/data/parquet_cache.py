"""Encoding once, training often: raw tables -> Parquet files of exactly what `fit` reads."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._checks import check_at_least
from .._optional import needs
from ..tables import BadRows, Chunk, PathsLike, TableLike, TypeLike, common_types, read_chunks, rechunk, typed
from .files import raw_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from ..encoding import FeatureEncoder

__all__ = ["ENCODING", "check_empty", "encode", "identity", "write_encoded"]

ENCODING = "_encoding.json"  # readers of folders pass over names that begin with "_"
FORMAT = 1
GROUPS_PER_FILE = 16


def encode(
    data: TableLike | PathsLike,
    encoder: FeatureEncoder,
    out: str | PathLike[str],
    *,
    label: str | Sequence[str] | None = None,
    keep: Sequence[str] = (),
    training: bool = False,
    seed: int = 0,
    rows_per_group: int = 65_536,
    schema: Mapping[str, TypeLike] | None = None,
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
    on_bad_rows: str | BadRows = "raise",
) -> list[Path]:
    """Encode a raw table into Parquet files that train without an encoder, several times faster.

    Ids are integers, sequences lists of one size, numbers float32: column by column what `encoder.transform(data)`
    returns. Beside them `_encoding.json` says what they were encoded with. One chunk is in memory at a time.

    Args:
        data: a frame, an arrow table, a dict of arrays, or files (see `Files`).
        encoder: a fitted `FeatureEncoder`.
        out: folder to write to; made if it is not there, and must be empty.
        label: column(s) to keep as labels.
        keep: further columns to keep as they are: sample weights, groups of metrics. One that is of integers in a
            file and of floats in another is of floats.
        training: as rows to train on: with the columns that are known in training alone, and ids dropped out by `seed`,
            the same ones in every epoch.
        seed: see `training`.
        rows_per_group: rows of a row group, and of what is shuffled together.
        schema, header, null, on_bad_rows: see `Files`.

    Returns:
        The files written, in order.

    Raises:
        ValueError: `out` is not empty, a kept column has the name of an encoded one or types that have none in common,
            or whatever the encoder refuses.
    """
    check_at_least("rows_per_group", rows_per_group, 1)
    labels = [label] if isinstance(label, str) else list(label or ())
    kept = list(dict.fromkeys([*labels, *keep]))
    target = Path(out)
    check_empty("out", target)
    target.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys([*raw_columns(encoder, training), *kept]))
    known = {**encoder.schema(), **(schema or {})}
    chunks = read_chunks(data, columns, schema=known, header=header, null=null, on_bad_rows=on_bad_rows)
    types = common_types(data, kept, schema=known, header=header, null=null, on_bad_rows=on_bad_rows)
    tables = (_encoded(chunk, encoder, kept, types, training, seed) for chunk in chunks)
    paths, rows = write_encoded(tables, target, rows_per_group)
    about = {"encoder": identity(encoder), "label": labels, "keep": list(keep), "training": training, "seed": seed}
    written = {"rows": rows, "files": [path.name for path in paths]}
    (target / ENCODING).write_text(json.dumps({"format": FORMAT, **about, **written}, indent=1))
    return paths


def identity(encoder: FeatureEncoder) -> str:
    """The same for encoders that encode alike: a digest of what `encoder.save` writes."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(folder)
        for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def check_empty(name: str, folder: Path) -> None:
    """Check that a folder to write to is not there or holds nothing but hidden files, which readers pass over."""
    if folder.exists() and not (folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())):
        raise ValueError(f"{name} must be a folder that is empty or not there yet, got {folder}")


def _encoded(
    chunk: Chunk,
    encoder: FeatureEncoder,
    kept: Sequence[str],
    types: Mapping[str, pa.DataType],
    training: bool,
    seed: int,
) -> pa.Table:
    import pyarrow as pa

    arrays = encoder.encode_chunk(chunk, training=training, seed=seed)
    both = [name for name in kept if name in arrays]
    if both:
        raise ValueError(f"columns to keep must not have the name of an encoded one, got {both}")
    columns = {name: _column(np.asarray(values)) for name, values in arrays.items()}
    others = typed(chunk, kept, types)
    return pa.table({**columns, **{name: others.column(name) for name in kept}})


def _column(values: npt.NDArray[np.generic]) -> pa.Array:
    """[N] or [N, width] as an arrow column, lists of a fixed size for the latter."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def write_encoded(tables: Iterable[pa.Table], target: Path, rows_per_group: int) -> tuple[list[Path], int]:
    """Write arrow tables as part-00000.parquet, ... of 16 row groups each; returns the files and the number of rows."""
    with needs("tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    def cut(table: pa.Table, start: int, stop: int) -> pa.Table:
        return table.slice(start, stop - start)

    paths: list[Path] = []
    rows = 0
    groups = rechunk(tables, rows_per_group, count=len, cut=cut, join=pa.concat_tables)
    try:
        while (first := next(groups, None)) is not None:
            paths.append(target / f"part-{len(paths):05d}.parquet")
            # Without dictionaries columns are read as they lie; lz4 costs next to nothing.
            with pq.ParquetWriter(
                paths[-1], first.schema, compression="lz4", use_dictionary=False, write_page_checksum=True
            ) as writer:
                for table in chain([first], islice(groups, GROUPS_PER_FILE - 1)):
                    writer.write_table(table, row_group_size=rows_per_group)
                    rows += table.num_rows
        if not rows:
            raise ValueError("the table to encode has no rows")
    except BaseException:  # nobody shall train on half of the rows
        for path in paths:
            path.unlink()
        raise
    return paths, rows
