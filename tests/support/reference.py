"""The formulas that models share, once more: numpy in float64, one sample at a time, in plain loops.

A test writes the formula of a paper with them and compares it with what the model predicts. Functions take a
state_dict (`state_of`), the raw inputs `x` and the number of a row; `Row` holds the three together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deepctr_torch.features import DenseFeat, SparseFeat

__all__ = [
    "Row",
    "assert_follows",
    "batch_norm",
    "dnn",
    "interacting",
    "linear",
    "ordered",
    "penalty_of",
    "randomized",
    "relu",
    "sigmoid",
    "softmax",
    "state_of",
    "vector",
    "vectors",
]

Array = npt.NDArray[Any]
State = Mapping[str, Array]
Inputs = Mapping[str, Any]


def randomized(model: Any, std: float = 0.5) -> Any:
    """The model in evaluation mode, every weight, bias and running statistic drawn at random: all of them count."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator) * std
            state[key] = noise.abs() + 0.5 if "running_var" in key else noise
        else:
            state[key] = value
    model.load_state_dict(state)
    return model.eval()


def state_of(model: Any) -> State:
    """The state_dict in float64."""
    return {key: value.double().numpy() for key, value in model.state_dict().items()}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def softmax(x: Any) -> Array:
    powers: Array = np.exp(np.asarray(x) - np.max(x))
    return np.asarray(powers / powers.sum())


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def ordered(columns: Sequence[Any]) -> list[Any]:
    """Single ids, then sequences."""
    sparse = [c for c in columns if isinstance(c, SparseFeat)]
    return sparse + [c for c in columns if not isinstance(c, (SparseFeat, DenseFeat))]


def vector(state: State, prefix: str, column: Any, x: Inputs, row: int) -> Array:
    """The vector of one feature of one sample, [E]; a sequence is pooled over its valid steps."""
    table = state[f"{prefix}{column.embedding_name}.weight"]
    ids = np.atleast_1d(x[column.name][row])
    if isinstance(column, SparseFeat):
        return np.asarray(table[ids[0]])
    length = int(x[column.length_name][row]) if column.length_name else None
    valid = [table[i] for t, i in enumerate(ids) if (i != 0 if length is None else t < length)]
    if not valid:
        return np.zeros(table.shape[1])
    return np.asarray({"sum": np.sum, "mean": np.mean, "max": np.max}[column.combiner](valid, axis=0))


def vectors(state: State, columns: Sequence[Any], x: Inputs, row: int) -> Array:
    """The fields of the deep side of one sample, [F, E]."""
    return np.array([vector(state, "embedding_dict.", c, x, row) for c in ordered(columns)])


def numbers(columns: Sequence[Any], x: Inputs, row: int) -> Array:
    """The dense features of one sample, [D]."""
    parts = [np.ravel(x[c.name][row]) for c in columns if isinstance(c, DenseFeat)]
    return np.concatenate(parts).astype(float) if parts else np.zeros(0)


def linear(
    state: State,
    columns: Sequence[Any],
    x: Inputs,
    row: int,
    factors: Mapping[str, float] | None = None,
    prefix: str = "linear_model.",
) -> Array:
    """The linear logit of one sample, [outputs]; `factors` multiply the weights of sparse features."""
    total: Any = 0.0
    for column in ordered(columns):
        factor = (factors or {}).get(column.name, 1.0)
        total = total + factor * vector(state, f"{prefix}embedding_dict.", column, x, row)
    dense = numbers(columns, x, row)
    return np.asarray(total + dense @ state[f"{prefix}weight"] if dense.size else total)


def dnn(state: State, prefix: str, inputs: Array) -> Array:
    """A DNN with ReLU, and batch normalisation in evaluation mode where it has one."""
    out, layer = inputs, 0
    while f"{prefix}.linears.{layer}.weight" in state:
        out = state[f"{prefix}.linears.{layer}.weight"] @ out + state[f"{prefix}.linears.{layer}.bias"]
        if f"{prefix}.bn.{layer}.weight" in state:
            out = batch_norm(state, f"{prefix}.bn.{layer}", out)
        out, layer = relu(out), layer + 1
    return out


def batch_norm(state: State, prefix: str, values: Array) -> Array:
    """Batch normalisation with the running statistics."""
    scaled = (values - state[f"{prefix}.running_mean"]) / np.sqrt(state[f"{prefix}.running_var"] + 1e-5)
    return np.asarray(scaled * state[f"{prefix}.weight"] + state[f"{prefix}.bias"])


def interacting(state: State, prefix: str, fields: Array, heads: int, residual: bool, scaling: bool) -> Array:
    """Multi-head attention over the fields of one sample, field by field, [F, E] -> [F, E]."""
    count, width = fields.shape
    size = width // heads
    out = np.zeros((count, width))
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        query, key, value = (fields @ state[f"{prefix}.W_{n}"][:, part] for n in ("Query", "key", "Value"))
        for i in range(count):
            scores = [query[i] @ key[j] / (np.sqrt(size) if scaling else 1.0) for j in range(count)]
            out[i, part] = sum(a * value[j] for j, a in enumerate(softmax(scores)))
    return np.asarray(relu(out + fields @ state[f"{prefix}.W_Res"] if residual else out))


class Row:
    """Row `i` of `x`, as `model` sees it.

    Attributes:
        w: the state_dict, float64.
        vectors: the embedding of each field of the deep side: single ids, then pooled sequences.
        numbers: the dense features of the deep side.
        linear: the linear side's logit, a number (several outputs: [outputs]).
    """

    def __init__(self, model: Any, x: Inputs, i: int) -> None:
        self.w = state_of(model)
        self.vectors = [vector(self.w, "embedding_dict.", c, x, i) for c in ordered(model.dnn_feature_columns)]
        self.numbers = numbers(model.dnn_feature_columns, x, i)
        self.linear: Any = linear(self.w, model.linear_feature_columns, x, i)

    @property
    def flat(self) -> Array:
        return np.concatenate([*self.vectors, self.numbers])

    def dnn(self, inputs: Array, name: str = "dnn") -> Array:
        return dnn(self.w, name, inputs)

    def pairs(self) -> list[tuple[Array, Array]]:
        return list(combinations(self.vectors, 2))


def assert_follows(model: Any, x: Inputs, logit: Callable[[Row], Any]) -> None:
    """Assert that the model predicts sigmoid(logit + bias) (classes: softmax), row by row."""
    rows = [Row(model, x, i) for i in range(len(next(iter(x.values()))))]
    logits = np.stack([np.ravel(logit(row)) + row.w["out.bias"] for row in rows])
    expected = np.stack([softmax(values) for values in logits]) if model.num_classes else sigmoid(logits)
    assert np.ptp(expected) > 0.01, "predictions that are all alike would show nothing"
    np.testing.assert_allclose(model.predict(x), expected, atol=2e-6)


def penalty_of(model: Any) -> dict[str, float]:
    """Name of each penalized parameter (of tables: of all that stand together) -> its l2."""
    names = {p: n for n, p in model.named_parameters()}
    for name, tables in model.named_tables():
        names |= dict.fromkeys((w for table in tables.configs for w in tables.weights_of(table)), name)
    return {names[p]: l2 for weights, _, l2 in model.regularization_weight for p in weights}
