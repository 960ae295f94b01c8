"""Inference of feature specs from the first rows of a table, with the reason for each."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from .._checks import check_at_least
from ..registry import suggest
from ..tables import MISSING_WORDS, PathsLike, RowSubset, TableLike, column_names, is_files, read_chunks
from .arrow_columns import factorize, one_array, without_words
from .parallel import is_text
from .ragged import flat_of, holds_steps
from .specs import Categorical, Dense, FeatureSpec, MultiValue, Numeric, Sequence, Timestamp
from .timestamp import moments_of

__all__ = ["Inferred", "code_of", "infer_specs", "sample"]


class _Guess(NamedTuple):
    """The spec of a column and its reason."""

    spec: FeatureSpec | None  # None for a column to leave out
    why: str
    code: Categorical | None = None  # a second spec, where it is open if integers are amounts or codes


class Inferred(NamedTuple):
    """The specs of the columns of a table."""

    specs: dict[str, FeatureSpec]
    reasons: dict[str, str]  # feature -> why it has this spec
    left_out: dict[str, str]  # column -> why it is no feature


_NAMES_OF_IDS = re.compile(
    r"(?i:(^|_)(id|ids|uid|idx|index|code|key|hash|token|zip|zipcode|postcode|user|item|movie|product|brand|category|"
    r"cat|ad|site|app|device|shop|store|campaign|country|city|region|state|district|province|language|browser|os|"
    r"channel|publisher|advertiser|domain|carrier|genre|artist|author|album|track)(_|$))|[a-z](Id|ID)$|^[Cc]\d+$"
)
_NAMES_OF_AMOUNTS = re.compile(
    r"(^|_)(count|counts|cnt|num|number|total|sum|length|age|days|price|rate|amount|cost|fee|revenue|income|salary|"
    r"spend|spent|balance|weight|score|quantity|qty|size|year|years)$|^I\d+$",
    re.IGNORECASE,
)
_PREDICTIONS = re.compile(r"^prediction(_.+)?$")  # as `predict` names the columns that it adds
_UNNAMED = re.compile(r"^Unnamed: \d+$")  # pandas' name of a column without one
_NAMES_OF_TIMES = re.compile(r"time|date|stamp|(^|_)ts(_|$)|_at$", re.IGNORECASE)
_NAMES_OF_HISTORIES = re.compile(r"(^|_)(hist|history|seq|sequence|past|recent|last|previous|prev)(_|$)", re.IGNORECASE)
_SEPARATORS = ("|", ";", ",", " ")
_EPOCHS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_RARE = ", many of them rare: those seen once share a row"
_FEW = 10  # so few different integers are categories
_MANY = 1000  # in so many rows, a different value in each is no accident
_OFTEN = 20  # rows for each different integer, at least, where they may be codes
_PLAIN_OR_COMMA = r"^[-+]?(\d+|\d{1,3}([., ]\d{3})+)([.,]\d+)?$"
_PRICE_WITH_COMMA = r"^[-+]?(\d+|\d{1,3}([. ]\d{3})+),\d\d$|^[-+]?\d{1,3}(,\d{3})*\.\d\d$"
_MONEY = r"^[-+]?\s*([$€£¥₹]|[A-Z]{3}\s|)\s*[-+]?(\d+|\d{1,3}([., ]\d{3})+)([.,]\d+)?\s*([$€£¥₹%]|\s[A-Z]{3}|)$"


def infer_specs(
    data: TableLike | PathsLike,
    label: str | Iterable[str] | None = None,
    *,
    exclude: Collection[str] = (),
    given: Mapping[str, FeatureSpec] | None = None,
    rows: int = 100_000,
    **options: Any,
) -> Inferred:
    """Infer the specs of the columns that are not `given`.

    Args:
        data: what `read_chunks` takes.
        label: column, or list of columns, to leave out.
        exclude: further columns to leave out.
        given: features whose specs are known; histories may share their vocabularies.
        rows: how many to look at, from the beginning.
        options: `part` of `sample`; `schema`, `header`, `null` of `read_chunks`.
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
    specs: dict[str, FeatureSpec] = {}
    reasons: dict[str, str] = {}
    left_out = dict.fromkeys(labels, "the label") | dict.fromkeys(exclude, "excluded")
    for name in unknown:
        spec, why, code = _guess(name, one_array(table[name]), wanted)
        if spec is None:
            left_out[name] = why
            continue
        specs[name], reasons[name] = spec, why
        second = f"{name}_code"
        if code is not None and second not in {*names, *given}:
            specs[second] = replace(code, column=name)
            reasons[name] += f": amounts or codes? {second!r} takes them as codes; declare {name!r} to keep one"
            reasons[second] = f"{name!r} as codes, as its integers repeat; declare {name!r} to keep one"
    _tell_apart(specs, reasons, left_out, {*specs, *given})
    specs = _with_owners(specs, given)
    for spec in (*specs.values(), *given.values()):
        owner = spec.vocabulary_of if isinstance(spec, (MultiValue, Sequence)) else None
        shared = None if owner is None else specs.get(owner)
        if owner is not None and isinstance(shared, Categorical) and shared.min_count > 1:
            specs[owner] = Categorical()
            reasons[owner] = reasons[owner].removesuffix(_RARE) + "; each has a row, as a history shares them"
    return Inferred(specs, reasons, left_out)


