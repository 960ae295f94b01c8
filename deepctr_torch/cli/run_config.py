"""`Run`: every setting of a training, in `run.toml` beside what came out of it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._json_files import check_plain_file
from .._optional import needs
from .._whole_files import check_files, replaced_files
from ..encoding.specs import FeatureSpec, spec_from_json, spec_to_json
from ..registry import suggest
from ..tables import list_files
from ..tables.files import delimiter_of, suffix_of
from .console import UsageError
from .inputs import Reading, column_count, first_line
from .settings import Settings

if TYPE_CHECKING:
    from ..estimators.base import CTREstimator


FILE = "run.toml"
FORMAT = 1
SIMPLE: dict[str, Any] = {"seed": int, "valid_fraction": (int, float), "infer": bool}
WORDS: dict[Any, str] = {int: "a whole number", (int, float): "a number", bool: "true or false", str: "a text"}
TASKS = ("auto", "classification", "regression")
_TABLES = {"parameters", "model_args", "features"}
_ABOUT = {"run_format", "made_with", "unset", "skip"}


@dataclass(frozen=True)
class Run:
    """All that `fit` is asked for (see `fit --help`), but for the folder of the results."""

    data: list[str] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    weight: str | None = None
    model: str = "DeepFM"
    task: str = "auto"
    seed: int = 0
    format: str = "auto"
    header: list[str] | None = None
    null: list[str] | None = None
    on_bad_rows: str = "raise"
    valid: list[str] | None = None
    valid_fraction: float | None = None
    split_by: str | None = None
    valid_from: str | None = None
    gap: str | None = None
    init_from: str | None = None
    infer: bool = True  # columns that `settings` do not name become features too, of the kind they seem to be
    settings: Settings = field(default_factory=Settings)

    def check(self) -> None:
        """Check that the options fit together."""
        if not self.data:
            raise UsageError("--data is missing: name the files to train on (or a --config that does)")
        if not self.label:
            raise UsageError("--label is missing: name the column of the labels, such as --label click")
        if len(set(self.label)) < len(self.label):
            raise UsageError(f"--label must name each column once, got {','.join(self.label)}")
        if self.task not in TASKS:
            raise UsageError(f"unknown --task {self.task!r}: {suggest(self.task, TASKS)}")
        if self.valid and (self.split_by or self.valid_from or self.valid_fraction is not None):
            raise UsageError("--valid names the rows to validate on: leave the other options of the split out")
        if self.valid_from is not None and self.valid_fraction is not None:
            raise UsageError("--valid-from and --valid-fraction both say where validation begins: give one of them")
        if self.valid_fraction is not None and not 0 <= self.valid_fraction < 1:
            raise UsageError(f"--valid-fraction must be in [0, 1), got {self.valid_fraction}")
        if self.gap is not None and self.valid_from is None and self.split_by is None:
            raise UsageError("--gap is between two parts of time: give --split-by or --valid-from too")

    def changed(self, given: Mapping[str, Any], settings: Settings) -> Run:
        """This run with what the command line says; options that are None are not given."""
        new = {name: value for name, value in given.items() if value not in (None, [])}
        kept: Run = self
        if "valid" in new:  # another way to split takes the place of the one in the file
            kept = replace(kept, valid_fraction=None, split_by=None, valid_from=None, gap=None)
        elif {"valid_fraction", "split_by", "valid_from"} & set(new):
            kept = replace(kept, valid=None)
            kept = replace(kept, valid_from=None, gap=None) if "valid_fraction" in new else kept
            kept = replace(kept, valid_fraction=None) if "valid_from" in new else kept
        return replace(kept, **new, infer=kept.infer or settings.infer, settings=settings.over(self.settings))


def write_run(run: Run, folder: Path) -> None:
    """Write `run.toml`, paths as absolute ones, so that it says the same in every working directory."""
    from .. import __version__

    plain = {k: v for k, v in asdict(replace(run, settings=Settings())).items() if v is not None and k != "settings"}
    for name in ("data", "valid"):
        if name in plain:
            plain[name] = [os.path.abspath(path) for path in plain[name]]
    if run.init_from is not None:
        plain["init_from"] = os.path.abspath(run.init_from)
    settings = run.settings
    unset = [name for name, value in settings.parameters.items() if value is None]
    kinds = {name: _kind_to_toml(kind) for name, kind in settings.features.items() if kind is not None}
    skipped = [name for name, kind in settings.features.items() if kind is None]
    values: dict[str, Any] = {"run_format": FORMAT, **plain}
    values.update({name: found for name, found in (("unset", unset), ("skip", skipped)) if found})
    values["parameters"] = {name: value for name, value in settings.parameters.items() if value is not None}
    values["model_args"] = settings.model_args
    values["features"] = kinds
    import torch

    values["made_with"] = {
        "deepctr_torch": __version__,
        "torch": str(torch.__version__).partition("+")[0],
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }
    note = f"# The same weights again: deepctr-torch fit --config {FILE} --out ANOTHER_FOLDER\n"
    with replaced_files(folder) as part:
        (part / FILE).write_text(note + to_toml(values), encoding="utf-8")


def _kind_to_toml(kind: FeatureSpec) -> dict[str, Any]:
    """The kind with the options that are not the usual ones."""
    usual = {f.name: f.default for f in fields(kind)}
    return {k: v for k, v in spec_to_json(kind).items() if k == "kind" or (v is not None and v != usual[k])}


def read_run(path: Path) -> Run:
    """The inverse of `write_run`; files written by hand may hold a part of it."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        values = from_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} must be TOML, got: {error}") from error
    if values.get("run_format", FORMAT) != FORMAT:
        raise UsageError(f"{path} must be of run_format {FORMAT}, got {values['run_format']!r}")
    known = {f.name for f in fields(Run)} - {"settings"}
    for name in values:
        if name not in known | _TABLES | _ABOUT:
            raise UsageError(f"{path}: unknown setting {name!r}: {suggest(name, known | _TABLES)}")
    plain = {name: value for name, value in values.items() if name in known}
    _check_types(path, plain)
    return Run(**plain, settings=_settings(path, values))


