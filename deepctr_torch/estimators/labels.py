"""Labels of users, classes by any name or numbers, as the numbers that a model learns."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from .._typing import Array, Mask
from ..data.interop import to_numpy
from ..encoding.statistics import Moments
from ..tables import is_missing

__all__ = [
    "ClassLabelEncoder",
    "ClassLearner",
    "LabelEncoder",
    "LabelLearner",
    "NumberLabelEncoder",
    "NumberLearner",
    "RowName",
    "check_funnel",
    "log_rare_classes",
    "missing_in",
]

RowName: TypeAlias = Callable[[int], str]  # number of a row -> where it is, for messages
T = TypeVar("T", bound="LabelEncoder")
log = logging.getLogger("deepctr_torch")
MOST_CLASSES = 1000  # more are a column of something else
RARE_CLASSES = 0.001  # of the rows; fewer of all classes but two may be slips
FUNNEL_SLIPS = 0.01  # of the positives of a step; more without the step before are no slips
LARGEST = float(np.finfo(np.float32).max)


def missing_in(values: Array) -> Mask:
    """[N]: which values are None, NaN or pandas' NA."""
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values))
    if values.dtype.kind != "O":
        return np.zeros(len(values), bool)
    return np.fromiter((is_missing(v) for v in values), bool, len(values))


class LabelEncoder:
    """Labels of one kind <-> the numbers of a model, one column a task."""

    kind: str  # "binary", "multiclass" or "regression"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def encode(self, name: str, values: Any, where: RowName) -> npt.NDArray[np.float32]:
        """Return the numbers of a label, [N]; NaN where it was not observed, which only one of several may be."""
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

    def encode_all(self, columns: Sequence[Array], where: RowName) -> npt.NDArray[np.float32]:
        """Return the numbers of all labels, [N, T], from a column of each."""
        named = zip(self.names, columns, strict=True)
        return np.stack([self.encode(name, values, where) for name, values in named], axis=1)

    def decode(self, values: Array) -> Array:
        """Return a model's predictions or labels, [N, T], in the units of the labels."""
        return values

    def _numbers(self, name: str, values: Array, rows: Array, where: RowName) -> Array:
        raise NotImplementedError

    def renamed(self: T, names: Sequence[str]) -> T:
        """Return the same for labels that are called `names`."""
        other = copy.copy(self)
        other.names = tuple(names)
        return other

    @property
    def initial_bias(self) -> list[float] | None:
        """The biases that predict the mean of the training labels; None where they are 0."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs, as plain data."""
        raise NotImplementedError

    @classmethod
    def restore(cls, names: Sequence[str], state: Mapping[str, Any]) -> LabelEncoder:
        """Return the encoder of a `state`."""
        raise NotImplementedError

    @classmethod
    def learner(cls, names: Sequence[str], previous: LabelEncoder | None = None) -> LabelLearner:
        """Return what learns such an encoder; one that goes on from `previous` keeps its classes or its scale."""
        raise NotImplementedError


class LabelLearner(Protocol):
    """Labels, held as they are read: what they mean is computed once it is known which rows are trained on."""

    def update(self, name: str, values: Array, where: RowName) -> None:
        """Add the next rows of a label; a ValueError names what is none."""

    def compute(self, train: Mask | None) -> LabelEncoder:
        """Return the encoder, from the rows [N] that `train` marks, which are trained on (None: all)."""


def _first(mask: Array) -> int:
    return int(mask.argmax())


