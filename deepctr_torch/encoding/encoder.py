"""`FeatureEncoder`: raw tables -> ids and numbers, the same in training and in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .._checks import check_type
from .._typing import Array
from ..features import FeatureColumn
from ..registry import suggest
from ..tables import (
    Chunk,
    ColumnLike,
    PathsLike,
    RowSubset,
    TableLike,
    column_names,
    is_files,
    read_chunks,
    read_values,
    row_count,
)
from . import parallel
from .arrow_columns import factorize, one_array
from .categorical import CategoricalEncoder, SharedVocabulary
from .column_encoder import ColumnEncoder, EmbeddingDim
from .few_rows import FEW_ROWS, encode_few
from .infer import Inferred, infer_specs
from .numeric import NumericEncoder, VectorEncoder
from .ragged import RaggedEncoder
from .serialization import read_description, restore_encoder, save_encoder, specs_of
from .specs import SPECS, Categorical, Cross, Dense, FeatureSpec, MultiValue, Numeric, Sequence, Timestamp
from .timestamp import TimestampEncoder
from .vocabulary import Vocabulary, pretrained_table

__all__ = ["FeatureEncoder", "Report", "build_column_encoders"]

_ROWS = 65_536  # of a chunk of files
_COLUMN = 1 << 22  # of a column in memory


class FeatureEncoder:
    """Turns rows of raw tables into the inputs of a model, as learned from training rows.

    Args:
        features: feature -> its kind and options, in the order in which models get them.

    Row 0 of every table is for padding and missing values, row 1 for values that are unseen or rare, values follow
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

    Attributes:
        features: as given.
        column_encoders: feature -> its encoder.
        vocabularies: the vocabularies, by the feature that owns each.
        reasons: feature -> why it is of its kind, of those that were inferred.
        left_out: column -> why it is no feature.
        rows: how many were learned from.

    Raises:
        ValueError: features that contradict each other.
        TypeError: a kind that is none.
    """

    def __init__(self, features: Mapping[str, FeatureSpec]) -> None:
        self.features = dict(features)
        self.reasons: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self._restart()

    def _restart(self) -> None:
        self.rows = 0
        self.vocabularies, self.column_encoders = build_column_encoders(self.features)

    @property
    def inputs(self) -> list[str]:
        """The raw columns that fitting needs, each once."""
        return list(dict.fromkeys(name for column in self.column_encoders.values() for name in column.inputs))

    @property
    def serving_inputs(self) -> list[str]:
        """The raw columns that `transform` needs outside training: those of `train_only` features left out."""
        known = (column for column in self.column_encoders.values() if not column.spec.train_only)
        return list(dict.fromkeys(name for column in known for name in column.inputs))

    @property
    def outputs(self) -> list[str]:
        """The names that `transform` gives."""
        return [output for column in self.column_encoders.values() for output in column.outputs]

    @property
    def fitted(self) -> bool:
        return self.rows > 0

    def schema(self) -> dict[str, str]:
        """Return column -> type in which text files are read: numbers as floats, everything else as strings."""
        columns = self.column_encoders.values()
        numeric = {name for column in columns if isinstance(column, NumericEncoder) for name in column.inputs}
        others = {name for column in columns if not isinstance(column, NumericEncoder) for name in column.inputs}
        return {column: "float64" if column in numeric - others else "string" for column in self.inputs}

    def read(
        self,
        data: TableLike | PathsLike,
        training: bool = True,
        rows: int = _ROWS,
        *,
        part: RowSubset | None = None,
        **options: Any,
    ) -> Iterator[Chunk]:
        """Read `data` in chunks with the columns needed, typed for this encoder; options as `read_chunks` has.

        Args:
            part: the rows to read, if not all.
        """
        schema = {**self.schema(), **options.pop("schema", {})}
        columns = options.pop("columns", self.inputs if training else self.serving_inputs)
        chunks = read_chunks(data, columns, rows, schema=schema, keep_nan=True, **options)
        return chunks if part is None else map(part.take, chunks)

    def _reader(self, data: TableLike | PathsLike, options: Mapping[str, Any]) -> parallel.Reader:
        return lambda columns: self.read(data, columns=list(columns), rows=_COLUMN, **options)

    def fit(self, data: TableLike | PathsLike, *, threads: int | None = None, **options: Any) -> FeatureEncoder:
        """Learn vocabularies and statistics in one pass; memory grows with the distinct values, not the rows.

        Args:
            data: what `read_chunks` takes: a frame, a dict, a file, a folder, a glob.
            threads: chunks of files, or columns in memory, at a time; None for the processors there are, at most 8.
            options: `header`, `null` of `read_chunks`; `part` of `read`.

        Raises:
            ValueError: no rows, a missing column, or a value that does not fit; names column, row and file.
        """
        self._restart()
        return self._learn(data, threads, options)

    def fit_transform(
        self,
        data: TableLike | PathsLike,
        *,
        training: bool = False,
        seed: int = 0,
        threads: int | None = None,
        **options: Any,
    ) -> dict[str, Array]:
        """`fit`, then `transform` of the same data, with less work for tables in memory."""
        if is_files(data):
            fitted = self.fit(data, threads=threads, **options)
            return fitted.transform(data, training=training, seed=seed, threads=threads, **options)
        memos: dict[str, list[parallel.Memo]] = {}
        self._restart()
        self._learn(data, threads, options, memos)
        read = self._reader(data, options)
        return parallel.encode_columns(self.column_encoders, read, self.rows, training, seed, threads, memos)

    def update(self, data: TableLike | PathsLike, *, threads: int | None = None, **options: Any) -> FeatureEncoder:
        """Learn values that are new, and leave everything else as it is: no value changes its row.

        A value gets a row once it came `min_count` times in all data ever learned from, as long as `max_vocabulary`
        leaves room. Scales, buckets and widths stay.
        """
        self._check_fitted()
        fresh = self.copy()
        fresh._learn(data, threads, options)
        self.vocabularies, self.column_encoders = fresh.vocabularies, fresh.column_encoders
        self.rows = fresh.rows
        return self

    def copy(self) -> FeatureEncoder:
        """Return an encoder that has learned the same and can learn more without changing this one."""
        made = self.with_features(self.features)
        if not self.fitted:
            return made
        made.rows = self.rows
        for name, shared in self.vocabularies.items():
            made.vocabularies[name].restore(shared.learned.copy(), shared.first_rows)
        for name, column in self.column_encoders.items():
            made.column_encoders[name].restore(column.state())
        return made

    def with_features(self, features: Mapping[str, FeatureSpec]) -> FeatureEncoder:
        """Return an encoder of other features that has learned nothing yet and keeps the reasons."""
        made = FeatureEncoder(features)
        made.reasons, made.left_out = dict(self.reasons), dict(self.left_out)
        return made

    def _learn(
        self,
        data: TableLike | PathsLike,
        threads: int | None,
        options: Mapping[str, Any],
        memos: dict[str, list[parallel.Memo]] | None = None,
    ) -> FeatureEncoder:
        chunks = self.read(data, **options)  # which checks the columns
        if is_files(data):
            rows = parallel.learn(self.column_encoders, chunks, threads)
        else:
            rows = _count(data, self.inputs, options)
            parallel.learn_columns(self.column_encoders, self._reader(data, options), threads, memos)
        if not rows:
            raise ValueError("data to learn from must have at least one row, got none")
        parallel.compute(self.column_encoders, self.vocabularies, threads)
        self.rows += rows
        return self

    def transform(
        self,
        data: TableLike | PathsLike,
        *,
        training: bool = False,
        seed: int = 0,
        threads: int | None = None,
        **options: Any,
    ) -> dict[str, Array]:
        """Encode rows as inputs of a model: name -> ids (int32) or numbers (float32).

        Shapes are [N], [N, maxlen] of several values, and [N, dimension] of vectors.

        Args:
            data: what `read_chunks` takes.
            training: encode `train_only` features, and drop ids out.
            seed: of the dropout, which depends on it and on the number of the row.
            threads: as in `fit`.
            options: `header`, `null` of `read_chunks`.
        """
        self._check_fitted()
        if threads is None and not (training or options or is_files(data)):
            rows = row_count(data, column_names(data)[:1])
            if 0 < rows <= FEW_ROWS:
                return self._transform_few(data, rows)
        chunks = self.read(data, training, **options)  # which checks the columns
        if is_files(data):
            return parallel.encode_chunks(self.column_encoders, chunks, training, seed, threads)
        rows = _count(data, self.inputs if training else self.serving_inputs, options)
        read = self._reader(data, options)
        return parallel.encode_columns(self.column_encoders, read, rows, training, seed, threads)

    def _transform_few(self, data: TableLike, rows: int) -> dict[str, Array]:
        """`transform` of a few rows in memory; only what Python values do not do for goes through arrow."""
        found = encode_few(self.column_encoders, read_values(data, self.serving_inputs), rows)
        others = {name: column for name, column in self.column_encoders.items() if name not in found}
        if others:
            columns = dict.fromkeys(name for column in others.values() for name in column.inputs)
            for chunk in self.read(data, columns=list(columns)):  # there is one
                rest = parallel.encode_chunk(others, chunk, training=False, seed=0)
            found.update((name, {output: rest[output] for output in others[name].outputs}) for name in others)
        return {output: values for name in self.column_encoders for output, values in found[name].items()}

    def encode_chunk(self, chunk: Chunk | pa.Table, *, training: bool = False, seed: int = 0) -> dict[str, Array]:
        """Encode one chunk of `read`, or a pyarrow table, as `transform` does."""
        self._check_fitted()
        whole = parallel.check_chunk(chunk, self.inputs if training else self.serving_inputs)
        return parallel.encode_chunk(self.column_encoders, whole, training, seed)

    def feature_columns(self, embedding_dim: EmbeddingDim = 4) -> list[FeatureColumn]:
        """Return the columns of any model, in the order of the features.

        Args:
            embedding_dim: length of the vectors; "auto" for `4 * ceil(rows ** 0.25 / 2)` of each table (many models
                want one length for all); or a function of the rows. A feature's own `embedding_dim` goes before it.
        """
        self._check_fitted()
        if isinstance(embedding_dim, str) and embedding_dim != "auto":
            raise ValueError(
                f'embedding_dim must be an integer, "auto" or a function of the rows, got {embedding_dim!r}'
            )
        return [made for column in self.column_encoders.values() for made in column.feature_columns(embedding_dim)]

    def vocabulary(self, feature: str) -> Vocabulary:
        """Return the values of a feature, with their rows.

        Raises:
            ValueError: the feature has no vocabulary.
        """
        self._check_fitted()
        categorical = [c for c in self.column_encoders.values() if isinstance(c, CategoricalEncoder)]
        found = {c.name: c.shared.learned for c in categorical if isinstance(c.shared.learned, Vocabulary)}
        if feature not in found:
            raise ValueError(f"{feature!r} has no vocabulary: {suggest(feature, found)}")
        return found[feature]

    def ids(self, feature: str, values: ColumnLike) -> Array:
        """Look values of a feature up, one a row: int64 [N], 0 for missing ones, 1 for those without a row.

        Raises:
            ValueError: the feature looks nothing up, or combines several columns.
        """
        self._check_fitted()
        known = {n: c for n, c in self.column_encoders.items() if isinstance(c, CategoricalEncoder)}
        found = {n: c.shared.learned for n, c in known.items() if not isinstance(c.spec, Cross)}
        if feature not in found:
            raise ValueError(f"{feature!r} looks up no single values: {suggest(feature, found)}")
        columns = [factorize(one_array(c.table[feature]), feature) for c in read_chunks({feature: values})]
        return np.concatenate([np.empty(0, np.int64), *(found[feature].lookup(c)[c.codes] for c in columns)])

    def pretrained(self, feature: str, vectors: Mapping[Any, npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Return the table of a feature, float32 [rows, E], from vectors by value, for `model.set_embedding`.

        Values without a vector, and row 1, get the mean of the vectors of all values that have one; row 0 is zero.
        """
        return pretrained_table(self.vocabulary(feature), feature, vectors)

    def describe(self) -> Report:
        """Describe what was learned, one dict for each feature: cardinality, missing, coverage; printed as a table."""
        self._check_fitted()
        rows = []
        for name, column in self.column_encoders.items():
            share = {"rows": column.rows, "missing": column.missing / max(column.rows, 1)}
            rows.append({"feature": name, "kind": type(column.spec).__name__, **share, **column.describe()})
        return Report(rows)

    def explain(self) -> Report:
        """Explain why each feature is of its kind, one dict for each column; printed as a table."""
        rows = [
            {"feature": name, "kind": type(spec).__name__, "why": self.reasons.get(name, "as given")}
            for name, spec in self.features.items()
        ]
        return Report([*rows, *({"feature": n, "kind": "left out", "why": why} for n, why in self.left_out.items())])

    @classmethod
    def infer(
        cls, data: TableLike | PathsLike, label: str | Iterable[str] | None = None, **options: Any
    ) -> FeatureEncoder:
        """Return an encoder, not yet fitted, with a kind for each column that the beginning of `data` suggests.

        Args:
            data: what `read_chunks` takes.
            label: column, or list of columns, to leave out.
            options: `exclude`, columns to leave out; `rows` to look at (100,000); `schema`, `header`, `null` of
                `read_chunks`.
        """
        return cls.of_inferred(infer_specs(data, label, **options))

    @classmethod
    def of_inferred(cls, inferred: Inferred) -> FeatureEncoder:
        """Return an encoder, not yet fitted, of the specs that `infer_specs` found."""
        encoder = cls(inferred.specs)
        encoder.reasons, encoder.left_out = inferred.reasons, inferred.left_out
        return encoder

    def save(self, directory: str | PathLike[str]) -> None:
        """Write `encoder.json` and `vocab/*.arrow` into `directory`."""
        self._check_fitted()
        save_encoder(self, directory)

    @classmethod
    def load(cls, directory: str | PathLike[str]) -> FeatureEncoder:
        """Read the encoder that `save` wrote.

        Raises:
            FileNotFoundError: `directory` holds no encoder.
            ValueError: it holds what this version does not know, or a file that is not what was saved.
        """
        description = read_description(directory)
        encoder = cls(specs_of(description))
        restore_encoder(encoder, description, directory)
        return encoder

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise RuntimeError("the encoder must learn from data first: call fit")


