"""Packed matrices keep ids exact."""

from __future__ import annotations

import pytest
import torch

from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat, VarLenSparseFeat, check_exact, rows_packed
from deepctr_torch.hashing import hash_rows


def test_ids_above_2_to_the_24_stay_themselves() -> None:
    schema = FeatureSchema([SparseFeat("a", 2**24 + 2), DenseFeat("d")])
    big = 2**24 + 1
    for dtype in (torch.int64, torch.float64):
        batch = schema.unpack(torch.tensor([[big, 1]], dtype=dtype))
        assert batch.ids.tolist() == [[big]]
        assert schema.unpack(schema.pack(batch)).ids.tolist() == [[big]]
    with pytest.raises(
        ValueError,
        match=r"float32 rounds ids above 16777216, and 'a' has a vocabulary of 16777218: pass int64 or float64",
    ):
        schema.unpack(torch.zeros(1, 2))  # whatever the data are
    assert FeatureSchema([SparseFeat("a", 2**24)]).unpack(torch.tensor([[float(2**24 - 1)]])).ids.tolist() == [
        [2**24 - 1]
    ]


@pytest.mark.parametrize(("dtype", "limit"), [("float16", 2**11), ("bfloat16", 2**8)])
def test_half_precision_matrices(dtype: str, limit: int) -> None:
    half = torch.zeros(1, 1, dtype=getattr(torch, dtype))
    assert FeatureSchema([SparseFeat("a", limit)]).unpack(half).ids.tolist() == [[0]]
    with pytest.raises(ValueError, match=f"{dtype} rounds ids above {limit}"):
        FeatureSchema([SparseFeat("a", limit + 1)]).unpack(half)


def test_hashed_columns_are_hashed_once() -> None:
    schema = FeatureSchema(
        [SparseFeat("a", 50, use_hash=True), VarLenSparseFeat(SparseFeat("s", 50, use_hash=True), 3)]
    )
    raw = torch.tensor([[-7, 5, 2**62, 0]])
    batch = schema.unpack(raw)
    assert batch.ids[:, :1].tolist() == hash_rows([[-7]], 50).tolist()
    assert batch.ids[:, 1:].tolist() == hash_rows([[5, 2**62, 0]], 50, padded=True).tolist()
    packed = schema.pack(batch)
    assert packed.dtype == torch.float32
    with rows_packed():
        assert torch.equal(schema.unpack(packed).ids, batch.ids)
    with pytest.raises(ValueError, match="float32 rounds ids above 16777216, and 'a' hashes any 64-bit integer"):
        schema.unpack(packed)


def test_check_exact_passes_what_is_exact() -> None:
    refused = []
    hashed = [(SparseFeat("a", 2**40, use_hash=True), dtype) for dtype in ("int64", "float64", "uint8")]
    for column, dtype in [*hashed, (SparseFeat("a", 2**24), "float32")]:
        try:
            check_exact(column, dtype)
        except ValueError:
            refused.append((column, dtype))
    assert refused == []