class ClassLabelEncoder(LabelEncoder):
    """Classes of each label, in order, and the share of each in the training rows; two become 0 and 1."""

    def __init__(self, names: Sequence[str], classes: Sequence[Array], rates: Sequence[Sequence[float]]) -> None:
        super().__init__(names)
        for name, found in zip(names, classes, strict=True):
            if len(found) < 2 or (len(names) > 1 and len(found) > 2):
                wanted = "two classes" if len(names) > 1 else "at least two classes"
                raise ValueError(f"the label {name!r} must have {wanted}, got {found.tolist()}: one class or too many")
        self.classes, self.rates = list(classes), [list(r) for r in rates]
        self.kind = "binary" if len(self.classes[0]) == 2 else "multiclass"

    def _numbers(self, name: str, values: Array, rows: Array, where: RowName) -> Array:
        classes = self.classes[self.names.index(name)]
        try:
            index = np.searchsorted(classes, values).clip(max=len(classes) - 1)
            wrong = np.asarray(classes[index] != values)
        except TypeError:  # of another type than the classes
            index, wrong = np.zeros(len(values), np.int64), np.ones(len(values), bool)
        if wrong.any():
            row = _first(wrong)
            got = f"got {values.tolist()[row]!r} in {where(int(rows[row]))}"
            raise ValueError(f"the label {name!r} must be one of {classes.tolist()}, {got}")
        return index

    @property
    def initial_bias(self) -> list[float] | None:
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
    def restore(cls, names: Sequence[str], state: Mapping[str, Any]) -> ClassLabelEncoder:
        types = {"O": object, "U": str, "b": bool, "i": np.int64, "u": np.uint64, "f": np.float64}
        pairs = zip(state["classes"], state["types"], strict=True)
        return cls(names, [np.array(c, dtype=types[t]) for c, t in pairs], state["rates"])

    @classmethod
    def learner(cls, names: Sequence[str], previous: LabelEncoder | None = None) -> ClassLearner:
        return ClassLearner(names, previous.classes if isinstance(previous, ClassLabelEncoder) else None)


class ClassLearner:
    """Learns the classes of all rows, or takes those `known`, and their shares among the rows trained on.

    It costs two bytes a row and label.

    >>> learner = ClassLearner(["click"])
    >>> for block in (["no", "yes"], ["no", "no"]):
    ...     learner.update("click", np.array(block), str)
    >>> encoder = learner.compute(np.array([True, True, True, False]))
    >>> encoder.classes[0].tolist(), [round(rate, 2) for rate in encoder.rates[0]]
    (['no', 'yes'], [0.67, 0.33])
    """

    def __init__(self, names: Sequence[str], known: Sequence[Array] | None = None) -> None:
        self.names, self.known = list(names), known
        self._codes: dict[str, dict[Any, int]] = {name: {} for name in names}  # value -> the place where it first came
        self._places: dict[str, list[str]] = {name: [] for name in names}  # where each value first came
        self._rows: dict[str, list[npt.NDArray[np.int16]]] = {name: [] for name in names}  # -1: not observed

    def update(self, name: str, values: Array, where: RowName) -> None:
        missing = missing_in(values)
        different, place = _unique(name, values[~missing], lambda i: where(int(np.flatnonzero(~missing)[i])))
        codes = self._codes[name]
        for k, value in enumerate(different):
            if value not in codes:
                codes[value] = len(codes)
                self._places[name].append(where(int(np.flatnonzero(~missing)[_first(place == k)])))
        if len(codes) > MOST_CLASSES:
            raise ValueError(
                f"Unknown label type: the label {name!r} must be of classes, got more than {MOST_CLASSES} different "
                f"values up to {where(len(values) - 1)}; CTRRegressor learns numbers"
            )
        rows = np.full(len(values), -1, np.int16)
        rows[~missing] = np.array([codes[value] for value in different], np.int16)[place]
        self._rows[name].append(rows)

    def compute(self, train: Mask | None) -> ClassLabelEncoder:
        known = [_sorted(name, self._codes[name]) for name in self.names] if self.known is None else list(self.known)
        rates = []
        for name, classes in zip(self.names, known, strict=True):
            rows = self._of(name)
            counts = np.bincount(rows[rows >= 0] if train is None else rows[train & (rows >= 0)], minlength=1)
            count_of = dict(zip(self._codes[name], counts.tolist(), strict=False))
            total = max(int(counts.sum()), 1)
            rates.append([count_of.get(value, 0) / total for value in classes.tolist()])
        return ClassLabelEncoder(self.names, known, rates)

    def binary(self, encoder: ClassLabelEncoder) -> tuple[Mask, Mask]:
        """Return where each label was observed, and where it is of the second class: [N, T] each."""
        codes = np.stack([self._of(name) for name in self.names], axis=1)
        second = [self._codes[n].get(c.tolist()[1], -2) for n, c in zip(self.names, encoder.classes, strict=True)]
        return codes >= 0, codes == np.array(second)

    def counts(self, name: str) -> list[tuple[Any, int, str]]:
        """Return the values of a label, the most frequent first: value, rows, and where it first came."""
        rows = self._of(name)
        numbers = np.bincount(rows[rows >= 0], minlength=len(self._codes[name])).tolist()
        found = list(zip(self._codes[name], numbers, self._places[name], strict=True))
        return sorted(found, key=lambda value: -value[1])

    def _of(self, name: str) -> npt.NDArray[np.int16]:
        return np.concatenate(self._rows[name]) if self._rows[name] else np.empty(0, np.int16)