def _count(data: TableLike, columns: list[str], options: Mapping[str, Any]) -> int:
    """Count the rows of a table in memory, or of the part of it that is read."""
    part: RowSubset | None = options.get("part")
    return row_count(data, columns) if part is None else part.rows


def build_column_encoders(
    features: Mapping[str, FeatureSpec],
) -> tuple[dict[str, SharedVocabulary], dict[str, ColumnEncoder]]:
    """Build the vocabularies, by the feature that owns each, and the encoders of all features, with nothing learned."""
    _check(features)
    vocabularies = {
        name: SharedVocabulary(name, spec)
        for name, spec in features.items()
        if isinstance(spec, (Categorical, Sequence, MultiValue, Cross)) and _owner(spec, name) == name
    }
    encoders = {name: _column_encoder(name, spec, vocabularies) for name, spec in features.items()}
    seen: dict[str, str] = {}
    for name, encoder in encoders.items():
        for output in encoder.outputs:
            if output in seen:
                raise ValueError(f"features {seen[output]!r} and {name!r} both give an input {output!r}: rename one")
            seen[output] = name
    return vocabularies, encoders


def _column_encoder(name: str, spec: FeatureSpec, vocabularies: Mapping[str, SharedVocabulary]) -> ColumnEncoder:
    if isinstance(spec, Numeric):
        return NumericEncoder(name, spec)
    if isinstance(spec, Dense):
        return VectorEncoder(name, spec)
    if isinstance(spec, Timestamp):
        return TimestampEncoder(name, spec)
    shared = vocabularies[_owner(spec, name)]
    if isinstance(spec, (Sequence, MultiValue)):
        return RaggedEncoder(name, spec, shared)
    return CategoricalEncoder(name, spec, shared)


