"""A training step: it moves all weights (dense), or of the tables only the rows of the batch (sparse)."""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._checks import check_non_negative
from .._memory import keep_freed
from ..data.batch import LabeledBatch
from ..embedding import EmbeddingCollection
from ..embedding.sparse_grad import coalesce_grads, lookup_as_leaves
from ..features import input_width
from ..optim.combined import (
    OPTIMIZERS,
    CombinedOptimizer,
    OptimizerLike,
    OptimizerSpec,
    merge_state,
    needs_sparse_gradients,
    takes_sparse_gradients,
)
from ..optim.cowclip import CowClip
from ..optim.dense_step import DenseStep, zero_grads
from ..optim.regularizer import Regularizer
from ..optim.sparse import RowOptimizer, SharedStateOptimizer, SparseOptimizer
from ..optim.sparse_step import SparseStep
from .compile_config import CompileConfig
from .evaluation import Predicted, mean_of_members, predict_batch, predict_members
from .finite import check_gradients, check_loss

__all__ = ["TrainStep", "resolve_embedding_update", "warn_of_all_rows"]


log = logging.getLogger("deepctr_torch")

USUAL_BATCH = 256
Span = Callable[[str], Any]


class TrainStep:
    """Moves the weights of a model; lives as long as its compilation, so that optimizer state survives a fit.

    Args:
        model: what is trained.
        optimizer: name, dict of a name and options, torch optimizer class or instance.
        learning_rate: None for the optimizer's own.
        embedding_optimizer, embedding_lr: for the tables, where they differ.
        mode: "auto" (decided at the first fit), "dense" or "sparse".
        large_batch: how to follow the batch size.

    Attributes:
        optimizer: has `param_groups`, `zero_grad`, `step`, `state_dict`; the same object for good.
        mode: how the tables are updated.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: OptimizerLike,
        learning_rate: float | None = None,
        embedding_optimizer: OptimizerLike | None = None,
        embedding_lr: float | None = None,
        mode: str = "auto",
        large_batch: CowClip | None = None,
    ) -> None:
        self.large_batch = large_batch
        self._explicit = mode != "auto"
        self.spec = OptimizerSpec(optimizer, learning_rate, embedding_optimizer, embedding_lr)
        self.named = self.spec.named
        self.tables = _table_weights(model)
        if isinstance(optimizer, Optimizer) and (embedding_optimizer is not None or embedding_lr is not None):
            raise ValueError("embedding_optimizer and embedding_lr go with an optimizer given by name, got an instance")
        for name, rate in (("learning_rate", learning_rate), ("embedding_lr", embedding_lr)):
            if rate is not None:
                check_non_negative(name, rate)
        self._batch_size: int | None = None
        self._by_rows = self._sparse = False
        self._rates: list[tuple[float, float]] = []  # base and last set learning rate of each group
        self._score: Callable[..., Any] | None = None
        self._dense_step, self._sparse_step = DenseStep(), SparseStep()
        self.span: Span = contextlib.nullcontext
        self.optimizer: Optimizer = self._build_optimizer(model, mode)
        self._load_other_layouts()
        self.set_mode(mode)

    def _build_optimizer(self, model: nn.Module, mode: str) -> Any:
        if mode == "sparse" and self.named:
            return self.spec.row_optimizer(model, self.tables)
        made = self.spec.torch_optimizer(model, self.tables, self.large_batch is not None)
        if mode == "sparse" and not takes_sparse_gradients(made):
            raise ValueError(
                "embedding_update='sparse' needs an optimizer given by name, or an instance that takes sparse "
                f"gradients (SparseAdam; SGD or Adagrad without momentum and decay), got {made!r}"
            )
        if any(g.get("fused") and not all(p.is_contiguous() for p in g["params"]) for g in made.param_groups):
            raise ValueError(
                "an optimizer with fused=True needs contiguous weights, which tables of this model are not: make it "
                "with foreach=True, or give its name"
            )
        if mode == "dense" and needs_sparse_gradients(made):
            raise ValueError("embedding_update='dense' needs an optimizer that takes dense gradients, got SparseAdam")
        return made

    def _load_other_layouts(self) -> None:
        """So that a state made with "sparse" can be loaded where all parameters are in one group."""
        if self.named and not isinstance(self.optimizer, CombinedOptimizer):
            self.optimizer.register_load_state_dict_pre_hook(functools.partial(merge_state, tables=self.tables))

    def resolve_mode(self, model: Any, batch_size: int | None) -> None:
        """Before each fit: settle "auto" if it is not; the choice stays for as long as the model is compiled this way.

        Args:
            batch_size: rows a step; None where a stream does not tell.
        """
        self._batch_size = batch_size
        if self.mode != "auto":
            return
        plain = not (model.overrides_forward or model.overrides_penalty) and _can_step_by_rows(model)
        wanted = resolve_embedding_update(model, batch_size or USUAL_BATCH) if plain else "dense"
        if plain and needs_sparse_gradients(self.optimizer):
            wanted = "sparse"
        mode = wanted if wanted == "dense" or self._can_update_rows() else "dense"
        if wanted != mode and not self.named:
            warn_of_all_rows(self.optimizer, sum(len(w) for w in self.tables))
        log.info("embedding_update=%r", mode)
        self.set_mode(mode)

    def _can_update_rows(self) -> bool:
        """True if the optimizer, as it is set now, can move rows alone."""
        return (
            self._shared_state().unsupported_option() is None if self.named else takes_sparse_gradients(self.optimizer)
        )

    def set_mode(self, mode: str) -> None:
        """From now on the tables are updated this way; "auto": to be decided."""
        self.mode = mode
        self._rows: RowOptimizer | None = None
        if mode == "sparse" and self.named:
            last = getattr(self.optimizer, "members", [None])[-1]
            self._rows = last if isinstance(last, SparseOptimizer) else self._shared_state()

    def _shared_state(self) -> SharedStateOptimizer:
        """The tables' rows, moved with rate, options and state of the torch optimizer that has them."""
        last = getattr(self.optimizer, "members", [self.optimizer])[-1]
        return SharedStateOptimizer(self.spec.row_rule(self.tables), last)

    def prepare(
        self, compiled: CompileConfig, model: Any, batch_size: int | None = None, span: Span = contextlib.nullcontext
    ) -> None:
        """Before the first step of a fit with batches of `batch_size` rows (None for those of `resolve_mode`).

        Args:
            span: a context around each part of a step, by its name.

        Raises:
            ValueError: the model overrides `forward`, and what was asked for needs lookup and model apart.
        """
        if model.overrides_forward and (self.mode == "sparse" or compiled.torch_compile):
            what = "embedding_update='sparse'" if self.mode == "sparse" else "torch_compile=True"
            raise ValueError(f"{what} needs a model that defines logits(fields), got one that overrides forward(X)")
        if model.overrides_penalty and self.mode == "sparse":
            raise ValueError("embedding_update='sparse' needs the penalty of BaseModel, got an override of it")
        if self.mode != "sparse" and needs_sparse_gradients(self.optimizer):
            raise ValueError(
                "SparseAdam needs an instance or class alone, and a model that defines logits(fields) and keeps the "
                "penalty of BaseModel: tables have no sparse gradients otherwise"
            )
        if self.large_batch is not None and (not self.named or model.overrides_forward):
            raise ValueError("large_batch needs an optimizer given by name, and a model that defines logits(fields)")
        keep_freed()
        self.span = span
        penalty = Regularizer([] if model.overrides_penalty else model.regularization_weight)
        if self.large_batch is not None:
            size, sparse = self._scale_for(self.large_batch, batch_size or self._batch_size), self.mode == "sparse"
            penalty = self.large_batch.strengthen(penalty, self.tables, size, compiled.reduction, sparse)
        self._follow_replaced_tables(model)
        self._by_rows = not model.overrides_forward and _can_step_by_rows(model)
        tables = model.embedding.tables if self._by_rows else []
        self._sparse = self.mode == "sparse" and self._by_rows
        if self.mode == "sparse" and self._explicit and not self._by_rows:
            raise ValueError(
                "embedding_update='sparse' needs tables that are plain nn.Embedding modules with weights of their own, "
                "without hooks, padding_idx or max_norm; with others use embedding_update='dense'"
            )
        if self._sparse:
            self._sparse_step.prepare(self._rows, self.optimizer, penalty, tables, self.tables)
        else:
            self._dense_step.prepare(self.named, self.optimizer, penalty, tables)
        if compiled.torch_compile:
            self.compile_score(model)
        self._rates = [(group["lr"], group["lr"]) for group in self.optimizer.param_groups]

    def follow(self, model: Any, compiled: CompileConfig) -> None:
        """Between two steps of a fit: prepare anew if somebody took a weight out of its table, or replaced a table."""
        tables = model.embedding.tables if self._by_rows else []
        if not all(table.is_laid() for table in tables):
            rates = self._rates
            self.prepare(compiled, model, span=self.span)
            self._rates = rates

    def _follow_replaced_tables(self, model: nn.Module) -> None:
        """Let a named optimizer move the tables that were put into the place of others since `compile`."""
        now = _table_weights(model)
        new = {old: p for old, p in zip(self.tables, now, strict=False) if old is not p}
        known = {p for group in self.optimizer.param_groups for p in group["params"]}
        if not self.named or len(now) != len(self.tables) or not new or known.intersection(new.values()):
            return
        for group in self.optimizer.param_groups:
            group["params"] = [new.get(p, p) for p in group["params"]]
        for member in getattr(self.optimizer, "members", [self.optimizer]):
            for old in new:
                member.state.pop(old, None)
        self.tables = now
        self.set_mode(self.mode)

    def _scale_for(self, large: CowClip, batch_size: int | None) -> int:
        """Learning rates for batches of this size: once, and again where a later fit has others.

        The factor is kept in the group, so that it is saved and loaded along with the rate.
        """
        if batch_size is None:
            raise ValueError(
                "large_batch needs the size of the stream's batches, which it does not tell: give batch_size"
            )
        tables, rate = set(self.tables), large.rate(batch_size)
        for group in self.optimizer.param_groups:
            if not tables.intersection(group["params"]):
                group["lr"] *= rate / group.get("large_batch_rate", 1.0)
                group["large_batch_rate"] = rate
        return batch_size

    def compile_score(self, model: Any) -> Callable[..., Any]:
        """All that comes after the lookup, compiled once: `predict_members` of the model."""
        if self._score is None:
            self._score = torch.compile(functools.partial(predict_members, model))
        return self._score

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

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, before `prepare`."""
        self.optimizer.load_state_dict(dict(state))

    def replace(self, optimizer: Optimizer) -> None:
        """Go on with another torch optimizer, over dense gradients if it takes them."""
        self.spec, self.optimizer, self.named, self._rates = OptimizerSpec(optimizer), optimizer, False, []
        self.set_mode("sparse" if needs_sparse_gradients(optimizer) else "dense")

    def __getstate__(self) -> dict[str, Any]:
        # compiled code belongs to one model, and so does a span that times its steps
        steps = {"_dense_step": DenseStep(), "_sparse_step": SparseStep()}
        return {**self.__dict__, **steps, "_score": None, "span": contextlib.nullcontext}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load_other_layouts()  # copies of optimizers have no hooks

    def step(self, model: Any, compiled: CompileConfig, example: LabeledBatch) -> tuple[Tensor, Tensor]:
        """One step: (predictions before it, its loss with penalty).

        Raises:
            NonFiniteError: on the CPU, before anything is moved.
        """
        zero_grads(self.optimizer)
        if not self._by_rows:
            return self._whole_step(model, compiled, example)
        embedding, batch, span = model.embedding, example.batch, self.span
        with span("lookup"):
            indices = embedding.indices(batch)
            rows = lookup_as_leaves(embedding, indices)
        with span("forward"):
            with self._autocast(compiled, example):
                found = predict_members(model, batch, rows) if self._score is None else self._score(batch, rows)
            loss = self._loss(model, compiled, example, found)
            waits = loss.device.type == "cpu"  # elsewhere the loop looks at the loss of a moment ago
            if waits:
                check_loss(model, loss, [prediction for prediction, _ in found])
        with span("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with span("update"):
            if self._sparse:
                self._sparse_step.refresh(self.optimizer)
            grads = coalesce_grads(embedding, batch, indices, rows, self._sparse_step.parts if self._sparse else None)
            if waits:
                check_gradients(model, self._parameters(), grads)
            if self.large_batch is not None:
                self.large_batch.clip(grads, len(batch.ids), compiled.reduction)
            move = self._sparse_step if self._sparse else self._dense_step
            penalty = move(self.optimizer, grads, compiled.clip_norm)
            return _seen(found, loss, penalty)

    def _whole_step(self, model: Any, compiled: CompileConfig, example: LabeledBatch) -> tuple[Tensor, Tensor]:
        """A step of a model with a `forward(X)` of its own, whose lookups nobody sees."""
        with self.span("forward"):
            with self._autocast(compiled, example):
                if model.overrides_forward:
                    found = [predict_batch(model, example.batch)]
                else:
                    found = predict_members(model, example.batch, model.embedding.lookup(example.batch))
            loss = self._loss(model, compiled, example, found)
            if loss.device.type == "cpu":
                check_loss(model, loss, [prediction for prediction, _ in found])
        with self.span("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with self.span("update"):
            if loss.device.type == "cpu":
                check_gradients(model, self._parameters(), [])
            penalty = self._dense_step(self.optimizer, [], compiled.clip_norm)
            return _seen(found, loss, penalty)

    def _parameters(self) -> Iterator[nn.Parameter]:
        return (p for group in self.optimizer.param_groups for p in group["params"])

    def _loss(self, model: Any, compiled: CompileConfig, example: LabeledBatch, found: Sequence[Predicted]) -> Tensor:
        """The loss of a batch; of an ensemble the sum over its members: each learns as if it were alone."""
        if example.y is None:
            raise ValueError("training needs labels, got none")
        learned = getattr(model, "task_log_variances", None)
        losses = []
        for prediction, extra in found:
            loss = compiled.data_loss(prediction, example.y, example.weight, learned, example.complete)
            if extra is not None:
                if example.weight is not None and extra.shape == example.weight.shape:
                    extra = extra * example.weight
                loss = loss + (extra.sum() if compiled.reduction == "sum" or extra.numel() == 1 else extra.mean())
            losses.append(loss)
        total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        return total + model.get_regularization_loss().sum() if model.overrides_penalty else total

    def _autocast(self, compiled: CompileConfig, example: LabeledBatch) -> Any:
        if compiled.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(example.batch.ids.device.type, dtype=torch.bfloat16)


def _seen(found: Sequence[Predicted], loss: Tensor, penalty: Tensor | float) -> tuple[Tensor, Tensor]:
    """Predictions of a step, and its loss with penalty: means of the members of an ensemble."""
    whole = loss.detach() + penalty
    return mean_of_members(found)[0].detach(), whole if len(found) == 1 else whole / len(found)


def _can_step_by_rows(model: Any) -> bool:
    """True if the tables can be read and moved together, outside autograd; lays those anew that were taken out."""
    tables = model.embedding.tables
    return model.embedding.refresh() and all(t.is_plain() and not t.is_partly_frozen() for t in tables)


def _table_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of all tables."""
    collections = (module for module in model.modules() if isinstance(module, EmbeddingCollection))
    return list(dict.fromkeys(w for tables in collections for name in tables.configs for w in tables.weights_of(name)))