def _tell_apart(
    specs: dict[str, FeatureSpec], reasons: dict[str, str], left_out: dict[str, str], names: set[str]
) -> None:
    """Drop an input of a feature where a column has its name."""
    for name, spec in list(specs.items()):
        if isinstance(spec, Numeric) and f"{name}_missing" in names:
            specs[name] = replace(spec, indicator=False)
            reasons[name] += f"; no indicator, as there is a column {name + '_missing'!r}"
        elif isinstance(spec, Timestamp):
            parts = tuple(part for part in spec.parts if f"{name}_{part}" not in names)
            taken = [f"{name}_{part}" for part in spec.parts if part not in parts]
            if not parts:
                del specs[name], reasons[name]
                left_out[name] = f"its hour and weekday are there as {' and '.join(map(repr, taken))}"
            elif taken:
                specs[name] = replace(spec, parts=parts)
                reasons[name] = f"{reasons[name].partition(': hour')[0]}: {parts[0]}, as there is a column {taken[0]!r}"


def _with_owners(specs: dict[str, FeatureSpec], given: Mapping[str, FeatureSpec]) -> dict[str, FeatureSpec]:
    """A history shares the vocabulary only of a column that has one: of integers that are both, that of the codes.

    Such a column keeps its rare values: as histories tend to hold what was liked, a value seen once as a target has a
    second count if it was liked, so that being rare would tell the label.
    """
    out = dict(specs)
    for name, spec in specs.items():
        if not isinstance(spec, Sequence) or spec.vocabulary_of is None:
            continue
        owner = code_of(spec.vocabulary_of, {**specs, **given})
        out[name] = replace(spec, vocabulary_of=owner)
    return out


def code_of(column: str, specs: Mapping[str, FeatureSpec]) -> str | None:
    """Return the feature with a vocabulary that a column is, or whose integers it has as codes; None without one."""
    for name in (column, f"{column}_code"):
        spec = specs.get(name)
        if isinstance(spec, (Categorical, MultiValue)) and spec.vocabulary_of is None and column in (name, spec.column):
            return name
    return None


def _guess(name: str, array: pa.Array, columns: list[str]) -> _Guess:
    """Return a spec for a column and the reason; no spec for one that none can read."""
    if not name.strip():
        return _Guess(None, "it has no name, as the index that pandas writes into a CSV file")
    if _PREDICTIONS.match(name):
        return _Guess(None, "it is called like the predictions of a model; declare it to use it")
    try:
        return _of_values(name, array, columns)
    except (ValueError, pa.ArrowException) as error:
        return _Guess(None, f"{array.type} is of no kind: {error}")


def _of_values(name: str, array: pa.Array, columns: list[str]) -> _Guess:
    types, given = pa.types, array.drop_null()
    if not len(given):
        return _Guess(None, f"no value in the first {len(array):,} rows")
    if types.is_nested(array.type):
        return _of_lists(name, given, None, columns)
    if types.is_temporal(array.type):
        if types.is_timestamp(array.type) or types.is_date(array.type):
            return _Guess(Timestamp(), f"{array.type}: hour and weekday")
        return _Guess(None, f"{array.type} is of no kind")
    distinct = factorize(given, name).values
    different = len(distinct) - distinct.null_count
    if not different:
        return _Guess(None, "only missing values, such as empty strings")
    if different < 2 and len(given) == len(array):
        return _Guess(None, "the same value in every row")
    if types.is_integer(array.type) or types.is_floating(array.type) or types.is_decimal(array.type):
        return _of_numbers(name, given, different)
    if types.is_string(array.type) or types.is_large_string(array.type):
        found = _of_text(name, given, distinct, columns)
        if found is not None:
            return found
    return _of_categories(different, len(given), f"{different:,} different values")