def log_rare_classes(learner: ClassLearner, name: str) -> None:
    """Say the task where all classes but two are so rare that they may be slips."""
    found = learner.counts(name)
    rows, rare = sum(count for _, count, _ in found), sum(count for _, count, _ in found[2:])
    if 0 < rare <= max(rows * RARE_CLASSES, 1):
        value, _, where = found[2]
        log.warning(
            "the label %r has %d classes, so the task is multiclass; but %r in %s and the like come in %s of %s rows: "
            "leave them out if they are slips", name, len(found), value, where, f"{rare:,}", f"{rows:,}",
        )  # fmt: skip


def check_funnel(model: str, learner: ClassLearner, labels: ClassLabelEncoder) -> None:
    """Check that labels follow each other: the rows of a step are among those of the step before.

    Rows where either is missing do not count. A few others are logged; more of them are an error that gives counts and,
    if there is one, the order that fits.
    """
    observed, positive = learner.binary(labels)
    names, order = list(labels.names), np.argsort(-positive.sum(axis=0), kind="stable")
    slips = _funnel_slips(observed, positive)
    for before, after, (count, of) in zip(names, names[1:], slips, strict=False):
        if not count:
            continue
        found = f"{count:,} of {of:,} rows with {after!r} have no {before!r}"
        if count <= FUNNEL_SLIPS * of:
            log.warning("%s; %s learns as if they were none", found, model)
            continue
        others = _funnel_slips(observed[:, order], positive[:, order])
        fits = all(count <= FUNNEL_SLIPS * of for count, of in others)
        hint = f"give them as {[names[i] for i in order]}" if fits else "MMOE and PLE take labels that are no steps"
        raise ValueError(f"{model} needs labels in the order of their steps, got {names}: {found}; {hint}")


def _funnel_slips(observed: Mask, positive: Mask) -> list[tuple[int, int]]:
    """Of each step but the first: its rows without the step before, and all its rows where both were observed."""
    both = observed[:, 1:] & observed[:, :-1] & positive[:, 1:]
    return list(zip((both & ~positive[:, :-1]).sum(axis=0).tolist(), both.sum(axis=0).tolist(), strict=True))


def _unique(name: str, values: Array, where: RowName) -> tuple[list[Any], Array]:
    """The different values, and [N] the place of each row's among them."""
    try:
        different, place = np.unique(values, return_inverse=True)
    except TypeError as error:
        kinds = [isinstance(value, str) for value in values]
        rare = kinds.count(True) * 2 < len(kinds)  # text among others, or others among text
        row = kinds.index(rare) if rare in kinds else 0
        raise ValueError(
            f"the label {name!r} must be of one type, got {values[row]!r} in {where(row)}: {error}"
        ) from error
    if different.dtype.kind == "f" and np.isinf(different).any():
        raise ValueError(f"the label {name!r} must be of classes, got infinity")
    if different.dtype.kind == "f" and (different != np.trunc(different)).any():
        raise ValueError(
            f"Unknown label type: continuous. The label {name!r} must be of classes, got the number "
            f"{different[different != np.trunc(different)][0]}; CTRRegressor learns numbers"
        )
    return different.tolist(), place.reshape(-1)


