"""Torch's optimizers by name, for dense gradients, several optimizers as one, and which of them `compile` asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn, optim, tensor

from ..registry import Registry
from .fused import after_all, before_all, step_fused
from .sparse import SparseOptimizer, default_lr, make_sparse_optimizer, parse_optimizer

__all__ = [
    "OPTIMIZERS",
    "CombinedOptimizer",
    "DenseRowWiseAdagrad",
    "OptimizerLike",
    "OptimizerSpec",
    "fusible",
    "is_combined",
    "make_optimizer",
    "merge_state",
    "named_state",
    "needs_sparse_gradients",
    "numbered_state",
    "split_state",
    "takes_sparse_gradients",
]

# a name, a dict of a name and options, an optimizer, or what makes one of parameters: its class or a function
OptimizerLike: TypeAlias = str | Mapping[str, Any] | optim.Optimizer | Callable[..., optim.Optimizer]
Names: TypeAlias = Mapping[nn.Parameter, str]
OPTIMIZERS: Registry[Callable[..., optim.Optimizer]] = Registry("optimizer")

OPTIMIZERS.add("rmsprop", optim.RMSprop)
OPTIMIZERS.add("sgd", optim.SGD)


def fusible(params: Sequence[Any], devices: tuple[str, ...]) -> bool:
    """True if torch's fused kernel can update every parameter; it takes memory to be contiguous, and does not look.

    A step over one table of [1e6, 16] on two CPU threads: Adam 48 ms, fused 8; Adagrad 54, fused 8; SGD gains nothing.
    """
    groups = [p["params"] if isinstance(p, dict) else p for p in params]
    tensors = [t for group in groups for t in ([group] if isinstance(group, torch.Tensor) else list(group))]
    return all(t.device.type in devices and t.is_floating_point() and t.is_contiguous() for t in tensors)


def _listed(params: Iterable[Any]) -> list[Any]:
    """Parameters or groups as a list that can be read twice, generators inside groups too."""
    return [
        {**p, "params": list(p["params"])} if isinstance(p, dict) and not isinstance(p["params"], torch.Tensor) else p
        for p in params
    ]


@OPTIMIZERS.register("adam")
def _adam(params: Iterable[Any], lr: float, **how: Any) -> optim.Optimizer:
    groups = _listed(params)
    return optim.Adam(groups, lr=lr, **how, fused=fusible(groups, ("cpu", "cuda")) or None)


@OPTIMIZERS.register("adamw")
def _adamw(params: Iterable[Any], lr: float, **how: Any) -> optim.Optimizer:
    """Without AdamW's own decay: the model declares penalties, and torch's default of 0.01 would shrink every table."""
    groups = _listed(params)
    return optim.AdamW(groups, lr=lr, weight_decay=0.0, **how, fused=fusible(groups, ("cpu", "cuda")) or None)


@OPTIMIZERS.register("adagrad")
def _adagrad(params: Iterable[Any], lr: float, **how: Any) -> optim.Optimizer:
    groups = _listed(params)
    return optim.Adagrad(groups, lr=lr, **how, fused=fusible(groups, ("cpu",)) or None)


@OPTIMIZERS.register("rowwise_adagrad")
class DenseRowWiseAdagrad(optim.Optimizer):
    """Adagrad with one accumulator a row, for tables [R, E], over dense gradients; see `RowWiseAdagrad`."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else p.grad
                total = self.state[p].setdefault("sum", p.new_zeros(len(p), *[1] * (p.dim() - 1)))
                total.add_(grad.square().flatten(1).mean(dim=1).view_as(total))
                p.addcmul_(grad, total.sqrt().add_(group["eps"]).reciprocal_(), value=-group["lr"])


def needs_sparse_gradients(optimizer: optim.Optimizer) -> bool:
    """True if a torch optimizer, or one of several behind one face, takes no other gradients of tables."""
    return any(isinstance(each, optim.SparseAdam) for each in getattr(optimizer, "members", [optimizer]))


