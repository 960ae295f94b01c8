"""Learned vectors by raw value."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
from torch import nn

from ..encoding import FeatureEncoder
from ..encoding.categorical import CategoricalEncoder
from ..encoding.vocabulary import FIRST, MISSING, UNSEEN, Vocabulary
from ..models import BaseModel
from ..registry import suggest
from ..tables import ColumnLike

if TYPE_CHECKING:
    import polars as pl

__all__ = ["embedding_frame"]


def embedding_frame(model: BaseModel, encoder: FeatureEncoder, feature: str, ids: ColumnLike = None) -> pl.DataFrame:
    """Return the vectors of a feature's values, as `CTREstimator.embeddings` says."""
    import polars as pl

    columns = {n: c for n, c in encoder.column_encoders.items() if isinstance(c, CategoricalEncoder)}
    if feature not in columns:
        raise ValueError(f"{feature!r} is no feature with an embedding table: {suggest(feature, columns)}")
    shared = columns[feature].shared
    if shared.name not in model.embedding_dict:
        raise ValueError(f"{type(model).__name__} has no table of vectors of {feature!r} alone")
    table = cast(nn.Embedding, model.embedding_dict[shared.name])
    vectors = table.weight.detach().cpu().numpy()
    learned = shared.learned
    if ids is not None:
        rows, values = encoder.ids(feature, ids), pl.Series("value", ids, strict=False)
    elif isinstance(learned, Vocabulary):
        rows = np.arange(learned.rows)
        values = pl.Series("value", pa.concat_arrays([pa.nulls(FIRST, learned.values.type), learned.values]))
    else:
        raise ValueError(f"the values of {feature!r} are hashed, and not known: give ids")
    kind = np.select([rows == MISSING, rows == UNSEEN], ["missing", "unseen"], "known")
    return pl.DataFrame({"value": values, "kind": kind, "embedding": vectors[rows]})
