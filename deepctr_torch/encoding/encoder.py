"""`FeatureEncoder`: raw tables -> ids and numbers, the same in training and in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from .._checks import check_type
from ..features import FeatureColumn
from ..registry import suggest
from ..tables import Chunk, RowSubset, is_files, read_chunks, row_count
from . import serialization as saving
from .categorical import CategoricalEncoder, SharedVocabulary
from .column_encoder import ColumnEncoder, Dimension
from .numeric import NumericEncoder, VectorEncoder
from .parallel import Memo, Reader, checked, encode_columns, encode_one, encode_table, finish, learn, learn_columns
from .ragged import RaggedEncoder
from .report import Report, describe
from .specs import KINDS, Categorical, Cross, Dense, FeatureSpec, MultiValue, Numeric, Sequence, Timestamp
from .timestamp import TimestampEncoder
from .vocabulary import Vocabulary, by_value

__all__ = ["FeatureEncoder", "build"]


Array = npt.NDArray[Any]
_ROWS = 65_536  # of a chunk of files
_COLUMN = 1 << 22  # of a column in memory


class FeatureEncoder:
    """Learns from raw tables how to turn their rows into the inputs of a model, and does it.

    Args:
        features: feature -> kind, in the order in which models get them.

    Row 0 of every table is of padding and of what is missing, row 1 of values that are unseen or rare, values follow
    from row 2 on: the most frequent first, equally frequent ones in order. What is learned depends on the rows alone,
    not on their order, on chunks, files or threads.

    >>> from deepctr_torch.encoding import Categorical, Numeric
    >>> encoder = FeatureEncoder({"city": Categorical(), "price": Numeric("minmax")})
    >>> encoder = encoder.fit({"city": ["Rome", "Oslo", "Rome", None], "price": [1.0, 3.0, 2.0, None]})
    >>> encoded = encoder.transform({"city": ["Oslo", "Bern", None], "price": [2.0, 9.0, None]})
    >>> encoded["city"].tolist(), encoded["price"].tolist(), encoded["price_missing"].tolist()
    ([3, 1, 0], [0.5, 1.0, 0.5], [0.0, 0.0, 1.0])
    >>> encoder.feature_columns(embedding_dim=8)[0].vocabulary_size
    4

    Raises:
        ValueError: features that contradict each other.
        TypeError: a kind that is none.
    """

    def __init__(self, features: Mapping[str, FeatureSpec]) -> None:
        self.features = dict(features)
        self.reasons: dict[str, str] = {}
        self._skipped: dict[str, str] = {}
        self.rows = 0  # learned from
        self._tables, self._parts = build(self.features)

    @property
    def inputs(self) -> list[str]:
        """The raw columns that fitting needs, each once."""
        return list(dict.fromkeys(column for part in self._parts.values() for column in part.raw))

    @property
    def serving_inputs(self) -> list[str]:
        """The raw columns that `transform` needs outside training: those of `train_only` features left out."""
        known = (part for part in self._parts.values() if not part.kind.train_only)
        return list(dict.fromkeys(column for part in known for column in part.raw))

    @property
    def outputs(self) -> list[str]:
        """The names that `transform` gives."""
        return [output for part in self._parts.values() for output in part.outputs]

    @property
    def fitted(self) -> bool:
        return self.rows > 0

    def schema(self) -> dict[str, str]:
        """Column -> type in which text files are read: numbers as floats, everything else as strings."""
        numeric = {c for part in self._parts.values() if isinstance(part, NumericEncoder) for c in part.raw}
        others = {c for part in self._parts.values() if not isinstance(part, NumericEncoder) for c in part.raw}
        return {column: "float64" if column in numeric - others else "string" for column in self.inputs}

    def read(
        self, data: Any, training: bool = True, rows: int = _ROWS, *, part: RowSubset | None = None, **options: Any
    ) -> Iterator[Chunk]:
        """The chunks of `data` with the columns needed, typed for this encoder; options as `read_chunks` has.

        Args:
            part: the rows to read, if not all.
        """
        schema = {**self.schema(), **options.pop("schema", {})}
        columns = options.pop("columns", self.inputs if training else self.serving_inputs)
        chunks = read_chunks(data, columns, rows, schema=schema, keep_nan=True, **options)
        return chunks if part is None else map(part.take, chunks)

    def _reader(self, data: Any, options: Mapping[str, Any]) -> Reader:
        return lambda columns: self.read(data, columns=list(columns), rows=_COLUMN, **options)

    def fit(self, data: Any, *, threads: int | None = None, **options: Any) -> FeatureEncoder:
        """Learn vocabularies and statistics in one pass; memory grows with the distinct values, not the rows.

        Args:
            data: what `read_chunks` takes: a frame, a dict, a file, a folder, a glob.
            threads: chunks of files, or columns in memory, at a time; None for the processors there are, at most 8.
            options: `header`, `null` of `read_chunks`; `part` of `read`.

        Raises:
            ValueError: no rows, a missing column, or a value that does not fit; names column, row and file.
        """
        return self._restart()._learn(data, threads, options)

    def fit_transform(
        self, data: Any, *, training: bool = False, seed: int = 0, threads: int | None = None, **options: Any
    ) -> dict[str, Array]:
        """`fit`, then `transform` of the same data, with less work for tables in memory."""
        if is_files(data):
            fitted = self.fit(data, threads=threads, **options)
            return fitted.transform(data, training=training, seed=seed, threads=threads, **options)
        memos: dict[str, list[Memo]] = {}
        self._restart()._learn(data, threads, options, memos)
        return encode_columns(self._parts, self._reader(data, options), self.rows, training, seed, threads, memos)

    def _restart(self) -> FeatureEncoder:
        self.rows = 0
        self._tables, self._parts = build(self.features)
        return self

    def update(self, data: Any, *, threads: int | None = None, **options: Any) -> FeatureEncoder:
        """Learn values that are new, and leave everything else as it is: no value changes its row.

        A value gets a row once it came `min_count` times in all data ever learned from, as long as `max_vocabulary`
        leaves room. Scales, buckets and widths stay.
        """
        self._check_fitted()
        fresh = self._copy()
        fresh._learn(data, threads, options)
        self._tables, self._parts, self.rows = fresh._tables, fresh._parts, fresh.rows
        return self

    def _copy(self) -> FeatureEncoder:
        """An encoder that has learned the same and can learn more without changing this one."""
        copy = FeatureEncoder(self.features)
        copy.rows, copy.reasons, copy._skipped = self.rows, dict(self.reasons), dict(self._skipped)
        for name, table in self._tables.items():
            copy._tables[name].lookup, copy._tables[name].first_rows = table.learned.copy(), table.first_rows
        for name, part in self._parts.items():
            copy._parts[name].restore(part.state())
        return copy

    def _learn(
        self,
        data: Any,
        threads: int | None,
        options: Mapping[str, Any],
        memos: dict[str, list[Memo]] | None = None,
    ) -> FeatureEncoder:
        chunks = self.read(data, **options)  # which checks the columns
        if is_files(data):
            rows = learn(self._parts, chunks, threads)
        else:
            rows = _count(data, self.inputs, options)
            learn_columns(self._parts, self._reader(data, options), threads, memos)
        if not rows:
            raise ValueError("data to learn from must have at least one row, got none")
        finish(self._parts, self._tables, threads)
        self.rows += rows
        return self

    def transform(
        self, data: Any, *, training: bool = False, seed: int = 0, threads: int | None = None, **options: Any
    ) -> dict[str, Array]:
        """Inputs of a model: name -> ids (int32) or numbers (float32), [N], [N, maxlen] or [N, dimension].

        Args:
            data: what `read_chunks` takes.
            training: encode `train_only` features, and drop ids out.
            seed: of the dropout, which depends on it and on the number of the row.
            threads: as in `fit`.
            options: `header`, `null` of `read_chunks`.
        """
        self._check_fitted()
        chunks = self.read(data, training, **options)  # which checks the columns
        if is_files(data):
            return encode_table(self._parts, chunks, training, seed, threads)
        rows = _count(data, self.inputs if training else self.serving_inputs, options)
        return encode_columns(self._parts, self._reader(data, options), rows, training, seed, threads)

    def encode_chunk(self, chunk: Any, *, training: bool = False, seed: int = 0) -> dict[str, Array]:
        """`transform` of one chunk of `read`, or of a pyarrow table."""
        self._check_fitted()
        where = checked(chunk, self.inputs if training else self.serving_inputs)
        return encode_one(self._parts, where, training, seed)

    def feature_columns(self, embedding_dim: Dimension = 4) -> list[FeatureColumn]:
        """The columns of any model, in the order of the features.

        Args:
            embedding_dim: length of the vectors; "auto" for `4 * ceil(rows ** 0.25 / 2)` of each table (many models
                want one length for all); or a function of the rows. A kind's own `embedding_dim` goes before it.
        """
        self._check_fitted()
        if isinstance(embedding_dim, str) and embedding_dim != "auto":
            raise ValueError(
                f'embedding_dim must be an integer, "auto" or a function of the rows, got {embedding_dim!r}'
            )
        return [column for part in self._parts.values() for column in part.columns(embedding_dim)]

    def vocabulary(self, feature: str) -> Vocabulary:
        """The values of a feature, with their rows.

        Raises:
            ValueError: the feature has no vocabulary.
        """
        self._check_fitted()
        part = self._parts.get(feature)
        lookup = part.table.learned if isinstance(part, CategoricalEncoder) else None
        if not isinstance(lookup, Vocabulary):
            known = [
                n
                for n, p in self._parts.items()
                if isinstance(p, CategoricalEncoder) and p.table.kind.hash_buckets is None
            ]
            raise ValueError(f"{feature!r} has no vocabulary: {suggest(feature, known)}")
        return lookup

    def pretrained(self, feature: str, vectors: Mapping[Any, Any]) -> npt.NDArray[np.float32]:
        """The table of a feature, float32 [rows, E], from vectors by value, for `model.set_embedding`.

        Values without a vector, and row 1, get the mean of the vectors of all values that have one; row 0 is zero.
        """
        return by_value(self.vocabulary(feature), feature, vectors)

    def describe(self) -> Report:
        """What was learned, one dict for each feature: cardinality, missing, coverage; printed as a table."""
        self._check_fitted()
        return describe(self._parts)

    def explain(self) -> Report:
        """Why each feature is of its kind, one dict for each column; printed as a table."""
        rows = [
            {"feature": name, "kind": type(kind).__name__, "why": self.reasons.get(name, "as given")}
            for name, kind in self.features.items()
        ]
        return Report([*rows, *({"feature": n, "kind": "left out", "why": why} for n, why in self._skipped.items())])

    @classmethod
    def infer(cls, data: Any, label: Any = None, **options: Any) -> FeatureEncoder:
        """An encoder, not yet fitted, with a kind for each column that the beginning of `data` suggests.

        Args:
            data: what `read_chunks` takes.
            label: column, or list of columns, to leave out.
            options: `exclude`, columns to leave out; `rows` to look at (100,000); `schema`, `header`, `null` of
                `read_chunks`.
        """
        from .infer import propose

        kinds, reasons, skipped = propose(data, label, **options)
        encoder = cls(kinds)
        encoder.reasons, encoder._skipped = reasons, skipped
        return encoder

    def save(self, directory: str | PathLike[str]) -> None:
        """Write `encoder.json` and `vocab/*.arrow` into `directory`."""
        self._check_fitted()
        notes = {"reasons": self.reasons, "left_out": self._skipped}
        saving.save(self.features, self.rows, self._parts, self._tables, directory, notes)

    @classmethod
    def load(cls, directory: str | PathLike[str]) -> FeatureEncoder:
        """The encoder that `save` wrote.

        Raises:
            FileNotFoundError: `directory` holds no encoder.
            ValueError: it holds what this version does not know.
        """
        description = saving.read(directory)
        encoder = cls(saving.kinds(description))
        encoder.reasons, encoder._skipped = (dict(description.get(key, {})) for key in ("reasons", "left_out"))
        encoder.rows = saving.restore(description, encoder._parts, encoder._tables, directory)
        return encoder

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise RuntimeError("the encoder must learn from data first: call fit")


def _count(data: Any, columns: list[str], options: Mapping[str, Any]) -> int:
    """Rows of a table in memory, or of the part of it that is read."""
    part: RowSubset | None = options.get("part")
    return row_count(data, columns) if part is None else part.rows


def build(features: Mapping[str, FeatureSpec]) -> tuple[dict[str, SharedVocabulary], dict[str, ColumnEncoder]]:
    """Tables by the feature that owns them, and features, with nothing learned.

    Raises:
        ValueError: features that contradict each other.
        TypeError: a kind that is none.
    """
    _check(features)
    tables = {
        name: SharedVocabulary(name, kind)
        for name, kind in features.items()
        if isinstance(kind, (Categorical, Sequence, MultiValue, Cross)) and _owner(kind, name) == name
    }
    parts = {name: _feature(name, kind, tables) for name, kind in features.items()}
    seen: dict[str, str] = {}
    for name, part in parts.items():
        for output in part.outputs:
            if output in seen:
                raise ValueError(f"features {seen[output]!r} and {name!r} both give an input {output!r}: rename one")
            seen[output] = name
    return tables, parts


def _feature(name: str, kind: FeatureSpec, tables: Mapping[str, SharedVocabulary]) -> ColumnEncoder:
    if isinstance(kind, Numeric):
        return NumericEncoder(name, kind)
    if isinstance(kind, Dense):
        return VectorEncoder(name, kind)
    if isinstance(kind, Timestamp):
        return TimestampEncoder(name, kind)
    table = tables[_owner(kind, name)]
    return (
        RaggedEncoder(name, kind, table)
        if isinstance(kind, (Sequence, MultiValue))
        else CategoricalEncoder(name, kind, table)
    )


def _owner(kind: FeatureSpec, name: str) -> str:
    """The feature whose table a feature looks values up in."""
    return getattr(kind, "vocabulary_of", None) or name


def _check(features: Mapping[str, FeatureSpec]) -> None:
    if not features:
        raise ValueError("an encoder must have at least one feature, got none")
    for name, kind in features.items():
        check_type("a feature", name, str, "called by a string")
        if not isinstance(kind, tuple(KINDS.values())):
            hint = f": {kind.__name__}()" if isinstance(kind, type) and kind.__name__ in KINDS else ""
            raise TypeError(f"the kind of {name!r} must be one of {', '.join(KINDS)}, got {kind!r}{hint}")
        owner = _owner(kind, name)
        if owner == name:
            continue
        if owner not in features:
            raise ValueError(f"vocabulary_of of {name!r} must be a feature, got {owner!r}: {suggest(owner, features)}")
        if (
            not isinstance(features[owner], (Categorical, Sequence, MultiValue))
            or _owner(features[owner], owner) != owner
        ):
            raise ValueError(f"vocabulary_of of {name!r} must be a feature with a vocabulary of its own, got {owner!r}")
