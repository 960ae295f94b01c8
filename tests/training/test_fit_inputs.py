"""Whatever `fit`, `evaluate` and `predict` accept means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM
from tests.support.training import assert_same_weights, both_labels, deepfm, inputs, labels, mmoe, taken

FLAT: list[Any] = [SparseFeat("user", 7, 4), SparseFeat("item", 5, 4), DenseFeat("age")]
ROWS = 24


def flat_inputs() -> dict[str, Any]:
    x = inputs(ROWS)
    return {"user": x["user"], "item": x["item"], "age": x["price"][:, 0]}


def matrix_of(x: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.column_stack([x["user"], x["item"], x["age"].astype(np.float64)])


INPUTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": lambda x: x,
    "dict of columns": lambda x: {k: v[:, None] for k, v in x.items()},
    "dict of lists": lambda x: {k: v.tolist() for k, v in x.items()},
    "dict of tensors": lambda x: {k: torch.from_numpy(v) for k, v in x.items()},
    "dict of Series": lambda x: {k: pd.Series(v) for k, v in x.items()},
    "more columns": lambda x: {"other": None, **x},
    "list": lambda x: list(x.values()),
    "tuple": lambda x: tuple(x.values()),
    "float64 matrix": matrix_of,
    "float32 matrix": lambda x: matrix_of(x).astype(np.float32),
    "matrix tensor": lambda x: torch.from_numpy(matrix_of(x)),
    "pandas": lambda x: pd.DataFrame(x, index=range(100, 100 + ROWS)),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}
LABELS: dict[str, Callable[[Any], Any]] = {
    "(N,)": lambda y: y,
    "(N, 1)": lambda y: y[:, None],
    "list": lambda y: y.tolist(),
    "list of one array": lambda y: [y],
    "bool": lambda y: y.astype(bool),
    "int": lambda y: y.astype(int),
    "tensor": torch.from_numpy,
    "Series": lambda y: pd.Series(y, index=range(7, 7 + ROWS)),
    "DataFrame": lambda y: pd.DataFrame({"y": y}),
    "polars Series": pl.Series,
    "pyarrow": pa.array,
}


def trained(x: Any, y: Any, **kwargs: Any) -> DeepFM:
    model = deepfm(columns=FLAT)
    model.compile("adam", "binary_crossentropy", ["auc"])
    model.fit(x, y, batch_size=5, verbose=0, **kwargs)
    return model


@pytest.fixture(scope="module")
def reference() -> DeepFM:
    return trained(flat_inputs(), labels(ROWS), validation_split=0.25)


@pytest.mark.parametrize("kind", INPUTS)
def test_every_kind_of_input_trains_the_same_model(kind: str, reference: DeepFM) -> None:
    x, y = INPUTS[kind](flat_inputs()), labels(ROWS)
    model = trained(x, y, validation_split=0.25)
    assert_same_weights(model, reference)
    assert model.history.history == reference.history.history
    np.testing.assert_array_equal(model.predict(x), reference.predict(flat_inputs()))
    assert model.evaluate(x, y) == reference.evaluate(flat_inputs(), y)


@pytest.mark.parametrize("kind", LABELS)
def test_every_kind_of_label_trains_the_same_model(kind: str, reference: DeepFM) -> None:
    y = LABELS[kind](labels(ROWS))
    model = trained(flat_inputs(), y, validation_split=0.25)
    assert_same_weights(model, reference)
    assert model.evaluate(flat_inputs(), y) == reference.evaluate(flat_inputs(), labels(ROWS))


TASK_LABELS: dict[str, Callable[[Any], Any]] = {
    "(N, T)": lambda y: y,
    "list of (N,)": lambda y: [y[:, 0], y[:, 1]],
    "list of (N, 1)": lambda y: [y[:, :1], y[:, 1:]],
    "list of lists": lambda y: [y[:, 0].tolist(), y[:, 1].tolist()],
    "dict by task": lambda y: {"spend": y[:, 1], "click": y[:, 0]},
    "DataFrame": lambda y: pd.DataFrame(y, columns=["click", "spend"]),
    "polars": lambda y: pl.DataFrame({"click": y[:, 0], "spend": y[:, 1]}),
}


@pytest.mark.parametrize("kind", TASK_LABELS)
def test_every_kind_of_label_of_two_tasks_trains_the_same_model(kind: str) -> None:
    y = both_labels(ROWS)
    y[3, 1] = np.nan
    models = []
    for given_y in (y, TASK_LABELS[kind](y)):
        model = mmoe()
        model.compile("adam", ["binary_crossentropy", "mse"], ["mse"])
        model.fit(inputs(ROWS), given_y, verbose=0)
        models.append(model)
    assert_same_weights(*models)
    assert models[0].history.history == models[1].history.history


@pytest.mark.parametrize(
    "kind", ["list of pairs", "DataLoader of dicts", "DataLoader of tensors", "generator", "frames", "rows of one"]
)
def test_every_kind_of_stream_trains_the_same_model(kind: str) -> None:
    x, y = flat_inputs(), labels(ROWS)
    size = 1 if kind == "rows of one" else 6
    cuts = [slice(i, i + size) for i in range(0, ROWS, size)]
    pairs: list[Any] = [(taken(x, c), y[c]) for c in cuts]
    if kind == "frames":
        pairs = [(pd.DataFrame(a), pd.Series(b)) for a, b in pairs]
    stream: Any = iter(pairs)
    if kind == "list of pairs":
        stream = DataLoader(pairs, batch_size=None)
    if kind == "DataLoader of dicts":
        rows = [({k: v[i] for k, v in x.items()}, y[i]) for i in range(ROWS)]
        stream = DataLoader(rows, batch_size=6)
    if kind == "DataLoader of tensors":
        stream = DataLoader(TensorDataset(torch.from_numpy(matrix_of(x)), torch.from_numpy(y)), batch_size=6)
    one, other = deepfm(columns=FLAT), deepfm(columns=FLAT)
    for model in (one, other):
        model.compile("adam", "binary_crossentropy", ["auc"], embedding_update="dense")
    one.fit(stream, verbose=0)
    other.fit(x, y, batch_size=size, shuffle=False, verbose=0)
    assert_same_weights(one, other)
    assert one.history.history == other.history.history


def test_batch_size_none_is_256() -> None:
    x, y = inputs(300), labels(300)
    one, other = deepfm(), deepfm()
    for model, size in ((one, None), (other, 256)):
        model.compile("sgd", "binary_crossentropy")
        model.fit(x, y, size, verbose=0)
    assert_same_weights(one, other)
    assert len(one.predict(x, None)) == 300
    one.compile("sgd", "binary_crossentropy", ["auc"])
    assert list(one.evaluate(x, y, None)) == ["auc"]


def test_validation_split_takes_the_last_rows_and_data_override_it() -> None:
    x, y = inputs(ROWS), labels(ROWS)
    models = []
    at = int(ROWS * (1 - 0.3))
    first, last = taken(x, slice(at)), taken(x, slice(at, None))
    for data, options in (
        ((x, y), {"validation_split": 0.3}),
        ((first, y[:at]), {"validation_data": (last, y[at:])}),
        ((first, y[:at]), {"validation_data": [last, y[at:]], "validation_split": 0.3}),
    ):
        model = deepfm()
        model.compile("adam", "binary_crossentropy", ["auc"])
        model.fit(*data, batch_size=5, verbose=0, **options)
        models.append(model)
    assert models[0].history.history == models[1].history.history == models[2].history.history
    assert_same_weights(models[0], models[1])


def test_bad_inputs_are_found_before_the_first_step() -> None:
    model = deepfm(columns=FLAT)
    model.compile("sgd", "binary_crossentropy")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x, y = flat_inputs(), labels(ROWS)
    bad = {**x, "user": np.where(np.arange(ROWS) == 20, 7, x["user"])}
    with pytest.raises(ValueError, match=r"'user' must be in \[0, 7\).*got 7 in row 20"):
        model.fit(bad, y, batch_size=5, verbose=0, shuffle=False)
    with pytest.raises(ValueError, match="in row 20"):
        model.fit(x, y, verbose=0, validation_data=(bad, y))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\].*got [23].0 in row 0"):
        model.fit(x, y + 2, verbose=0)
    with pytest.raises(ValueError, match="24 inputs, 23 labels"):
        model.fit(x, y[:-1], verbose=0)
    with pytest.raises(ValueError, match=r"sample_weight must be finite and >= 0, got -1\.0 in row 0"):
        model.fit(x, y, verbose=0, sample_weight=-np.ones(ROWS))
    assert_same_weights(before, model)


def test_bad_batches_are_found_before_the_step_that_would_use_them() -> None:
    x, y = flat_inputs(), labels(ROWS)
    bad = {**taken(x, slice(6)), "age": np.full(6, np.nan)}
    stream = [(taken(x, slice(6)), y[:6]), (bad, y[:6])]
    one, other = deepfm(columns=FLAT), deepfm(columns=FLAT)
    for model in (one, other):
        model.compile("sgd", "binary_crossentropy", embedding_update="dense")
    with pytest.raises(ValueError, match=r"batch 1 of the stream: 'age' must hold finite numbers.*in row 6"):
        one.fit(iter(stream), verbose=0)
    other.fit(iter(stream[:1]), verbose=0)
    assert_same_weights(one, other)


@pytest.mark.parametrize("kind", ["dict", "pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("name", ["clicked", ["clicked"]])
def test_labels_named_by_their_column(kind: str, name: Any, reference: DeepFM) -> None:
    x = INPUTS[kind]({**flat_inputs(), "clicked": labels(ROWS)})
    model = trained(x, name, validation_split=0.25)
    assert_same_weights(model, reference)
    assert model.evaluate(x, name) == reference.evaluate(flat_inputs(), labels(ROWS))


def test_labels_of_two_tasks_named_by_their_columns() -> None:
    y = both_labels(ROWS)
    x = {**inputs(ROWS), "a": y[:, 0], "b": y[:, 1]}
    losses = []
    for given_labels in (y, ["a", "b"]):
        model = mmoe()
        model.compile("adam", ["binary_crossentropy", "mse"])
        losses.append(model.fit(x, given_labels, verbose=0).history["loss"])
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match=r"the input lacks the labels \['c'\]; it has \['user', .*'b'\]"):
        model.fit(x, ["a", "c"], verbose=0)
    with pytest.raises(ValueError, match="y='a' names columns, which only a table or a dict has, got x of list"):
        trained(list(flat_inputs().values()), "a")


def test_a_list_of_labelled_batches_is_a_stream() -> None:
    x, y = flat_inputs(), labels(ROWS)
    batches = [(taken(x, slice(i, i + 6)), y[i : i + 6]) for i in range(0, ROWS, 6)]
    as_lists = list(DataLoader(TensorDataset(torch.from_numpy(matrix_of(x)), torch.from_numpy(y)), batch_size=6))
    one, other = trained(batches, None, epochs=2), trained(as_lists, None, epochs=2)
    assert_same_weights(one, trained(iter(batches * 2), None, steps_per_epoch=4, epochs=2))
    assert_same_weights(one, other)
    assert one.evaluate(batches) == one.evaluate(x, y)