def _owner(spec: FeatureSpec, name: str) -> str:
    """Return the feature whose vocabulary a feature looks its values up in."""
    shares = isinstance(spec, (Categorical, Sequence, MultiValue)) and spec.vocabulary_of
    return shares or name


def _check(features: Mapping[str, FeatureSpec]) -> None:
    if not features:
        raise ValueError("an encoder must have at least one feature, got none")
    for name, spec in features.items():
        check_type("a feature", name, str, "called by a string")
        if not isinstance(spec, tuple(SPECS.values())):
            hint = f": {spec.__name__}()" if isinstance(spec, type) and spec.__name__ in SPECS else ""
            raise TypeError(f"the kind of {name!r} must be one of {', '.join(SPECS)}, got {spec!r}{hint}")
        owner = _owner(spec, name)
        if owner == name:
            continue
        if owner not in features:
            raise ValueError(f"vocabulary_of of {name!r} must be a feature, got {owner!r}: {suggest(owner, features)}")
        if (
            not isinstance(features[owner], (Categorical, Sequence, MultiValue))
            or _owner(features[owner], owner) != owner
        ):
            raise ValueError(f"vocabulary_of of {name!r} must be a feature with a vocabulary of its own, got {owner!r}")


class Report(list[dict[str, Any]]):
    """A list of dicts that is printed as a table, a column for each key.

    >>> print(Report([{"feature": "city", "rows": 3}, {"feature": "price", "missing": 0.25}]))
    feature  rows  missing
    city        3
    price             0.25
    """

    def __str__(self) -> str:
        names = list(dict.fromkeys(key for row in self for key in row))
        cells = [[_cell(row.get(name)) for name in names] for row in self]
        widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)] if names else []
        numeric = [all(not isinstance(row.get(name), str) for row in self) for name in names]
        lines = [
            "  ".join(t.rjust(w) if n else t.ljust(w) for t, w, n in zip(line, widths, numeric, strict=True)).rstrip()
            for line in [names, *cells]
        ]
        return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
