"""The columns a user declares, and what they resolve to: `FeatureSchema`, the layout of every batch.

A sample travels as a `Batch`: integer ids and float numbers, apart from each other, so that an id never passes through
a float.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ._checks import check_at_least, check_choice, check_type
from .hashing import hash_rows

__all__ = [
    "Batch",
    "DenseFeat",
    "FeatureColumn",
    "FeatureSchema",
    "SparseColumn",
    "SparseFeat",
    "VarLenSparseFeat",
    "build_input_features",
    "get_feature_names",
]

COMBINERS = ("sum", "mean", "max")
EXACT = {"float32": 2**24, "float16": 2**11, "bfloat16": 2**8}  # every integer up to here has a float of its own


def _whole(name: str, value: Any) -> int:
    """`value` as an int of at least 1; whole floats such as 1e6 are fine."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    check_at_least(name, value, 1)
    return int(value)


class _SparseFeat(NamedTuple):
    name: str
    vocabulary_size: int
    embedding_dim: int
    use_hash: bool
    dtype: str
    embedding_name: str
    group_name: str


class SparseFeat(_SparseFeat):
    """One categorical id a sample.

    Args:
        name: feature name.
        vocabulary_size: number of rows of the table; ids lie in [0, vocabulary_size). Whole floats (1e6) are accepted.
        embedding_dim: length of the vectors, or "auto" for `6 * int(vocabulary_size ** 0.25)`.
        use_hash: the input holds strings or any 64-bit integers, hashed on the fly into the table
            (`deepctr_torch.hashing`).
        dtype: kept for compatibility; models do not use it.
        embedding_name: table of this feature; features with the same one share it. The feature's own name unless given.
        group_name: label for `embedding_lookup`; models do not use it.

    >>> SparseFeat("user", 1e3, embedding_dim="auto").embedding_dim
    30
    """

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        vocabulary_size: float,
        embedding_dim: int | str = 4,
        use_hash: bool = False,
        dtype: str = "int32",
        embedding_name: str | None = None,
        group_name: str = "default_group",
    ) -> SparseFeat:
        check_type("name", name, str, "a string")
        rows = _whole(f"vocabulary_size of {name!r}", vocabulary_size)
        if use_hash:
            check_at_least(f"vocabulary_size of {name!r} with use_hash=True", rows, 2)
        if isinstance(embedding_dim, str):
            check_choice(f"embedding_dim of {name!r}", embedding_dim, ["auto"])
            embedding_dim = 6 * int(rows**0.25)
        dim = _whole(f"embedding_dim of {name!r}", embedding_dim)
        table = name if embedding_name is None else embedding_name
        return super().__new__(cls, name, rows, dim, bool(use_hash), dtype, table, group_name)

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> SparseFeat:  # type: ignore[override]
        """`_replace` comes here too: its values are checked as well."""
        return cls(*iterable)


class _VarLenSparseFeat(NamedTuple):
    sparsefeat: SparseFeat
    maxlen: int
    combiner: str
    length_name: str | None
    weight_name: str | None


class VarLenSparseFeat(_VarLenSparseFeat):
    """A sequence of ids a sample, padded to `maxlen`.

    Args:
        sparsefeat: what each element is.
        maxlen: width of the input, the longest sequence.
        combiner: "sum", "mean" or "max": how models without attention pool the vectors.
        length_name: input column with the number of valid elements; without one, id 0 is padding.
        weight_name: input column of `maxlen` non-negative numbers, one weight an element: `sum` gives sum(w * e),
            `mean` gives sum(w * e) / sum(w), `max` the maximum of w * e.

    >>> VarLenSparseFeat(SparseFeat("genres", 20), maxlen=5).name
    'genres'
    """

    __slots__ = ()

    def __new__(
        cls,
        sparsefeat: SparseFeat,
        maxlen: float,
        combiner: str = "mean",
        length_name: str | None = None,
        weight_name: str | None = None,
    ) -> VarLenSparseFeat:
        check_type("sparsefeat", sparsefeat, SparseFeat, "a SparseFeat")
        width = _whole(f"maxlen of {sparsefeat.name!r}", maxlen)
        check_choice(f"combiner of {sparsefeat.name!r}", combiner, COMBINERS)
        return super().__new__(cls, sparsefeat, width, combiner, length_name, weight_name)

    @property
    def name(self) -> str:
        return self.sparsefeat.name

    @property
    def vocabulary_size(self) -> int:
        return self.sparsefeat.vocabulary_size

    @property
    def embedding_dim(self) -> int:
        return self.sparsefeat.embedding_dim

    @property
    def use_hash(self) -> bool:
        return self.sparsefeat.use_hash

    @property
    def dtype(self) -> str:
        return self.sparsefeat.dtype

    @property
    def embedding_name(self) -> str:
        return self.sparsefeat.embedding_name

    @property
    def group_name(self) -> str:
        return self.sparsefeat.group_name

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> VarLenSparseFeat:  # type: ignore[override]
        return cls(*iterable)


