"""Input of any kind: what is valid gives finite output; what is not is refused by name, with an error of ours."""

from __future__ import annotations

import datetime
import traceback
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from deepctr_torch import CTRClassifier, CTRRegressor
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from tests.support.all_models import every_model
from tests.support.cases import Case, labels

Column = SparseFeat | VarLenSparseFeat | DenseFeat
NAMES = [  # that are attributes of modules, paths, formats
    "a.b", "a/b", "a b", "class", "lambda", "None", "🎬", "ü", "weight", "0", "-1", "self", "forward", "embedding_dict",
    "price [$]", "x|y", "..", "__init__", "training", "\t", "a\\b", "%s {}",
]  # fmt: skip


def ours(error: BaseException) -> bool:
    """Whether an error was raised by a line of the package."""
    return "/deepctr_torch/" in traceback.extract_tb(error.__traceback__)[-1].filename


# ------------------------------------------------------------------ models


@st.composite
def schemas(draw: Any, case: Case) -> list[Column]:
    """Columns of any names and sizes."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=10, max_size=10, unique=True))
    take = iter(names)
    sparse = [SparseFeat(next(take), draw(st.integers(1, 20)), 4) for _ in range(draw(st.integers(2, 4)))]
    out: list[Column] = list(sparse)
    for _ in range(draw(st.integers(0, 2))):
        combiner = draw(st.sampled_from(["sum", "mean", "max"]))
        element = SparseFeat(next(take), draw(st.integers(2, 9)), 4)
        out.append(VarLenSparseFeat(element, draw(st.integers(1, 5)), combiner))
    out += [DenseFeat(next(take), draw(st.integers(1, 3))) for _ in range(draw(st.integers(0, 2)))]
    if case.sequential:
        target = sparse[0]
        element = SparseFeat(f"hist_{target.name}", target.vocabulary_size, 4, embedding_name=target.name)
        out.append(VarLenSparseFeat(element, draw(st.integers(1, 5)), length_name="length of it"))
    return out


def model_of(case: Case, columns: list[Column]) -> Any:
    """A small model of the case's class over other columns."""
    groups = []
    for own in case.columns:
        dense = any(isinstance(c, DenseFeat) for c in own)
        groups.append([c for c in columns if dense or not isinstance(c, DenseFeat)])
    history = {"history_feature_list": [columns[0].name]} if case.sequential else {}
    model = case.make(tuple(groups), **history)
    losses = [{"binary": "binary_crossentropy", "regression": "mse"}[kind] for _, kind in model.tasks]
    model.compile("adam", losses if len(losses) > 1 else losses[0])
    return model


def rows_of(columns: list[Column], rows: int, rng: np.random.Generator) -> dict[str, Any]:
    """Valid input: the ends of the vocabularies, empty and full sequences, numbers of any size."""
    x: dict[str, Any] = {}
    for column in columns:
        if isinstance(column, SparseFeat):
            x[column.name] = rng.integers(0, column.vocabulary_size, rows)
        elif isinstance(column, VarLenSparseFeat):
            lengths = rng.integers(0, column.maxlen + 1, rows)
            ids = rng.integers(min(1, column.vocabulary_size - 1), column.vocabulary_size, (rows, column.maxlen))
            x[column.name] = ids * (np.arange(column.maxlen) < lengths[:, None])
            if column.length_name is not None:
                x[column.length_name] = lengths
        else:
            x[column.name] = rng.choice([0.0, -1.0, 1e-30, 1e4, -1e4, 0.5], (rows, column.dimension)).astype(np.float32)
    return x


TYPES = [np.int8, np.int64, np.uint64, np.float16, np.float64, object, list]


def as_type(values: Any, kind: Any) -> Any:
    return values.tolist() if kind is list else values.astype(kind)


@every_model
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_valid_input_gives_finite_output(case: Case, data: st.DataObject) -> None:
    columns = data.draw(schemas(case))
    rows, rng = data.draw(st.sampled_from([1, 2, 5])), np.random.default_rng(data.draw(st.integers(0, 99)))
    model = model_of(case, columns)
    x = rows_of(columns, rows, rng)
    for column in columns:
        if not isinstance(column, DenseFeat):
            x[column.name] = as_type(x[column.name], data.draw(st.sampled_from(TYPES)))
    before = model.predict(x)
    history = model.fit(x, labels(model, rows), batch_size=2, epochs=1, verbose=0).history
    after = model.predict(x)
    assert np.isfinite([*before.ravel(), *after.ravel(), *history["loss"]]).all()
    assert before.shape == after.shape == (rows, len(model.tasks))


def put(values: Any, row: int, value: Any) -> Any:
    """The values as objects, with one in the place of that of a row (of a sequence its first element)."""
    out = np.asarray(values).astype(object)
    out[(row,) + (0,) * (out.ndim - 1)] = value
    return out


