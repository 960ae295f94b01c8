"""The columns a user declares: `SparseFeat`, `VarLenSparseFeat`, `DenseFeat`, and the packed layout they ask for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from .._checks import check_at_least, check_choice, check_type

__all__ = [
    "DenseFeat",
    "FeatureColumn",
    "SparseColumn",
    "SparseFeat",
    "VarLenSparseFeat",
    "build_input_features",
    "get_feature_names",
    "input_width",
]

COMBINERS = ("sum", "mean", "max")
DEFAULT_GROUP_NAME = "default_group"


def _whole(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1; whole floats such as 1e6 are fine."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    check_at_least(name, value, 1)
    return int(value)


def _dtype_name(dtype: Any) -> str:
    """Return the name of a dtype, given by name or as numpy or torch write it."""
    return str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")


class _SparseFeat(NamedTuple):
    name: str
    vocabulary_size: int
    embedding_dim: int
    use_hash: bool
    dtype: str
    embedding_name: str
    group_name: str
    mask_zero: bool


class SparseFeat(_SparseFeat):
    """One categorical id a sample.

    Args:
        name: feature name.
        vocabulary_size: number of rows of the table; ids lie in [0, vocabulary_size). Whole floats (1e6) are accepted.
        embedding_dim: length of the vectors, or "auto" for `6 * int(vocabulary_size ** 0.25)`; 0 for a column that
            only linear sides read.
        use_hash: the input holds strings or any 64-bit integers, hashed on the fly into the table
            (`deepctr_torch.hashing`).
        dtype: kept for compatibility; models do not use it.
        embedding_name: table of this feature; features with the same one share it. The feature's own name unless given.
        group_name: label for `embedding_lookup`; models do not use it.
        mask_zero: id 0 means "missing" and has no effect: its vector and its linear weight count as zeros and are not
            trained.

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
        dtype: Any = "int32",
        embedding_name: str | None = None,
        group_name: str = DEFAULT_GROUP_NAME,
        mask_zero: bool = False,
    ) -> SparseFeat:
        check_type("name", name, str, "a string")
        rows = _whole(f"vocabulary_size of {name!r}", vocabulary_size)
        if use_hash:
            check_at_least(f"vocabulary_size of {name!r} with use_hash=True", rows, 2)
        if isinstance(embedding_dim, str):
            check_choice(f"embedding_dim of {name!r}", embedding_dim, ["auto"])
            embedding_dim = 6 * int(rows**0.25)
        dim = 0 if embedding_dim == 0 else _whole(f"embedding_dim of {name!r}", embedding_dim)
        table = name if embedding_name is None else embedding_name
        named = _dtype_name(dtype)
        return super().__new__(cls, name, rows, dim, bool(use_hash), named, table, group_name, bool(mask_zero))

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
    step_width: int
    step_combiner: str


class VarLenSparseFeat(_VarLenSparseFeat):
    """A sequence of ids a sample, padded to `maxlen`.

    Args:
        sparsefeat: what each element is.
        maxlen: steps of the longest sequence; the input has the width `maxlen * step_width`.
        combiner: "sum", "mean" or "max": how models without attention pool the vectors.
        length_name: input column with the number of valid elements; without one, id 0 is padding.
        weight_name: input column of `maxlen` non-negative numbers, one weight an element: `sum` gives sum(w * e),
            `mean` gives sum(w * e) / sum(w), `max` the maximum of w * e.
        step_width: ids of one step, padded with 0, such as the tags of an item in a history of items. With more than
            one, a step is the pooled vector of its ids; without a `length_name`, one without ids is padding.
        step_combiner: "sum", "mean" or "max": how they are pooled.

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
        step_width: float = 1,
        step_combiner: str = "mean",
    ) -> VarLenSparseFeat:
        check_type("sparsefeat", sparsefeat, SparseFeat, "a SparseFeat")
        steps = _whole(f"maxlen of {sparsefeat.name!r}", maxlen)
        width = _whole(f"step_width of {sparsefeat.name!r}", step_width)
        check_choice(f"combiner of {sparsefeat.name!r}", combiner, COMBINERS)
        check_choice(f"step_combiner of {sparsefeat.name!r}", step_combiner, COMBINERS)
        if sparsefeat.mask_zero:
            raise ValueError(
                f"mask_zero belongs to columns of one id, got the sequence {sparsefeat.name!r}: without a length_name "
                "its id 0 is padding"
            )
        return super().__new__(cls, sparsefeat, steps, combiner, length_name, weight_name, width, step_combiner)

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

    @property
    def mask_zero(self) -> bool:
        return self.sparsefeat.mask_zero

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> VarLenSparseFeat:  # type: ignore[override]
        return cls(*iterable)


class _DenseFeat(NamedTuple):
    name: Any  # a string, or the number of a column of a matrix
    dimension: int
    dtype: str


class DenseFeat(_DenseFeat):
    """A number, or a vector of `dimension` numbers, a sample.

    >>> DenseFeat("age")
    DenseFeat(name='age', dimension=1, dtype='float32')
    """

    __slots__ = ()

    def __new__(cls, name: str | int, dimension: float = 1, dtype: Any = "float32") -> DenseFeat:
        check_type("name", name, (str, int), "a string or an integer")
        return super().__new__(cls, name, _whole(f"dimension of {name!r}", dimension), _dtype_name(dtype))

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> DenseFeat:  # type: ignore[override]
        return cls(*iterable)


SparseColumn: TypeAlias = SparseFeat | VarLenSparseFeat
FeatureColumn: TypeAlias = SparseColumn | DenseFeat


def input_width(column: FeatureColumn) -> int:
    """Return the width of the input of a column."""
    if isinstance(column, SparseFeat):
        return 1
    return column.dimension if isinstance(column, DenseFeat) else column.maxlen * column.step_width


def build_input_features(feature_columns: Iterable[FeatureColumn]) -> OrderedDict[str, tuple[int, int]]:
    """Return name -> (start, stop) in the packed input matrix, in order of first appearance.

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
        place(column.name, input_width(column))
        if isinstance(column, VarLenSparseFeat):
            if column.length_name is not None:
                place(column.length_name, 1)
            if column.weight_name is not None:
                place(column.weight_name, column.maxlen)
    return features


def get_feature_names(feature_columns: Iterable[FeatureColumn]) -> list[str]:
    """Return the names of the inputs that `feature_columns` read, length and weight columns too, in packed order."""
    return list(build_input_features(feature_columns))