class _DenseFeat(NamedTuple):
    name: str
    dimension: int
    dtype: str


class DenseFeat(_DenseFeat):
    """A number, or a vector of `dimension` numbers, a sample.

    >>> DenseFeat("age")
    DenseFeat(name='age', dimension=1, dtype='float32')
    """

    __slots__ = ()

    def __new__(cls, name: str, dimension: float = 1, dtype: str = "float32") -> DenseFeat:
        check_type("name", name, str, "a string")
        return super().__new__(cls, name, _whole(f"dimension of {name!r}", dimension), dtype)

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> DenseFeat:  # type: ignore[override]
        return cls(*iterable)


SparseColumn: TypeAlias = SparseFeat | VarLenSparseFeat
FeatureColumn: TypeAlias = SparseColumn | DenseFeat


class Batch(NamedTuple):
    """One batch of inputs.

    Attributes:
        ids: int [B, I]: the ids, then the sequences (each as wide as `widths` says), then the sequence lengths.
        dense: float32 [B, D]: the numbers, then the element weights of sequences.
        widths: how many elements of each sequence are present.
    """

    ids: Tensor
    dense: Tensor
    widths: tuple[int, ...]


def _input_width(column: FeatureColumn) -> int:
    if isinstance(column, SparseFeat):
        return 1
    return column.dimension if isinstance(column, DenseFeat) else column.maxlen


def build_input_features(feature_columns: Iterable[FeatureColumn]) -> OrderedDict[str, tuple[int, int]]:
    """Name -> (start, stop) in the packed input matrix, in order of first appearance.

    A sequence is followed by its length and weight columns.

    >>> dict(build_input_features([VarLenSparseFeat(SparseFeat("genres", 20), 3, length_name="n"), DenseFeat("age")]))
    {'genres': (0, 3), 'n': (3, 4), 'age': (4, 5)}
    """
    features: OrderedDict[str, tuple[int, int]] = OrderedDict()
    start = 0

    def place(name: str, width: int) -> None:
        nonlocal start
        if name not in features:
            features[name] = (start, start + width)
            start += width

    for column in feature_columns:
        check_type(
            "a feature column",
            column,
            (SparseFeat, VarLenSparseFeat, DenseFeat),
            "SparseFeat, VarLenSparseFeat or DenseFeat",
        )
        place(column.name, _input_width(column))
        if isinstance(column, VarLenSparseFeat):
            if column.length_name is not None:
                place(column.length_name, 1)
            if column.weight_name is not None:
                place(column.weight_name, column.maxlen)
    return features


def get_feature_names(feature_columns: Iterable[FeatureColumn]) -> list[str]:
    """Names of the inputs that `feature_columns` read, length and weight columns included, in packed order."""
    return list(build_input_features(feature_columns))