def _of_categories(different: int, rows: int, why: str) -> _Guess:
    if different == rows >= _MANY:
        return _Guess(None, "another value in every row: it names the row")
    if different * 100 > rows >= _MANY:
        return _Guess(Categorical(min_count=2), why + _RARE)
    return _Guess(Categorical(), why)


def _of_numbers(name: str, given: pa.Array, different: int) -> _Guess:
    x = given.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    x = x[np.isfinite(x)]
    if not len(x):
        return _Guess(None, "no finite number")
    if (x != np.trunc(x)).any():
        return _Guess(Numeric(), "numbers with fractions")
    low, high = float(x.min()), float(x.max())
    if _NAMES_OF_TIMES.search(name):
        for unit, ticks in _EPOCHS.items():
            if 10**8 * ticks <= low and high < 10**10 * ticks:
                return _Guess(Timestamp(unit=unit), f"called like a time, and integers like {unit} since 1970")
    return _of_integers(name, x, different)


def _of_integers(name: str, x: npt.NDArray[np.float64], different: int) -> _Guess:
    """Tell ids, amounts and running numbers apart, by the name and by how many different integers there are."""
    rows, low, high = len(x), float(x.min()), float(x.max())
    amount = _NAMES_OF_AMOUNTS.search(name) is not None
    if max(abs(low), abs(high)) > 2**53:
        return _of_categories(different, rows, f"{different:,} different integers beyond 2**53, as only ids are")
    if _NAMES_OF_IDS.search(name) and not amount:
        return _of_categories(different, rows, f"integers called like ids, {different:,} different")
    if different == rows >= (2 if _UNNAMED.match(name) else _MANY):
        steps = np.diff(x)
        sorted_ = bool((steps > 0).all() or (steps < 0).all())
        if high - low == rows - 1 or (sorted_ and not amount and high - low < 4 * rows):
            return _Guess(None, f"a running number from {low:g} to {high:g}: it counts the rows")
    if different <= _FEW:
        return _of_categories(different, rows, f"only {different} different integers")
    why = f"{different:,} different integers from {low:g} to {high:g}"
    if amount or different * _OFTEN > rows:
        return _Guess(Numeric(), why)
    return _Guess(Numeric(), why, Categorical())


def _of_text(name: str, given: pa.Array, distinct: pa.Array, columns: list[str]) -> _Guess | None:
    """Return a guess for text that is more than one category; None if it is not."""
    trimmed = pc.utf8_trim_whitespace(distinct.drop_null())
    strings = without_words(trimmed).drop_null()
    words = trimmed.filter(pc.invert(pc.is_in(trimmed, strings))).unique().to_pylist()
    missing = f"; {', '.join(map(repr, words))} for missing" if words else ""
    try:
        numbers = strings.cast("float64").to_numpy()
        if (numbers != np.trunc(numbers)).any():
            return _Guess(Numeric(), f"numbers with fractions, as text{missing}")
        if _NAMES_OF_IDS.search(name) or len(strings) <= _FEW or np.abs(numbers).max() > 2**53:
            return None
        return _Guess(Numeric(), f"integers, as text{missing}")
    except ValueError:
        pass
    written = _of_written_numbers(name, strings)
    if written is not None:
        return written
    first = strings[:100]
    try:
        moments_of(first, name, "s")
        if not pc.any(pc.match_substring_regex(first, r"^[-+]?[0-9.]+$")).as_py():  # numbers are none among other text
            return _Guess(Timestamp(), "dates or times, as text: hour and weekday")
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


def _of_written_numbers(name: str, strings: pa.Array) -> _Guess | None:
    """Return a guess for text that all stands for numbers, with a decimal comma, commas by thousands or a currency.

    Lists of integers look like some of these: without a currency the name must be that of an amount, or every comma
    must be followed by two digits, as in prices.
    """

    def all_match(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(strings, pattern)).as_py())

    example = next((s for s in strings[:1000].to_pylist() if "," in s), strings[0].as_py())
    if all_match(_MONEY) and not all_match(_PLAIN_OR_COMMA):
        return _Guess(None, f"amounts such as {example!r}: leave only digits and the decimal point, for a Numeric")
    amount = _NAMES_OF_AMOUNTS.search(name) is not None
    if all_match(_PRICE_WITH_COMMA) or (amount and all_match(_PLAIN_OR_COMMA)):
        return _Guess(None, f"numbers such as {example!r}: write them with a decimal point and no comma, for a Numeric")
    return None


