"""`Files`: the files that hold the samples, and the way to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from .._checks import check_at_least
from ..features import FeatureSchema
from ..tables import (
    BadRows,
    ColumnLike,
    PathsLike,
    RowSubset,
    TypeLike,
    check_on_bad_rows,
    is_files,
    skipped_rows,
)
from .batch import LabelSpec
from .interop import LabelsLike
from .negative_sampling import check_negative_rate

if TYPE_CHECKING:
    from ..encoding import FeatureEncoder

__all__ = ["FileColumns", "Files", "means_files", "raw_columns", "resolve_columns"]


@dataclass(frozen=True)
class Files:
    """Samples in files: pass it as `x` to `fit`, `evaluate` or `predict`, or as `validation_data`.

    A path, a folder, a glob or a list of them does as well, with `y` naming the labels; this says more.

    Training shuffles row groups, and rows inside a buffer, by the model's seed and the number of the epoch; with
    `shuffle=False`, and when evaluating or predicting, rows come as they lie in the files. The order depends on nothing
    else: not on threads. A buffer that holds all rows gives the order of training from memory.

    >>> Files("train/*.parquet", label="click", buffer_rows=100_000).negative_rate
    1.0

    Args:
        paths: file, folder, glob, or a list of them; Parquet (whose row groups should be much smaller than the buffer),
            CSV or TSV, also with .gz. They hold the model's inputs, or with `encoder` what it encodes.
        label: column of the labels; a list of one a task.
        weight: column of the sample weights.
        encoder: a fitted `FeatureEncoder`, for files that hold raw values. In training alone, ids are dropped out and
            `train_only` features encoded.
        buffer_rows: number of rows that are mixed; twice as many are in memory.
        negative_rate: share of the negative rows (no task has a positive label) that is trained on, the same rows in
            every epoch. The model remembers that of its last training (`model.negative_rate`): its predictions, and
            what `evaluate` and the validation compute of them, are as if it had seen all rows. Loss and metrics of the
            training itself are those of the rows trained on. For binary tasks, in training alone.
        seed: of that choice, and of what the encoder draws.
        rank, world_size: read one of `world_size` parts of the row groups (of text: of the files).
        threads: 1 reads ahead in the background, more convert in parallel, 0 does all when it is asked for a batch.
        schema: column -> type, of text files; an encoder knows those of its own columns.
        header: names of the columns, of text files without a line of names.
        null: fields of text files that mean a missing value.
        on_bad_rows: "raise" or "skip", what to do with lines of text files that cannot be read; see `read_chunks`.
        part: a `deepctr_torch.tables.RowSubset`: the rows of the files to read, if not all; with `world_size` 1.
        targets: called with a label's name, its values, and a function from the place of a row to where it is in words;
            returns the labels as numbers.

    Raises:
        ValueError: a number out of its range.
    """

    paths: PathsLike
    label: str | Sequence[str] | None = None
    weight: str | None = None
    encoder: FeatureEncoder | None = None
    buffer_rows: int = 500_000
    negative_rate: float = 1.0
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    threads: int = 1
    schema: Mapping[str, TypeLike] | None = None
    header: Sequence[str] | None = None
    null: Sequence[str] = ("",)
    on_bad_rows: str | BadRows = "raise"
    part: RowSubset | None = None
    targets: Callable[[str, ColumnLike, Callable[[int], str]], ColumnLike] | None = None

    def __post_init__(self) -> None:
        if not is_files(self.paths):
            raise TypeError(f"paths must be a path, a folder, a glob or a list of them, got {self.paths!r}")
        for name, least in {"buffer_rows": 1, "seed": 0, "threads": 0, "world_size": 1, "rank": 0}.items():
            check_at_least(name, getattr(self, name), least)
        if self.rank >= self.world_size:
            raise ValueError(f"rank must be below world_size={self.world_size}, got {self.rank}")
        if self.part is not None and self.world_size > 1:
            raise ValueError(f"part goes with world_size=1, got {self.world_size}")
        check_negative_rate(self.negative_rate)
        check_on_bad_rows(self.on_bad_rows)

    def bad_rows(self, columns: Sequence[str], schema: Mapping[str, TypeLike]) -> BadRows:
        """Return the lines to leave out; with "skip" they are looked for.

        Args:
            columns: whose types count.
            schema: column -> type, where `self.schema` does not say.
        """
        types = {**schema, **(self.schema or {})}
        return skipped_rows(self.paths, columns, types, self.on_bad_rows, self.header, self.null)


class FileColumns(NamedTuple):
    """The columns of the files: inputs, labels, weight and groups."""

    inputs: list[str]
    labels: list[str]
    weight: str | None
    groups: dict[str, str]  # name of a group of the metrics -> column

    def all(self) -> list[str]:
        """Each column to read once."""
        weight = [] if self.weight is None else [self.weight]
        return list(dict.fromkeys([*self.inputs, *self.labels, *weight, *self.groups.values()]))


def means_files(x: object) -> TypeGuard[Files | PathsLike]:
    """True if `x` says where samples are, rather than holding them."""
    return isinstance(x, Files) or is_files(x)


def raw_columns(encoder: FeatureEncoder, training: bool) -> list[str]:
    """The columns that an encoder reads: without those of `train_only` features, unless rows are trained on."""
    return list(encoder.inputs if training else encoder.serving_inputs)


def resolve_columns(
    files: Files,
    schema: FeatureSchema,
    y: LabelsLike,
    labels: LabelSpec | None,
    weight: object,
    groups: object,
    training: bool,
) -> FileColumns:
    """The columns to read, of what the user named."""
    inputs = list(schema.feature_index if files.encoder is None else raw_columns(files.encoder, training))
    if labels is None:
        return FileColumns(inputs, [], None, {})
    y, weight = _once("y", y, "label", files.label), _once("sample_weight", weight, "weight", files.weight)
    names = [y] if isinstance(y, str) else y
    if names is None:
        raise ValueError("labels are missing: name their column(s), as in y='click' or Files(..., label='click')")
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"with files, y must name the column(s) of the labels, got {type(y).__name__}")
    if len(names) != len(labels.tasks):
        raise ValueError(f"y must name one column for each of {len(labels.tasks)} task(s), got {list(names)}")
    if weight is not None and not isinstance(weight, str):
        raise TypeError(f"with files, sample_weight must name a column, got {type(weight).__name__}")
    return FileColumns(inputs, list(names), weight, _group_columns(labels.group_columns, groups))


def _once(argument: str, given: object, field: str, own: object) -> object:
    if given is not None and own is not None and given != own:
        raise ValueError(f"{argument}={given!r} and Files({field}={own!r}) must not differ: give one of them")
    return own if given is None else given


def _group_columns(needed: Sequence[str], groups: object) -> dict[str, str]:
    """Group of a metric -> the column that holds it: its own name, or what `groups` says."""
    named = {"groups": groups} if isinstance(groups, str) else {} if groups is None else groups
    if not isinstance(named, Mapping) or not all(isinstance(c, str) for c in named.values()):
        raise TypeError(
            f"with files, groups must name a column, or be a dict of such names, got {type(groups).__name__}"
        )
    return {name: named.get(name, name) for name in needed}
