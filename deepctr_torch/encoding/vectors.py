"""Pretrained vectors of values -> a table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .values import coded
from .vocabulary import MISSING, UNSEEN, Vocabulary

__all__ = ["by_value"]


def by_value(vocabulary: Vocabulary, feature: str, vectors: Mapping[Any, Any]) -> npt.NDArray[np.float32]:
    """A table [rows, E] with the vector of each value; rows without one get the mean, row 0 zeros."""
    import pyarrow as pa

    if not vectors:
        raise ValueError(f"vectors of {feature!r} must be of at least one value, got none")
    rows_given = [np.asarray(v, np.float32).reshape(-1) for v in vectors.values()]
    lengths = {len(v) for v in rows_given}
    if len(lengths) > 1 or not all(np.isfinite(v).all() for v in rows_given):
        raise ValueError(f"vectors of {feature!r} must be finite and of one length, got lengths {sorted(lengths)}")
    matrix = np.stack(rows_given)
    column = coded(pa.array([str(v) for v in vectors], pa.large_string()), feature, text=True)
    rows = vocabulary.lookup(column)[column.codes]
    known = rows > UNSEEN
    if not known.any():
        raise ValueError(
            f"vectors of {feature!r} must be of values it knows, got none, but such as {next(iter(vectors))!r}"
        )
    out = np.tile(matrix[known].mean(axis=0, dtype=np.float64).astype(np.float32), (vocabulary.rows, 1))
    out[MISSING] = 0
    out[rows[known]] = matrix[known]
    return out