BAD_IDS: dict[str, Callable[[Any, int, int], Any]] = {
    "negative": lambda v, row, size: put(v, row, -1).astype(np.int64),
    "very negative": lambda v, row, size: put(v, row, -(2**63)).astype(np.int64),
    "too large": lambda v, row, size: put(v, row, size).astype(np.int64),
    "largest of 64 bits": lambda v, row, size: put(v, row, 2**63 - 1).astype(np.int64),
    "2**63": lambda v, row, size: put(v, row, 2**63).astype(np.uint64),
    "2**63 as an object": lambda v, row, size: put(v, row, 2**63),
    "2**64": lambda v, row, size: put(v, row, 2**64),
    "a large float": lambda v, row, size: put(v, row, 1e300).astype(np.float64),
    "fraction": lambda v, row, size: put(v, row, 0.5).astype(np.float64),
    "fraction of 16 bits": lambda v, row, size: put(v, row, 0.5).astype(np.float16),
    "nan": lambda v, row, size: put(v, row, np.nan).astype(np.float64),
    "infinity": lambda v, row, size: put(v, row, -np.inf).astype(np.float64),
    "none": lambda v, row, size: put(v, row, None),
    "string": lambda v, row, size: put(v, row, "x"),
    "strings": lambda v, row, size: np.asarray(v).astype(str),
    "bytes": lambda v, row, size: np.asarray(v).astype(bytes),
    "decimal": lambda v, row, size: put(v, row, Decimal("0.5")),
    "an exact fraction": lambda v, row, size: put(v, row, Fraction(1, 2)),
    "date": lambda v, row, size: put(v, row, datetime.date(2020, 1, 1)),
    "datetimes": lambda v, row, size: np.asarray(v).astype("datetime64[s]"),
    "complex": lambda v, row, size: np.asarray(v).astype(complex) + 1j,
    "dicts": lambda v, row, size: put(v, row, {}),
}
BAD_NUMBERS: dict[str, Callable[[Any, int, int], Any]] = {
    name: BAD_IDS[name] for name in ("nan", "infinity", "none", "string", "dicts", "date", "datetimes", "complex")
} | {"beyond float32": lambda v, row, size: put(v, row, 1e300).astype(np.float64)}
BAD_SHAPES: dict[str, Callable[[Any, int, int], Any]] = {
    "one row less": lambda v, row, size: v[:-1],
    "one row more": lambda v, row, size: np.concatenate([v, v[:1]]),
    "no rows": lambda v, row, size: v[:0],
    "three dimensions": lambda v, row, size: np.asarray(v).reshape(len(v), 1, -1, 1),
    "one number": lambda v, row, size: 3,
    "another width": lambda v, row, size: np.ones((len(v), 17), np.int64),
    "nothing": lambda v, row, size: None,
}


@every_model
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_invalid_input_is_refused_by_name(case: Case, data: st.DataObject) -> None:
    columns = data.draw(schemas(case))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rows, row = 5, data.draw(st.integers(0, 4))
    x = rows_of(columns, rows, rng)
    model = model_of(case, columns)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for column in columns:
        if isinstance(column, DenseFeat):
            kinds, size = BAD_NUMBERS, 0
        else:
            kinds, size = BAD_IDS, column.vocabulary_size
        kind = data.draw(st.sampled_from([*kinds, *BAD_SHAPES]))
        full = {**x, column.name: np.ones_like(x[column.name]) * (0 if isinstance(column, SparseFeat) else 1)}
        if isinstance(column, VarLenSparseFeat) and column.length_name is not None:
            full[column.length_name] = np.full(rows, column.maxlen)
        bad = {**full, column.name: {**kinds, **BAD_SHAPES}[kind](full[column.name], row, size)}
        for method in ("predict", "fit"):
            with pytest.raises((ValueError, TypeError)) as caught:
                model.predict(bad) if method == "predict" else model.fit(bad, labels(model, rows), verbose=0)
            assert ours(caught.value), (kind, traceback.format_tb(caught.value.__traceback__)[-1])
            assert repr(column.name) in str(caught.value), (kind, str(caught.value))
            if kind in kinds and kind not in ("strings", "bytes", "datetimes", "complex"):
                assert f"row {row}" in str(caught.value), (kind, str(caught.value))
    assert all(state[name].equal(value) for name, value in model.state_dict().items())


# ------------------------------------------------------------------ estimators

SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 16, "model_args": {"dnn_hidden_units": (4,)}}
SHOWN = [name for name in NAMES if name.strip()]  # a column without a name is an index, and no feature
N = 40
LABEL = np.arange(N) % 2
VALUES = {
    "integers": st.integers(-(2**63), 2**63 - 1),
    "codes": st.integers(-3, 3),
    "numbers": st.floats(),
    "truth values": st.booleans(),
    "text": st.text(max_size=4),
    "dates": st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
    "times": st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
    "decimals": st.decimals(-1000, 1000, places=2),
    "lists": st.lists(st.integers(0, 5), max_size=4),
    "lists of text": st.lists(st.sampled_from(["a", "b", "🎬"]), max_size=3),
    "nothing": st.none(),
}


