"""Which kind each column of a table seems to be, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from .._checks import check_at_least
from ..registry import suggest
from ..tables import column_names
from .arrow_columns import factorize, one_array
from .ragged import flat_of
from .sample import sample
from .specs import Categorical, Dense, FeatureSpec, MultiValue, Numeric, Sequence, Timestamp
from .timestamp import moments_of

__all__ = ["propose"]

Guess: TypeAlias = tuple[FeatureSpec | None, str]

_NAMES_OF_IDS = re.compile(
    r"(^|_)(id|ids|uid|idx|index|code|key|hash|token|zip|zipcode|postcode|user|item|movie|product|brand|category|cat|"
    r"ad|site|app|device|shop|store|campaign)(_|$)|[a-z](Id|ID)$|^[Cc]\d+$"
)
_NAMES_OF_AMOUNTS = re.compile(
    r"(^|_)(count|counts|cnt|num|number|total|sum|length|age|days|price|rate)$", re.IGNORECASE
)
_NAMES_OF_TIMES = re.compile(r"time|date|stamp|(^|_)ts(_|$)|_at$", re.IGNORECASE)
_NAMES_OF_HISTORIES = re.compile(r"(^|_)(hist|history|seq|sequence|past|recent|last|previous|prev)(_|$)", re.IGNORECASE)
_SEPARATORS = ("|", ";", ",", " ")
_EPOCHS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_RARE = ", many of them rare: those seen once share a row"
_FEW = 10  # so few different integers are categories
_MANY = 1000  # in so many rows, a different value in each is no accident


def propose(
    data: Any,
    label: Any = None,
    *,
    exclude: Collection[str] = (),
    given: Mapping[str, FeatureSpec] | None = None,
    rows: int = 100_000,
    **options: Any,
) -> tuple[dict[str, FeatureSpec], dict[str, str], dict[str, str]]:
    """Kinds of the columns that are not `given`, the reason for each, and columns left out with the reason.

    Args:
        data: what `read_chunks` takes.
        label: column, or list of columns, to leave out.
        exclude: further columns to leave out.
        given: features whose kinds are known: they are no guesses, but histories may share their vocabularies.
        rows: how many to look at, from the beginning.
        options: `schema`, `header`, `null` of `read_chunks`.
    """
    given = given or {}
    check_at_least("rows", rows, 1)
    names = column_names(data, header=options.get("header"))
    labels = [label] if isinstance(label, str) else list(label or ())
    for name in (*labels, *exclude):
        if name not in names:
            raise ValueError(f"unknown column {name!r}: {suggest(name, names)}")
    wanted = [name for name in names if name not in labels and name not in exclude]
    unknown = [name for name in wanted if name not in given]
    table = sample(data, unknown, rows, **options)
    kinds: dict[str, FeatureSpec] = {}
    reasons: dict[str, str] = {}
    skipped = dict.fromkeys(labels, "the label") | dict.fromkeys(exclude, "excluded")
    for name in unknown:
        kind, why = _guess(name, one_array(table[name]), wanted)
        if kind is None:
            skipped[name] = why
        else:
            kinds[name], reasons[name] = kind, why
    _tell_apart(kinds, reasons, skipped, {*kinds, *given})
    kinds = _with_owners(kinds, given)
    for kind in (*kinds.values(), *given.values()):
        owner = kind.vocabulary_of if isinstance(kind, (MultiValue, Sequence)) else None
        if owner is not None and isinstance(kinds.get(owner), Categorical) and kinds[owner] != Categorical():
            kinds[owner] = Categorical()
            reasons[owner] = reasons[owner].removesuffix(_RARE) + "; each has a row, as a history shares them"
    return kinds, reasons, skipped


def _tell_apart(
    kinds: dict[str, FeatureSpec], reasons: dict[str, str], skipped: dict[str, str], names: set[str]
) -> None:
    """Where a column is called like a further input of another feature, the other does without that input."""
    for name, kind in list(kinds.items()):
        if isinstance(kind, Numeric) and f"{name}_missing" in names:
            kinds[name] = replace(kind, indicator=False)
            reasons[name] += f"; no indicator, as there is a column {name + '_missing'!r}"
        elif isinstance(kind, Timestamp):
            parts = tuple(part for part in kind.parts if f"{name}_{part}" not in names)
            taken = [f"{name}_{part}" for part in kind.parts if part not in parts]
            if not parts:
                del kinds[name], reasons[name]
                skipped[name] = f"its hour and weekday are there as {' and '.join(map(repr, taken))}"
            elif taken:
                kinds[name] = replace(kind, parts=parts)
                reasons[name] = f"{reasons[name].partition(': hour')[0]}: {parts[0]}, as there is a column {taken[0]!r}"


def _with_owners(kinds: dict[str, FeatureSpec], given: Mapping[str, FeatureSpec]) -> dict[str, FeatureSpec]:
    """A history shares the vocabulary only of a column that has one.

    Such a column keeps its rare values: as histories tend to hold what was liked, a value seen once as a target has a
    second count if it was liked, so that being rare would tell the label.
    """
    out = dict(kinds)
    for name, kind in kinds.items():
        if not isinstance(kind, Sequence) or kind.vocabulary_of is None:
            continue
        owner = given.get(kind.vocabulary_of) or kinds.get(kind.vocabulary_of)
        if not isinstance(owner, Categorical) or owner.vocabulary_of is not None:
            out[name] = Sequence(separator=kind.separator)
    return out


def _guess(name: str, array: Any, columns: list[str]) -> Guess:
    """A kind for a column and the reason; no kind for one that none can read."""
    import pyarrow as pa

    try:
        return _kind_of(name, array, columns)
    except (ValueError, pa.ArrowException) as error:
        return None, f"{array.type} is of no kind: {error}"


def _kind_of(name: str, array: Any, columns: list[str]) -> Guess:
    import pyarrow as pa

    types, given = pa.types, array.drop_null()
    if not len(given):
        return None, f"no value in the first {len(array):,} rows"
    if types.is_nested(array.type):
        return _of_lists(name, given, None, columns)
    if types.is_temporal(array.type):
        if types.is_timestamp(array.type) or types.is_date(array.type):
            return Timestamp(), f"{array.type}: hour and weekday"
        return None, f"{array.type} is of no kind"
    distinct = factorize(given, name).values
    different = len(distinct) - distinct.null_count
    if not different:
        return None, "only missing values, such as empty strings"
    if different < 2 and len(given) == len(array):
        return None, "the same value in every row"
    if types.is_integer(array.type) or types.is_floating(array.type) or types.is_decimal(array.type):
        return _of_numbers(name, given, different)
    if types.is_string(array.type) or types.is_large_string(array.type):
        found = _of_text(name, given, distinct, columns)
        if found is not None:
            return found
    return _of_categories(different, len(given), f"{different:,} different values")


def _of_categories(different: int, rows: int, why: str) -> Guess:
    if different == rows >= _MANY:
        return None, "another value in every row: it names the row"
    if different * 100 > rows >= _MANY:
        return Categorical(min_count=2), why + _RARE
    return Categorical(), why


def _of_numbers(name: str, given: Any, different: int) -> Guess:
    import pyarrow as pa

    x = given.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    x = x[np.isfinite(x)]
    if not len(x):
        return None, "no finite number"
    if (x != np.trunc(x)).any():
        return Numeric(), "numbers with fractions"
    low, high = float(x.min()), float(x.max())
    if _NAMES_OF_TIMES.search(name):
        for unit, ticks in _EPOCHS.items():
            if 10**8 * ticks <= low and high < 10**10 * ticks:
                return Timestamp(unit=unit), f"called like a time, and integers like {unit} since 1970"
    if _NAMES_OF_IDS.search(name) and not _NAMES_OF_AMOUNTS.search(name):
        return _of_categories(different, len(given), f"integers called like ids, {different:,} different")
    if different <= _FEW:
        return _of_categories(different, len(given), f"only {different} different integers")
    return Numeric(), f"{different:,} different integers from {low:g} to {high:g}"


def _of_text(name: str, given: Any, distinct: Any, columns: list[str]) -> Guess | None:
    """Text that is more than one category; None if it is not."""
    import pyarrow.compute as pc

    strings = distinct.drop_null()
    try:
        numbers = pc.utf8_trim_whitespace(strings).cast("float64").to_numpy()
        if (numbers != np.trunc(numbers)).any():
            return Numeric(), "numbers with fractions, as text"
        return None if _NAMES_OF_IDS.search(name) or len(strings) <= _FEW else (Numeric(), "integers, as text")
    except ValueError:
        pass
    first = strings[:100]
    try:
        moments_of(first, name, "s")
        if not pc.any(pc.match_substring_regex(first, r"^[-+]?[0-9.]+$")).as_py():  # numbers are none among other text
            return Timestamp(), "dates or times, as text: hour and weekday"
    except ValueError:
        pass
    for separator in _SEPARATORS:
        flat, sizes = flat_of(strings, name, separator)
        several = float((sizes > 1).mean())
        elements = len(flat.unique())
        repeated = separator == "|" or 2 * elements <= len(strings)
        if several >= 0.2 and repeated:
            return _of_lists(name, given, separator, columns)
    return None


def _ids_as_floats(flat: Any) -> bool:
    """Whether the elements are whole numbers, which are floats as some are missing or as they were written so."""
    x = flat.drop_null().cast("float64").to_numpy(zero_copy_only=False)
    x = x[~np.isnan(x)]
    return bool(len(x)) and bool((x == np.trunc(x)).all())


def _any_missing(flat: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_null(flat, nan_is_null=True)).as_py())


def _of_lists(name: str, given: Any, separator: str | None, columns: list[str]) -> Guess:
    import pyarrow as pa

    flat, sizes = flat_of(given, name, separator)
    what = "lists" if separator is None else f"strings separated by {separator!r}"
    widths = set(sizes[sizes > 0].tolist())
    gaps = len(widths) > 1 or _any_missing(flat)
    if pa.types.is_floating(flat.type) and not (gaps and _ids_as_floats(flat)):
        if len(widths) == 1:
            return Dense(), f"lists of {widths.pop()} numbers"
        return None, "lists of numbers of different lengths"
    bare = _NAMES_OF_HISTORIES.sub("", name).strip("_")
    if bare != name or _NAMES_OF_HISTORIES.search(name):
        if bare in columns:
            return Sequence(separator=separator, vocabulary_of=bare), f"{what}, called like a history of {bare!r}"
        return Sequence(separator=separator), f"{what}, called like a history"
    return MultiValue(separator=separator), f"{what}, {len(flat.unique()):,} different elements"
