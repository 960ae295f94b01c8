"""Arrow columns in the forms that encoders read: distinct values with codes, numbers as float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .._typing import Array
from ..hashing import hash_utf8
from ..tables import MISSING_WORDS

__all__ = [
    "Factorized",
    "RowError",
    "as_integers",
    "cross",
    "factorize",
    "hash_arrow",
    "numbers_of",
    "one_array",
    "to_integers",
    "without_empty",
    "without_words",
]

_WHOLE = r"^-?[0-9]{1,20}(\.0+)?$"
_CANONICAL = r"^(0|-?[1-9][0-9]{0,19})(\.0+)?$"  # of one integer no two, but for what follows the point
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


class Factorized(NamedTuple):
    """A column as its distinct values and, for each row, the position of its value among them."""

    values: pa.Array  # int64 or large_string; null is missing
    dtype: str  # "int", "string", or "text": strings that may be integers, since a text file does not tell them apart
    codes: Array  # int32 [N]; len(values) is missing

    @property
    def counts(self) -> Array:
        """The number of rows that hold each value, int64 [len(values)]."""
        return np.bincount(self.codes, minlength=len(self.values) + 1)[:-1]


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column of a table as one array, without dictionary."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def factorize(array: pa.Array, name: str, text: bool = False) -> Factorized:
    """Return the distinct values of an array and the code of each row; `text`: strings that may be integers."""
    if pa.types.is_nested(array.type):
        raise ValueError(
            f"{name!r} must hold one value a row, got {array.type}: declare a Sequence, MultiValue or Dense"
        )
    if pa.types.is_null(array.type):
        return Factorized(pa.array([], pa.int64()), "int", np.zeros(len(array), np.int32))
    encoded = array.dictionary_encode()
    values, dtype = _canonical(encoded.dictionary, name, text)
    indices = encoded.indices
    codes = indices.fill_null(len(values)) if indices.null_count else indices
    return Factorized(values, dtype, codes.to_numpy())


def _canonical(values: pa.Array, name: str, text: bool) -> tuple[pa.Array, str]:
    """Return distinct values as int64 or large_string, with missing ones null, and their dtype."""
    types, given = pa.types, values.type
    if types.is_uint64(given):
        return pa.array(values.to_numpy().view(np.int64)), "int"
    if types.is_integer(given) or types.is_boolean(given):
        return values.cast(pa.int64()), "int"
    if types.is_floating(given):
        return _from_floats(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    try:
        return without_empty(values.cast(pa.large_string())), "text" if text else "string"
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{name!r} must hold integers or strings, got {given}: {error}") from error


def without_empty(values: pa.Array) -> pa.Array:
    """Return strings with the empty ones null."""
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)


def without_words(strings: pa.Array) -> pa.Array:
    """Return strings without blanks around them, null where they say that a number or a time is missing."""
    trimmed = pc.utf8_trim_whitespace(strings)
    words = pc.is_in(trimmed, pa.array(["", *MISSING_WORDS], trimmed.type))
    return pc.if_else(words, pa.scalar(None, trimmed.type), trimmed)


def _from_floats(numbers: Array) -> tuple[pa.Array, str]:
    """Return whole numbers as integers; if there are others, return all as strings."""
    missing = np.isnan(numbers)
    whole = (numbers == np.trunc(numbers)) & (np.abs(numbers) <= 2**53)
    if (whole | missing).all():
        return pa.array(np.where(missing, 0, numbers).astype(np.int64), mask=missing), "int"
    text = [
        None if n else str(int(v)) if w else repr(v) for v, n, w in zip(numbers.tolist(), missing, whole, strict=True)
    ]
    return pa.array(text, pa.large_string()), "string"


def to_integers(values: pa.Array, canonical: bool = False) -> pa.Array:
    """Convert strings that are written as whole numbers of 64 bits to int64; all others become null.

    From 2**63 on they are unsigned, and become their two's complement as a column of uint64 does. With `canonical` only
    those count that are written without needless signs and zeros, but for ".0" at the end.
    """
    fits = pc.match_substring_regex(values, _CANONICAL if canonical else _WHOLE)
    digits = pc.replace_substring_regex(pc.if_else(fits, values, None), r"\.0+$", "")
    try:
        return digits.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond what int64 holds
        numbers = [None if v is None else int(v) for v in digits.to_pylist()]
    inside = [v if v is not None and -(2**63) <= v < 2**64 else None for v in numbers]
    return pa.array([v if v is None or v < 2**63 else v - 2**64 for v in inside], pa.int64())


def as_integers(values: pa.Array) -> pa.Array:
    """Convert strings to the integers they stand for; true and false, the booleans of text, become 1 and 0."""
    integers = to_integers(values, canonical=True)
    if integers.null_count == values.null_count:
        return integers
    true, false = (pc.is_in(values, pa.array(words, pa.large_string())) for words in (_TRUE, _FALSE))
    if not pc.any(pc.or_(true, false)).as_py():
        return integers
    return pc.if_else(true, 1, pc.if_else(false, 0, integers))


def _buffers(strings: pa.Array) -> tuple[Array, Array]:
    """Return the bytes of all strings, and the offset of each in them, int64 [N + 1]."""
    if not len(strings):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    wide = "large" in str(strings.type)
    _, where, data = strings.buffers()
    start = strings.offset
    offsets = np.frombuffer(where, np.int64 if wide else np.int32)[start : start + len(strings) + 1].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    return (np.frombuffer(data, np.uint8)[first:last] if last > first else np.empty(0, np.uint8)), offsets - first


def hash_arrow(values: pa.Array) -> npt.NDArray[np.uint64]:
    """Compute `hash_values` of the elements of a large_string array; null hashes as the empty string."""
    return hash_utf8(*_buffers(pc.fill_null(values, "") if values.null_count else values))


def cross(columns: list[Factorized]) -> Factorized:
    """Return the combinations of several columns as strings; missing where one of them is."""
    first, missing = columns[0], _missing(columns[0])
    strings, codes = _plain_text(first), first.codes
    for column in columns[1:]:
        missing |= _missing(column)
        size = len(column.values) + 1
        pair = pa.array(codes.astype(np.int64) * size + column.codes).dictionary_encode()
        left, right = np.divmod(pair.dictionary.to_numpy(), size)
        right_strings = _plain_text(column)
        strings = pc.binary_join_element_wise(
            strings.take(pa.array(left, mask=left >= len(strings))),
            right_strings.take(pa.array(right, mask=right >= len(right_strings))),
            pa.scalar("\x1f", pa.large_string()),
        )
        codes = pair.indices.to_numpy()
    distinct = strings.dictionary_encode()  # "5" and "5.0" have become one
    same = np.append(distinct.indices.fill_null(len(distinct.dictionary)).to_numpy(), len(distinct.dictionary))
    return Factorized(distinct.dictionary, "string", np.where(missing, same[-1], same[codes]))


def _missing(column: Factorized) -> Array:
    null = np.append(column.values.is_null().to_numpy(zero_copy_only=False), True)
    rows: Array = null[column.codes]
    return rows


def _plain_text(column: Factorized) -> pa.Array:
    """Return values as strings; integers look alike whether they were integers, floats, booleans or text."""
    strings = column.values.cast(pa.large_string())
    if column.dtype == "int":
        return strings
    return pc.coalesce(as_integers(strings).cast(pa.large_string()), strings)


class RowError(ValueError):
    """A wrong value; whoever knows the chunk adds the row and the file."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.message, self.row = message, row


def numbers_of(array: pa.Array, name: str) -> Array:
    """Return numbers as float64 [N], NaN where missing; a string that is no number is a RowError."""
    types = pa.types
    if types.is_null(array.type):
        return np.full(len(array), np.nan)
    if types.is_string(array.type) or types.is_large_string(array.type):
        array = _parsed(array.cast(pa.large_string()), name)
    elif types.is_boolean(array.type):
        array = array.cast(pa.int8())
    elif not (types.is_integer(array.type) or types.is_floating(array.type) or types.is_decimal(array.type)):
        raise ValueError(f"{name!r} must hold numbers, got {array.type}")
    numbers: Array = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _parsed(strings: pa.Array, name: str) -> pa.Array:
    """Parse strings as float64."""
    trimmed = without_words(strings)
    try:
        return trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        parsed: list[float | None] = []
        for row, value in enumerate(trimmed.to_pylist()):
            try:
                parsed.append(None if value is None else float(value))
            except ValueError:
                raise RowError(f"{name!r} must hold numbers, got {value!r}", row) from None
        return pa.array(parsed, pa.float64())