LARGE = 100_000  # rows of tables from which a dense update by choice of the optimizer is worth a warning


def resolve_embedding_update(model: Any, batch_size: int) -> str:
    """ "dense" where a batch holds at least 4 ids for every 3 rows of the tables, else "sparse".

    Every table and every lookup counts once; the linear part does not count unless it is all there is.
    """
    parts = model.embedding.parts
    counted = {n: p for n, p in parts.items() if not n.endswith("linear") and p.columns} or parts
    rows = sum(config.num_embeddings for p in counted.values() for config in p.tables.configs.values())
    ids = batch_size * sum(input_width(c) for p in counted.values() for c in p.columns)
    return "dense" if 3 * ids >= 4 * rows else "sparse"


def warn_of_all_rows(optimizer: Optimizer, rows: int) -> None:
    """Say that an optimizer of the user's moves all rows of large tables, and which ones would not."""
    name = type(optimizer).__name__
    known = f"compile({name.lower()!r}, ...), the optimizer by name, updates"
    if name.lower() not in OPTIMIZERS:
        known = f"the optimizers that compile knows by name ({', '.join(OPTIMIZERS)}) update"
    if rows >= LARGE:
        warnings.warn(
            f"{name} updates all {rows:,} rows of the tables at every step; {known} only those of the batch",
            stacklevel=4,
        )
