"""The way from raw rows to a trained model: split, encode, build, train."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..callbacks import EarlyStopping
from ..encoding import FeatureEncoder, Timestamp
from ..encoding.infer import infer_specs, sample
from ..models.trainable import train_step_of
from ..optim.sparse import default_lr, parse_optimizer
from ..tables import RowSubset
from .batches import Encoded
from .build import TABLE_RATE, batch_rows, build_model, eval_steps, is_multitask, model_class, with_history
from .inputs import Data, open_data
from .labels import ClassTargets, NumberTargets, Targets
from .prepare import open_validation, row_count, train_inputs, trained, validation_inputs
from .split import Split, split, time_column
from .warm_start import carry_over, check_rate

__all__ = ["LOSSES", "fit"]

INFER_ROWS = 100_000
LOSSES = {"binary": "binary_crossentropy", "multiclass": "cross_entropy", "regression": "mse"}
METRICS: Mapping[str, list[str]] = {"binary": ["auc"], "multiclass": ["acc"], "regression": ["rmse"]}


def fit(est: Any, X: Any, y: Any, sample_weight: Any, validation: Any, time_: Any, old: Any, callbacks: Any) -> None:
    """Do what `CTRClassifier.fit` says; `old` is the estimator to go on from, or None."""
    begin = time.perf_counter()
    cls = model_class(est.model)
    data = open_data(X, y, sample_weight)
    _check_tasks(est, cls, data)
    rate = data.negative_rate
    if old is not None and est.epochs:
        check_rate(old.model_, rate)
    if validation is not None and time_ is not None:
        raise ValueError(f"validation gives the rows to validate on, so time must be left out, got {time_!r}")
    seed = est._draw_seed()
    given = None if validation is None else open_validation(validation, data)
    parts = split(data, est.validation_fraction if given is None else 0.0, time_, seed)
    targets = _targets(est, data, parts, old)
    used = trained(data, parts, targets)
    encoder = _encoder(est, data, parts.train, time_, old)
    _check_inputs(encoder, data)
    train = train_inputs(encoder, data, parts.train, targets, seed, old is not None)
    held = validation_inputs(encoder, data, parts, targets, given)
    model = _build(est, cls, encoder, targets, seed, used.start)
    model.negative_rate = rate
    batch = batch_rows(used.rows) if est.batch_size == "auto" else est.batch_size
    _compile(est, model, targets, old)
    if old is not None:
        carry_over(old.model_, model, rate if est.epochs else None)
    called = _callbacks(est, held, callbacks)
    arguments = train.arguments() if isinstance(train, Encoded) else (train,)
    x, labels, weight = (*arguments, None, None)[:3]
    history = model.fit(
        x,
        labels,
        batch,
        est.epochs,
        est.verbose,
        sample_weight=weight,
        validation_data=held.arguments() if isinstance(held, Encoded) else held,
        eval_every=eval_steps(used.rows, batch, est.eval_every),
        callbacks=called,
    )
    model.eval()
    _keep(est, data, encoder, model, targets)
    counts = {"rows": used.rows, "validation_rows": row_count(parts, given), "batch_size": batch}
    est.training_ = _report(model, counts, seed, time.perf_counter() - begin, history, called)


def _check_tasks(est: Any, cls: type, data: Data) -> None:
    several = len(data.labels) > 1
    if several != is_multitask(cls):
        known = "DeepFM" if is_multitask(cls) else "ESMM, MMOE, PLE or SharedBottom"
        what = "several labels" if is_multitask(cls) else "one label"
        raise ValueError(f"{est.model} learns {what}, got {list(data.labels)}; for these choose for example {known}")


def _targets(est: Any, data: Data, parts: Split, old: Any) -> Targets:
    pieces = data.pieces(parts.train)
    if old is not None and old.targets_.names != data.labels:
        raise ValueError(f"init_from must know the labels {list(data.labels)}, got {list(old.targets_.names)}")
    if not est._classifies:
        return old.targets_ if old is not None else NumberTargets.learn(data.labels, pieces)
    return ClassTargets.learn(data.labels, pieces, None if old is None else old.targets_.classes)


def _encoder(est: Any, data: Data, part: RowSubset | None, time_: Any, old: Any) -> FeatureEncoder:
    """A copy of what was given, or of the old estimator's; not yet fitted unless that was."""
    if old is not None:
        encoder: FeatureEncoder = old.encoder_.copy()
        return encoder
    given = est.features
    if isinstance(given, FeatureEncoder):
        if given.fitted:
            return given.copy()
        made = given.copy()
    elif isinstance(given, Mapping):
        made = FeatureEncoder(given)
    elif isinstance(given, str) and given == "infer":
        made = _inferred(data, part, time_column(time_))
    else:
        raise TypeError(f'features must be "infer", a dict of kinds or a FeatureEncoder, got {given!r}')
    return with_history(made, est.history)


