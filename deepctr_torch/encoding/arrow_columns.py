"""Raw columns in one form: the distinct values as integers or strings, lists as flat elements, numbers as float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..hashing import hash_utf8

__all__ = [
    "Factorized",
    "RowError",
    "as_integers",
    "crossed",
    "factorize",
    "hash_arrow",
    "numbers_of",
    "one_array",
    "to_integers",
    "to_strings",
    "without_empty",
]

Array = npt.NDArray[Any]
_WHOLE = r"^-?[0-9]{1,20}(\.0+)?$"
_CANONICAL = r"^(0|-?[1-9][0-9]{0,19})(\.0+)?$"  # of one integer no two, but for what follows the point
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


class Factorized(NamedTuple):
    """A column as its distinct values and, for each row, which of them it holds.

    Attributes:
        values: an arrow array of int64 or large_string; null is missing.
        kind: "int", "string", or "text": strings that may be integers, since a text file does not tell them apart.
        codes: int32 [N]; len(values) is missing.
    """

    values: Any
    kind: str
    codes: Array

    @property
    def counts(self) -> Array:
        """int64 [len(values)]: in how many rows each of the values is."""
        return np.bincount(self.codes, minlength=len(self.values) + 1)[:-1]


def one_array(column: Any) -> Any:
    """A column of a table as one arrow array, without dictionary."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def factorize(array: Any, name: str, text: bool = False) -> Factorized:
    """The distinct values of an arrow array of single values.

    Args:
        array: the values.
        name: how messages call the column.
        text: strings are of a text file, where integers are strings too.
    """
    import pyarrow as pa

    if pa.types.is_nested(array.type):
        raise ValueError(
            f"{name!r} must hold one value a row, got {array.type}: declare a Sequence, MultiValue or Dense"
        )
    if pa.types.is_null(array.type):
        return Factorized(pa.array([], pa.int64()), "int", np.zeros(len(array), np.int32))
    encoded = array.dictionary_encode()
    values, kind = _canonical(encoded.dictionary, name, text)
    return Factorized(values, kind, _codes(encoded))


def _codes(encoded: Any) -> Array:
    indices, size = encoded.indices, len(encoded.dictionary)
    if indices.null_count:
        indices = indices.fill_null(size)
    codes: Array = indices.to_numpy()
    return codes


