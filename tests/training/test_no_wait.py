"""Nothing in a step waits for the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.data.batch import LabelSpec
from deepctr_torch.data.loader import make_source
from deepctr_torch.data.negative_sampling import correct_probability
from deepctr_torch.metrics.state import MetricState
from deepctr_torch.training.evaluation import predict_batch
from deepctr_torch.training.loop import FitPlan, Trainer
from tests.support.all_models import CASES, every_model
from tests.support.cases import Case, inputs, labels
from tests.support.device import META, never_waits, on_meta, step_on_meta

NAMED = ["adagrad", "adam", "adamw", "rmsprop", "rowwise_adagrad", "sgd", {"name": "adam", "decay_unseen": True}]


def example_of(model: Any, columns: list[Any], y: Any = None, weight: Any = None, rows: int = 8) -> Any:
    y = labels(model, rows) if y is None else y
    source = make_source(model.schema, inputs(columns, rows), y, LabelSpec(model.tasks, model.num_classes), weight)
    return next(source.batches(rows))


def compiled(model: Any, optimizer: Any = "adam", **options: Any) -> Any:
    model.compile(optimizer, "binary_crossentropy", metrics=["auc"], **options)
    return model


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: bool(x.all()),
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x[torch.tensor([True, False])],
        lambda x: x.nonzero(),
        lambda x: torch.unique(x),
        lambda x: x.cpu(),
        lambda x: torch.tensor([1.0], device=META),
        lambda x: torch.as_tensor(1.0, device=META),
        lambda x: x + torch.ones(2),
    ],
)
def test_what_waits_is_found(waits: Any) -> None:
    with pytest.raises((AssertionError, RuntimeError)), never_waits():  # NotImplementedError is a RuntimeError
        waits(torch.zeros(2, device=META))


@every_model
@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_step_of_every_model(case: Case, update: str) -> None:
    model = compiled(case.make(device="meta"), embedding_update=update)
    prediction, loss = step_on_meta(model, example_of(model, case.all_columns))
    assert prediction.shape == (8, len(model.tasks))
    assert loss.shape == ()


@pytest.mark.parametrize("optimizer", NAMED, ids=str)
@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_every_optimizer(optimizer: Any, update: str) -> None:
    case = CASES["DeepFM"]
    model = compiled(case.make(device="meta"), optimizer, embedding_update=update)
    prediction, loss = step_on_meta(model, example_of(model, case.all_columns))
    assert prediction.shape == (8, len(model.tasks))
    assert loss.shape == ()


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_clipped_step(update: str) -> None:
    case = CASES["DeepFM"]
    model = compiled(case.make(device="meta"), embedding_update=update, clip_norm=1.0)
    prediction, loss = step_on_meta(model, example_of(model, case.all_columns))
    assert prediction.shape == (8, len(model.tasks))
    assert loss.shape == ()


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_frozen_tables_weights_and_trimmed_sequences(update: str) -> None:
    case = CASES["DIN"]
    model = compiled(case.make(device="meta", dnn_use_bn=True, dnn_dropout=0.5), embedding_update=update)
    model.embedding_dict["user"].weight.requires_grad_(False)
    example = example_of(model, case.all_columns, weight=np.ones(8))
    prediction, loss = step_on_meta(model, example)
    assert prediction.shape == (8, len(model.tasks))
    assert loss.shape == ()


@pytest.mark.parametrize("task_weights", [None, [1.0, 0.5], "uncertainty"])
@pytest.mark.parametrize("missing", [False, True])
def test_several_tasks(task_weights: Any, missing: bool) -> None:
    case = CASES["MMOE"]
    model = compiled(case.make(device="meta"), task_weights=task_weights)
    y = labels(model, 8)
    if missing:
        y[3, 1] = np.nan
    prediction, loss = step_on_meta(model, example_of(model, case.all_columns, y, np.ones(8)))
    assert prediction.shape == (8, len(model.tasks))
    assert loss.shape == ()


def test_the_loop_around_a_step() -> None:
    model = compiled(CASES["MMOE"].make(device="meta"), lr_schedule={"name": "cosine"}, clip_norm=1.0)
    columns = CASES["MMOE"].all_columns
    source = make_source(model.schema, inputs(columns, 24), labels(model, 24), LabelSpec(model.tasks), np.ones(24))
    model._update.resolve_mode(model, 8)
    trainer = Trainer(model, model._compiled, model._update, source, None, FitPlan(batch_size=8, verbose=0))
    trainer.callbacks.set_model(model)
    model._update.prepare(model._compiled, model, 8)
    seen = trainer._begin_period()
    for example in source.batches(8):
        moved = on_meta(example)
        with never_waits():
            trainer._step(moved, seen)
    assert (seen.steps, seen.rows) == (3, 24)


@every_model
def test_evaluation_of_every_model(case: Case) -> None:
    model = compiled(case.make(device="meta"))
    example = on_meta(example_of(model, case.all_columns, weight=np.ones(8)))
    seen = MetricState(model._compiled.metrics)
    with never_waits(), torch.inference_mode():
        prediction, _ = predict_batch(model.eval(), example.batch)
        seen.update(example.y, correct_probability(prediction, 0.5), example.weight, example.groups)
        for t in range(len(model.tasks)):
            rows = (example.y, example.weight, "sum", example.complete)
            assert model._compiled.task_loss(t, prediction, *rows).shape == ()
