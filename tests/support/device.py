"""A device that cannot be waited for: torch's meta device, watched for what would make a program wait on CUDA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deepctr_torch.data.batch import LabeledBatch
from deepctr_torch.features import Batch

META = torch.device("meta")
FROM_HOST = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, torch.Tensor.tolist, torch.Tensor.numpy)


class _NoMixing(TorchDispatchMode):
    """No operation over host and device but for single numbers, which travel with the call."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs or {})) if isinstance(t, Tensor)]
        kinds = {t.device.type for t in tensors if t.dim() or func is torch.ops.aten.index.Tensor}
        if len(kinds) > 1:
            raise AssertionError(f"{func} reads from {sorted(kinds)}: it copies from the host and waits")
        return func(*args, **(kwargs or {}))


class _NoCopies(TorchFunctionMode):
    """No tensor made of numbers of the host on the device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in FROM_HOST and isinstance(out, Tensor) and out.device.type != "cpu":
            raise AssertionError(f"{func.__name__}(..., device=...) copies from the host and waits")
        return out


@contextlib.contextmanager
def never_waits() -> Iterator[None]:
    """Inside, whatever would wait for the device raises: reading a number of it, a shape that depends on its numbers
    (`nonzero`, a mask as an index, `unique`), copying to it or from it."""
    with _NoMixing(), _NoCopies():
        yield


def on_meta(example: LabeledBatch) -> LabeledBatch:
    """The example with the shapes of its tensors alone."""
    batch = Batch(example.batch.ids.to(META), example.batch.dense.to(META), example.batch.widths)
    y, weight = (None if t is None else t.to(META) for t in (example.y, example.weight))
    return example._replace(batch=batch, y=y, weight=weight)


def step_on_meta(model: Any, example: LabeledBatch, *, batch_size: int = 8, steps: int = 2) -> Sequence[Tensor]:
    """Steps of a model built on the meta device; returns the shapes of prediction and loss of the last one."""
    update, compiled = model._update, model._compiled
    update.resolve_mode(model, batch_size)
    update.prepare(compiled, model, batch_size)
    model.train()
    moved = on_meta(example)
    out: Sequence[Tensor] = ()
    for _ in range(steps):
        with never_waits():
            out = update.step(model, compiled, moved)
    return out