class FeatureSchema:
    """The inputs of a model, resolved once: what each is, where it lies in a `Batch` and in the packed matrix.

    Args:
        columns: every column the model reads; the linear and the deep list may repeat a column.

    Attributes:
        feature_index: name -> (start, stop) in the packed matrix.
        packed_width: width of the packed matrix.
        ids: the SparseFeat of each single-id input, in batch order.
        sequences: the VarLenSparseFeat of each sequence input, in batch order.
        lengths: names of the length inputs, in batch order.
        dense: (name, width) of each float input, element weights last.

    Raises:
        ValueError: two columns of one name that differ in more than their embedding.
    """

    def __init__(self, columns: Sequence[FeatureColumn]) -> None:
        self.feature_index = build_input_features(columns)
        self.ids: list[SparseFeat] = []
        self.sequences: list[VarLenSparseFeat] = []
        numbers: list[tuple[str, int]] = []
        seen: dict[str, FeatureColumn] = {}
        for column in columns:
            if column.name in seen:
                _same_input(seen[column.name], column)
                continue
            seen[column.name] = column
            if isinstance(column, SparseFeat):
                self.ids.append(column)
            elif isinstance(column, VarLenSparseFeat):
                self.sequences.append(column)
            else:
                numbers.append((column.name, column.dimension))
        self.lengths = list(dict.fromkeys(s.length_name for s in self.sequences if s.length_name is not None))
        weights = dict.fromkeys((s.weight_name, s.maxlen) for s in self.sequences if s.weight_name is not None)
        self.dense = numbers + [w for w in weights if w not in numbers]
        self._check_helpers(seen)
        self.widths = tuple(s.maxlen for s in self.sequences)
        self.id_position = {c.name: i for i, c in enumerate(self.ids)}
        self.sequence_position = {c.name: i for i, c in enumerate(self.sequences)}
        self.dense_slice: dict[str, tuple[int, int]] = {}
        for name, width in self.dense:
            start = self.dense_width
            self.dense_slice[name] = (start, start + width)

    @property
    def sparse(self) -> list[SparseColumn]:
        """All columns of ids, in batch order."""
        return [*self.ids, *self.sequences]

    @property
    def packed_width(self) -> int:
        return max((stop for _, stop in self.feature_index.values()), default=0)

    @property
    def dense_width(self) -> int:
        return max((stop for _, stop in self.dense_slice.values()), default=0)

    @property
    def id_width(self) -> int:
        return len(self.ids) + sum(self.widths) + len(self.lengths)

    @property
    def id_dtype(self) -> torch.dtype:
        """int32 where the rows of all tables together can be counted in it, else int64."""
        rows = sum(c.vocabulary_size for c in self.sparse)
        return torch.int32 if rows < 2**31 else torch.int64

    def sequence_slice(self, name: str, widths: tuple[int, ...]) -> tuple[int, int]:
        """Where the sequence lies in the `ids` of a batch whose sequences have these widths."""
        k = self.sequence_position[name]
        start = len(self.ids) + sum(widths[:k])
        return start, start + widths[k]

    def length_position(self, name: str, widths: tuple[int, ...]) -> int:
        return len(self.ids) + sum(widths) + self.lengths.index(name)

    def _check_helpers(self, seen: dict[str, FeatureColumn]) -> None:
        for column in self.sequences:
            name = column.length_name
            if name is not None and name in seen and _input_width(seen[name]) != 1:
                raise ValueError(
                    f"length_name {name!r} of {column.name!r} must be one number a sample, but is {seen[name]}"
                )
            if name is not None and getattr(seen.get(name), "use_hash", False):
                raise ValueError(f"length_name {name!r} of {column.name!r} must hold numbers, but is {seen[name]}")
            name = column.weight_name
            start, stop = self.feature_index[name] if name is not None else (0, column.maxlen)
            if stop - start != column.maxlen:
                raise ValueError(
                    f"weight_name {name!r} of {column.name!r} must have width {column.maxlen}, got {stop - start}"
                )
            if name in seen and not isinstance(seen[name], DenseFeat):
                raise ValueError(f"weight_name {name!r} of {column.name!r} must hold numbers, but is {seen[name]}")

    def unpack(self, X: Tensor) -> Batch:
        """The packed matrix [B, W], laid out by `feature_index`, as a batch; hashed columns hold raw values.

        (Inside `rows_packed` they hold table rows.)

        Raises:
            ValueError: a matrix of the wrong width; a float32 one where a vocabulary exceeds 2**24 and ids would be
                rounded; an id beyond its vocabulary (looked for on the CPU only).
        """
        if X.dim() != 2 or X.shape[1] != self.packed_width:
            raise ValueError(
                f"the packed input must have shape [B, {self.packed_width}] (see feature_index), got {list(X.shape)}"
            )
        # NOTE[DIFF] W11: the original rounds ids above 2**24 to a neighbour; here it must be float64 or integer.
        for column in self.sparse:
            check_exact(column, str(X.dtype).removeprefix("torch."))
        parts = [packed_ids(X, self.feature_index[c.name], c) for c in self.sparse]
        parts += [X[:, slice(*self.feature_index[n])].long() for n in self.lengths]
        numbers = [X[:, slice(*self.feature_index[n])] for n, _ in self.dense]
        empty = X[:, :0]
        ids = torch.cat(parts, dim=1) if parts else empty.long()
        if checkable(ids) and not _ROWS_PACKED.get():
            self._check_rows(ids)
        return Batch(ids, torch.cat(numbers, dim=1).float() if numbers else empty.float(), self.widths)

    def _check_rows(self, ids: Tensor) -> None:
        """Raise if an id lies beyond its vocabulary, where it would read the row of another table."""
        owner = [c for c in self.sparse for _ in range(_input_width(c))]
        limits = torch.tensor([c.vocabulary_size for c in owner])
        wrong = (ids[:, : len(owner)] < 0) | (ids[:, : len(owner)] >= limits)
        if bool(wrong.any()):
            row, at = (int(i) for i in wrong.nonzero()[0])
            column = owner[at]
            raise ValueError(
                f"ids of {column.name!r} must be in [0, {column.vocabulary_size}) (its vocabulary_size is "
                f"{column.vocabulary_size}), got {int(ids[row, at])} in row {row}"
            )

    def pack(self, batch: Batch) -> Tensor:
        """The inverse of `unpack` inside `rows_packed`: [B, W] in float32, or float64 where that would round ids."""
        rows = batch.ids.shape[0]
        big = any(c.vocabulary_size > EXACT["float32"] for c in self.sparse)
        dtype = torch.float64 if big else torch.float32
        X = torch.zeros(rows, self.packed_width, dtype=dtype, device=batch.ids.device)
        for name, (start, stop) in self.dense_slice.items():
            a, b = self.feature_index[name]
            X[:, a:b] = batch.dense[:, start:stop]
        for name in self.lengths:
            X[:, self.feature_index[name][0]] = batch.ids[:, self.length_position(name, batch.widths)].to(dtype)
        for name, i in self.id_position.items():
            X[:, self.feature_index[name][0]] = batch.ids[:, i].to(dtype)
        for name in self.sequence_position:
            start, stop = self.sequence_slice(name, batch.widths)
            a = self.feature_index[name][0]
            X[:, a : a + stop - start] = batch.ids[:, start:stop].to(dtype)
        return X


