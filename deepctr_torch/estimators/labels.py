"""What labels are: classes by any name, or numbers; and the numbers that a model learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..data.interop import is_missing, to_numpy
from ..encoding.statistics import Moments

__all__ = ["ClassTargets", "NumberTargets", "Targets", "Where", "missing_in"]

Array = npt.NDArray[Any]
Where: TypeAlias = Callable[[int], str]
Pieces: TypeAlias = Iterable[tuple[str, Array, Where, Array]]  # label, values, where a row is, which are trained on
T = TypeVar("T", bound="Targets")
MOST = 1000  # classes; more are a column of something else


def missing_in(values: Array) -> npt.NDArray[np.bool_]:
    """[N]: which values are None, NaN or pandas' NA."""
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values))
    if values.dtype.kind != "O":
        return np.zeros(len(values), bool)
    return np.fromiter((is_missing(v) for v in values), bool, len(values))


class Targets:
    """Labels of any kind <-> the numbers of a model, one column a task.

    Attributes:
        names: names of the labels.
        kind: "binary", "multiclass" or "regression".
    """

    kind: str

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def encode(self, name: str, values: Any, where: Where) -> npt.NDArray[np.float32]:
        """[N]: the numbers of a label; NaN where it was not observed, which only one of several may be."""
        array = to_numpy(values).reshape(-1)
        missing = missing_in(array)
        if missing.any() and len(self.names) == 1:
            row = _first(missing)
            raise ValueError(
                f"Input y contains NaN: the label {name!r} must not be missing, got {array[row]} in {where(row)}"
            )
        out = np.full(len(array), np.nan, np.float32)
        out[~missing] = self._numbers(name, array[~missing], np.flatnonzero(~missing), where)
        return out

    def _numbers(self, name: str, values: Array, rows: Array, where: Where) -> Array:
        raise NotImplementedError

    def renamed(self: T, names: Sequence[str]) -> T:
        """The same meaning, of labels that are called `names`."""
        other = copy.copy(self)
        other.names = tuple(names)
        return other

    @property
    def start(self) -> list[float] | None:
        """The biases that predict the mean of the training labels; None where they are 0."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """As plain data."""
        raise NotImplementedError

    @classmethod
    def restore(cls, names: Sequence[str], state: Mapping[str, Any]) -> Targets:
        """The inverse of `state`."""
        raise NotImplementedError


def _first(mask: Array) -> int:
    return int(mask.argmax())


class ClassTargets(Targets):
    """Classes, in order; two become 0 and 1.

    Args:
        names: names of the labels.
        classes: classes of each.
        rates: share of each class in the training rows, for each label.
    """

    def __init__(self, names: Sequence[str], classes: Sequence[Array], rates: Sequence[Sequence[float]]) -> None:
        super().__init__(names)
        self.classes, self.rates = list(classes), [list(r) for r in rates]
        self.kind = "binary" if len(self.classes[0]) == 2 else "multiclass"

    @classmethod
    def learn(cls, names: Sequence[str], pieces: Pieces, known: Sequence[Array] | None = None) -> ClassTargets:
        """The classes of all rows, and their shares among those trained on.

        Raises:
            ValueError: fewer than two classes, or more than two of one of several labels.
        """
        counts: dict[str, dict[Any, int]] = {name: {} for name in names}
        for name, values, where, trained in pieces:
            there = ~missing_in(values)
            for value, count in _counted(name, values[there], trained[there]):
                counts[name][value] = counts[name].get(value, 0) + count
            if len(counts[name]) > MOST:
                raise ValueError(
                    f"Unknown label type: the label {name!r} must be of classes, got more than {MOST} different values "
                    f"up to {where(len(values) - 1)}; CTRRegressor learns numbers"
                )
        classes = [_sorted(name, counts[name]) for name in names] if known is None else list(known)
        for name, found in zip(names, classes, strict=True):
            if len(found) < 2 or (len(names) > 1 and len(found) > 2):
                wanted = "two classes" if len(names) > 1 else "at least two classes"
                raise ValueError(f"the label {name!r} must have {wanted}, got {found.tolist()}: one class or too many")
        totals = [max(sum(counts[name].values()), 1) for name in names]
        rates = [[counts[n].get(c, 0) / t for c in k.tolist()] for n, k, t in zip(names, classes, totals, strict=True)]
        return cls(names, classes, rates)

    def _numbers(self, name: str, values: Array, rows: Array, where: Where) -> Array:
        classes = self.classes[self.names.index(name)]
        try:
            place = np.searchsorted(classes, values).clip(max=len(classes) - 1)
            wrong = np.asarray(classes[place] != values)
        except TypeError:
            place, wrong = np.zeros(len(values), np.int64), np.ones(len(values), bool)
        if wrong.any():
            row = _first(wrong)
            got = f"got {values.tolist()[row]!r} in {where(int(rows[row]))}"
            raise ValueError(f"the label {name!r} must be one of {classes.tolist()}, {got}")
        return place

    @property
    def start(self) -> list[float] | None:
        shares = [np.clip(r, 1e-6, 1 - 1e-6) for r in self.rates]
        if self.kind == "multiclass":
            return [math.log(s) for s in shares[0]]
        return [math.log(s[1] / s[0]) for s in shares]

    def state(self) -> dict[str, Any]:
        for name, classes in zip(self.names, self.classes, strict=True):
            if not all(isinstance(c, (str, int, float, bool)) for c in classes.tolist()):
                raise TypeError(
                    f"the classes of {name!r} must be numbers, strings or booleans to be saved, got {classes}"
                )
        kinds = [c.dtype.kind for c in self.classes]
        return {"classes": [c.tolist() for c in self.classes], "types": kinds, "rates": self.rates}

    @classmethod
    def restore(cls, names: Sequence[str], state: Mapping[str, Any]) -> ClassTargets:
        types = {"O": object, "U": str, "b": bool, "i": np.int64, "u": np.uint64, "f": np.float64}
        pairs = zip(state["classes"], state["types"], strict=True)
        return cls(names, [np.array(c, dtype=types[t]) for c, t in pairs], state["rates"])


def _counted(name: str, values: Array, trained: Array) -> Iterator[tuple[Any, int]]:
    try:
        different, place = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"the label {name!r} must be of one type, got {error}") from error
    if different.dtype.kind == "f" and (different != np.trunc(different)).any():
        raise ValueError(
            f"Unknown label type: continuous. The label {name!r} must be of classes, got the number "
            f"{different[different != np.trunc(different)][0]}; CTRRegressor learns numbers"
        )
    counts = np.bincount(place.reshape(-1), weights=trained, minlength=len(different))
    yield from zip(different.tolist(), counts.astype(int).tolist(), strict=True)


def _sorted(name: str, counts: Mapping[Any, int]) -> Array:
    try:
        return np.array(sorted(counts))
    except TypeError as error:
        raise ValueError(f"the label {name!r} must be of one type, got {list(counts)[:5]}") from error


class NumberTargets(Targets):
    """Numbers, which the model learns standardised.

    Args:
        names: names of the labels.
        mean, std: of each, in the training rows.
    """

    kind = "regression"
    start = None

    def __init__(self, names: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(names)
        self.mean, self.std = list(mean), list(std)

    @classmethod
    def learn(cls, names: Sequence[str], pieces: Pieces) -> NumberTargets:
        """Mean and standard deviation, summed exactly, so that they do not depend on the chunks."""
        moments = {name: Moments() for name in names}
        for name, values, where, trained in pieces:
            x = _finite(name, values, where)
            moments[name].update(Moments.summarize(x[trained & ~np.isnan(x)]))
        means = [float(m.mean) if m.count else 0.0 for m in moments.values()]
        spreads = [float(m.std) if m.count else 0.0 for m in moments.values()]
        stds = [std if std > 1e-9 * abs(mean) else 1.0 for mean, std in zip(means, spreads, strict=True)]
        return cls(names, means, stds)

    def _numbers(self, name: str, values: Array, rows: Array, where: Where) -> Array:
        t = self.names.index(name)
        x = _finite(name, values, lambda i: where(int(rows[i])))
        return np.asarray((x - self.mean[t]) / self.std[t])

    def decode(self, predictions: Array) -> Array:
        """[N, T] of the model -> in the units of the labels."""
        return np.asarray(predictions * np.array(self.std) + np.array(self.mean))

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    @classmethod
    def restore(cls, names: Sequence[str], state: Mapping[str, Any]) -> NumberTargets:
        return cls(names, state["mean"], state["std"])


def _finite(name: str, values: Array, where: Where) -> Array:
    """[N] as float64, NaN where missing."""
    try:
        x = np.asarray(np.where(missing_in(values), np.nan, values) if values.dtype.kind == "O" else values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the label {name!r} must be a number: {error}") from error
    if np.isinf(x).any():
        raise ValueError(f"the label {name!r} must be finite, got infinity in {where(_first(np.isinf(x)))}")
    return x
