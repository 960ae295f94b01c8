"""Predictions over a whole source, and what is computed of them: metrics over all rows, never averages over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.batch import DataSource, LabeledBatch
from ..data.device import on_device, to_device
from ..data.negative_sampling import correct_probability
from ..features import Batch, rows_packed
from ..metrics.state import MetricState, TensorBuffer
from .compile_config import CompileConfig

__all__ = ["evaluate_source", "predict_all", "predict_batch", "predict_source"]

PREDICT_ROWS = 4096  # blocks of predict and evaluate are at least this large; the result does not depend on it


@torch.inference_mode()
def predict_source(model: Any, source: DataSource, batch_size: int) -> Iterator[tuple[LabeledBatch, Tensor]]:
    """Examples in the order of the source, with predictions in evaluation mode, corrected for sampled negatives."""
    device = next(model.parameters()).device if any(True for _ in model.parameters()) else torch.device("cpu")
    model.eval()
    predict = _compiled_predict(model)
    for each in on_device(source, device, passes=1).batches(max(batch_size, PREDICT_ROWS)):
        example = to_device(each, device)
        yield example, correct_probability(predict(example.batch)[0], getattr(model, "negative_rate", 1.0))


def predict_batch(model: Any, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Predictions [B, T] and the auxiliary loss a sample (or None) of one batch."""
    if model.overrides_forward:
        return _predict_packed(model, batch)
    found: tuple[Tensor, Tensor | None] = model.predict_rows(batch, model.embedding.lookup(batch))
    return found


def _predict_packed(model: Any, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The same of a model with a `forward(X)` of its own, written for the original."""
    model.aux_loss = torch.zeros((1,), device=batch.ids.device)
    with rows_packed():
        prediction = model(model.schema.pack(batch))
    prediction = prediction[:, None] if prediction.dim() == 1 else prediction
    auxiliary = model.aux_loss if model.aux_loss.requires_grad else None
    model.aux_loss = model.aux_loss.detach()  # the graph belongs to this step
    return prediction, auxiliary


def _compiled_predict(model: Any) -> Callable[[Batch], Any]:
    """`predict_batch` of a model; compiled if the model was compiled with `torch_compile=True`."""
    compiled = getattr(model, "_compiled", None)
    if compiled is None or not compiled.torch_compile or model.overrides_forward:
        return partial(predict_batch, model)
    score = model._update.compile_score(model)
    return lambda batch: score(batch, model.embedding.lookup(batch))


def predict_all(model: Any, source: DataSource, batch_size: int) -> npt.NDArray[np.float64]:
    """Predictions over a whole source, [N, T] or [N, C], on the host."""
    found = TensorBuffer()
    for _, prediction in predict_source(model, source, batch_size):
        found.add(prediction)
    if not found.rows:
        raise ValueError("no batch to predict: the stream is empty")
    return found.joined().astype(np.float64)


def evaluate_source(model: Any, compiled: CompileConfig, source: DataSource, batch_size: int) -> dict[str, float]:
    """`loss` (of the data alone, a row) and every metric over a whole source."""
    state = MetricState(compiled.metrics)
    total: Tensor | float = 0.0
    rows = 0
    with torch.inference_mode():
        for example, prediction in predict_source(model, source, batch_size):
            rows += len(prediction)
            if example.weight is not None:
                compiled.metrics.check_weighted()
            if example.y is None:
                continue
            state.update(example.y, prediction, example.weight, example.groups)
            for t in range(len(compiled.tasks)):
                weight = compiled.task_weights[t] if compiled.task_weights else 1.0
                total = total + weight * compiled.task_loss(
                    t, prediction, example.y, example.weight, reduction="sum", complete=example.complete
                )
    if not rows:
        raise ValueError("no batch to evaluate: the stream is empty")
    return {"loss": float(total) / rows, **state.compute()}
