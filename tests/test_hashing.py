"""The hash function is a promise: its values are fixed here, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.hashing import HASH_VERSION, hash_rows, hash_values

MASK = 2**64 - 1

VECTORS: list[tuple[int | str, int]] = [
    (0, 0xE220A8397B1DCDAF),
    (5, 0x63033B0CA389C35A),
    (-1, 0xE4D971771B652C20),
    ("5", 0xE190BDA83268B256),
]
ROWS_OF_1000 = [737, 546, 459, 599, 459, 890, 959, 646, 387, 569, 148]


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def reference(value: int | str) -> int:
    """The module's documentation, in plain integers."""
    if isinstance(value, int):
        return mix((value + 0x9E3779B97F4A7C15) & MASK)
    data = value.encode()
    h = mix((len(data) + 0xD6E8FEB86659FD93) & MASK)
    for i in range(0, len(data), 8):
        h = mix(h ^ int.from_bytes(data[i : i + 8].ljust(8, b"\0"), "little"))
    return h


@pytest.mark.parametrize(("value", "expected"), VECTORS)
def test_vectors_of_version_1(value: int | str, expected: int) -> None:
    assert HASH_VERSION == 1
    assert int(hash_values(value)) == expected == reference(value)


def test_rows_of_version_1() -> None:
    values = [0, 1, -1, 2**63, 2**64 - 1, "", "a", "user_1", "Überraschung", "a longer string of several words", "\0"]
    assert hash_rows(values, 1000).tolist() == ROWS_OF_1000
    assert [1 + reference(v) % 999 for v in values] == ROWS_OF_1000


@given(st.lists(st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=40)), min_size=1, max_size=20))
def test_against_the_definition(values: list[int | str]) -> None:
    assert hash_values(values).tolist() == [reference(v) for v in values]


@given(st.lists(st.text(max_size=30), min_size=1))
def test_strings_do_not_depend_on_their_neighbours(values: list[str]) -> None:
    together = hash_values(values)
    assert together.dtype == np.uint64
    assert together.tolist() == [int(hash_values([v])[0]) for v in values]


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i8", "<i4"]
)
def test_integers_of_any_width_hash_alike(dtype: str) -> None:
    assert hash_values(np.array([0, 1, 99], dtype=dtype)).tolist() == [reference(v) for v in (0, 1, 99)]


def test_twos_complement() -> None:
    assert hash_values(np.array([-1])) == hash_values(np.array([2**64 - 1], dtype=np.uint64))
    assert hash_values([2**63, -1]).tolist() == [
        reference(2**63),
        reference(-1),
    ]  # numpy alone would make floats of them


def test_text_and_numbers_differ() -> None:
    mixed = hash_values([5, "5", True, np.int32(5)])
    assert mixed.tolist() == [reference(5), reference("5"), reference(1), reference(5)]


def test_kinds_of_text_arrays_hash_alike() -> None:
    words = ["a", "bb", "", "ünï", "longer than eight"]
    expected = [reference(w) for w in words]
    assert hash_values(np.array(words)).tolist() == expected
    assert hash_values(np.array(words, dtype=object)).tolist() == expected
    assert hash_values(np.array(words, dtype=object).reshape(5, 1)).shape == (5, 1)


def test_padding_characters_count() -> None:
    assert len(set(hash_values(np.array(["a", "a\0", "a\0\0", "\0a", ""], dtype=object)).tolist())) == 5


def test_one_long_string_among_many() -> None:
    values = [f"u{i}" for i in range(1000)] + ["x" * 100_000]
    assert int(hash_values(values)[-1]) == reference(values[-1])


def test_rows_keep_the_shape_and_never_meet_row_0() -> None:
    rows = hash_rows(np.arange(10_000).reshape(100, 100), 7)
    assert rows.shape == (100, 100)
    assert rows.dtype == np.int64
    assert set(rows.ravel().tolist()) == {1, 2, 3, 4, 5, 6}
    assert np.bincount(rows.ravel())[1:].min() > 1500  # spread evenly: 1667 each
    assert hash_rows([3, "x"], 2).tolist() == [1, 1]


def test_padding_goes_to_row_0() -> None:
    assert hash_rows(np.array([[0, 3], [4, 0]]), 100, padded=True)[[0, 1], [0, 1]].tolist() == [0, 0]
    assert (hash_rows(np.array([["", "a"], ["b", ""]]), 100, padded=True) == 0).tolist() == [
        [True, False],
        [False, True],
    ]
    assert (hash_rows(["", 0, "0", 1], 100, padded=True) == 0).tolist() == [True, True, False, False]
    unpadded = hash_rows([0, ""], 100)
    assert (unpadded > 0).all()


def test_what_cannot_be_hashed() -> None:
    with pytest.raises(TypeError, match="must be strings or integers, got an array of float64"):
        hash_values(np.array([1.0]))
    with pytest.raises(TypeError, match="must be strings or integers, got None"):
        hash_values(["a", None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="must be strings or integers, got nan"):
        hash_values([3, float("nan")])
    with pytest.raises(ValueError, match=f"integers to hash must have 64 bits, got {2**64}"):
        hash_values([1, 2**64])


def test_empty() -> None:
    assert hash_values(np.empty((0, 3), dtype=np.int64)).shape == (0, 3)
    assert hash_rows(np.empty(0, dtype=object), 5, padded=True).tolist() == []


def test_same_in_another_process() -> None:
    code = "from deepctr_torch.hashing import hash_rows; print(hash_rows(['user', 'item', 7], 10**9).tolist())"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert out.stdout.strip() == str(hash_rows(["user", "item", 7], 10**9).tolist())