def _check_types(path: Path, values: Mapping[str, Any]) -> None:
    lists = {"data", "label", "header", "null", "valid"}
    for name, value in values.items():
        kind: Any = list if name in lists else SIMPLE.get(name, str)
        if not isinstance(value, kind) or (name in lists and not all(isinstance(v, str) for v in value)):
            what = "a list of texts" if name in lists else WORDS[kind]
            raise UsageError(f"{path}: {name} must be {what}, got {value!r}")


def _settings(path: Path, values: Mapping[str, Any]) -> Settings:
    parameters = {**dict.fromkeys(values.get("unset", [])), **values.get("parameters", {})}
    features: dict[str, FeatureSpec | None] = {}
    for name in _TABLES & set(values):
        inner = values[name].values() if name == "features" and isinstance(values[name], dict) else []
        if not isinstance(values[name], dict) or not all(isinstance(kind, dict) for kind in inner):
            raise UsageError(f"{path}: {name} must be a table, as in [features.price] kind = 'Numeric'")
    try:
        features = {name: spec_from_json(kind, name) for name, kind in values.get("features", {}).items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    return Settings(parameters, values.get("model_args", {}), {**features, **dict.fromkeys(values.get("skip", []))})


def to_toml(values: Mapping[str, Any]) -> str:
    """Return strings, numbers, truth values, lists and dicts of these as TOML; a TypeError of others, as None."""
    with needs("tables"):
        import tomli_w
    return tomli_w.dumps(values)


def from_toml(text: str) -> dict[str, Any]:
    """Return what TOML says."""
    with needs("tables"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    return tomllib.loads(text)


def load_run(folder: Path) -> CTREstimator:
    """Return the estimator in a folder."""
    from ..estimators import load_artefact

    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return load_artefact(folder)


def run_of(folder: Path) -> Run | None:
    """Return the settings of the run, if it was made on the command line.

    Raises:
        ValueError: the file is not what was saved.
    """
    check_files(folder, FILE)
    if not (folder / FILE).exists():
        return None
    check_plain_file(folder / FILE)
    return read_run(folder / FILE)


def reading_of(folder: Path, given: Reading, files: Sequence[str]) -> Reading:
    """Return how to read files: as said, and else as in training, if that was with names that the files do not have."""
    layout, header, null, on_bad_rows = given
    run = run_of(folder)
    if run is None:
        return given
    null = null or run.null
    if header or layout or not run.header:
        return Reading(layout, header, null, on_bad_rows)
    texts = [path for path in list_files(list(files)) if suffix_of(path) != ".parquet"]
    if texts and column_count(texts[0]) == len(run.header) and not set(run.header) <= set(_first_names(texts[0])):
        return Reading(layout, run.header, null, on_bad_rows)
    return Reading(layout, header, null, on_bad_rows)


def _first_names(path: Path) -> list[str]:
    """The fields of the first line."""
    return [field.strip('"') for field in first_line(path).split(delimiter_of(path))]
