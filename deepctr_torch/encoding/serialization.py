"""Saved encoders: `encoder.json` and `vocab/*.arrow`; nothing in them is code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._json_files import check_plain_file, read_json, write_json
from .._whole_files import check_files, replaced_files
from ..hashing import HASH_VERSION
from .categorical import SharedVocabulary
from .specs import FeatureSpec, spec_from_json, spec_to_json
from .vocabulary import HashedVocabulary, Vocabulary

if TYPE_CHECKING:
    from .encoder import FeatureEncoder

__all__ = ["FORMAT", "read_description", "restore_encoder", "save_encoder", "specs_of", "write_encoder"]

FORMAT = "deepctr_torch.encoder/1"


def save_encoder(encoder: FeatureEncoder, directory: str | PathLike[str]) -> None:
    """Write a fitted encoder, whole or not at all, with the checksums of its files."""
    with replaced_files(Path(directory)) as part:
        write_encoder(encoder, part)


def write_encoder(encoder: FeatureEncoder, target: Path) -> None:
    """Write a fitted encoder into a folder."""
    (target / "vocab").mkdir(parents=True, exist_ok=True)
    vocabularies = {
        name: _save_vocabulary(shared, i, target) for i, (name, shared) in enumerate(encoder.vocabularies.items())
    }
    description = {
        "format": FORMAT,
        "hash_version": HASH_VERSION,
        "rows": encoder.rows,
        "features": [
            {"name": name, **spec_to_json(spec), "learned": encoder.column_encoders[name].state()}
            for name, spec in encoder.features.items()
        ],
        "tables": vocabularies,
        "reasons": encoder.reasons,
        "left_out": encoder.left_out,
    }
    write_json(target / "encoder.json", description)


def _save_vocabulary(shared: SharedVocabulary, number: int, target: Path) -> dict[str, Any]:
    learned = shared.learned
    out: dict[str, Any] = {"type": learned.dtype, "first_rows": shared.first_rows}
    if isinstance(learned, HashedVocabulary):
        return {**out, "buckets": learned.buckets}
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", shared.name)[:40]
    file = f"vocab/{number:03d}_{slug}.arrow"
    learned.save(target / file)
    return {**out, "file": file, "size": learned.size}


def read_description(directory: str | PathLike[str]) -> dict[str, Any]:
    """Read the description in a folder, if this version wrote it and its files of an encoder are what was saved."""
    check_files(Path(directory), "encoder.json", "vocab/")
    path = Path(directory) / "encoder.json"
    if not path.exists():
        raise FileNotFoundError(f"{directory} must hold a saved encoder, but lacks encoder.json")
    description = read_json(path)
    found = description.get("format")
    if found != FORMAT:
        raise ValueError(f"{path} must be of format {FORMAT}, got {found!r}: it was saved by another version")
    if description.get("hash_version") != HASH_VERSION:
        raise ValueError(f"{path} must use hash version {HASH_VERSION}, got {description.get('hash_version')!r}")
    return description


def specs_of(description: Mapping[str, Any]) -> dict[str, FeatureSpec]:
    """Return feature -> spec of a description."""
    own = {"name", "learned"}
    return {
        str(f["name"]): spec_from_json({k: v for k, v in f.items() if k not in own}, str(f["name"]))
        for f in description["features"]
    }


def restore_encoder(encoder: FeatureEncoder, description: Mapping[str, Any], directory: str | PathLike[str]) -> None:
    """Give an encoder of the same features what the saved one had learned."""
    try:
        for name, shared in encoder.vocabularies.items():
            if name not in description["tables"]:
                there = list(description["tables"])
                raise ValueError(f"{directory} must hold the table of {name!r}, got those of {there}")
            saved = description["tables"][name]
            learned = _load_vocabulary(saved, name, Path(directory))
            learned.prepare()
            shared.restore(learned, int(saved["first_rows"]))
        for feature in description["features"]:
            encoder.column_encoders[str(feature["name"])].restore(feature["learned"])
        encoder.rows = int(description["rows"])
    except KeyError as error:
        raise ValueError(f"{Path(directory) / 'encoder.json'} must be whole, but lacks {error}") from error
    encoder.reasons = dict(description.get("reasons", {}))
    encoder.left_out = dict(description.get("left_out", {}))


def _load_vocabulary(saved: Mapping[str, Any], name: str, directory: Path) -> Vocabulary | HashedVocabulary:
    if saved["type"] not in ("int", "string"):
        raise ValueError(f"the values of {name!r} must be of type int or string, got {saved['type']!r}")
    if "buckets" in saved:
        return HashedVocabulary(int(saved["buckets"]), saved["type"])
    file = str(saved["file"])
    if not re.fullmatch(r"vocab/[A-Za-z0-9_-]+\.arrow", file):
        raise ValueError(f"the vocabulary of {name!r} must lie in vocab/, got {file!r}")
    if (directory / "vocab").is_symlink():
        raise ValueError(f"{directory / 'vocab'} must be a folder, got a symbolic link")
    if (directory / file).exists():
        check_plain_file(directory / file)
    return Vocabulary.load(directory / file, saved["type"], int(saved["size"]))