def _sorted(name: str, values: Mapping[Any, int]) -> Array:
    try:
        return np.array(sorted(values))
    except TypeError as error:
        raise ValueError(f"the label {name!r} must be of one type, got {list(values)[:5]}") from error


class NumberLabelEncoder(LabelEncoder):
    """Numbers, which the model learns standardised by the mean and deviation of the training rows.

    Those of a loss with a log link are divided by their mean instead, so that they stay above 0.
    """

    kind = "regression"
    initial_bias = None

    def __init__(self, names: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(names)
        self.mean, self.std = list(mean), list(std)

    def _numbers(self, name: str, values: Array, rows: Array, where: RowName) -> Array:
        t = self.names.index(name)
        x = _finite(name, values, lambda i: where(int(rows[i])))
        return np.asarray((x - self.mean[t]) / self.std[t])

    def decode(self, values: Array) -> Array:
        return np.asarray(values * np.array(self.std) + np.array(self.mean))

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    @classmethod
    def restore(cls, names: Sequence[str], state: Mapping[str, Any]) -> NumberLabelEncoder:
        return cls(names, state["mean"], state["std"])

    @classmethod
    def learner(cls, names: Sequence[str], previous: LabelEncoder | None = None) -> NumberLearner:
        return NumberLearner(names, previous if isinstance(previous, NumberLabelEncoder) else None)


class NumberLearner:
    """Learns mean and standard deviation of the rows trained on, or keeps those `known`.

    It costs eight bytes a row and label.

    >>> learner = NumberLearner(["stars"])
    >>> learner.update("stars", np.array([1, 5, 100]), str)
    >>> encoder = learner.compute(np.array([True, True, False]))
    >>> encoder.mean, encoder.std
    ([3.0], [2.0])
    """

    def __init__(
        self, names: Sequence[str], known: NumberLabelEncoder | None = None, counts: Collection[str] = ()
    ) -> None:
        self.names, self.known = list(names), known
        self.counts = counts  # names of labels that are never below 0
        self._rows: dict[str, list[Array]] = {name: [] for name in names}

    def update(self, name: str, values: Array, where: RowName) -> None:
        x = _finite(name, values, where)
        if name in self.counts and (x < 0).any():
            row = _first(x < 0)
            raise ValueError(f"the label {name!r} must be >= 0 for its loss, got {x[row]:g} in {where(row)}")
        if self.known is None:
            self._rows[name].append(x)

    def compute(self, train: Mask | None) -> NumberLabelEncoder:
        if self.known is not None:
            return self.known
        means, stds = [], []
        for name in self.names:
            x = np.concatenate(self._rows[name])
            moments = Moments()
            moments.update(Moments.summarize(x[~np.isnan(x) if train is None else train & ~np.isnan(x)]))
            mean, std = (float(moments.mean), float(moments.std)) if moments.count else (0.0, 0.0)
            if name in self.counts:
                mean, std = 0.0, mean or 1.0
            means.append(mean)
            stds.append(std if std > 1e-9 * abs(mean) else 1.0)
        return NumberLabelEncoder(self.names, means, stds)


def _finite(name: str, values: Array, where: RowName) -> Array:
    """[N] as float64, NaN where missing."""
    if values.dtype.kind == "c":
        raise ValueError(f"the label {name!r} must be a number, got complex ones")
    try:
        x = np.asarray(np.where(missing_in(values), np.nan, values) if values.dtype.kind == "O" else values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the label {name!r} must be a number: {error}") from error
    wrong = np.abs(x) > LARGEST
    if wrong.any():
        found = "infinity" if np.isinf(x[_first(wrong)]) else repr(x[_first(wrong)].item())
        raise ValueError(
            f"the label {name!r} must be finite, at most {LARGEST:.1e} in size, got {found} in {where(_first(wrong))}"
        )
    return x