def _canonical(values: Any, name: str, text: bool) -> tuple[Any, str]:
    """Distinct values as int64 or large_string, missing ones null, and which kind of value they are."""
    import pyarrow as pa

    types, kind = pa.types, values.type
    if types.is_uint64(kind):
        return pa.array(values.to_numpy().view(np.int64)), "int"
    if types.is_integer(kind) or types.is_boolean(kind):
        return values.cast(pa.int64()), "int"
    if types.is_floating(kind):
        return _from_floats(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    try:
        return without_empty(values.cast(pa.large_string())), "text" if text else "string"
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{name!r} must hold integers or strings, got {kind}: {error}") from error


def without_empty(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)


def _from_floats(numbers: Array) -> tuple[Any, str]:
    """Whole numbers as integers; if there are others, all as strings."""
    import pyarrow as pa

    missing = np.isnan(numbers)
    whole = (numbers == np.trunc(numbers)) & (np.abs(numbers) <= 2**53)
    if (whole | missing).all():
        return pa.array(np.where(missing, 0, numbers).astype(np.int64), mask=missing), "int"
    text = [
        None if n else str(int(v)) if w else repr(v) for v, n, w in zip(numbers.tolist(), missing, whole, strict=True)
    ]
    return pa.array(text, pa.large_string()), "string"


def to_integers(values: Any, canonical: bool = False) -> Any:
    """Strings that are written as whole numbers of 64 bits -> int64; null for all others.

    From 2**63 on they are unsigned, and become their two's complement as a column of uint64 does.

    Args:
        values: an arrow array of large_string.
        canonical: only those that are written without needless signs and zeros, but for ".0" at the end.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    fits = pc.match_substring_regex(values, _CANONICAL if canonical else _WHOLE)
    digits = pc.replace_substring_regex(pc.if_else(fits, values, None), r"\.0+$", "")
    try:
        return digits.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond what int64 holds
        numbers = [None if v is None else int(v) for v in digits.to_pylist()]
    inside = [v if v is not None and -(2**63) <= v < 2**64 else None for v in numbers]
    return pa.array([v if v is None or v < 2**63 else v - 2**64 for v in inside], pa.int64())


def as_integers(values: Any) -> Any:
    """Strings as the integers they stand for: whole numbers; true and false, the booleans of text, as 1 and 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    integers = to_integers(values, canonical=True)
    if integers.null_count == values.null_count:
        return integers
    true, false = (pc.is_in(values, pa.array(words, pa.large_string())) for words in (_TRUE, _FALSE))
    if not pc.any(pc.or_(true, false)).as_py():
        return integers
    return pc.if_else(true, 1, pc.if_else(false, 0, integers))


def to_strings(values: Any) -> Any:
    """int64 -> their decimal digits; strings as they are."""
    import pyarrow as pa

    return values.cast(pa.large_string())


def _buffers(strings: Any) -> tuple[Array, Array]:
    """The bytes of an arrow array of strings, and where each begins in them, int64 [N + 1]."""
    if not len(strings):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    wide = "large" in str(strings.type)
    _, where, data = strings.buffers()
    start = strings.offset
    offsets = np.frombuffer(where, np.int64 if wide else np.int32)[start : start + len(strings) + 1].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    return (np.frombuffer(data, np.uint8)[first:last] if last > first else np.empty(0, np.uint8)), offsets - first


def hash_arrow(values: Any) -> npt.NDArray[np.uint64]:
    """`hash_values` of the elements of a large_string array; those of null are of the empty string."""
    import pyarrow.compute as pc

    return hash_utf8(*_buffers(pc.fill_null(values, "") if values.null_count else values))


def crossed(parts: list[Factorized]) -> Factorized:
    """The combinations of several columns as strings; missing where one of them is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, missing = parts[0], _missing(parts[0])
    strings, codes = _plain_text(first), first.codes
    for part in parts[1:]:
        missing |= _missing(part)
        size = len(part.values) + 1
        pair = pa.array(codes.astype(np.int64) * size + part.codes).dictionary_encode()
        left, right = np.divmod(pair.dictionary.to_numpy(), size)
        right_strings = _plain_text(part)
        strings = pc.binary_join_element_wise(
            strings.take(pa.array(left, mask=left >= len(strings))),
            right_strings.take(pa.array(right, mask=right >= len(right_strings))),
            pa.scalar("\x1f", pa.large_string()),
        )
        codes = pair.indices.to_numpy()
    distinct = strings.dictionary_encode()  # "5" and "5.0" have become one
    same = np.append(distinct.indices.fill_null(len(distinct.dictionary)).to_numpy(), len(distinct.dictionary))
    return Factorized(distinct.dictionary, "string", np.where(missing, same[-1], same[codes]))


def _missing(part: Factorized) -> Array:
    null = np.append(part.values.is_null().to_numpy(zero_copy_only=False), True)
    rows: Array = null[part.codes]
    return rows


def _plain_text(part: Factorized) -> Any:
    """Values as strings; integers alike whether they were integers, floats, booleans or text."""
    import pyarrow.compute as pc

    strings = to_strings(part.values)
    if part.kind == "int":
        return strings
    return pc.coalesce(to_strings(as_integers(strings)), strings)


class RowError(ValueError):
    """A wrong value; whoever knows the chunk says which row of which file it is."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.message, self.row = message, row


def numbers_of(array: Any, name: str) -> Array:
    """float64 [N], NaN where missing.

    Raises:
        RowError: what is no number.
    """
    import pyarrow as pa

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


def _parsed(strings: Any, name: str) -> Any:
    """Strings as float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = without_empty(pc.utf8_trim_whitespace(strings))
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
