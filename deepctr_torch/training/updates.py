"""How a step moves the weights: all of them (dense), or of the tables only the rows of the batch (sparse)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._checks import check_non_negative
from ..data.sources import Example
from ..features import Batch
from ..layers.embedding import EmbeddingTables
from .compiled import Compiled
from .gradients import FrozenRows, clip_gradients
from .optim import JointOptimizer, make_optimizer
from .penalty import Penalty
from .row_optim import make_row_optimizer, sum_rows

__all__ = ["Update", "choose_update"]

log = logging.getLogger("deepctr_torch")


def choose_update(model: Any, batch_size: int) -> str:
    """ "dense" where a batch holds at least 4 ids for every 3 rows of the tables, else "sparse".

    Every table and every lookup counts once; the linear part does not count unless it is all there is.
    """
    parts = model.embedding.parts
    counted = {n: p for n, p in parts.items() if n != "linear" and p.columns} or parts
    rows = sum(p.tables.where(t)[0].rows for p in counted.values() for t in p.tables)
    ids = batch_size * sum(getattr(c, "maxlen", 1) for p in counted.values() for c in p.columns)
    return "dense" if 3 * ids >= 4 * rows else "sparse"


def _with_task_weights(optimizer: Optimizer, model: nn.Module) -> Optimizer:
    """An optimizer of the user's knows the parameters from before `compile`; learned task weights are newer."""
    learned = getattr(model, "task_log_variances", None)
    if learned is not None and all(learned is not p for group in optimizer.param_groups for p in group["params"]):
        optimizer.add_param_group({"params": [learned]})
    return optimizer