@st.composite
def frames(draw: Any) -> pl.DataFrame:
    """Columns of any names and values, with gaps; the first has a few values to learn from."""
    names = draw(st.lists(st.sampled_from(SHOWN), min_size=3, max_size=3, unique=True))
    columns: dict[str, Any] = {names[0]: [f"v{i % 3}" for i in range(N)]}
    for name in names[1:]:
        kind = draw(st.sampled_from(list(VALUES)))
        few = draw(st.lists(VALUES[kind] | st.none(), min_size=1, max_size=6))
        columns[name] = [few[i % len(few)] for i in range(N)]
    return pl.DataFrame(columns, strict=False)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(frames(), st.sampled_from(["DeepFM", "DCN", "xDeepFM"]), st.sampled_from(["polars", "pandas", "arrow"]))
def test_any_frame_is_learned_from(table: pl.DataFrame, model: str, kind: str) -> None:
    X = {
        "polars": table,
        "pandas": table.to_pandas(),
        "arrow": table.to_arrow(),
        "dict": table.to_dict(as_series=False),
    }
    fitted = CTRClassifier(model, **({"epochs": 1, "batch_size": 16})).fit(X[kind], LABEL)
    probabilities = fitted.predict_proba(X[kind])
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(fitted.predict_proba(table[:1]), probabilities[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SHOWN)
def test_a_column_of_any_name_is_saved_and_loaded(name: str, tmp_path: Any) -> None:
    table = {name: [f"v{i % 3}" for i in range(N)], "x": np.linspace(0, 1, N), f"hist_{name}": [["v1", "v2"]] * N}
    fitted = CTRClassifier("DIN", history=f"hist_{name}", epochs=1).fit(table, LABEL)
    fitted.save(tmp_path / "saved")
    loaded = CTRClassifier.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.predict_proba(table), fitted.predict_proba(table))


EDGES: dict[str, Any] = {
    "all missing": [None] * N,
    "all NaN": np.full(N, np.nan),
    "constant": np.ones(N),
    "infinite": np.where(np.arange(N) % 3, 1.0, np.inf),
    "float16": np.linspace(0, 1, N).astype(np.float16),
    "ends of float64": [1e300, -1e300, 5e-324, 0.0] * 10,
    "unsigned": np.arange(N).astype(np.uint64) + np.uint64(2**63),
    "mixed": np.array([1, "a", 2.5, None] * 10, object),
    "long text": ["x" * 100_000, "y"] * 20,
    "very long sequences": [list(range(5000)), [1]] * 20,
    "empty sequences": [[]] * N,
    "bytes": np.array([b"a", b"b"] * 20, object),
}


@pytest.mark.parametrize("edge", EDGES)
def test_columns_at_the_edge_are_learned_from(edge: str) -> None:
    table = {"user": [f"u{i % 4}" for i in range(N)], edge: EDGES[edge]}
    assert np.isfinite(CTRClassifier(**SMALL).fit(table, LABEL).predict_proba(table)).all()


X = {"user": [f"u{i % 4}" for i in range(N)], "price": np.linspace(0, 1, N)}
REFUSED: dict[str, tuple[type, Any, Any, str]] = {
    "no rows": (CTRClassifier, {name: values[:0] for name, values in X.items()}, [], "X must have at least one row"),
    "no columns": (CTRClassifier, {}, LABEL, "X must have at least one column"),
    "one row": (CTRClassifier, {name: values[:1] for name, values in X.items()}, [1], "at least two classes, got"),
    "one class": (CTRClassifier, X, np.ones(N), "the label 'label' must have at least two classes"),
    "no label": (CTRClassifier, X, [None] * N, "the label 'label' must have at least two classes"),
    "infinite class": (CTRClassifier, X, np.where(LABEL, np.inf, 0.0), "the label 'label' must be of classes, got inf"),
    "fractions": (CTRClassifier, X, LABEL + 0.5, "The label 'label' must be of classes, got the number 0.5"),
    "dicts": (CTRClassifier, X, [{}] * N, "the label 'label' must be of one type"),
    "too few labels": (CTRClassifier, X, LABEL[1:], "same number of rows, got 40 and 39 of 'label'"),
    "two labels": (CTRClassifier, X, np.c_[LABEL, LABEL], "DeepFM learns one label"),
    "text": (CTRRegressor, X, ["a"] * N, "the label 'label' must be a number"),
    "NaN": (CTRRegressor, X, np.where(np.arange(N) == 7, np.nan, 1.0), "must not be missing, got nan in row 7"),
    "infinity": (CTRRegressor, X, np.where(np.arange(N) == 7, np.inf, 1.0), "got infinity in row 7"),
    "too large": (CTRRegressor, X, np.where(np.arange(N) == 7, 1e300, 1.0), r"got 1e\+300 in row 7"),
    "complex": (CTRRegressor, X, LABEL + 1j, "the label 'label' must be a number, got complex ones"),
    "complex column": (CTRClassifier, {**X, "z": np.ones(N) + 1j}, LABEL, "column 'z' must hold values of one type"),
    "columns of two lengths": (CTRClassifier, {**X, "z": [1]}, LABEL, "'user' has 40, 'z' has 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_nothing_can_be_learned_from_is_refused(case: str) -> None:
    estimator, table, y, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        estimator(**SMALL).fit(table, y)
    assert ours(caught.value)