def _ids_as_floats(flat: pa.Array) -> bool:
    """Tell if the elements are whole numbers, which are floats as some are missing or as they were written so."""
    x = flat.drop_null().cast("float64").to_numpy(zero_copy_only=False)
    x = x[~np.isnan(x)]
    return bool(len(x)) and bool((x == np.trunc(x)).all())


def _any_missing(flat: pa.Array) -> bool:
    return bool(pc.any(pc.is_null(flat, nan_is_null=True)).as_py())


def _of_lists(name: str, given: pa.Array, separator: str | None, columns: list[str]) -> _Guess:
    nested = holds_steps(given)
    flat, sizes = flat_of(one_array(pc.list_flatten(given)) if nested else given, name, separator)
    what = "lists of lists" if nested else "lists" if separator is None else f"strings separated by {separator!r}"
    widths = set(sizes[sizes > 0].tolist())
    gaps = len(widths) > 1 or _any_missing(flat)
    if pa.types.is_floating(flat.type) and not (gaps and _ids_as_floats(flat)):
        if nested:
            return _Guess(None, "lists of lists of numbers")
        if len(widths) == 1:
            return _Guess(Dense(), f"lists of {widths.pop()} numbers")
        return _Guess(None, "lists of numbers of different lengths")
    history = name.removeprefix("neg_") if name.startswith("neg_hist_") else name
    bare = _NAMES_OF_HISTORIES.sub("", history).strip("_")
    if _NAMES_OF_HISTORIES.search(name):
        if bare in columns and history != name:
            spec = Sequence(separator=separator, vocabulary_of=bare, train_only=True)
            return _Guess(spec, f"{what}, called like negatives of {history!r}: for training only")
        if bare in columns:
            spec = Sequence(separator=separator, vocabulary_of=bare)
            return _Guess(spec, f"{what}, called like a history of {bare!r}")
        return _Guess(Sequence(separator=separator), f"{what}, called like a history")
    if nested:
        return _Guess(Sequence(), f"{what}: steps of several values, {len(flat.unique()):,} different")
    return _Guess(MultiValue(separator=separator), f"{what}, {len(flat.unique()):,} different elements")


def sample(
    data: TableLike | PathsLike, columns: list[str], rows: int, *, part: RowSubset | None = None, **options: Any
) -> pa.Table:
    """Return the first `rows` rows as one table.

    Columns of text files are read as strings and get the type that fits all these rows: what looks like numbers at the
    beginning of a file may go on as text. Data and options are those of `read_chunks`.
    """
    given = options.pop("schema", None) or {}
    schema = {**(dict.fromkeys(columns, "string") if is_files(data) else {}), **given}
    tables: list[pa.Table] = []
    texts: list[pa.Table] = []
    left = rows
    for chunk in read_chunks(data, columns, schema=schema, **options):
        table = (chunk if part is None else part.take(chunk)).table.slice(0, left)
        (texts if is_text(chunk) else tables).append(table)
        left -= table.num_rows
        if left <= 0:
            break
    if texts:
        tables.append(_retyped(pa.concat_tables(texts), [name for name in columns if name not in given]))
    if not tables:
        raise ValueError("data to infer kinds from must have at least one row, got none")
    return pa.concat_tables(tables, promote_options="permissive")


def _retyped(table: pa.Table, columns: Collection[str]) -> pa.Table:
    """Give columns of strings the types that a reader of text files finds."""
    for name in columns:
        if not table.num_rows:
            break
        text = io.BytesIO()
        csv.write_csv(table.select([name]), text)
        read = csv.read_csv(
            pa.py_buffer(text.getvalue()),
            csv.ReadOptions(block_size=text.tell() + 1, use_threads=False),
            csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(null_values=["", *MISSING_WORDS]),
        )
        if not pa.types.is_string(read.schema.field(0).type):
            table = table.set_column(table.column_names.index(name), name, read.column(0))
    return table