def takes_sparse_gradients(optimizer: optim.Optimizer) -> bool:
    """True if a torch optimizer, as it is set, can be given sparse gradients of tables."""
    if isinstance(optimizer, optim.SparseAdam):
        return True
    plain = ("momentum", "weight_decay", "dampening", "nesterov", "fused", "maximize", "differentiable")
    kinds = (optim.SGD, optim.Adagrad)
    return type(optimizer) in kinds and not any(g.get(key) for g in optimizer.param_groups for key in plain)


def make_optimizer(
    optimizer: OptimizerLike,
    params: Iterable[Any],
    lr: float | None = None,
) -> optim.Optimizer:
    """An optimizer over `params` (parameters or param groups) from a name, or a class or function `f(params, lr=...)`.

    A torch optimizer that exists already is returned as it is.

    Args:
        lr: None for the default of the name (`default_lr`) or of the class.

    >>> make_optimizer("Adam", [torch.nn.Parameter(torch.zeros(2))]).param_groups[0]["lr"]
    0.001
    >>> make_optimizer("adagard", [])
    Traceback (most recent call last):
        ...
    ValueError: unknown optimizer 'adagard': did you mean 'adagrad'? Known: ...
    """
    if isinstance(optimizer, (str, Mapping)):
        name, options = parse_optimizer(optimizer)
        options.pop("decay_unseen", None)  # over dense gradients nothing else is possible
        return OPTIMIZERS.get(name)(params, lr=default_lr(name) if lr is None else lr, **options)
    if isinstance(optimizer, optim.Optimizer):
        if lr is not None:
            raise ValueError(f"learning_rate must be None beside an optimizer instance, which has its own, got {lr!r}")
        return optimizer
    if not callable(optimizer):
        raise TypeError(f"optimizer must be a name, an optimizer or its class, got {type(optimizer).__name__}")
    made = optimizer(params) if lr is None else optimizer(params, lr=lr)
    if not isinstance(made, optim.Optimizer):
        raise TypeError(f"optimizer must build a torch optimizer, got {type(made).__name__}")
    return made


