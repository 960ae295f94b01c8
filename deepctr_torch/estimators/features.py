"""The encoder that an estimator begins with: from kinds of features, given or inferred, and histories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from ..encoding import Categorical, FeatureEncoder, Timestamp
from ..encoding import Sequence as History
from ..encoding.infer import infer_specs, sample
from ..encoding.specs import FeatureSpec
from ..tables import RowSubset
from .inputs import RawData, TableLike

__all__ = ["FeaturesLike", "HistoryLike", "choose_encoder", "history_targets", "infer_encoder"]

FeaturesLike: TypeAlias = str | Mapping[str, FeatureSpec] | FeatureEncoder  # "infer", kinds by feature, an encoder
HistoryLike: TypeAlias = str | Sequence[str] | Mapping[str, str] | None  # column(s), or target -> column
INFER_ROWS = 100_000


def choose_encoder(
    features: FeaturesLike, history: HistoryLike, data: RawData, part: RowSubset | None, time: str | None
) -> FeatureEncoder:
    """Return a copy of the encoder that was given, if it is fitted, else one that is yet to be fitted.

    Args:
        features, history: as `CTREstimator` has them.
        data: the rows, looked at by "infer".
        part: those to train on, if not all.
        time: the column that they are split by.
    """
    if isinstance(features, FeatureEncoder):
        encoder = features.copy()
        if encoder.fitted:
            return encoder
    elif isinstance(features, Mapping):
        encoder = FeatureEncoder(features)
    elif features == "infer":
        encoder = infer_encoder(data.source, data.names, time=time, part=part, **data.options)
    else:
        raise TypeError(f'features must be "infer", a dict of kinds or a FeatureEncoder, got {features!r}')
    return _with_history(encoder, history)


def infer_encoder(
    source: TableLike,
    columns: Sequence[str],
    *,
    given: Mapping[str, FeatureSpec] | None = None,
    skipped: Collection[str] = (),
    time: str | None = None,
    part: RowSubset | None = None,
    **options: Any,
) -> FeatureEncoder:
    """Return an encoder, yet to be fitted, of the kinds that the beginning of the rows suggests.

    Args:
        source: what `read_chunks` takes.
        columns: what features may be made of, in order.
        given: features of known kinds.
        skipped: columns that are no features.
        time: the column that rows are split by: a feature only as hour and weekday, unless it is given.
        part: the rows to look at, if not all.
        options: of `read_chunks`.

    Raises:
        ValueError: nothing to learn from.
    """
    given = given or {}
    wanted = [name for name in columns if name not in skipped]
    table = sample(source, wanted, INFER_ROWS, part=part, **options)
    specs, reasons, left_out = inferred = infer_specs(table, given=given)
    if time is not None and time not in given and not isinstance(specs.get(time), (Timestamp, type(None))):
        for name in [name for name, spec in specs.items() if time in (name, spec.column)]:
            del specs[name], reasons[name]
        left_out[time] = "the time to split by"
    specs.update(given)
    if not specs:
        raise ValueError(f"X must have a column to learn from, got none: n_samples = {table.num_rows}, {left_out}")
    left_out.update(dict.fromkeys(skipped, "excluded"))
    encoder = FeatureEncoder.of_inferred(inferred)
    if not given:
        return encoder
    place = {column: i for i, column in enumerate(columns)}
    last = len(place)
    order = sorted(specs, key=lambda name: place.get((specs[name].column if name not in given else None) or name, last))
    return encoder.with_features({name: specs[name] for name in order})


def history_targets(history: HistoryLike) -> dict[str, str]:
    """Return target -> column of its history, of what a user may write: a column `hist_<target>`, several, or a dict.

    >>> history_targets("hist_movie"), history_targets({"movie": "watched"})
    ({'movie': 'hist_movie'}, {'movie': 'watched'})
    """
    if history is None:
        return {}
    if isinstance(history, Mapping):
        return {str(target): str(column) for target, column in history.items()}
    columns = [history] if isinstance(history, str) else list(history)
    for column in columns:
        if not str(column).startswith("hist_"):
            raise ValueError(
                f"history must be a column called hist_<target>, or a dict of target and column such as "
                f"{{'movie': 'watched'}}, got {column!r}"
            )
    return {column.removeprefix("hist_"): column for column in columns}


def _with_history(encoder: FeatureEncoder, history: HistoryLike) -> FeatureEncoder:
    """The encoder with a `Sequence` called `hist_<target>` for each history, which shares its target's table."""
    features = dict(encoder.features)
    for target, column in history_targets(history).items():
        if not isinstance(features.get(target), Categorical):
            known = sorted(n for n, k in features.items() if isinstance(k, Categorical))
            raise ValueError(f"the history {column!r} needs a Categorical feature {target!r}: there are {known}")
        found = features.pop(column, features.get(f"hist_{target}"))
        if isinstance(found, History) and found.vocabulary_of == target:
            kind = found
        else:
            kind = History(vocabulary_of=target, separator=getattr(found, "separator", None))
        if column != f"hist_{target}" and kind.column is None:
            kind = replace(kind, column=column)
        features[f"hist_{target}"] = kind
    if features == encoder.features:
        return encoder
    return encoder.with_features(features)
