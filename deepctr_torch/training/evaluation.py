"""Predictions over a whole source, and metrics over all its rows, never averages over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..data.batch import DataSource, LabeledBatch
from ..data.device import on_device, to_device
from ..data.negative_sampling import correct_probability
from ..features import Batch, rows_packed
from ..metrics.state import MetricState, TensorBuffer
from ..registry import suggest
from .compile_config import CompileConfig
from .protocol import Trainable

if TYPE_CHECKING:
    from .step import TrainStep

__all__ = [
    "Predict",
    "Predicted",
    "device_of",
    "evaluate_source",
    "mean_of_members",
    "predict_all",
    "predict_batch",
    "predict_layers",
    "predict_members",
    "predict_source",
    "predictor",
]

Predicted: TypeAlias = tuple[Tensor, Tensor | None]  # predictions, and an auxiliary loss a sample or None
Predict: TypeAlias = Callable[[Batch], Predicted]

PREDICT_ROWS = 4096  # blocks of predict and evaluate are at least this large; the result does not depend on it


def device_of(model: Trainable) -> torch.device:
    """Return the device of the model's weights."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@torch.inference_mode()
def predict_source(
    model: Trainable, source: DataSource, batch_size: int, predict: Predict | None = None
) -> Iterator[tuple[LabeledBatch, Tensor]]:
    """Yield batches in the order of the source, with predictions in evaluation mode, corrected for sampled negatives.

    Args:
        model: predicts.
        source: yields the batches.
        batch_size: rows of a batch, at least `PREDICT_ROWS` where the source lets it be chosen.
        predict: what predicts a batch, such as compiled code of the model; `predict_batch` unless given.
    """
    device = device_of(model)
    model.eval()
    predict = predict or partial(predict_batch, model)
    for each in on_device(source, device, passes=1).batches(max(batch_size, PREDICT_ROWS)):
        example = to_device(each, device)
        yield example, correct_probability(predict(example.batch)[0], model.negative_rate)


def predict_batch(model: Trainable, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Predictions [B, T] and the auxiliary loss a sample (or None) of one batch."""
    if model.overrides_forward:
        return _predict_packed(model, batch)
    return mean_of_members(predict_members(model, batch, model.embedding.lookup(batch)))


def predict_members(model: Trainable, batch: Batch, rows: list[Tensor]) -> list[Predicted]:
    """Predictions [B, T] and auxiliary loss of each member of an ensemble; of the model alone where it is none.

    Args:
        model: its further members, if it has any, are models of its class in `further_members`.
        batch: ids, numbers and sequence widths.
        rows: what the lookup returned: those of the model, then those of each further member.
    """
    further = getattr(model, "further_members", None)
    found = [model.predict_rows(batch, rows)]
    at = len(rows) - sum(len(member.embedding.groups) for member in further or ())
    for member in further or ():
        found.append(member.predict_rows(batch, rows[at : at + len(member.embedding.groups)]))
        at += len(member.embedding.groups)
    return found


def mean_of_members(found: Sequence[Predicted]) -> Predicted:
    """The mean of predictions and of auxiliary losses."""
    if len(found) == 1:
        return found[0]
    extra = [each for _, each in found if each is not None]
    mean = torch.stack([prediction for prediction, _ in found]).mean(dim=0)
    return mean, torch.stack(extra).mean(dim=0) if extra else None


def _predict_packed(model: Trainable, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The same of a model with a `forward(X)` of its own, written for the original."""
    model.aux_loss = torch.zeros((1,), device=batch.ids.device)
    with rows_packed():
        prediction = model(model.schema.pack(batch))
    prediction = prediction[:, None] if prediction.dim() == 1 else prediction
    auxiliary = model.aux_loss if model.aux_loss.requires_grad else None
    model.aux_loss = model.aux_loss.detach()  # the graph belongs to this step
    return prediction, auxiliary


def predictor(model: Trainable, compiled: CompileConfig | None, step: TrainStep | None) -> Predict:
    """Return what predicts a batch: compiled code if the model was compiled with `torch_compile=True`."""
    if compiled is None or step is None or not compiled.torch_compile or model.overrides_forward:
        return partial(predict_batch, model)
    score = step.compile_score(model)
    return lambda batch: mean_of_members(score(batch, model.embedding.lookup(batch)))


def predict_all(
    model: Trainable, source: DataSource, batch_size: int, predict: Predict | None = None
) -> npt.NDArray[np.float64]:
    """Return predictions over a whole source, [N, T] or [N, C], on the host; arguments as of `predict_source`."""
    found = TensorBuffer()
    for _, prediction in predict_source(model, source, batch_size, predict):
        found.add(prediction)
    if not found.rows:
        raise ValueError("no batch to predict: the stream is empty")
    return found.joined().astype(np.float64)


def predict_layers(
    model: Trainable, source: DataSource, batch_size: int, names: Sequence[str]
) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[np.float32]]]:
    """Return predictions over a whole source and what the named modules of the model gave, a row a sample.

    Raises:
        ValueError: no module of such a name, or one that gives no tensor with a row a sample, once a batch.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules or not name:
            raise ValueError(f"the model has no layer {name!r}: {suggest(name, [n for n in modules if n])}")
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        found[name].append(output)

    hooks = [modules[name].register_forward_hook(partial(keep, name)) for name in names]
    predictions: list[Tensor] = []
    outputs: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    try:
        for _, prediction in predict_source(model, source, batch_size):
            predictions.append(prediction.cpu())
            for name in names:
                once = found[name][0] if len(found[name]) == 1 else None
                if not isinstance(once, Tensor) or once.dim() == 0 or len(once) != len(prediction):
                    raise ValueError(f"layer {name!r} does not give a tensor with a row a sample, once a batch")
                outputs[name].append(once.float().cpu().numpy())
                found[name].clear()
    finally:
        for hook in hooks:
            hook.remove()
    if not predictions:
        raise ValueError("no batch to predict: the stream is empty")
    joined = torch.cat(predictions, dim=0).double().numpy()
    return joined, {name: np.concatenate(parts) for name, parts in outputs.items()}


def evaluate_source(
    model: Trainable, compiled: CompileConfig, source: DataSource, batch_size: int, predict: Predict | None = None
) -> dict[str, float]:
    """Return `loss` (of the data alone, a row) and every metric over a whole source."""
    state = MetricState(compiled.metrics)
    total: Tensor | float = 0.0
    rows = 0
    with torch.inference_mode():
        for example, prediction in predict_source(model, source, batch_size, predict):
            rows += len(prediction)
            if example.weight is not None:
                compiled.metrics.check_weighted()
            if example.y is None:
                continue
            state.update(example.y, prediction, example.weight, example.groups)
            total = total + compiled.data_loss(
                prediction, example.y, example.weight, complete=example.complete, reduction="sum"
            )
    if not rows:
        raise ValueError("no batch to evaluate: the stream is empty")
    return {"loss": float(total) / rows, **state.compute()}
