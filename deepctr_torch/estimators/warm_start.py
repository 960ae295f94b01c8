"""Going on from an older model: its tables grow, its weights and the state of its optimizer stay."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..embedding import EmbeddingCollection
from ..models import BaseModel

__all__ = ["carry_weights", "check_rate", "grown", "optimizer_state", "restore_optimizer"]

UNSEEN = 1  # the row that stands for what has none, and that new rows begin as


def grown(rows: Tensor, size: int) -> Tensor:
    """The rows of a table, and behind them copies of that of the unseen: `[R, ...] -> [size, ...]`.

    >>> grown(torch.tensor([[0.0], [1.0], [2.0]]), 5)[:, 0].tolist()
    [0.0, 1.0, 2.0, 1.0, 1.0]
    """
    if len(rows) == size:
        return rows
    return torch.cat([rows, rows[UNSEEN : UNSEEN + 1].expand(size - len(rows), *rows.shape[1:])])


def check_rate(old: BaseModel, rate: float) -> None:
    """A model trained with one `negative_rate` can go on with `rate`.

    Raises:
        ValueError: they differ, and no bias makes up for it.
    """
    if old.negative_rate != rate and _output_bias(old) is None:
        raise ValueError(
            f"negative_rate must stay {old.negative_rate}, that of init_from, for a model with several tasks or "
            f"without an output bias, got {rate}"
        )


def _output_bias(model: BaseModel) -> Tensor | None:
    """The bias of the one logit, by which a model goes over to another share of negative rows."""
    bias = getattr(model.out, "bias", None)
    return bias if isinstance(bias, Tensor) and bias.numel() == 1 else None


def carry_weights(old: BaseModel, new: BaseModel, rate: float | None = None) -> None:
    """Give `new` the weights of `old`.

    Args:
        old, new: the models.
        rate: the `negative_rate` that `new` goes on with, predicting the same; None for that of `old`.

    Raises:
        ValueError: the models differ in more than the rows of their tables.
    """
    new.load_state_dict(_grown_weights(old, new))
    new.epochs_trained, new.negative_rate = old.epochs_trained, old.negative_rate
    if rate is not None and rate != old.negative_rate:
        check_rate(old, rate)
        bias = _output_bias(new)
        if bias is not None:
            bias.data += math.log(old.negative_rate / rate)  # a prediction's logit is that of the model + log(rate)
        new.negative_rate = rate
    for (_, mine), (_, theirs) in zip(new.named_tables(), old.named_tables(), strict=True):
        for name in theirs.frozen:
            mine.view(name).requires_grad_(False)


def _grown_weights(old: BaseModel, new: BaseModel) -> dict[str, Tensor]:
    """The weights of `old`, its tables as long as those of `new`."""
    before, after = old.state_dict(), new.state_dict()
    tables = {f"{prefix}.{key}" for prefix, own in new.named_tables() for key, *_ in own._saved()}
    out: dict[str, Tensor] = {}
    for key, value in after.items():
        there = before.get(key)
        rows = key in tables and there is not None and there.shape[1:] == value.shape[1:] and len(there) <= len(value)
        if there is None or not (rows or there.shape == value.shape):
            got = "none" if there is None else list(there.shape)
            raise ValueError(
                f"init_from must be of a model built alike: {key!r} must have shape {list(value.shape)}, got {got}"
            )
        out[key] = grown(there, len(value)) if rows else there
    return out


class _Fused:
    """Where the rows of each logical table lie in a parameter that holds several."""

    def __init__(self, model: BaseModel) -> None:
        self.spans: dict[int, list[tuple[str, int, int]]] = {}
        for prefix, tables in model.named_tables():
            for width, weight in tables.weights.items():
                self.spans[id(weight)] = list(_spans(prefix, tables, width))

    def of(self, weight: Tensor) -> list[tuple[str, int, int]] | None:
        return self.spans.get(id(weight))


def _spans(prefix: str, tables: EmbeddingCollection, width: str) -> Iterator[tuple[str, int, int]]:
    for name in tables:
        spec, start = tables.where(name)
        if str(spec.width) == width:
            yield f"{prefix}.{name}", start, spec.rows


def _members(model: BaseModel) -> Iterator[tuple[Any, int, str, nn.Parameter]]:
    """Each optimizer inside the model's, with the place, the name and each parameter it moves."""
    names = {id(p): name for name, p in model.named_parameters()}
    optimizer = model.optim
    for member in getattr(optimizer, "members", [optimizer]):
        parameters = [p for group in member.param_groups for p in group["params"]]
        for place, parameter in enumerate(parameters):
            yield member, place, names[id(parameter)], parameter


def optimizer_state(model: BaseModel) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Tensors and numbers of the optimizer's state, by parameter and name; of tables one entry each."""
    fused = _Fused(model)
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float] = {}
    for member, place, name, parameter in _members(model) if model.optim is not None else ():
        state = member.state.get(parameter if isinstance(member, torch.optim.Optimizer) else place, {})
        for key, value in state.items():
            if not isinstance(value, Tensor) or value.dim() == 0:
                numbers[f"{name}|{key}"] = float(value)
                continue
            spans = fused.of(parameter)
            if spans is None:
                tensors[f"{name}|{key}"] = value.detach().cpu().contiguous()
            for table, start, rows in spans or ():
                tensors[f"{table}|{key}"] = value[start : start + rows].detach().cpu().contiguous().clone()
    return tensors, numbers


def restore_optimizer(model: BaseModel, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]) -> None:
    """The inverse of `optimizer_state`; new rows of tables begin with the state of the unseen.

    Raises:
        ValueError: a tensor that is no state of its parameter.
    """
    fused = _Fused(model)
    for member, place, name, parameter in _members(model):
        dense = isinstance(member, torch.optim.Optimizer)
        state: dict[str, Any] = {}
        for key, number in _of(name, numbers).items():
            state[key] = torch.tensor(number) if dense else int(number)
        spans = fused.of(parameter)
        found = _of(name, tensors) if spans is None else _of(spans[0][0], tensors)
        for key, value in found.items():
            shape = tuple(parameter.shape) if dense else member.state_shape(key, parameter)
            if spans is None:
                whole = _fitting(value, shape, f"{name}|{key}")
            else:
                parts = [(f"{table}|{key}", rows) for table, _, rows in spans]
                whole = torch.cat([grown(_fitting(tensors[n], (rows, *shape[1:]), n, True), rows) for n, rows in parts])
            state[key] = whole.to(parameter.device, copy=True)
        if state:
            member.state[parameter if dense else place] = state


def _fitting(value: Tensor, shape: tuple[int, ...], name: str, table: bool = False) -> Tensor:
    """A tensor of the state, if it goes with its parameter: some optimizers keep one number for a whole dimension."""
    fits = [there in (1, expected) for there, expected in zip(value.shape, shape, strict=False)]
    if table and value.dim():
        fits[0] = len(value) <= shape[0]  # those of new values come behind
    if value.dim() != len(shape) or not all(fits):
        raise ValueError(f"the state {name!r} of the optimizer must be of shape {list(shape)}, got {list(value.shape)}")
    return value


def _of(name: str, items: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of one parameter, by name."""
    return {key.removeprefix(f"{name}|"): value for key, value in items.items() if key.startswith(f"{name}|")}
