"""A model read one row at a time, in float64 and plain loops: what formulas written by hand are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat

Array = npt.NDArray[Any]
Module = Any


def randomized(model: Module, std: float = 0.6) -> Module:
    """All parameters drawn from N(0, std ** 2), so that every part of the formula counts."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in nn.Module.parameters(model):
            p.normal_(0.0, std, generator=generator)
    return model


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


class Row:
    """Row `i` of `x`, as `model` sees it.

    Attributes:
        w: the state_dict, float64.
        vectors: the embedding of each field of the deep side: single ids, then pooled sequences.
        numbers: the dense features of the deep side.
        linear: the linear side's logit.
    """

    def __init__(self, model: Module, x: Mapping[str, Array], i: int) -> None:
        self.w = {k: v.double().numpy() for k, v in model.state_dict().items()}
        self.x, self.i = x, i
        self.vectors = self.looked_up("embedding_dict", model.dnn_feature_columns)
        self.numbers = self.dense(model.dnn_feature_columns)
        first_order = self.looked_up("linear_model.embedding_dict", model.linear_feature_columns)
        self.linear = sum(float(v[0]) for v in first_order)
        numbers = self.dense(model.linear_feature_columns)
        if numbers.size:
            self.linear += float(numbers @ self.w["linear_model.weight"][:, 0])

    @property
    def flat(self) -> Array:
        return np.concatenate([*self.vectors, self.numbers])

    def dense(self, columns: Sequence[Any]) -> Array:
        parts = [np.ravel(self.x[c.name][self.i]) for c in columns if isinstance(c, DenseFeat)]
        return np.concatenate(parts).astype(float) if parts else np.zeros(0)

    def looked_up(self, tables: str, columns: Sequence[Any]) -> list[Array]:
        single = [c for c in columns if isinstance(c, SparseFeat)]
        sequences = [c for c in columns if isinstance(c, VarLenSparseFeat)]
        out = [self.w[f"{tables}.{c.embedding_name}.weight"][int(self.x[c.name][self.i])] for c in single]
        for c in sequences:
            ids = [int(v) for v in self.x[c.name][self.i]]
            ids = ids[: int(self.x[c.length_name][self.i])] if c.length_name else [v for v in ids if v != 0]
            table = self.w[f"{tables}.{c.embedding_name}.weight"]
            total = sum((table[v] for v in ids), np.zeros(table.shape[1]))
            out.append(total / max(len(ids), 1) if c.combiner == "mean" else total)
        return out

    def dnn(self, inputs: Array, name: str = "dnn") -> Array:
        h, layer = inputs, 0
        while f"{name}.linears.{layer}.weight" in self.w:
            h = relu(self.w[f"{name}.linears.{layer}.weight"] @ h + self.w[f"{name}.linears.{layer}.bias"])
            layer += 1
        return h

    def pairs(self) -> list[tuple[Array, Array]]:
        fields = range(len(self.vectors))
        return [(self.vectors[i], self.vectors[j]) for i in fields for j in fields if i < j]


def assert_follows(model: Module, x: Mapping[str, Array], logit: Callable[[Row], Any]) -> None:
    """The model's predictions are sigmoid(logit + bias) (classes: softmax), row by row."""
    rows = len(next(iter(x.values())))
    logits = np.stack([np.ravel(logit(row)) + row.w["out.bias"] for row in (Row(model, x, i) for i in range(rows))])
    if model.num_classes:
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = e / e.sum(axis=1, keepdims=True)
    else:
        expected = sigmoid(logits)
    assert np.ptp(expected) > 0.01, "predictions that are all alike would show nothing"
    np.testing.assert_allclose(model.predict(x), expected, atol=2e-6)


def penalty_of(model: Module) -> dict[str, float]:
    """Name of each penalized parameter -> its l2."""
    names = {id(p): n for n, p in nn.Module.named_parameters(model)}
    return {names[id(p)]: l2 for weights, _, l2 in model.regularization_weight for p in weights}
