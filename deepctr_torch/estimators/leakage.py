"""A look at each feature alone: one that nearly decides the label may be known only after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from .._typing import Array, Mask
from ..data import Files
from ..encoding import FeatureEncoder
from ..tables import RowSubset
from .inputs import RawData
from .labels import ClassLabelEncoder, LabelEncoder
from .prepare import EncodedBatch, concatenate, encode_batches

__all__ = ["find_leaks", "look_rows", "warn_of_leaks"]

log = logging.getLogger("deepctr_torch")
ROWS = 20_000  # looked at
BINS = 64  # of a number; fewer where a bin had less than `BIN_ROWS` rows
BIN_ROWS = 16
DECISIVE = 0.99  # AUC, R2, or share of positives among the rows with a value
CLOSE = 0.8  # AUC, or share of positives, of the rows without such a value: it is but the top of a strong feature
LEAST = 20  # rows of a value or class that say anything
FEW = 8  # so few bins of a number are looked at one by one; of a category, as many values as a number has bins


def look_rows(
    train: EncodedBatch | Files, data: RawData, part: RowSubset | None, encoder: FeatureEncoder, labels: LabelEncoder
) -> EncodedBatch:
    """Return the rows to look at: of those in memory some from everywhere, of files the first."""
    if isinstance(train, EncodedBatch):
        rows = slice(None, None, max(-(-train.rows // ROWS), 1))
        return EncodedBatch({name: values[rows] for name, values in train.x.items()}, train.y[rows])
    batches: list[EncodedBatch] = []
    for batch in encode_batches(encoder, data, labels, part):
        batches.append(batch.slice(0, ROWS - sum(each.rows for each in batches)))
        if sum(each.rows for each in batches) == ROWS:
            break
    return concatenate(batches)


def warn_of_leaks(encoder: FeatureEncoder, labels: LabelEncoder, rows: EncodedBatch) -> None:
    """Log once which columns nearly decide a label, and the option that leaves them out."""
    columns = {
        output: column.inputs[0]
        for column in encoder.column_encoders.values()
        for output in column.outputs
        if len(column.inputs) == 1
    }
    found: dict[str, str] = {}
    for output, why in find_leaks({name: rows.x[name] for name in columns if name in rows.x}, rows.y, labels):
        found.setdefault(columns[output], why)
    if found:
        listed = "; ".join(f"{name!r}: {why}" for name, why in found.items())
        log.warning(
            "columns that nearly decide the label alone: %s. Leave out what is known only after the label: skip=%s",
            listed,
            list(found),
        )


def find_leaks(x: dict[str, Array], y: Array, labels: LabelEncoder) -> Iterator[tuple[str, str]]:
    """Yield input and reason of what nearly decides a label alone.

    Each input is scored with the means of the label by value, or by bin of a number, taken from the other half of the
    rows. It is told of if the AUC (of each class; of numbers the R2 of their ranks) is at least 0.99 in both halves;
    or if the label is rare, but positive in 99% of the rows with one value, or with any but the most frequent one.

    Args:
        x: ids [N] and numbers [N]; of more dimensions is none looked at.
        y: [N, T], as the model learns them.
        labels: their meaning.
    """
    half = np.random.default_rng(0).permutation(len(y)) % 2  # [N]
    for t, name in enumerate(labels.names):
        there = ~np.isnan(y[:, t])
        targets = _targets(y[there, t], labels)
        if not targets:
            continue
        for output, values in x.items():
            if values.ndim == 1:
                why = _verdict(*_bins(values[there]), half[there], targets, name)
                if why is not None:
                    yield output, why


def _targets(y: Array, labels: LabelEncoder) -> list[Array]:
    """The target: one class or each of several (bool [N]), or the ranks of numbers ([N] in (0, 1))."""
    if not isinstance(labels, ClassLabelEncoder):
        values, index, counts = np.unique(y, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / len(y)
        return [ranks[index]] if len(values) > 1 and len(y) >= 2 * LEAST else []
    classes = [1] if labels.kind == "binary" else range(len(labels.classes[0]))
    of_class = [y == c for c in classes]
    return [mask for mask in of_class if LEAST <= mask.sum() <= len(y) - LEAST]


def _bins(values: Array) -> tuple[Array, bool]:
    """[N] numbers from 0 on of values or bins, and whether each is worth a look of its own."""
    if values.dtype.kind == "f":
        parts = int(np.clip(len(values) // BIN_ROWS, 2, BINS))
        ordered = np.sort(values[:: max(len(values) // 4096, 1)])
        edges = np.unique([values.min(), *ordered[np.arange(1, parts) * len(ordered) // parts]])
        return np.searchsorted(edges, values), len(edges) <= FEW
    if values.max(initial=0) >= len(values):
        values = np.unique(values, return_inverse=True)[1]
    return values, bool(np.count_nonzero(np.bincount(values)) <= BINS)


def _verdict(bins: Array, few: bool, half: Array, targets: list[Array], name: str) -> str | None:
    """Why an input nearly decides a label, None if it does not."""
    size = int(bins.max()) + 1
    place = bins + size * half

    def by_bin(weights: Array) -> Array:
        return np.bincount(place, weights, 2 * size).reshape(2, size)

    counts = by_bin(np.ones(len(bins)))  # [2, K]
    scores = []
    for target in targets:
        sums = by_bin(target)
        means = np.divide(sums, counts, out=np.full(sums.shape, target.mean()), where=counts > 0)[::-1]  # other half's
        if target.dtype == bool:
            scores.append(min(_auc(m, p, n - p) for m, p, n in zip(means, sums, counts, strict=True)))
        else:
            errors = by_bin(target**2) - 2 * means * sums + counts * means**2
            scores.append(1 - errors.sum() / (len(target) * target.var()))
        if scores[-1] < DECISIVE:
            break
    else:
        kind = "AUC" if targets[0].dtype == bool else "R2 of the ranks"
        return f"{kind} {min(scores):.3f} for {name!r}"
    if len(targets) == 1 and targets[0].dtype == bool and targets[0].mean() <= 0.5:
        return _later_stage(counts, sums, means, few, name)
    return None


def _auc(score: Array, positive: Array, negative: Array) -> float:
    """Area under the ROC curve of bins [K] with a score in [0, 1] and so many positive and negative rows."""
    group = np.rint(score * 1000).astype(np.int64)  # equal to three digits: tied
    p, n = np.bincount(group, positive), np.bincount(group, negative)
    pairs = p.sum() * n.sum()
    return float((p * (np.cumsum(n) - n / 2)).sum() / pairs) if pairs else 0.0


def _later_stage(counts: Array, positive: Array, means: Array, few: bool, name: str) -> str | None:
    """Tell of rows that are nearly all positive: those with any but the most frequent value, or with one of few.

    A strong feature has such values, too, but others come close to them, or tell nearly as much of the other rows.
    """

    def sure(n: Array, p: Array) -> Mask:  # [2, K] -> [K]
        return np.asarray((n.sum(axis=0) >= LEAST) & (p >= DECISIVE * n).all(axis=0) & n.all(axis=0))

    most = counts.sum(axis=0).argmax()
    n, p = (np.delete(part, most, axis=1).sum(axis=1, keepdims=True) for part in (counts, positive))
    if sure(n, p).any():
        return f"{p.sum():,.0f} of {n.sum():,.0f} rows with any but the most frequent value have {name!r}"
    one = sure(counts, positive)
    if not few or not one.any():
        return None
    rest, hits = np.where(one, 0, counts), np.where(one, 0, positive)
    close = (rest.sum(axis=0) >= LEAST) & (hits.sum(axis=0) > CLOSE * rest.sum(axis=0))
    scores = [_auc(m, p, n - p) for m, p, n in zip(means, hits, rest, strict=True)]
    if close.any() or max(scores) > CLOSE:
        return None
    best = np.where(one, counts.sum(axis=0), 0).argmax()
    return f"{positive[:, best].sum():,.0f} of {counts[:, best].sum():,.0f} rows with one value have {name!r}"
