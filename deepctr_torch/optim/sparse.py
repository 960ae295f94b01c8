"""Row-sparse optimizers: they change only the rows of a batch.

Where every row is in every batch they make the steps of torch's dense optimizers; a row that is not keeps weight and
state bit for bit, so a step costs the batch, not the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, optim

from .._checks import check_choice, check_non_negative
from .._memory import new_filled
from ..registry import Registry

__all__ = [
    "SPARSE_OPTIMIZERS",
    "DecayedLazyAdam",
    "LazyAdam",
    "LazyAdamW",
    "RowOptimizer",
    "RowWiseAdagrad",
    "SharedStateOptimizer",
    "SparseAdagrad",
    "SparseOptimizer",
    "SparseRMSprop",
    "SparseSGD",
    "default_lr",
    "make_sparse_optimizer",
    "scatter_rows",
    "sum_of_squares",
    "unknown_option",
]


GRAIN = 32_768  # elements from which torch spreads a copy over threads


class RowOptimizer:
    """Moves given rows of given weights: `update`, by a rule, with the rate and options of a group."""

    rule: SparseOptimizer  # whose formula it is

    def next_state(self, weight: nn.Parameter) -> tuple[list[Tensor], int]:
        """The tensors that an update of a weight changes, itself first, then its state; the number of the update."""
        raise NotImplementedError

    def group_of(self, weight: nn.Parameter) -> dict[str, Any]:
        """The group of parameters that has the weight."""
        raise NotImplementedError

    @torch.no_grad()
    def update(
        self,
        weight: nn.Parameter,
        rows: Tensor,
        grad: Tensor,
        lr: float | None = None,
        l2: float = 0.0,
        once: Tensor | None = None,
    ) -> Tensor | None:
        """One step of `weight` at the distinct `rows`. `[R, E], [U], [U, E]`

        Args:
            lr: None for the one of the group.
            l2: strength of the penalty `l2 * w^2`: `2 * l2 * w` joins the rows' gradient, never a decoupled decay.
            once: bool [U], one True for each distinct row, where `rows` may repeat.

        Returns:
            The sum of the squares of the rows before the step, if there is a penalty, else None.
        """
        (tensors, step), group = self.next_state(weight), self.group_of(weight)
        taken = [tensor.index_select(0, rows) for tensor in tensors]
        squares = sum_of_squares(taken[0], once) if l2 else None
        rate, decay = group["lr"] if lr is None else lr, l2 + 0.5 * group.get("weight_decay", 0.0)
        self.rule.change(taken[0], grad.to(taken[0].dtype), *taken[1:], lr=rate, step=step, l2=decay)
        for tensor, values in zip(tensors, taken, strict=True):
            scatter_rows(tensor, rows, values)
        return squares


class SparseOptimizer(RowOptimizer):
    """Base of the optimizers that update given rows of given weights.

    `param_groups` holds one group with "lr", so that whatever sets learning rates on torch's optimizers works here.
    State tensors are created at a weight's first update and start from 0.

    Args:
        weights: the tables, each [R, E], in an order that `state_dict` relies on.
        lr: learning rate; None for `usual_lr`.
        how: other `options`, which are attributes.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()  # beside the rate, under the names that torch's optimizers have for them
    usual_lr: ClassVar[float] = 1e-2

    def __init__(self, weights: Iterable[nn.Parameter], lr: float | None = None, **how: Any) -> None:
        lr = self.usual_lr if lr is None else lr
        check_non_negative("lr", lr)
        for name, value in how.items():
            check_choice(f"option of {type(self).__name__}", name, self.options)
            setattr(self, name, value)
        self.param_groups: list[dict[str, Any]] = [{"params": list(weights), "lr": lr}]
        self.state: dict[nn.Parameter, dict[str, Any]] = {}  # {"step": updates so far, name: [R, ...]} of each weight

    @property
    def rule(self) -> SparseOptimizer:  # type: ignore[override]
        return self

    def group_of(self, weight: nn.Parameter) -> dict[str, Any]:
        return self.param_groups[0]

    def next_state(self, weight: nn.Parameter) -> tuple[list[Tensor], int]:
        if weight not in self.state:
            if all(weight is not known for known in self.param_groups[0]["params"]):
                shape = tuple(weight.shape)
                raise ValueError(f"weight must be one the optimizer was made with, got one of shape {shape}")
            empty = {name: new_filled(weight, self.state_shape(name, weight)) for name in self.state_names}
            self.state[weight] = {"step": 0, **empty}
        state = self.state[weight]
        state["step"] += 1
        return [weight.data, *(state[name] for name in self.state_names)], state["step"]

    def move_given(self) -> None:
        """One step of each weight that has a gradient, at the rows where it is not 0."""
        for weight in self.param_groups[0]["params"]:
            if weight.grad is not None:
                rows = weight.grad.ne(0).any(dim=1).nonzero()[:, 0]
                self.update(weight, rows, weight.grad[rows])

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        """The formula: change copies of rows of the weight and of its state in place. `[U, E]` each"""
        raise NotImplementedError

    def state_shape(self, name: str, weight: Tensor) -> tuple[int, ...]:
        """Shape of one state tensor of a weight."""
        return tuple(weight.shape)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and tensors, laid out as torch's optimizers do; the tensors are not copied."""
        weights = self.param_groups[0]["params"]
        return {
            "state": {place: dict(self.state[weight]) for place, weight in enumerate(weights) if weight in self.state},
            "param_groups": [{**self.param_groups[0], "params": list(range(len(weights)))}],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, copied to the weights' devices."""
        weights = self.param_groups[0]["params"]
        (group,) = state_dict["param_groups"]
        if len(group["params"]) != len(weights):
            raise ValueError(f"state must be of {len(weights)} weights, got {len(group['params'])}")
        loaded: dict[nn.Parameter, dict[str, Any]] = {}
        for place, values in state_dict["state"].items():
            weight = weights[int(place)]
            loaded[weight] = {"step": int(values["step"])}
            for name in self.state_names:
                shape = self.state_shape(name, weight)
                if name not in values or tuple(values[name].shape) != shape:
                    found = tuple(values[name].shape) if name in values else "none"
                    raise ValueError(f"state {name!r} of a table must have shape {shape}, got {found}")
                loaded[weight][name] = values[name].detach().to(weight.device, weight.dtype, copy=True)
        self.state = loaded
        self.param_groups = [{**self.param_groups[0], **group, "params": weights}]


def sum_of_squares(rows: Tensor, once: Tensor | None = None) -> Tensor:
    """Of the elements of rows [U, E]; of those that `once` [U] marks, where rows repeat."""
    flat = (rows if once is None else rows * once.unsqueeze(-1)).reshape(-1)
    return torch.dot(flat, flat)


def scatter_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """`table[rows] = values` in place, rows distinct or repeated with the same values. `[R, E], [U], [U, E]`

    Elements are copied one by one, so rows are seen as few wide elements: at E = 16, four of 16 bytes take two thirds
    of the time of sixteen of 4, at E = 4 half of it. Below `GRAIN` elements `index_copy_` runs on one thread and takes
    about twice the time of `index_put_`; above it, it is the faster one.
    """
    if table.device.type != "cpu":
        table.index_copy_(0, rows, values)
        return
    size = table.shape[-1] * table.element_size()  # bytes of a row
    kind = torch.complex128 if size % 16 == 0 else torch.float64
    if size > 8 and size % 8 == 0 and _divides(kind, table) and _divides(kind, values):
        table, values = table.view(kind), values.view(kind)
    if values.numel() < GRAIN:
        table.index_put_((rows,), values)
    else:
        table.index_copy_(0, rows, values)


def _divides(kind: torch.dtype, tensor: Tensor) -> bool:
    """True if rows can be seen as whole `kind`s: they lie close together, and whole from the start."""
    ratio = kind.itemsize // tensor.element_size()
    whole = tensor.storage_offset() % ratio == 0 and tensor.stride(0) % ratio == 0  # a single row has any stride
    return tensor.is_contiguous() and whole


def _fused(name: str, w: Tensor, devices: tuple[str, ...] = ("cpu",)) -> Any:
    """Torch's fused kernel, one pass over all tensors of an update; None where there is none."""
    if w.device.type not in devices or w.dtype not in (torch.float32, torch.float64):
        return None
    return getattr(torch, f"_fused_{name}_", None)


class SparseSGD(SparseOptimizer):
    """`w = w - lr * g`."""

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        if l2:
            w.mul_(1 - 2 * l2 * lr)
        w.add_(grad, alpha=-lr)


class SparseAdagrad(SparseOptimizer):
    """Duchi et al. 2011: `s = s + g^2`, `w = w - lr * g / (sqrt(s) + eps)`."""

    state_names = ("sum",)
    options = ("eps",)
    eps = 1e-10

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        (total,) = state
        fused = _fused("adagrad", w)
        if fused is not None:
            how = {"lr": lr, "lr_decay": 0.0, "weight_decay": 2 * l2, "eps": self.eps, "maximize": False}
            fused([w], [grad], [total], [_count(step)], **how)
            return
        grad = grad.add(w, alpha=2 * l2) if l2 else grad
        total.addcmul_(grad, grad)
        w.addcdiv_(grad, total.sqrt().add_(self.eps), value=-lr)


class RowWiseAdagrad(SparseAdagrad):
    """Adagrad with one number a row: `s = s + mean(g^2)`, `w = w - lr * g / (sqrt(s) + eps)`.

    (Gupta, Bengio, Weston: "Training Highly Multiclass Classifiers", JMLR 2014, section 4.4; the optimizer of
    large-scale recommenders such as DLRM, since its state is 1 / E of a table.)
    """

    def state_shape(self, name: str, weight: Tensor) -> tuple[int, ...]:
        return (len(weight), 1)

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        (total,) = state
        grad = grad.add(w, alpha=2 * l2) if l2 else grad
        total.add_(grad.square().mean(dim=1, keepdim=True))
        w.addcmul_(grad, total.sqrt().add_(self.eps).reciprocal_(), value=-lr)


class SparseRMSprop(SparseOptimizer):
    """`s = alpha * s + (1 - alpha) * g^2`, `w = w - lr * g / (sqrt(s) + eps)`; s of an absent row does not fade."""

    state_names = ("square_avg",)
    options = ("alpha", "eps")
    alpha, eps = 0.99, 1e-8

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        (square,) = state
        grad = grad.add(w, alpha=2 * l2) if l2 else grad
        square.mul_(self.alpha).addcmul_(grad, grad, value=1 - self.alpha)
        w.addcdiv_(grad, square.sqrt().add_(self.eps), value=-lr)


class LazyAdam(SparseOptimizer):
    """Kingma and Ba 2015, algorithm 1, lazily: averages of an absent row do not fade.

    The bias correction counts every update of the weight, not the updates of a row.
    """

    state_names: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    options: ClassVar[tuple[str, ...]] = ("betas", "eps")
    usual_lr = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps = 1e-8

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        mean, square = state[:2]
        beta1, beta2 = self.betas
        fused = _fused("adam", w, ("cpu", "cuda"))
        if fused is not None:
            how = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": 2 * l2, "eps": self.eps}
            fused([w], [grad], [mean], [square], [], [_count(step, w)], **how, amsgrad=False, maximize=False)
            return
        grad = grad.add(w, alpha=2 * l2) if l2 else grad
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        scale = square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(self.eps)
        w.addcdiv_(mean, scale, value=-lr / (1 - beta1**step))


class LazyAdamW(LazyAdam):
    """`LazyAdam` under the name of AdamW: without decoupled decay, as the named dense `adamw`, the two agree."""


class DecayedLazyAdam(LazyAdam):
    """`LazyAdam` whose averages fade during the steps that did not see a row, all at once when it comes back.

    The averages are then those of the dense Adam without penalty; what is still left out is its motion of absent rows.
    """

    state_names: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq", "last")

    def state_shape(self, name: str, weight: Tensor) -> tuple[int, ...]:
        return (len(weight), 1) if name == "last" else tuple(weight.shape)

    def change(self, w: Tensor, grad: Tensor, *state: Tensor, lr: float, step: int, l2: float) -> None:
        mean, square, last = state
        unseen = (step - 1 - last).clamp_(min=0)  # [U, 1]
        mean.mul_(torch.pow(self.betas[0], unseen))
        square.mul_(torch.pow(self.betas[1], unseen))
        last.fill_(step)
        super().change(w, grad, mean, square, lr=lr, step=step, l2=l2)


def _count(step: int, like: Tensor | None = None) -> Tensor:
    """The number of the step as the fused kernels take it."""
    return torch.full((), float(step), device=None if like is None else like.device)  # torch.tensor waits for CUDA


SPARSE_OPTIMIZERS: Registry[type[SparseOptimizer]] = Registry(
    "row-sparse optimizer",
    {
        **{"adagrad": SparseAdagrad, "adam": LazyAdam, "adamw": LazyAdamW},
        **{"rmsprop": SparseRMSprop, "rowwise_adagrad": RowWiseAdagrad, "sgd": SparseSGD},
    },
)


def default_lr(name: str) -> float:
    """The learning rate of a named optimizer when none is given.

    >>> default_lr("Adagrad")
    0.01
    """
    check_choice("optimizer", name.lower(), SPARSE_OPTIMIZERS)
    return SPARSE_OPTIMIZERS.get(name.lower()).usual_lr


def make_sparse_optimizer(
    spec: str | Mapping[str, Any], weights: Iterable[nn.Parameter], lr: float | None = None
) -> SparseOptimizer:
    """A row-sparse optimizer by name; `lr` as for `make_optimizer`.

    Args:
        spec: a name, or a dict of a name and options: {"name": "adam", "betas": (0.9, 0.99)}; "decay_unseen": True
            gives an Adam whose averages fade while a row is absent (`DecayedLazyAdam`).

    >>> table = nn.Parameter(torch.ones(3, 2))
    >>> optimizer = make_sparse_optimizer("sgd", [table], lr=0.5)
    >>> _ = optimizer.update(table, torch.tensor([1]), torch.ones(1, 2))
    >>> table.detach()
    tensor([[1.0000, 1.0000],
            [0.5000, 0.5000],
            [1.0000, 1.0000]])
    """
    name, options = parse_optimizer(spec)
    build = SPARSE_OPTIMIZERS.get(name)
    if options.pop("decay_unseen", False):
        build = DecayedLazyAdam
    return build(weights, lr, **options)


def parse_optimizer(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, options) of an optimizer given by name or as a dict.

    Raises:
        ValueError: a dict without a name, an option the optimizer does not have.
    """
    if isinstance(spec, str):
        return spec.lower(), {}
    options = dict(spec)
    if not isinstance(options.get("name"), str):
        raise ValueError(f"an optimizer given as a dict must have a 'name', such as {{'name': 'adam'}}, got {spec!r}")
    name = options.pop("name").lower()
    if name in SPARSE_OPTIMIZERS:
        known = sorted([*SPARSE_OPTIMIZERS.get(name).options, *(["decay_unseen"] if name == "adam" else [])])
        wrong = [o for o in options if o not in known]
        if wrong:
            raise ValueError(f"optimizer {name!r} takes the options {known}, got {wrong[0]!r}")
    return name, options


DENSE_ONLY = (  # options of torch's optimizers that no row rule has
    "amsgrad",
    "capturable",
    "centered",
    "dampening",
    "differentiable",
    "lr_decay",
    "maximize",
    "momentum",
    "nesterov",
)


def unknown_option(group: dict[str, Any], optimizer: optim.Optimizer) -> str | None:
    """The name of an option of a parameter group that only dense steps follow; None where rows can follow it."""
    decoupled = isinstance(optimizer, optim.AdamW) or group.get("decoupled_weight_decay")
    names = [*DENSE_ONLY, "weight_decay"] if decoupled else DENSE_ONLY
    return next((name for name in names if group.get(name)), None)


class SharedStateOptimizer(RowOptimizer):
    """Moves rows of a torch optimizer's tables as a row-sparse rule does, with the optimizer's rate, options and state.

    The optimizer itself moves everything else: it leaves parameters without a gradient alone. So there is one
    optimizer, whose schedulers, hooks and states are the same whether its tables are updated densely or by rows.

    Args:
        rule: made of the tables; its own rate and options are not used.
        optimizer: it has the tables in its groups.
    """

    def __init__(self, rule: SparseOptimizer, optimizer: optim.Optimizer) -> None:
        self.rule, self.optimizer = rule, optimizer
        self.tables: list[nn.Parameter] = rule.param_groups[0]["params"]
        self._groups: list[dict[str, Any]] | None = None  # those of `_group`
        self._group: dict[nn.Parameter, dict[str, Any]] = {}
        self._known: dict[nn.Parameter, dict[str, Any]] = {}  # states that the rule works on

    def unsupported_option(self) -> str | None:
        """An option of the tables' groups, as it is set now, that rows cannot follow."""
        found = (unknown_option(self.group_of(table), self.optimizer) for table in self.tables)
        return next((name for name in found if name), None)

    def prepare(self) -> None:
        """Before the first step of a fit: the optimizer may have been stepped, loaded or changed since the last."""
        option = self.unsupported_option()
        if option is not None:
            raise ValueError(f"embedding_update='sparse' needs an optimizer without {option}, which moves every row")
        self._known.clear()
        self.rule.state.clear()

    def next_state(self, weight: nn.Parameter) -> tuple[list[Tensor], int]:
        """Of the optimizer's state, whose options the rule takes over."""
        rule, group, state = self.rule, self.group_of(weight), self.optimizer.state[weight]
        if self._known.get(weight) is not state:
            self._share(weight, state)
        for name in rule.options:
            setattr(rule, name, group[name])
        state["step"] += 1
        return rule.next_state(weight)

    def group_of(self, weight: nn.Parameter) -> dict[str, Any]:
        """The group of the optimizer that has a weight."""
        groups = self.optimizer.param_groups
        if groups is not self._groups or weight not in self._group:
            self._groups, self._group = groups, {p: group for group in groups for p in group["params"]}
        return self._group[weight]

    @torch.no_grad()
    def _share(self, weight: nn.Parameter, state: dict[str, Any]) -> None:
        """Let the rule work on the tensors of the optimizer's state of a table; what is missing starts from 0."""
        rule, group = self.rule, self.group_of(weight)
        steps = int(state["step"]) if "step" in state else 0
        if not isinstance(state.get("step"), Tensor):
            on = weight.device if group.get("fused") or group.get("capturable") else None
            state["step"] = torch.full((), float(steps), device=on)
        for name in rule.state_names:
            shape = rule.state_shape(name, weight)
            if name not in state:
                state[name] = new_filled(weight, shape, steps if name == "last" else 0)  # dense averages are up to date
            if tuple(state[name].shape) != shape:
                raise ValueError(f"state {name!r} of a table must have shape {shape}, got {tuple(state[name].shape)}")
        shared = {name: state[name].detach() for name in rule.state_names}
        rule.state[weight] = {"step": steps, **shared}
        self._known[weight] = state
