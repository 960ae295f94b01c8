"""Going on from an older model: its tables grow, its weights and the state of its optimizer stay."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
    """Check that a model trained with one `negative_rate` can go on with `rate`: the same, or a bias makes up."""
    if old.negative_rate != rate and _output_bias(old) is None:
        raise ValueError(
            f"negative_rate must stay {old.negative_rate}, that of init_from, for a model with several tasks or "
            f"without an output bias, got {rate}"
        )


def _output_bias(model: BaseModel) -> Tensor | None:
    """The bias of the one logit, by which a model goes over to another share of negative rows."""
    bias = None if hasattr(model, "further_members") else getattr(model.out, "bias", None)
    return bias if isinstance(bias, Tensor) and bias.numel() == 1 else None


def carry_weights(old: BaseModel, new: BaseModel, rate: float | None = None) -> None:
    """Give `new` the weights of `old`, from which it may differ in the rows of its tables alone.

    It goes on with the `negative_rate` `rate`, predicting the same; None for that of `old`.
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
            for weight in mine.weights_of(name):
                weight.requires_grad_(False)


def _grown_weights(old: BaseModel, new: BaseModel) -> dict[str, Tensor]:
    """The weights of `old`, its tables as long as those of `new`."""
    before, after = old.state_dict(), new.state_dict()
    tables = {f"{prefix}.{key}" for prefix, own in new.named_tables() for key in own.state_dict()}
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


class _Home(NamedTuple):
    """Where the weight of a table lies, by the names under which states are saved."""

    name: str  # of its module
    table: str  # of the table, of which the module may be some columns
    start: int  # these columns
    stop: int
    fused: str  # of all tables of its width, as 1.0.0a1 numbered their steps


def _homes(model: BaseModel) -> dict[nn.Parameter, _Home]:
    """The weights of all tables."""
    out = {}
    for prefix, tables in model.named_tables():
        for config in tables.configs.values():
            for part, weight in zip(config.slices, tables.weights_of(config.name), strict=True):
                name, fused = ".".join((prefix, *part.path)), f"{prefix}.width_{config.embedding_dim}"
                out[weight] = _Home(name, f"{prefix}.{config.name}", part.start, part.stop, fused)
    return out


def _members(model: BaseModel) -> Iterator[tuple[Any, str, nn.Parameter]]:
    """Each optimizer inside the model's, with the name and each parameter it moves."""
    names = {p: name for name, p in model.named_parameters()}
    optimizer = model.optim
    for member in getattr(optimizer, "members", [optimizer]):
        for group in member.param_groups:
            for parameter in group["params"]:
                yield member, names[parameter], parameter


def optimizer_state(model: BaseModel) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Tensors and numbers of the optimizer's state, by parameter (of tables: module) and name."""
    homes = _homes(model)
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float] = {}
    for member, name, parameter in _members(model) if model.optim is not None else ():
        saved = homes[parameter].name if parameter in homes else name
        for key, value in member.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.dim():
                tensors[f"{saved}|{key}"] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            else:
                numbers[f"{saved}|{key}"] = float(value)
    return tensors, numbers


def restore_optimizer(
    model: BaseModel, tensors: Mapping[str, Tensor], numbers: Mapping[str, float], *, grow: bool = False
) -> None:
    """The inverse of `optimizer_state`; to `grow` is to give more rows of tables the state of the unseen."""
    homes = _homes(model)
    for member, name, parameter in _members(model):
        dense = isinstance(member, torch.optim.Optimizer)
        home = homes.get(parameter)
        state: dict[str, Any] = {}
        for key, number in _first(numbers, [name] if home is None else [home.name, home.fused]).items():
            state[key] = torch.tensor(number) if dense else int(number)
        for key, value in _first(tensors, [name] if home is None else [home.name, home.table]).items():
            shape = tuple(parameter.shape) if dense else member.state_shape(key, parameter)
            if home is not None and value.dim() == 2 and value.shape[1] > shape[1]:
                value = value[:, home.start : home.stop]  # 1.0.0a1 saved the wide table
            if home is None:
                state[key] = _fitting(value, shape, f"{name}|{key}").to(parameter.device, copy=True)
            else:
                rows = len(value) if grow and UNSEEN < len(value) < shape[0] else shape[0]
                fitting = _fitting(value, (rows, *shape[1:]), f"{home.name}|{key}")
                if key == "col_var":  # Adafactor's, one number a column
                    state[key] = fitting.to(parameter.device, copy=True)
                else:
                    state[key] = grown(fitting, shape[0]).to(parameter.device, copy=True)
        if state:
            member.state[parameter] = state


def _fitting(value: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """A tensor of the state, if it goes with its parameter: some optimizers keep one number for a whole dimension."""
    fits = [there in (1, expected) for there, expected in zip(value.shape, shape, strict=False)]
    if not name.endswith("|col_var"):
        fits[:1] = [value.shape[:1] == shape[:1]]
    if value.dim() != len(shape) or not all(fits):
        raise ValueError(f"the state {name!r} of the optimizer must be of shape {list(shape)}, got {list(value.shape)}")
    return value


def _first(items: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The state kept of one parameter, by name, under the first of its names that is there."""
    for name in names:
        found = {key.removeprefix(f"{name}|"): value for key, value in items.items() if key.startswith(f"{name}|")}
        if found:
            return found
    return {}
