"""The features of an encoder and the tables they look values up in, from their kinds."""

from __future__ import annotations

from collections.abc import Mapping

from .._checks import check_type
from ..registry import suggest
from .feature import Feature
from .ids import IdFeature, Table
from .kinds import KINDS, Categorical, Cross, Dense, Kind, MultiValue, Numeric, Sequence, Timestamp
from .lists import ListFeature
from .numbers import DenseFeature, NumericFeature
from .times import TimestampFeature

__all__ = ["build"]


def build(features: Mapping[str, Kind]) -> tuple[dict[str, Table], dict[str, Feature]]:
    """Tables by the feature that owns them, and features, with nothing learned.

    Raises:
        ValueError: features that contradict each other.
        TypeError: a kind that is none.
    """
    _check(features)
    tables = {
        name: Table(name, kind)
        for name, kind in features.items()
        if isinstance(kind, (Categorical, Sequence, MultiValue, Cross)) and _owner(kind, name) == name
    }
    parts = {name: _feature(name, kind, tables) for name, kind in features.items()}
    seen: dict[str, str] = {}
    for name, part in parts.items():
        for output in part.outputs:
            if output in seen:
                raise ValueError(f"features {seen[output]!r} and {name!r} both give an input {output!r}: rename one")
            seen[output] = name
    return tables, parts


def _feature(name: str, kind: Kind, tables: Mapping[str, Table]) -> Feature:
    if isinstance(kind, Numeric):
        return NumericFeature(name, kind)
    if isinstance(kind, Dense):
        return DenseFeature(name, kind)
    if isinstance(kind, Timestamp):
        return TimestampFeature(name, kind)
    table = tables[_owner(kind, name)]
    return ListFeature(name, kind, table) if isinstance(kind, (Sequence, MultiValue)) else IdFeature(name, kind, table)


def _owner(kind: Kind, name: str) -> str:
    """The feature whose table a feature looks values up in."""
    return getattr(kind, "vocabulary_of", None) or name


def _check(features: Mapping[str, Kind]) -> None:
    if not features:
        raise ValueError("an encoder must have at least one feature, got none")
    for name, kind in features.items():
        check_type("a feature", name, str, "called by a string")
        if not isinstance(kind, tuple(KINDS.values())):
            hint = f": {kind.__name__}()" if isinstance(kind, type) and kind.__name__ in KINDS else ""
            raise TypeError(f"the kind of {name!r} must be one of {', '.join(KINDS)}, got {kind!r}{hint}")
        owner = _owner(kind, name)
        if owner == name:
            continue
        if owner not in features:
            raise ValueError(f"vocabulary_of of {name!r} must be a feature, got {owner!r}: {suggest(owner, features)}")
        if (
            not isinstance(features[owner], (Categorical, Sequence, MultiValue))
            or _owner(features[owner], owner) != owner
        ):
            raise ValueError(f"vocabulary_of of {name!r} must be a feature with a vocabulary of its own, got {owner!r}")