def _check_inputs(encoder: FeatureEncoder, data: Data) -> None:
    """No feature reads a label or the weight."""
    for name in encoder.inputs:
        if name in data.apart:
            what = "a label" if name in data.labels else "the sample weight"
            raise ValueError(f"features must not read the column of {what}, got one that reads {name!r}")


def _inferred(data: Data, part: RowSubset | None, time_name: str | None) -> FeatureEncoder:
    """Kinds from the beginning of the training rows; a time to split by is a feature only as hour and weekday."""
    table = sample(data.where, data.names, INFER_ROWS, part=part, **data.options)
    inferred = infer_specs(table)
    specs, reasons, left_out = inferred
    if not isinstance(specs.get(time_name or ""), (Timestamp, type(None))):
        for name in [name for name, spec in specs.items() if time_name in (name, spec.column)]:
            del specs[name], reasons[name]
        left_out[str(time_name)] = "the time to split by"
    if not specs:
        raise ValueError(f"X must have a column to learn from, got none: n_samples = {table.num_rows}, {left_out}")
    return FeatureEncoder.of_inferred(inferred)


def _build(est: Any, cls: Any, encoder: FeatureEncoder, targets: Targets, seed: int, start: list[float] | None) -> Any:
    tasks: dict[str, Any] = {"seed": seed, "device": "cpu" if est.device is None else est.device}
    if is_multitask(cls):
        tasks |= {"task_names": list(targets.names), "task_types": [targets.kind] * len(targets.names)}
    else:
        tasks["task"] = targets.kind
        if isinstance(targets, ClassTargets) and targets.kind == "multiclass":
            tasks["num_classes"] = len(targets.classes[0])
    return build_model(cls, encoder, est.embedding_dim, est.history, est.model_args or {}, tasks, start)


def _compile(est: Any, model: Any, targets: Targets, old: Any) -> None:
    update = est.embedding_update
    step = None if old is None else train_step_of(old.model_)
    if step is not None and update == "auto":
        update = step.mode  # the choice stays with the state
    model.compile(
        est.optimizer,
        LOSSES[targets.kind] if est.loss is None else est.loss,
        METRICS[targets.kind],
        learning_rate=est.learning_rate,
        embedding_lr=_table_rate(est),
        embedding_update=update,
        loss_reduction="mean",
        precision=est.precision,
    )


def _table_rate(est: Any) -> float | None:
    """The learning rate of the tables, whose rows move only when a batch has them."""
    if est.embedding_lr is not None or not isinstance(est.optimizer, (str, Mapping)):
        rate: float | None = est.embedding_lr
        return rate
    name, _ = parse_optimizer(est.optimizer)
    return TABLE_RATE * (default_lr(name) if est.learning_rate is None else est.learning_rate)


def _callbacks(est: Any, held: Any, callbacks: Any) -> list[Any]:
    own = [] if callbacks is None else callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    if held is None or not est.early_stopping:
        return list(own)
    patience = 3 if est.early_stopping is True else est.early_stopping
    return [EarlyStopping("val_loss", patience=patience, restore_best_weights=True), *own]


def _keep(est: Any, data: Data, encoder: FeatureEncoder, model: Any, targets: Targets) -> None:
    est.encoder_, est.model_, est.targets_ = encoder, model, targets
    est.labels_, est.history_ = list(targets.names), model.history.history
    est._keep_names(data.names, data.named)


def _report(
    model: Any, counts: Mapping[str, int], seed: int, seconds: float, history: Any, callbacks: list[Any]
) -> dict[str, Any]:
    logs = history.history
    step = train_step_of(model)
    losses = logs.get("val_loss") or []
    return {
        **counts,
        "embedding_update": None if step is None else step.mode,
        "seed": seed,
        "seconds": round(seconds, 3),
        "evaluations": len(losses),
        "best_evaluation": _kept(callbacks, len(losses)),
        "history": {name: [float(v) for v in values] for name, values in logs.items()},
    }


def _kept(callbacks: list[Any], evaluations: int) -> int | None:
    """Number of the evaluation whose weights the model has: the last one, if none were restored."""
    for each in reversed(callbacks):
        if isinstance(each, EarlyStopping) and each.restore_best_weights and each.best_epoch is not None:
            return each.best_epoch if evaluations else None
    return evaluations - 1 if evaluations else None
