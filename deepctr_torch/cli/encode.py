"""`encode`: raw tables to Parquet files of ids and numbers, with the encoder beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data.parquet_cache import check_empty
from ..data.parquet_cache import encode as encode_files
from ..encoding import FeatureEncoder
from ..tables import read_chunks
from .console import UsageError, print_facts, print_features, print_json
from .inputs import InputFiles, Reading, input_files
from .output import output_folder
from .settings import Settings


def encode(
    files: Sequence[str], out: Path, label: Sequence[str], keep: Sequence[str], earlier: Path | None,
    training: bool, settings: Settings, reading: Reading, as_json: bool,
) -> None:  # fmt: skip
    """Write encoded files, and the encoder where no `earlier` one is given."""
    if earlier is not None and settings.features:
        raise UsageError("--encoder knows its features: leave --set out")
    check_empty("--out", out)
    found = input_files(files, reading)
    with output_folder(out):
        if earlier is not None:
            encoder = FeatureEncoder.load(earlier)
            found = found.skipping([*encoder.inputs, *label, *keep], encoder.schema())
        else:
            encoder = _inferred(found, [*label, *keep], settings)
            found = found.skipping([*encoder.inputs, *label, *keep], encoder.schema())
            encoder.fit(found.paths, **found.options)
        paths = encode_files(
            found.paths, encoder, out, label=list(label), keep=keep, training=training, **found.options
        )
        if earlier is None:
            encoder.save(out / "encoder")
    rows = sum(chunk.table.num_rows for chunk in read_chunks(paths, encoder.outputs[:1]))
    result = {"rows": rows, "files": [str(path) for path in paths], "encoder": str(earlier or out / "encoder")}
    if as_json:
        print_json({**result, "features": encoder.describe()})
        return
    print_features(encoder.describe())
    print_facts({"rows": rows, "files": len(paths), "in": out, "encoder": result["encoder"]})


def _inferred(found: InputFiles, apart: Sequence[str], settings: Settings) -> FeatureEncoder:
    """An encoder, not yet fitted, of the kinds that the data suggest, where `settings` do not say otherwise."""
    from ..estimators.features import infer_encoder

    skipped = [*apart, *(name for name, kind in settings.features.items() if kind is None)]
    found.check(skipped, "as asked for")
    given = {name: kind for name, kind in settings.features.items() if kind is not None}
    return infer_encoder(found.paths, found.columns, given=given, skipped=skipped, **found.options)
