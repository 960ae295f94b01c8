"""How a step moves the weights: all of them (dense), or of the tables only the rows of the batch (sparse)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.sources import Example
from ..layers.embedding import EmbeddingTables
from .compiled import Compiled
from .optim import make_optimizer
from .penalty import Penalty
from .row_optim import RowOptimizer, make_row_optimizer, sum_rows

__all__ = ["JointOptimizer", "Update", "choose_update"]

log = logging.getLogger("deepctr_torch")
CLIP_EPSILON = 1e-6


class JointOptimizer:
    """Several optimizers that look like one: `param_groups` of all, one `step`, one `state_dict`.

    Row optimizers are stepped by `Update`, which knows the rows.
    """

    def __init__(self, members: Sequence[Optimizer | RowOptimizer]) -> None:
        self.members = list(members)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for member in self.members for group in member.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for member in self.members:
            if isinstance(member, Optimizer):
                member.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        for member in self.members:
            if isinstance(member, Optimizer):
                member.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(i): member.state_dict() for i, member in enumerate(self.members)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, member in enumerate(self.members):
            member.load_state_dict(state[str(i)])


def choose_update(model: Any, batch_size: int) -> str:
    """ "dense" where a batch holds at least 4 ids for every 3 rows of the tables, else "sparse".

    Every table and every lookup counts once; the linear part does not count unless it is all there is.
    """
    parts = model.embedding.parts
    counted = {n: p for n, p in parts.items() if n != "linear"} or parts
    rows = sum(p.tables.where(t)[0].rows for p in counted.values() for t in p.tables)
    ids = batch_size * sum(getattr(c, "maxlen", 1) for p in counted.values() for c in p.columns)
    return "dense" if 3 * ids >= 4 * rows else "sparse"


class Update:
    """Moves the weights of a model; lives as long as its compilation, so that optimizer state survives over several fits.

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
        self.mode = mode
        self._rates: list[tuple[float, float]] = []  # base and last set learning rate of each group
        self._score: Callable[..., Any] | None = None
        self._penalty = Penalty([])
        self.optimizer: Any = self._sparse(model) if mode == "sparse" else self._dense(model)

    def _dense(self, model: nn.Module) -> Any:
        optimizer, rate, table_optimizer, table_rate = self.spec
        if isinstance(optimizer, Optimizer):
            return make_optimizer(optimizer, [], rate)
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
        packed = model.overrides_forward
        self.mode = "dense" if packed or not isinstance(self.spec[0], str) else choose_update(model, batch_size)
        log.info("embedding_update=%r", self.mode)
        if self.mode == "sparse":
            self.optimizer = self._sparse(model)

    def begin(self, compiled: Compiled, model: Any) -> None:
        """Before the first step of a fit."""
        penalty = Penalty([] if model.overrides_penalty else model.regularization_weight)
        self._table_penalty = penalty
        self._penalty = penalty.without(self.tables) if self.mode == "sparse" else penalty
        if compiled.torch_compile and self._score is None:
            self._score = torch.compile(model.score)
        self._rates = [(group["lr"], group["lr"]) for group in self.optimizer.param_groups]

    def scale_lr(self, multiplier: float) -> None:
        """Learning rates = multiplier times the base ones; what a callback did to a rate in between goes into its base."""
        for i, group in enumerate(self.optimizer.param_groups):
            base, last = self._rates[i]
            if group["lr"] != last and last > 0:
                base *= group["lr"] / last
            group["lr"] = base * multiplier
            self._rates[i] = (base, group["lr"])

    def step(self, model: Any, compiled: Compiled, example: Example) -> tuple[Tensor, Tensor]:
        """One step: (predictions before it, its loss with penalty)."""
        self.optimizer.zero_grad()
        if self.mode == "sparse":
            return self._sparse_step(model, compiled, example)
        with self._autocast(compiled, example):
            if self._score is not None:
                prediction, extra = self._score(example.batch, model.embedding.lookup(example.batch))
            else:
                prediction, extra = model.objective(example.batch)
        loss = self._loss(model, compiled, example, prediction, extra)
        loss.backward()  # type: ignore[no-untyped-call]
        logged = loss.detach() + self._penalty.value()
        self._penalty.add_gradients()
        if compiled.clip_norm is not None:
            _clip(
                [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None],
                compiled.clip_norm,
            )
        with _frozen_rows(model):
            self.optimizer.step()
        return prediction.detach(), logged

    def _sparse_step(self, model: Any, compiled: Compiled, example: Example) -> tuple[Tensor, Tensor]:
        embedding, batch = model.embedding, example.batch
        indices = embedding.indices(batch)
        with torch.no_grad():
            rows = [r.requires_grad_() for r in embedding.gather(indices, batch.widths)]
        with self._autocast(compiled, example):
            prediction, extra = (self._score or model.score)(batch, rows)
        loss = self._loss(model, compiled, example, prediction, extra)
        loss.backward()  # type: ignore[no-untyped-call]
        touched = []
        for group, index, row in zip(embedding.groups, indices, rows, strict=True):
            if row.grad is None:
                continue
            grad = row.grad
            if group.tables.frozen:
                keep = ~embedding.frozen_columns(group, batch.widths)
                index, grad = index[:, keep], grad[:, keep]
            distinct, summed = sum_rows(index.reshape(-1), grad.reshape(-1, group.width))
            touched.append((group.weight, distinct, summed))
        logged = loss.detach() + self._penalty.value() + self._rows_penalty(touched)
        self._penalty.add_gradients()
        dense = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if compiled.clip_norm is not None:
            _clip([*dense, *(g for _, _, g in touched)], compiled.clip_norm)
        self.optimizer.step()
        row_optimizer = self.optimizer.members[-1]
        for weight, distinct, summed in touched:
            row_optimizer.update(weight, distinct, summed, l2=self._table_penalty.l2_of(weight))
        return prediction.detach(), logged

    def _rows_penalty(self, touched: Sequence[tuple[nn.Parameter, Tensor, Tensor]]) -> Tensor | float:
        total: Tensor | float = 0.0
        for weight, distinct, _ in touched:
            l2 = self._table_penalty.l2_of(weight)
            if l2:
                flat = weight.detach().index_select(0, distinct).reshape(-1)
                total = total + l2 * torch.dot(flat, flat)
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


@torch.no_grad()
def _clip(gradients: Sequence[Tensor], limit: float) -> None:
    """Scale all gradients, in place, so that their common norm is at most `limit`."""
    if not gradients:
        return
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    scale = (limit / (norm + CLIP_EPSILON)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


class _frozen_rows:
    """Keeps the rows of frozen tables as they are through a dense step, whatever momentum or decay an optimizer has."""

    def __init__(self, model: nn.Module) -> None:
        self._rows = [m.rows(name) for m in model.modules() if isinstance(m, EmbeddingTables) for name in m.frozen]

    def __enter__(self) -> None:
        self._saved = [rows.clone() for rows in self._rows]

    def __exit__(self, *error: object) -> None:
        for rows, saved in zip(self._rows, self._saved, strict=True):
            rows.copy_(saved)