class Update:
    """Moves the weights of a model; lives as long as its compilation, so that optimizer state survives a fit.

    Args:
        model: what is trained.
        optimizer: name, torch optimizer class or instance.
        learning_rate: None for the optimizer's own.
        embedding_optimizer, embedding_lr: for the tables, where they differ.
        mode: "auto" (decided at the first fit), "dense" or "sparse".

    Attributes:
        optimizer: has `param_groups`, `zero_grad`, `step`, `state_dict`.
        mode: how the tables are updated.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        learning_rate: float | None = None,
        embedding_optimizer: str | None = None,
        embedding_lr: float | None = None,
        mode: str = "auto",
    ) -> None:
        self.spec = (optimizer, learning_rate, embedding_optimizer, embedding_lr)
        self.tables = [w for m in model.modules() if isinstance(m, EmbeddingTables) for w in m.weights.values()]
        if mode == "sparse" and not isinstance(optimizer, str):
            raise ValueError("embedding_update='sparse' needs an optimizer given by name, got an instance or class")
        if isinstance(optimizer, Optimizer) and (embedding_optimizer is not None or embedding_lr is not None):
            raise ValueError("embedding_optimizer and embedding_lr go with an optimizer given by name, got an instance")
        for name, rate in (("learning_rate", learning_rate), ("embedding_lr", embedding_lr)):
            if rate is not None:
                check_non_negative(name, rate)
        self.mode = mode
        self._rates: list[tuple[float, float]] = []  # base and last set learning rate of each group
        self._score: Callable[..., Any] | None = None
        self._penalty = Penalty([])
        self.optimizer: Any = self._sparse(model) if mode == "sparse" else self._dense(model)

    def _dense(self, model: nn.Module) -> Any:
        optimizer, rate, table_optimizer, table_rate = self.spec
        if isinstance(optimizer, Optimizer):
            own = set(model.parameters())
            if not any(p in own for group in optimizer.param_groups for p in group["params"]):
                raise ValueError("the optimizer must be made of model.parameters(), got one of other parameters")
            return _with_task_weights(make_optimizer(optimizer, [], rate), model)
        if (table_optimizer is None and table_rate is None) or not self.tables:
            return make_optimizer(optimizer, model.parameters(), rate)
        table_rate = rate if table_rate is None and table_optimizer is None else table_rate
        tables = make_optimizer(table_optimizer or optimizer, self.tables, table_rate)
        rest = self._rest(model)
        return JointOptimizer([make_optimizer(optimizer, rest, rate), tables]) if rest else tables

    def _sparse(self, model: nn.Module) -> Any:
        optimizer, rate, table_optimizer, table_rate = self.spec
        table_rate = rate if table_rate is None and table_optimizer is None else table_rate
        rows = make_row_optimizer(table_optimizer or optimizer, self.tables, table_rate)
        rest = self._rest(model)
        return JointOptimizer([make_optimizer(optimizer, rest, rate), rows] if rest else [rows])

    def _rest(self, model: nn.Module) -> list[nn.Parameter]:
        known = set(self.tables)
        return [p for p in model.parameters() if p not in known]

    def decide(self, model: Any, batch_size: int) -> None:
        """Settle "auto"; the choice stays for as long as the model is compiled this way."""
        if self.mode != "auto":
            return
        named = isinstance(self.spec[0], str) and not (model.overrides_forward or model.overrides_penalty)
        self.mode = choose_update(model, batch_size) if named else "dense"
        log.info("embedding_update=%r", self.mode)
        if self.mode == "sparse":
            before = [group["lr"] for group in self.optimizer.param_groups]  # may have been changed since compile
            self.optimizer = self._sparse(model)
            for i, group in enumerate(self.optimizer.param_groups):
                group["lr"] = before[min(i, len(before) - 1)]

    def begin(self, compiled: Compiled, model: Any) -> None:
        """Before the first step of a fit.

        Raises:
            ValueError: the model overrides `forward`, and what was asked for needs lookup and model apart.
        """
        if model.overrides_forward and (self.mode == "sparse" or compiled.torch_compile):
            what = "embedding_update='sparse'" if self.mode == "sparse" else "torch_compile=True"
            raise ValueError(f"{what} needs a model that defines logits(fields), got one that overrides forward(X)")
        if model.overrides_penalty and self.mode == "sparse":
            raise ValueError("embedding_update='sparse' needs the penalty of BaseModel, got an override of it")
        penalty = Penalty([] if model.overrides_penalty else model.regularization_weight)
        self._table_penalty = penalty
        self._penalty = penalty.without(self.tables) if self.mode == "sparse" else penalty
        if compiled.torch_compile and self._score is None:
            self._score = torch.compile(model.score)
        self._rates = [(group["lr"], group["lr"]) for group in self.optimizer.param_groups]

    def scale_lr(self, multiplier: float) -> None:
        """Learning rates = multiplier times the base ones; what a callback made of a rate goes into its base."""
        for i, group in enumerate(self.optimizer.param_groups):
            base = self._base(i, group["lr"])
            group["lr"] = base * multiplier
            self._rates[i] = (base, group["lr"])

    def _base(self, i: int, now: float) -> float:
        """The learning rate of group `i`, now `now`, without the multiplier of a schedule."""
        base, last = self._rates[i] if i < len(self._rates) else (now, now)
        if now == last:
            return base
        return now if base == last or last == 0 else base * now / last

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimizer, with base learning rates, also in the middle of a schedule."""
        groups = self.optimizer.param_groups
        now = [group["lr"] for group in groups]
        try:
            for i, group in enumerate(groups):
                group["lr"] = self._base(i, now[i])
            state: dict[str, Any] = self.optimizer.state_dict()
            return state  # its groups are copies
        finally:
            for group, rate in zip(groups, now, strict=True):
                group["lr"] = rate

    def replace(self, optimizer: Any) -> None:
        """Go on with another torch optimizer, over dense gradients."""
        self.spec, self.mode, self.optimizer = (optimizer, None, None, None), "dense", optimizer
        self._rates = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_score": None}  # compiled code belongs to one model

    def step(self, model: Any, compiled: Compiled, example: Example) -> tuple[Tensor, Tensor]:
        """One step: (predictions before it, its loss with penalty)."""
        self.optimizer.zero_grad()
        if self.mode == "sparse":
            return self._sparse_step(model, compiled, example)
        rows: list[Tensor] = []
        leaves: list[Tensor] = []
        with self._autocast(compiled, example):
            if self._score is None:
                prediction, extra = model.objective(example.batch)
            else:  # what is compiled begins at leaves; their gradients go on into the tables below
                rows = model.embedding.lookup(example.batch)
                leaves = [r.detach().requires_grad_() for r in rows]
                prediction, extra = self._score(example.batch, leaves)
        loss = self._loss(model, compiled, example, prediction, extra)
        loss.backward()  # type: ignore[no-untyped-call]
        reached = [(r, leaf.grad) for r, leaf in zip(rows, leaves, strict=True) if leaf.grad is not None]
        if reached:
            torch.autograd.backward([r for r, _ in reached], [g for _, g in reached])
        logged = loss.detach() + self._penalty.value()
        self._penalty.add_gradients()
        frozen = FrozenRows(model)
        frozen.drop_gradients()
        if compiled.clip_norm is not None:
            clip_gradients(
                [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None],
                compiled.clip_norm,
            )
        with frozen:
            self.optimizer.step()
        return prediction.detach(), logged

    def _sparse_step(self, model: Any, compiled: Compiled, example: Example) -> tuple[Tensor, Tensor]:
        embedding, batch = model.embedding, example.batch
        indices = embedding.indices(batch)
        with torch.no_grad():
            gathered = embedding.gather(indices, batch.widths)
        rows = [r.requires_grad_(g.weight.requires_grad) for g, r in zip(embedding.groups, gathered, strict=True)]
        with self._autocast(compiled, example):
            prediction, extra = (self._score or model.score)(batch, rows)
        loss = self._loss(model, compiled, example, prediction, extra)
        loss.backward()  # type: ignore[no-untyped-call]
        touched = self._summed(embedding, batch, indices, rows)
        logged = loss.detach() + self._penalty.value() + self._penalize(touched)
        self._penalty.add_gradients()
        dense = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if compiled.clip_norm is not None:
            clip_gradients([*dense, *(g for _, _, g in touched)], compiled.clip_norm)
        self.optimizer.step()
        row_optimizer = self.optimizer.members[-1]
        for weight, distinct, summed in touched:
            row_optimizer.update(weight, distinct, summed)
        return prediction.detach(), logged

    @staticmethod
    def _summed(
        embedding: Any, batch: Batch, indices: Sequence[Tensor], rows: Sequence[Tensor]
    ) -> list[tuple[nn.Parameter, Tensor, Tensor]]:
        """(fused parameter, its distinct rows, their summed gradients) a group; a shared index is sorted once."""
        sharing: dict[tuple[int, ...], list[int]] = {}
        frozen: dict[int, Tensor] = {}
        for i, (group, index, row) in enumerate(zip(embedding.groups, indices, rows, strict=True)):
            if row.grad is None:
                continue
            if group.tables.frozen:
                frozen[i] = ~embedding.frozen_columns(group, batch.widths)
            sharing.setdefault((id(index), i if i in frozen else -1), []).append(i)
        touched = []
        for members in sharing.values():
            keep: Any = frozen.get(members[0], slice(None))
            index = indices[members[0]][:, keep].reshape(-1)
            widths = [embedding.groups[i].width for i in members]
            grads = [rows[i].grad[:, keep].reshape(-1, w) for i, w in zip(members, widths, strict=True)]  # type: ignore[index]
            distinct, summed = sum_rows(index, grads[0] if len(grads) == 1 else torch.cat(grads, dim=1))
            at = distinct.long()
            for i, part in zip(members, torch.split(summed, widths, dim=1), strict=True):
                touched.append((embedding.groups[i].weight, at, part))
        return touched

    @torch.no_grad()
    def _penalize(self, touched: Sequence[tuple[nn.Parameter, Tensor, Tensor]]) -> Tensor | float:
        """The penalty of the touched rows; its gradient joins theirs."""
        total: Tensor | float = 0.0
        for weight, distinct, gradient in touched:
            l1, l2 = self._table_penalty.of(weight)
            if not (l1 or l2):
                continue
            rows = weight.index_select(0, distinct)
            flat = rows.reshape(-1)
            total = total + l2 * torch.dot(flat, flat)
            gradient.add_(rows, alpha=2.0 * l2)
            if l1:
                total = total + l1 * flat.abs().sum()
                gradient.add_(rows.sign(), alpha=l1)
        return total

    def _loss(
        self, model: Any, compiled: Compiled, example: Example, prediction: Tensor, extra: Tensor | None
    ) -> Tensor:
        if example.y is None:
            raise ValueError("training needs labels, got none")
        loss = compiled.data_loss(prediction, example.y, example.weight, getattr(model, "task_log_variances", None))
        if extra is not None:
            if example.weight is not None and extra.shape == example.weight.shape:
                extra = extra * example.weight
            loss = loss + (extra.sum() if compiled.reduction == "sum" or extra.numel() == 1 else extra.mean())
        if model.overrides_penalty:
            loss = loss + model.get_regularization_loss().sum()
        return loss

    def _autocast(self, compiled: Compiled, example: Example) -> Any:
        device = example.batch.ids.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=compiled.precision == "bf16")
