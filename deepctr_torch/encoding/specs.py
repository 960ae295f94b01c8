"""Feature specs: the options of each feature, as the user declares them for a `FeatureEncoder`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

import numpy as np

from .._checks import check_at_least, check_choice, check_fraction, check_type
from ..registry import suggest

__all__ = [
    "LONGEST_SEQUENCE",
    "LONGEST_STEP",
    "SPECS",
    "TIMESTAMP_PARTS",
    "Categorical",
    "CategoricalSpec",
    "Cross",
    "Dense",
    "FeatureSpec",
    "MultiValue",
    "Numeric",
    "Sequence",
    "Timestamp",
    "spec_from_json",
    "spec_to_json",
]

SCALINGS = ("standard", "quantile", "minmax", "plain")
TIMESTAMP_PARTS = {"minute": 60, "hour": 24, "weekday": 7, "weekend": 2, "day": 31, "month": 12, "hour_of_week": 168}
UNITS = ("s", "ms", "us", "ns")
LONGEST_SEQUENCE = 256  # of a Sequence without a `maxlen`: each step is attended to, and memory is that of all cells
LONGEST_STEP = 16  # values of a Sequence without a `step_width`: each row has room for as many in every step


@dataclass(frozen=True, kw_only=True)
class _Spec:
    """The options that every spec has.

    Args:
        column: the raw column, where it is not called like the feature.
        train_only: not known in serving (such as the position on the page): encoded as missing unless in training.
        embedding_dim: length of the vectors, or "auto"; goes before what `feature_columns` is given.
    """

    column: str | None = None
    train_only: bool = False
    embedding_dim: int | str | None = None

    def __post_init__(self) -> None:
        for option in fields(self):  # numpy's numbers as Python's, which JSON knows
            value = getattr(self, option.name)
            if isinstance(value, np.generic):
                object.__setattr__(self, option.name, value.item())
        check_type("train_only", self.train_only, bool, "True or False")
        if isinstance(self.embedding_dim, str):
            check_choice("embedding_dim", self.embedding_dim, ["auto"])
        else:
            self._check_at_least_1("embedding_dim")

    def _check_at_least_1(self, *names: str) -> None:
        """Check options that may be None."""
        for name in names:
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)


@dataclass(frozen=True, kw_only=True)
class _WithVocabulary(_Spec):
    """The options of specs that look values up in a vocabulary.

    Args:
        min_count: values that occur less often in training share the row of the unseen.
        max_vocabulary: at most so many values, the most frequent, get a row of their own.
        dropout: share of the ids that training replaces by the row of the unseen, so that this row learns.
        hash_buckets: no vocabulary, but so many rows that values are hashed to (`deepctr_torch.hashing`).
    """

    min_count: int = 1
    max_vocabulary: int | None = None
    dropout: float = 0.0
    hash_buckets: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("min_count", self.min_count, 1)
        check_fraction("dropout", self.dropout)
        self._check_at_least_1("max_vocabulary", "hash_buckets")
        if self.hash_buckets is not None and (self.min_count > 1 or self.max_vocabulary is not None):
            raise ValueError("hash_buckets needs no vocabulary: leave out min_count and max_vocabulary")


@dataclass(frozen=True, kw_only=True)
class _WithShared(_WithVocabulary):
    """The options of specs whose vocabulary others may share."""

    vocabulary_of: str | None = None  # another feature, whose vocabulary and table this one shares

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = self.max_vocabulary, self.hash_buckets, self.embedding_dim
        if self.vocabulary_of is not None and (self.min_count > 1 or limits != (None, None, None)):
            raise ValueError(
                f"vocabulary_of={self.vocabulary_of!r} takes that feature's vocabulary: "
                "give min_count, max_vocabulary, hash_buckets and embedding_dim there"
            )


@dataclass(frozen=True)
class Categorical(_WithShared):
    """One value a row, any integers or strings; becomes an id.

    The vocabulary is of integers or of strings, as the training data are (of text files: integers where all fields are
    whole numbers). Later values are cast to that type; one that cannot be cast is unseen. Floats that are whole
    numbers, as pandas makes of integers with gaps, are integers. The empty string is missing, as None and NaN are.
    Unsigned integers of 2**63 and above count as their two's complement.
    """


@dataclass(frozen=True)
class Numeric(_Spec):
    """One number a row.

    Args:
        scaling: "standard": (z - mean) / std of z = sign(x) log(1 + |x|); "minmax": to [0, 1], beyond cut off;
            "plain": as it is; "quantile": the id of one of `bins` buckets with about equally many training rows.
        bins: number of buckets, at most.
        indicator: a further input `<feature>_missing`, 1 where the number is missing; None: if it ever is in
            training. Not with "quantile", where missing is a row of the table.

    A missing number (None, NaN) becomes the training mean. Infinite ones become the largest or smallest finite number
    of training.
    """

    scaling: str = "standard"
    bins: int = 32
    indicator: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("scaling", self.scaling, SCALINGS)
        check_at_least("bins", self.bins, 2)
        if self.scaling == "quantile" and self.indicator:
            raise ValueError('indicator=True is not for scaling="quantile": missing numbers have a row of their own')


@dataclass(frozen=True)
class _Ragged(_WithShared):
    """The options of specs with several values a row."""

    maxlen: int | None = None
    separator: str | None = None
    combiner: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least_1("maxlen")
        if self.separator is not None:
            check_type("separator", self.separator, str, "a string")
            if not self.separator:
                raise ValueError("separator must be at least one character, got ''")
        check_choice("combiner", self.combiner, ("mean", "sum", "max"))


@dataclass(frozen=True)
class Sequence(_Ragged):
    """A history a row, in the order of time: a list, or a string with a separator. Becomes ids, padded with 0.

    Where rows are lists of lists, a step has several values, such as the tags of an item: models see their vectors
    pooled.

    Args:
        maxlen: steps of the input, longer sequences are cut; None for the longest of training, at most 256.
        separator: what stands between the elements of strings; None where rows are lists.
        combiner: how models without attention pool the vectors: "mean", "sum" or "max".
        keep: which elements of longer ones, and of longer steps, stay: the "latest" (last) or the "first".
        step_width: values of a step in lists of lists; None for the most of training, at most 16.
        step_combiner: how the vectors of a step are pooled: "mean", "sum" or "max".

    Missing elements are left out; a step without values keeps its place.
    """

    maxlen: int | None = 50
    keep: str = "latest"
    step_width: int | None = field(default=None, kw_only=True)
    step_combiner: str = field(default="mean", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step_width is not None:
            check_at_least("step_width", self.step_width, 1)
            if self.separator is not None:
                raise ValueError("step_width is of lists of lists: leave out separator")
        check_choice("step_combiner", self.step_combiner, ("mean", "sum", "max"))
        check_choice("keep", self.keep, ("latest", "first"))


@dataclass(frozen=True)
class MultiValue(_Ragged):
    """A set of values a row, such as tags: a list, or a string with a separator. Becomes ids, padded with 0.

    Args:
        maxlen: width of the input, of longer ones the first stay; None for the longest of training.
        separator: what stands between the elements of strings; None where rows are lists.
        combiner: how the vectors are pooled: "mean", "sum" or "max".
        weights: raw column with one number >= 0 for each element, lists or strings alike; becomes `<feature>_weight`.
    """

    weights: str | None = None


@dataclass(frozen=True)
class Cross(_WithVocabulary):
    """The combination of two or more columns as one value; missing where one of them is.

    Args:
        columns: the raw columns.
    """

    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("columns of a Cross", self.columns, (list, tuple), "a tuple of names")
        object.__setattr__(self, "columns", tuple(self.columns))
        if len(set(self.columns)) < 2 or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns of a Cross must be at least two different names, got {self.columns}")
        if self.column is not None:
            raise ValueError("a Cross reads several columns: give columns, not column")


@dataclass(frozen=True)
class Timestamp(_Spec):
    """A moment; becomes one id for each part, `<feature>_hour` and so on.

    Args:
        parts: of "minute", "hour", "weekday" (Monday first), "weekend", "day", "month", "hour_of_week".
        unit: what numbers count since 1970: "s", "ms", "us" or "ns". Dates, times and ISO strings have their own.
        timezone: name of the zone whose clock is read, such as "Europe/Paris"; moments without one are UTC.
    """

    parts: tuple[str, ...] = ("hour", "weekday")
    unit: str = "s"
    timezone: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("parts", self.parts, (list, tuple), "a tuple of names")
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts or len(set(self.parts)) < len(self.parts):
            raise ValueError(f"parts must be at least one name and none twice, got {self.parts}")
        for part in self.parts:
            check_choice("part of a Timestamp", part, TIMESTAMP_PARTS)
        check_choice("unit", self.unit, UNITS)


@dataclass(frozen=True)
class Dense(_Spec):
    """A vector of numbers a row, all of one length, passed on as it is; zeros where it is missing.

    Args:
        dimension: its length; None for what training has.
        separator: what stands between the numbers of strings; None where rows are lists.
    """

    dimension: int | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least_1("dimension")


CategoricalSpec: TypeAlias = Categorical | Sequence | MultiValue | Cross
FeatureSpec: TypeAlias = Categorical | Numeric | Sequence | MultiValue | Cross | Timestamp | Dense
SPECS: dict[str, type[FeatureSpec]] = {
    spec.__name__: spec for spec in (Categorical, Numeric, Sequence, MultiValue, Cross, Timestamp, Dense)
}


def spec_to_json(spec: FeatureSpec) -> dict[str, Any]:
    """Return class name and options, as plain data."""
    return {"kind": type(spec).__name__, **asdict(spec)}


def spec_from_json(saved: Mapping[str, Any], feature: str) -> FeatureSpec:
    """Return the spec that `spec_to_json` saved."""
    options = dict(saved)
    name = str(options.pop("kind", ""))
    if name not in SPECS:
        raise ValueError(f"unknown kind {name!r} of feature {feature!r}: {suggest(name, SPECS)}")
    known = {f.name for f in fields(SPECS[name])}
    for option in options:
        if option not in known:
            raise ValueError(f"unknown option {option!r} of feature {feature!r}: {suggest(option, known)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return SPECS[name](**values)
