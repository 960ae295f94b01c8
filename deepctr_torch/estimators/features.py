"""The encoder that an estimator begins with: from kinds of features, given or inferred, and histories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from ..encoding import Categorical, FeatureEncoder, MultiValue, Timestamp
from ..encoding import Sequence as History
from ..encoding.infer import code_of, infer_specs, sample
from ..encoding.specs import FeatureSpec
from ..tables import RowSubset
from .inputs import RawData, TableLike

__all__ = [
    "TARGETS",
    "FeaturesLike",
    "HistoryLike",
    "check_same_features",
    "choose_encoder",
    "history_columns",
    "history_features",
    "infer_encoder",
]

# "infer"; kinds by feature, with "*": "infer" for all other columns; an encoder:
FeaturesLike: TypeAlias = str | Mapping[str, FeatureSpec | str] | FeatureEncoder
HistoryLike: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str]] | None  # column(s), by target or not
INFER_ROWS = 100_000
TARGETS = (Categorical, MultiValue)  # what histories are compared with
REST = "*"  # of a dict of kinds: all columns that it does not name


def choose_encoder(
    features: FeaturesLike,
    history: HistoryLike,
    data: RawData,
    part: RowSubset | None,
    time: str | None,
    skipped: Collection[str] = (),
) -> FeatureEncoder:
    """Return a copy of the encoder that was given, if it is fitted, else one that is yet to be fitted.

    "infer" looks at the rows to train on, `part` of `data` if not all, but not at columns that are `skipped`.
    """
    given: dict[str, Any] = dict(features) if isinstance(features, Mapping) else {}
    rest = given.pop(REST, None) if given else features
    if isinstance(features, FeatureEncoder):
        encoder = features.copy()
        if encoder.fitted:
            return encoder
    elif isinstance(rest, str) and rest == "infer":
        renamed = {spec.column for spec in given.values() if getattr(spec, "column", None)}
        encoder = infer_encoder(
            data.source, data.names, given=given, skipped={*skipped, *renamed}, time=time, part=part, **data.options
        )
    elif isinstance(features, Mapping) and rest is None:
        encoder = FeatureEncoder(given)
    else:
        raise TypeError(
            f'features must be "infer", a dict of kinds (with "*": "infer" for all other columns) or a FeatureEncoder, '
            f"got {features!r}"
        )
    return _with_history(encoder, history)


def check_same_features(features: FeaturesLike, history: HistoryLike, known: FeatureEncoder) -> None:
    """Check that features that were asked for are those of the encoder to go on with; "infer" takes what there is."""
    if isinstance(features, str):
        return
    if isinstance(features, FeatureEncoder):
        wanted: Mapping[str, Any] = features.features
    else:
        wanted = {name: kind for name, kind in features.items() if name != REST}
    whole = isinstance(features, FeatureEncoder) or REST not in features
    if whole and wanted and history is not None:
        wanted = _with_history(FeatureEncoder(wanted), history).features
    names = [*wanted, *known.features] if whole else list(wanted)
    other = next((name for name in names if wanted.get(name) != known.features.get(name)), None)
    if other is not None:
        raise ValueError(
            f"init_from goes on with its own features, where {other!r} is {known.features.get(other, 'none')}, got "
            f'{wanted.get(other, "none")}: leave features "infer", or fit without init_from'
        )


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
        source, options: what `read_chunks` takes.
        columns: what features may be made of, in order, but for those `skipped`.
        given: features of known kinds.
        time: the column that rows are split by: a feature only as hour and weekday, unless it is given.
        part: the rows to look at, if not all.
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


def history_columns(history: HistoryLike, features: Mapping[str, FeatureSpec]) -> dict[str, list[str]]:
    """Return target -> columns of its histories, the one called `hist_<target>` first, of what a user may write.

    A column of a list belongs to the target whose name follows `hist_`, alone or before a further word. Where integers
    are both amounts and codes, the target is the codes.

    >>> kinds = {"movie": Categorical(), "shop_code": Categorical(column="shop")}
    >>> history_columns(["hist_movie", "hist_movie_long", "hist_shop"], kinds)
    {'movie': ['hist_movie', 'hist_movie_long'], 'shop_code': ['hist_shop']}
    >>> history_columns({"movie": "watched"}, kinds)
    {'movie': ['watched']}
    """
    given: list[tuple[str, str]] = []
    if isinstance(history, Mapping):
        for target, columns in history.items():
            given += [(str(target), str(c)) for c in ([columns] if isinstance(columns, str) else columns)]
    else:
        listed = [history] if isinstance(history, str) else list(history or ())
        given += [(_target_in(str(column), features), str(column)) for column in listed]
    out: dict[str, list[str]] = {}
    for target, column in given:
        owner = _target(target, features)
        if owner is None:
            known = sorted(n for n, k in features.items() if isinstance(k, TARGETS))
            raise ValueError(
                f"the history {column!r} needs a Categorical or MultiValue feature {target!r}: there are {known}"
            )
        out.setdefault(owner, []).append(column)
    for owner, columns in out.items():
        columns.sort(key=lambda column: column not in (f"hist_{owner}", f"hist_{features[owner].column}"))
    return out


def history_features(history: HistoryLike, features: Mapping[str, FeatureSpec]) -> dict[str, list[str]]:
    """Return target -> its histories as features: the first is called `hist_<target>`, others like their columns."""
    return {target: [f"hist_{target}", *columns[1:]] for target, columns in history_columns(history, features).items()}


def _target(name: str, features: Mapping[str, FeatureSpec]) -> str | None:
    """The feature that the histories of a column are compared with, if there is one."""
    return name if isinstance(features.get(name), TARGETS) else code_of(name, features)


def _target_in(column: str, features: Mapping[str, FeatureSpec]) -> str:
    """The target that the name of a history begins with, after `hist_`; all of the rest if none is known."""
    if not column.startswith("hist_"):
        raise ValueError(
            f"history must be a column called hist_<target>, or a dict of target and column(s) such as "
            f"{{'movie': 'watched'}}, got {column!r}"
        )
    words = column.removeprefix("hist_").split("_")
    names = ["_".join(words[:n]) for n in range(len(words), 0, -1)]
    return next((name for name in names if _target(name, features)), names[0])


def _with_history(encoder: FeatureEncoder, history: HistoryLike) -> FeatureEncoder:
    """The encoder with a `Sequence` for each history and its negatives, which share the table of the target."""
    features = dict(encoder.features)
    columns = history_columns(history, features)
    for target, names in history_features(history, features).items():
        pairs = list(zip(names, columns[target], strict=True))
        for name, column in pairs:
            found = features.pop(column, features.get(name))
            features[name] = _shared(found, target, None if column == name else column)
        name, column = (f"neg_{each}" for each in pairs[0])
        if column in features or name in features:
            found = features.pop(column, features.get(name))
            shared = _shared(found, target, None if column == name else column)
            features[name] = replace(shared, train_only=True)
    if features == encoder.features:
        return encoder
    return encoder.with_features(features)


def _shared(found: FeatureSpec | None, target: str, column: str | None) -> History:
    """The kind of a history, of the kind that was found for its column: it shares the vocabulary of its target."""
    if not isinstance(found, History):
        found = History(separator=getattr(found, "separator", None), column=None if found is None else found.column)
    own = replace(found, min_count=1, max_vocabulary=None, hash_buckets=None, embedding_dim=None)
    return replace(own, vocabulary_of=target, column=own.column or column)
