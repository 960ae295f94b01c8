"""An encoder as `encoder.json` and `vocab/*.arrow`; nothing in it is code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from ..hashing import HASH_VERSION
from .categorical import SharedVocabulary
from .column_encoder import ColumnEncoder
from .specs import FeatureSpec, spec_from_json, spec_to_json
from .vocabulary import Hashed, Vocabulary

__all__ = ["FORMAT", "kinds", "read", "restore", "save"]

FORMAT = "deepctr_torch.encoder/1"


def save(
    features: Mapping[str, FeatureSpec],
    rows: int,
    parts: Mapping[str, ColumnEncoder],
    tables: Mapping[str, SharedVocabulary],
    directory: str | PathLike[str],
    notes: Mapping[str, Mapping[str, str]],
) -> None:
    """Write an encoder; the description last, so that a folder with one is whole. `notes` say why, for `explain`."""
    target = Path(directory)
    (target / "vocab").mkdir(parents=True, exist_ok=True)
    described = {name: _save_table(table, i, target) for i, (name, table) in enumerate(tables.items())}
    description = {
        "format": FORMAT,
        "hash_version": HASH_VERSION,
        "rows": rows,
        "features": [
            {"name": name, **spec_to_json(kind), "learned": parts[name].state()} for name, kind in features.items()
        ],
        "tables": described,
        **notes,
    }
    (target / "encoder.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def _save_table(table: SharedVocabulary, number: int, target: Path) -> dict[str, Any]:
    lookup = table.learned
    out: dict[str, Any] = {"type": lookup.kind, "first_rows": table.first_rows}
    if isinstance(lookup, Hashed):
        return {**out, "buckets": lookup.buckets}
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", table.name)[:40]
    file = f"vocab/{number:03d}_{slug}.arrow"
    lookup.save(target / file)
    return {**out, "file": file, "size": lookup.size}


def read(directory: str | PathLike[str]) -> dict[str, Any]:
    """The description in a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not what this version writes.
    """
    path = Path(directory) / "encoder.json"
    if not path.is_file():
        raise FileNotFoundError(f"{directory} must hold a saved encoder, but lacks encoder.json")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON, got: {error}") from error
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} must be of format {FORMAT}, got {found!r}: it was saved by another version")
    if description.get("hash_version") != HASH_VERSION:
        raise ValueError(f"{path} must use hash version {HASH_VERSION}, got {description.get('hash_version')!r}")
    return dict(description)


def kinds(description: Mapping[str, Any]) -> dict[str, FeatureSpec]:
    """Feature -> kind."""
    own = {"name", "learned"}
    return {
        str(f["name"]): spec_from_json({k: v for k, v in f.items() if k not in own}, str(f["name"]))
        for f in description["features"]
    }


def restore(
    description: Mapping[str, Any],
    parts: Mapping[str, ColumnEncoder],
    tables: Mapping[str, SharedVocabulary],
    directory: str | PathLike[str],
) -> int:
    """Give features and tables what they learned; how many rows they learned from."""
    try:
        for name, table in tables.items():
            if name not in description["tables"]:
                there = list(description["tables"])
                raise ValueError(f"{directory} must hold the table of {name!r}, got those of {there}")
            saved = description["tables"][name]
            table.first_rows = int(saved["first_rows"])
            table.lookup = _load_table(saved, name, Path(directory))
            table.lookup.prepare()
        for feature in description["features"]:
            parts[str(feature["name"])].restore(feature["learned"])
        return int(description["rows"])
    except KeyError as error:
        raise ValueError(f"{Path(directory) / 'encoder.json'} must be whole, but lacks {error}") from error


def _load_table(saved: Mapping[str, Any], name: str, directory: Path) -> Vocabulary | Hashed:
    if saved["type"] not in ("int", "string"):
        raise ValueError(f"the values of {name!r} must be of type int or string, got {saved['type']!r}")
    if "buckets" in saved:
        return Hashed(int(saved["buckets"]), saved["type"])
    file = str(saved["file"])
    if not re.fullmatch(r"vocab/[A-Za-z0-9_-]+\.arrow", file):
        raise ValueError(f"the vocabulary of {name!r} must lie in vocab/, got {file!r}")
    return Vocabulary.load(directory / file, saved["type"], int(saved["size"]))