_ROWS_PACKED: ContextVar[bool] = ContextVar("_ROWS_PACKED", default=False)


@contextlib.contextmanager
def rows_packed() -> Iterator[None]:
    """Inside, packed matrices come from `FeatureSchema.pack`: hashed columns hold rows, not to be hashed again."""
    token = _ROWS_PACKED.set(True)
    try:
        yield
    finally:
        _ROWS_PACKED.reset(token)


def packed_ids(X: Tensor, where: tuple[int, int], column: SparseColumn) -> Tensor:
    """Table rows, int64 [B, n], of the feature that lies at (start, stop) in a packed matrix."""
    ids = X[:, slice(*where)].long()
    if not column.use_hash or _ROWS_PACKED.get():
        return ids
    rows = hash_rows(ids.cpu().numpy(), column.vocabulary_size, padded=isinstance(column, VarLenSparseFeat))
    return torch.from_numpy(rows).to(ids.device)


def checkable(ids: Tensor) -> bool:
    """Whether looking at the values costs next to nothing: on the CPU, and not while a graph is being recorded."""
    recording = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return ids.device.type == "cpu" and not recording


def check_exact(column: SparseColumn, dtype: str) -> None:
    """Raise if floats of type `dtype` round ids of the column: decided by its vocabulary, not by the data."""
    limit = EXACT.get(dtype)
    hashed = column.use_hash and not _ROWS_PACKED.get()
    if limit is not None and (column.vocabulary_size > limit or hashed):
        what = "hashes any 64-bit integer" if hashed else f"has a vocabulary of {column.vocabulary_size}"
        raise ValueError(f"{dtype} rounds ids above {limit}, and {column.name!r} {what}: pass int64 or float64")


_EMBEDDING_FIELDS = ("embedding_dim", "embedding_name", "group_name", "dtype", "combiner")


def _same_input(first: FeatureColumn, second: FeatureColumn) -> None:
    """Raise unless two columns of one name read the same input (their embeddings may differ)."""
    if type(first) is type(second):
        fields = [f for f in first._fields if f not in (*_EMBEDDING_FIELDS, "sparsefeat")]
        fields += ["vocabulary_size", "use_hash"] if isinstance(first, VarLenSparseFeat) else []
        if all(getattr(first, f) == getattr(second, f) for f in fields):
            return
    raise ValueError(f"two different columns are named {first.name!r}: {first} and {second}")