class CombinedOptimizer(optim.Optimizer):
    """Several optimizers that look like one of torch's: `param_groups` of all, one `step`, one `state_dict`.

    Torch's schedulers and hooks can be put on it. `TrainStep` steps the row optimizers itself, since it knows the rows.
    In a loop of the user's, `step` finds them in the gradients: the rows that have one.
    """

    members: list[optim.Optimizer | SparseOptimizer]

    def __init__(self, members: Sequence[optim.Optimizer | SparseOptimizer]) -> None:
        # torch's own __init__ wants parameters, which are the members' here
        self.__setstate__({"members": list(members), "defaults": dict(getattr(members[0], "defaults", {}))})

    def __getstate__(self) -> dict[str, Any]:
        return {"members": self.members, "defaults": self.defaults}

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return [group for member in self.members for group in member.param_groups]

    @property
    def state(self) -> dict[Any, Any]:  # type: ignore[override]
        """The state of each parameter."""
        return {parameter: state for member in self.members for parameter, state in member.state.items()}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """To the optimizer of what is no table."""
        first = self.members[0]
        if isinstance(first, SparseOptimizer):
            raise ValueError("a row-sparse optimizer takes no further parameters")
        first.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for member in self.members:
            if isinstance(member, optim.Optimizer):
                member.zero_grad(set_to_none=set_to_none)
                continue
            for table in member.param_groups[0]["params"]:
                table.grad = None  # left by somebody else's loop

    def step(self, closure: Any = None) -> Any:
        for hook in (*before_all.values(), *self._optimizer_step_pre_hooks.values()):
            hook(self, (), {})
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for member in self.members:
            if isinstance(member, optim.Optimizer):
                step_fused(member, member=True)
            else:
                member.move_given()
        for hook in (*self._optimizer_step_post_hooks.values(), *after_all.values()):
            hook(self, (), {})
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # torch need not wrap it to call hooks

    def state_dict(self) -> dict[str, Any]:
        return {str(i): member.state_dict() for i, member in enumerate(self.members)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: the state is of an optimizer whose tables are not apart.
        """
        if not is_combined(state) or len(state) != len(self.members):
            raise ValueError(
                f"the state must be of {len(self.members)} optimizers, one of them for the tables, got one of all "
                "parameters: compile with the embedding_update, embedding_optimizer and embedding_lr it was made with"
            )
        for i, member in enumerate(self.members):
            saved = state[str(i)]
            member.load_state_dict(saved if isinstance(member, SparseOptimizer) else split_state(saved, member))


class OptimizerSpec(NamedTuple):
    """Optimizers and learning rates, as `compile` was given them."""

    optimizer: OptimizerLike
    rate: float | None = None
    table_optimizer: OptimizerLike | None = None  # for the tables, where they differ
    table_rate: float | None = None

    @property
    def named(self) -> bool:
        return isinstance(self.optimizer, (str, Mapping))

    @property
    def _by_row(self) -> bool:
        """One accumulator a row makes sense for tables only."""
        given = self.optimizer
        return isinstance(given, (str, Mapping)) and parse_optimizer(given)[0] == "rowwise_adagrad"

    def torch_optimizer(self, model: nn.Module, tables: Sequence[nn.Parameter], apart: bool) -> Any:
        """Of torch's optimizers: one, or, `apart` or where they differ, one for the tables and one for the rest."""
        if isinstance(self.optimizer, optim.Optimizer):
            own = set(model.parameters())
            if not any(p in own for group in self.optimizer.param_groups for p in group["params"]):
                raise ValueError("the optimizer must be made of model.parameters(), got one of other parameters")
            made = make_optimizer(self.optimizer, [], self.rate)
            learned = getattr(model, "task_log_variances", None)  # newer than the parameters that the user gave it
            if learned is not None and all(learned is not p for group in made.param_groups for p in group["params"]):
                made.add_param_group({"params": [learned]})
            return made
        apart = apart or self.table_optimizer is not None or self.table_rate is not None
        if not tables or not (apart or (self._by_row and self.table_optimizer is None)):
            return make_optimizer(self.optimizer, model.parameters(), self.rate)
        of_tables = make_optimizer(self.table_optimizer or self.optimizer, tables, self._table_rate)
        rest = _rest(model, tables)
        return CombinedOptimizer([self._of_rest(rest), of_tables]) if rest else of_tables

    def row_optimizer(self, model: nn.Module, tables: Sequence[nn.Parameter]) -> CombinedOptimizer:
        """One of torch's for the rest, and one for rows of the tables."""
        rest = _rest(model, tables)
        rows = self.row_rule(tables)
        return CombinedOptimizer([self._of_rest(rest), rows] if rest else [rows])

    def row_rule(self, tables: Sequence[nn.Parameter]) -> SparseOptimizer:
        """The optimizer of rows of the tables."""
        given: Any = self.table_optimizer or self.optimizer  # a name: others move rows by sparse gradients
        return make_sparse_optimizer(given, tables, self._table_rate)

    @property
    def _table_rate(self) -> float | None:
        return self.rate if self.table_rate is None and self.table_optimizer is None else self.table_rate

    def _of_rest(self, rest: Sequence[nn.Parameter]) -> optim.Optimizer:
        optimizer: Any = self.optimizer
        if self._by_row:
            optimizer = "adagrad" if isinstance(optimizer, str) else {**optimizer, "name": "adagrad"}
        return make_optimizer(optimizer, rest, self.rate)


def _rest(model: nn.Module, tables: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    known = set(tables)
    return [p for p in model.parameters() if p not in known]


def is_combined(state: Mapping[str, Any]) -> bool:
    """True if it is the state of several optimizers behind one face, by number."""
    return len(state) > 0 and all(str(key).isdigit() for key in state)


def named_state(optimizer: Any, state: Mapping[str, Any], names: Names) -> list[dict[str, Any]]:
    """The state of each optimizer behind one face, with the `names` of parameters in the place of numbers."""
    out = []
    for member, own in _with_states(optimizer, state):
        known = _names(member, names)
        groups = [{**group, "params": [known[int(i)] for i in group["params"]]} for group in own["param_groups"]]
        by_name = {known[int(i)]: values for i, values in own["state"].items()}
        out.append({**own, "state": by_name, "param_groups": groups})
    return out


def numbered_state(optimizer: Any, named: Sequence[Mapping[str, Any]], names: Names) -> dict[str, Any]:
    """The inverse of `named_state`.

    Raises:
        ValueError: it is of an optimizer with other parameters.
    """
    members = getattr(optimizer, "members", [optimizer])
    if len(named) != len(members):
        raise ValueError(f"the state must be of {len(members)} optimizer(s), got one of {len(named)}")
    states = []
    for member, own in zip(members, named, strict=True):
        known = _names(member, names)
        number = {name: i for i, name in enumerate(known)}
        groups, start = [], 0
        for group, mine in zip(own["param_groups"], member.param_groups, strict=False):
            places = list(range(start, start + len(mine["params"])))
            if sorted(group["params"]) != sorted(known[i] for i in places):
                raise ValueError(
                    f"the state must be of an optimizer of the same parameters, got one of {group['params']}"
                )
            groups.append({**group, "params": places})
            start += len(places)
        states.append({**own, "state": {number[n]: v for n, v in own["state"].items()}, "param_groups": groups})
    return {str(i): each for i, each in enumerate(states)} if hasattr(optimizer, "members") else states[0]


def _with_states(optimizer: Any, state: Mapping[str, Any]) -> list[tuple[Any, Mapping[str, Any]]]:
    members = getattr(optimizer, "members", None)
    if members is None:
        return [(optimizer, state)]
    return [(member, state[str(i)]) for i, member in enumerate(members)]


def _names(optimizer: Any, names: Names) -> list[str]:
    """The names of an optimizer's parameters, in the order in which their states are numbered."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return [names.get(p, f"parameter {i}") for i, p in enumerate(parameters)]


def split_state(state: Mapping[str, Any], optimizer: optim.Optimizer) -> dict[str, Any]:
    """The state of any optimizer as one of torch's takes it: with all options, and counts as tensors."""
    own = optimizer.param_groups
    saved = state["param_groups"]
    if len(own) == len(saved):
        saved = [{**_options(mine), **theirs} for mine, theirs in zip(own, saved, strict=True)]
    return {"state": {int(i): _counted(values) for i, values in state["state"].items()}, "param_groups": saved}


def merge_state(
    optimizer: optim.Optimizer, state: Mapping[str, Any], tables: Sequence[nn.Parameter]
) -> dict[str, Any] | None:
    """Hook before a state is loaded: one of tables apart becomes one of all parameters in one group.

    Raises:
        ValueError: the state cannot be that of these parameters under one learning rate.
    """
    if not is_combined(state):
        return None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    known = set(tables)
    orders = [[p for p in parameters if p not in known], list(tables)][-len(state) :]
    parts = [state[key] for key in sorted(state)]
    sizes = [[len(group["params"]) for group in part["param_groups"]] for part in parts]
    rates = {group["lr"] for part in parts for group in part["param_groups"]}
    if sizes != [[len(order)] for order in orders] or len(rates) > 1 or len(optimizer.param_groups) > 1:
        raise ValueError(
            "the state must be of an optimizer of the same parameters with one learning rate, got one whose tables are "
            "apart: compile with the embedding_update, embedding_optimizer and embedding_lr it was made with"
        )
    place = {p: i for i, p in enumerate(parameters)}
    states = {
        place[order[int(i)]]: _counted(values)
        for part, order in zip(parts, orders, strict=True)
        for i, values in part["state"].items()
    }
    options = {**_options(optimizer.param_groups[0]), **_options(parts[0]["param_groups"][0])}
    return {"state": states, "param_groups": [{**options, "params": list(range(len(parameters)))}]}


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _counted(values: Mapping[str, Any]) -> dict[str, Any]:
    """With the number of steps as a tensor."""
    steps = values.get("step")
    return dict(values) if steps is None or isinstance(steps, Tensor) else {**values, "step": tensor(float(steps))}
