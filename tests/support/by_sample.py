"""The parts that field-wise models share, once more: numpy, sample by sample, from a state_dict and the raw inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deepctr_torch.features import DenseFeat, SparseFeat

Array = npt.NDArray[np.float64]
State = Mapping[str, Array]


def randomized(model: Any, scale: float = 0.5) -> Any:
    """The model in evaluation mode with every weight, bias and running statistic drawn at random."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator) * scale
            state[key] = noise.abs() + 0.5 if "running_var" in key else noise
        else:
            state[key] = value
    model.load_state_dict(state)
    return model.eval()


def state_of(model: Any) -> State:
    return {key: value.double().numpy() for key, value in model.state_dict().items()}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def softmax(x: Any) -> Array:
    powers = np.exp(np.asarray(x) - np.max(x))
    return powers / powers.sum()


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def ordered(columns: Sequence[Any]) -> list[Any]:
    """Single ids, then sequences."""
    sparse = [c for c in columns if isinstance(c, SparseFeat)]
    return sparse + [c for c in columns if not isinstance(c, (SparseFeat, DenseFeat))]


def vector(state: State, prefix: str, column: Any, x: Mapping[str, Any], row: int) -> Array:
    """The vector of one feature of one sample, [E]."""
    table = state[f"{prefix}{column.embedding_name}.weight"]
    ids = np.atleast_1d(x[column.name][row])
    if isinstance(column, SparseFeat):
        return table[ids[0]]
    length = int(x[column.length_name][row]) if column.length_name else None
    valid = [table[i] for t, i in enumerate(ids) if (i != 0 if length is None else t < length)]
    if not valid:
        return np.zeros(table.shape[1])
    return {"sum": np.sum, "mean": np.mean, "max": np.max}[column.combiner](valid, axis=0)


def vectors(state: State, columns: Sequence[Any], x: Mapping[str, Any], row: int) -> Array:
    """The fields of the deep side of one sample, [F, E]."""
    return np.array([vector(state, "embedding_dict.", c, x, row) for c in ordered(columns)])


def linear(
    state: State,
    columns: Sequence[Any],
    x: Mapping[str, Any],
    row: int,
    factors: Mapping[str, float] | None = None,
    prefix: str = "linear_model.",
) -> Array:
    """The linear logit of one sample, [outputs]; `factors` multiply the weights of sparse features."""
    total: Any = 0.0
    for column in ordered(columns):
        factor = (factors or {}).get(column.name, 1.0)
        total = total + factor * vector(state, f"{prefix}embedding_dict.", column, x, row)
    numbers = [np.atleast_1d(x[c.name][row]) for c in columns if isinstance(c, DenseFeat)]
    return total + np.concatenate(numbers) @ state[f"{prefix}weight"] if numbers else total


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
    centred = values - state[f"{prefix}.running_mean"]
    return (
        centred / np.sqrt(state[f"{prefix}.running_var"] + 1e-5) * state[f"{prefix}.weight"] + state[f"{prefix}.bias"]
    )


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
    return relu(out + fields @ state[f"{prefix}.W_Res"] if residual else out)
