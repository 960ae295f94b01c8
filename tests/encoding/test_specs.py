from __future__ import annotations

from typing import Any

import pytest

from deepctr_torch.encoding import Categorical, Cross, Dense, MultiValue, Numeric, Sequence, Timestamp
from deepctr_torch.encoding.specs import SPECS, spec_from_json, spec_to_json

EXAMPLES = [
    Categorical(min_count=3, max_vocabulary=10, dropout=0.1, column="raw", train_only=True, embedding_dim="auto"),
    Categorical(hash_buckets=7),
    Numeric("quantile", bins=5, embedding_dim=3),
    Numeric("minmax", indicator=True),
    Sequence(20, ",", keep="first", vocabulary_of="item"),
    Sequence(None),
    MultiValue(separator="|", weights="w", combiner="sum"),
    Cross(columns=("a", "b"), min_count=2),
    Timestamp(("hour", "month"), unit="ms", timezone="Europe/Paris"),
    Dense(3, separator=" "),
]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda k: type(k).__name__)
def test_json_has_the_whole_kind(kind: Any) -> None:
    import json

    assert spec_from_json(json.loads(json.dumps(spec_to_json(kind))), "f") == kind
    assert type(kind) in SPECS.values()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Categorical(min_count=0), "min_count must be an integer of at least 1, got 0"),
        (lambda: Categorical(max_vocabulary=0), "max_vocabulary must be an integer of at least 1"),
        (lambda: Categorical(dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: Categorical(hash_buckets=0), "hash_buckets must be an integer of at least 1"),
        (lambda: Categorical(hash_buckets=5, min_count=2), "leave out min_count and max_vocabulary"),
        (lambda: Categorical(vocabulary_of="a", min_count=2), "vocabulary_of='a' takes that feature's vocabulary"),
        (lambda: Categorical(embedding_dim=0), "embedding_dim must be an integer of at least 1, got 0"),
        (lambda: Categorical(embedding_dim="big"), "unknown embedding_dim 'big'"),
        (lambda: Numeric("log"), "unknown scaling 'log'"),
        (lambda: Numeric("quantile", bins=1), "bins must be an integer of at least 2, got 1"),
        (lambda: Numeric("quantile", indicator=True), "missing numbers have a row of their own"),
        (lambda: Sequence(0), "maxlen must be an integer of at least 1, got 0"),
        (lambda: Sequence(keep="last"), "unknown keep 'last'"),
        (lambda: MultiValue(separator=""), "separator must be at least one character"),
        (lambda: MultiValue(combiner="median"), "unknown combiner 'median'"),
        (lambda: Cross(columns=("a",)), r"at least two different names, got \('a',\)"),
        (lambda: Cross(columns=("a", "a")), "at least two different names"),
        (lambda: Cross(columns=("a", "b"), column="c"), "give columns, not column"),
        (lambda: Timestamp(()), "parts must be at least one name"),
        (lambda: Timestamp(("year",)), "unknown part of a Timestamp 'year'"),
        (lambda: Timestamp(unit="m"), "unknown unit 'm'"),
        (lambda: Dense(0), "dimension must be an integer of at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_types_of_options() -> None:
    with pytest.raises(TypeError, match="train_only must be True or False, got int"):
        Numeric(train_only=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="columns of a Cross must be a tuple of names, got str"):
        Cross(columns="ab")  # type: ignore[arg-type]


def test_unknown_kinds_and_options_are_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match="unknown kind 'Categoric' of feature 'f': did you mean 'Categorical'"):
        spec_from_json({"kind": "Categoric"}, "f")
    with pytest.raises(ValueError, match="unknown option 'min_counts' of feature 'f': did you mean 'min_count'"):
        spec_from_json({"kind": "Categorical", "min_counts": 3}, "f")


def test_who_shares_a_vocabulary_has_no_width_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"vocabulary_of='item' takes .*hash_buckets and embedding_dim there"):
        Sequence(vocabulary_of="item", embedding_dim=8)
