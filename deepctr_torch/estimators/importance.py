"""Importance of raw columns by permutation: how much worse predictions get when the values of a column are shuffled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..encoding import FeatureEncoder, MultiValue
from ..encoding.encoder import Report
from ..encoding.parallel import encode_chunk
from ..metrics.registry import get_metric, higher_is_better
from ..models import BaseModel
from .inputs import RawData
from .labels import LabelEncoder
from .predict import LabeledPredictions, MetricLike

__all__ = ["permutation_importances"]


def permutation_importances(
    model: BaseModel,
    encoder: FeatureEncoder,
    labels: LabelEncoder,
    data: RawData,
    rows: LabeledPredictions,
    metric: MetricLike,
    repeats: int,
    seed: int,
) -> Report:
    """Return how much worse a metric gets when a column is shuffled, the most important column first.

    A raw column is shuffled before it is encoded, so that all features that read it move together. Shuffle `i` is the
    same for all columns, `default_rng((seed, i)).permutation(N)`. See Breiman L. Random Forests. Machine Learning 45,
    2001, section 10.

    Args:
        model, encoder, labels: of a fitted estimator.
        data: the rows.
        rows: what is predicted for them, with their labels.
        metric: one with a better direction.
        repeats: shuffles of each column.
        seed: of the shuffles.
    """
    import pyarrow as pa

    key = get_metric(metric).name
    growing = higher_is_better(key)
    if growing is None:
        raise ValueError(f"metric must be one that gets better upwards or downwards, got {key!r}")
    chunks = list(encoder.read(data.source, training=False, **data.options))
    whole = chunks[0]._replace(table=pa.concat_tables([c.table for c in chunks], promote_options="permissive"))
    x = encode_chunk(encoder.column_encoders, whole, training=False, seed=0)
    base = rows.metrics([metric])[key]
    orders = [np.random.default_rng((seed, i)).permutation(len(rows.y)) for i in range(repeats)]
    found = []
    for columns in _tied_columns(encoder):
        readers = {n: e for n, e in encoder.column_encoders.items() if not set(columns).isdisjoint(e.inputs)}
        losses = []
        for order in orders:
            table = whole.table
            for name in columns:
                table = table.set_column(table.column_names.index(name), name, table[name].take(pa.array(order)))
            moved = encode_chunk(readers, whole._replace(table=table), training=False, seed=0)
            shuffled = LabeledPredictions(
                rows.tasks, rows.y, labels.decode(model.predict({**x, **moved})), rows.weight, rows.columns
            )
            score = shuffled.metrics([metric])[key]
            losses.append(base - score if growing else score - base)
        found.append((float(np.mean(losses)), float(np.std(losses)), ", ".join(columns)))
    found.sort(key=lambda each: -each[0])
    return Report([{"column": column, "importance": mean, "std": std} for mean, std, column in found])


def _tied_columns(encoder: FeatureEncoder) -> Iterator[list[str]]:
    """The raw columns that prediction reads, one by one; a column of weights comes with that of its elements."""
    owner = {column: column for column in encoder.serving_inputs}
    for name, spec in encoder.features.items():
        if isinstance(spec, MultiValue) and spec.weights is not None and not spec.train_only:
            first, second = owner[spec.column or name], owner[spec.weights]
            owner = {column: first if other == second else other for column, other in owner.items()}
    for first in dict.fromkeys(owner.values()):
        yield [column for column, other in owner.items() if other == first]
