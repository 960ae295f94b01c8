"""`encode`: raw tables to Parquet files of ids and numbers, with the encoder beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data.parquet_cache import encode as encode_files
from ..encoding import FeatureEncoder, Timestamp
from ..encoding.infer import infer_specs
from ..tables import read_chunks
from .errors import UsageError
from .inputs import Reading, Samples, samples
from .settings import Settings
from .show import facts, print_features, print_json

__all__ = ["encode", "proposed"]


def proposed(
    found: Samples, label: Sequence[str], exclude: Sequence[str], settings: Settings, time: str | None = None
) -> FeatureEncoder:
    """An encoder, not yet fitted, of the kinds that the data suggest, where `settings` do not say otherwise.

    Args:
        found: the files.
        label, exclude: columns that are no features.
        settings: what is said of features.
        time: the column that rows are split by, a feature only as hour and weekday.
    """
    skipped = [name for name, kind in settings.features.items() if kind is None]
    found.check([*label, *exclude, *skipped], "as asked for")
    given = {name: kind for name, kind in settings.features.items() if kind is not None}
    left = [*exclude, *skipped]
    inferred = infer_specs(found.paths, list(label), exclude=left, given=given, **found.options)
    kinds = {**inferred.specs, **given}
    if time is not None and time not in given and not isinstance(kinds.get(time), Timestamp):
        kinds = {name: kind for name, kind in kinds.items() if time not in (name, kind.column)}
    column = {**dict(zip(kinds, kinds, strict=True)), **{n: spec.column or n for n, spec in inferred.specs.items()}}
    place = {name: i for i, name in enumerate(found.columns)}
    order = sorted(kinds, key=lambda name: place.get(column[name], len(place)))
    encoder = FeatureEncoder({name: kinds[name] for name in order})
    encoder.reasons = {name: why for name, why in inferred.reasons.items() if name in kinds}
    encoder.left_out = {name: why for name, why in inferred.left_out.items() if name not in given}
    return encoder


def encode(
    files: Sequence[str], out: Path, label: Sequence[str], keep: Sequence[str], earlier: Path | None,
    training: bool, settings: Settings, reading: Reading, as_json: bool,
) -> None:  # fmt: skip
    """Write encoded files, and the encoder where it was learned here.

    Args:
        files: the raw files.
        out: a folder that is empty or not there.
        label, keep: columns to keep.
        earlier: folder of a saved encoder or of a run; None to learn one from the files.
        training: rows to train on.
        settings: kinds of features.
        reading: format, header and null of `samples`.
        as_json: print JSON.
    """
    if earlier is not None and settings.features:
        raise UsageError("--encoder knows its features: leave --set out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out must be a folder that is empty or not there yet, got {out}")
    found = samples(files, *reading)
    if earlier is None:
        encoder = proposed(found, label, keep, settings).fit(found.paths, **found.options)
    else:
        encoder = FeatureEncoder.load(earlier)
    paths = encode_files(found.paths, encoder, out, label=list(label), keep=keep, training=training, **found.options)
    if earlier is None:
        encoder.save(out / "encoder")
    rows = sum(chunk.table.num_rows for chunk in read_chunks(paths, encoder.outputs[:1]))
    result = {"rows": rows, "files": [str(path) for path in paths], "encoder": str(earlier or out / "encoder")}
    if as_json:
        print_json({**result, "features": encoder.describe()})
        return
    print_features(encoder.describe())
    facts({"rows": rows, "files": len(paths), "in": out, "encoder": result["encoder"]})
