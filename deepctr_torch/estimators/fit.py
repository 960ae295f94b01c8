"""The fit of an estimator: passes over raw rows, from their labels to a trained model."""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .._json_files import read_json, write_json
from .._typing import Array
from ..callbacks import Callback, EarlyStopping, History
from ..data import Files
from ..encoding import FeatureEncoder
from ..models import BaseModel, model_traits
from ..models.trainable import train_step_of
from ..optim.sparse import default_lr, parse_optimizer
from ..registry import suggest
from ..tables import RowSubset
from ..training.checkpoint import Checkpoints
from ..training.compile_config import compile_losses
from ..training.losses import link_of
from .build import (
    LOSSES,
    TABLE_RATE,
    batch_rows,
    build_model,
    ensemble_size,
    eval_steps,
    is_multitask,
    model_class,
    patience,
)
from .features import check_same_features, choose_encoder
from .inputs import LabelsLike, RawData, TableLike, WeightsLike, open_data
from .labels import (
    ClassLabelEncoder,
    ClassLearner,
    LabelEncoder,
    LabelLearner,
    NumberLearner,
    check_funnel,
    log_rare_classes,
)
from .leakage import look_rows, warn_of_leaks
from .predict import DEFAULT_METRICS, predict_labeled
from .prepare import EncodedBatch, count_training_rows, encode_batches, open_validation, training_rows, validation_rows
from .serialization import Fitted
from .split import Split, SplitOptions, TimeLike, scan, split
from .warm_start import carry_weights, check_rate, optimizer_state, restore_optimizer

if TYPE_CHECKING:
    from .base import CTREstimator

__all__ = ["CallbacksLike", "fit"]

CallbacksLike: TypeAlias = Callback | Sequence[Callback] | None
log = logging.getLogger("deepctr_torch")
ENCODER, SEED = "encoder", "seed.json"  # beside the checkpoints of a training
METRICS: Mapping[str, list[str]] = {"binary": ["auc"], "multiclass": ["acc"], "regression": ["rmse"]}


def fit(
    estimator: CTREstimator,
    X: TableLike,
    y: LabelsLike,
    *,
    sample_weight: WeightsLike,
    validation: LabelsLike,
    time: TimeLike,
    previous: CTREstimator | None,
    callbacks: CallbacksLike,
    metrics: str | Sequence[str],
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Fit what `estimator` describes to raw rows, as its method `fit` says.

    Of files, three passes come before the first step:

    1. `scan` numbers the rows and reads labels and times; split and meaning of the labels follow from them;
    2. `encoder.fit` (or `update`) learns from the rows to train on; there is none if the encoder is fitted;
    3. `validation_rows` encodes the rows to validate on, which stay in memory; there is none if nothing is cut off.

    Before the second, "infer" looks at the first 100,000 rows to train on. Each epoch is one more pass, which encodes
    the rows as it reads them. The log names the passes (INFO).

    Args:
        estimator: its parameters are looked at; it stays as it is.
        X, y, sample_weight, validation, time, callbacks, metrics: as its `fit` has them.
        previous: a fitted estimator to go on from; it stays as it is.
        seed: of all that is drawn; one to go on with has its own where the estimator names none.
        checkpoints: where the state of the training is kept, or None.
    """
    begin = clock.perf_counter()
    data = open_data(X, y, sample_weight)
    cls = _checked_model(estimator, data)
    _check_previous(estimator, previous, data)
    given = None if validation is None else open_validation(validation, data, time)
    kept = _kept_encoder(checkpoints)
    if kept is not None and not isinstance(estimator.random_state, (int, np.integer)):
        seed = kept.seed
    options = SplitOptions.parse(estimator.validation_fraction if given is None else 0.0, time)
    data, given = _readable(estimator, data, given, options.time, previous)

    learner = estimator.label_encoder_class.learner(data.labels, previous and previous.label_encoder_)
    if isinstance(learner, NumberLearner):
        learner.counts = _counts(estimator, data)
    _log_pass(data, "labels and times are read")
    found = scan(data, learner, options.time)
    parts = split(found, options, seed)
    labels = _labels(estimator, cls, learner, parts)
    rows, initial_bias = count_training_rows(data, found, parts.train, labels, learner)
    encoder = _new_encoder(estimator, data, parts.train, options.time, previous) if kept is None else kept.encoder
    x = _fit_encoder(encoder, data, parts.train, seed, update=previous is not None and kept is None)
    if checkpoints is not None and kept is None:
        _keep_encoder(checkpoints, encoder, seed)
    train = training_rows(data, parts.train, encoder, labels, x)
    warn_of_leaks(encoder, labels, look_rows(train, data, parts.train, encoder, labels))
    _log_pass(data, "the rows to validate on are encoded", needed=parts.validation is not None)
    valid = validation_rows(data, parts, given, encoder, labels)

    members = _members(estimator, rows, previous)
    model = _new_model(estimator, cls, encoder, labels, {"seed": seed, "ensemble": members}, initial_bias)
    _compile(estimator, model, labels, previous)
    model.negative_rate = data.negative_rate
    if previous is not None:
        carry_weights(previous.model_, model, data.negative_rate if estimator.epochs else None)
        _carry_optimizer(estimator, model, previous)
    trained = _train(estimator, model, train, valid, rows, callbacks, checkpoints)
    counts = {"rows": rows, "validation_rows": _count_validation(parts, given)}
    training = _report(estimator, model, counts, seed, clock.perf_counter() - begin, trained)
    scores = _validation_metrics(model, encoder, labels, valid, given, metrics)
    return Fitted(encoder, model, labels, data.names, data.named, training, scores)


def _readable(
    estimator: CTREstimator, data: RawData, given: RawData | None, time: str | None, previous: CTREstimator | None
) -> tuple[RawData, RawData | None]:
    """The rows to train and to validate on, without those of files that shall be skipped: in every pass the same.

    The types that fields must have are those of the features that will be chosen.
    """
    parts = [part for part in (data, given) if part is not None and part.in_files and part.table.on_bad_rows == "skip"]
    if not parts:
        return data, given
    if previous is None:
        rough = data.without(data.table.bad_rows([], {})) if data in parts else data
        encoder = choose_encoder(estimator.features, estimator.history, rough, None, time, _skipped(estimator, data))
    else:
        encoder = previous.encoder_
    left = {}
    for part in parts:
        used = [name for name in (*encoder.inputs, *part.apart, time) if name in (*part.names, *part.apart)]
        left[id(part)] = part.without(part.table.bad_rows(used, encoder.schema()).warn())
    return left.get(id(data), data), given and left.get(id(given), given)


def _labels(estimator: CTREstimator, cls: type[BaseModel], learner: LabelLearner, parts: Split) -> LabelEncoder:
    """The meaning of the labels, learned from the rows to train on; doubts about them are said."""
    labels = learner.compute(None if parts.train is None else parts.train.mask)
    if isinstance(learner, ClassLearner) and isinstance(labels, ClassLabelEncoder):
        if labels.kind == "multiclass":
            log_rare_classes(learner, labels.names[0])
        if model_traits(cls).funnel:
            check_funnel(estimator.model, learner, labels)
    return labels


def _log_pass(data: RawData, purpose: str, needed: bool = True) -> None:
    if data.in_files and needed:
        log.info("pass over the files: %s", purpose)


def _counts(estimator: CTREstimator, data: RawData) -> set[str]:
    """The labels whose loss wants numbers >= 0."""
    if estimator.loss is None:
        return set()
    several = len(data.labels) > 1
    losses = compile_losses(estimator.loss, [(name if several else "", "regression") for name in data.labels])[1]
    return {name for name, loss in zip(data.labels, losses, strict=True) if link_of(loss) == "log"}


def _checked_model(estimator: CTREstimator, data: RawData) -> type[BaseModel]:
    cls = model_class(estimator.model)
    several = len(data.labels) > 1
    if several != is_multitask(cls):
        known = "DeepFM" if is_multitask(cls) else "ESMM, MMOE, PLE or SharedBottom"
        what = "several labels" if is_multitask(cls) else "one label"
        raise ValueError(
            f"{estimator.model} learns {what}, got {list(data.labels)}; for these choose for example {known}"
        )
    return cls


def _check_previous(estimator: CTREstimator, previous: CTREstimator | None, data: RawData) -> None:
    if previous is None:
        return
    if estimator.epochs:
        check_rate(previous.model_, data.negative_rate)
    names = previous.label_encoder_.names
    if names != data.labels:
        raise ValueError(f"init_from must know the labels {list(data.labels)}, got {list(names)}")


def _new_encoder(
    estimator: CTREstimator, data: RawData, part: RowSubset | None, time: str | None, previous: CTREstimator | None
) -> FeatureEncoder:
    """The encoder to fit, a copy of that of `previous` if there is one; no feature reads a label or the weight."""
    skipped = _skipped(estimator, data)
    if previous is not None:
        encoder = previous.encoder_.copy()
    else:
        encoder = choose_encoder(estimator.features, estimator.history, data, part, time, skipped)
    for name in encoder.inputs:
        if name in data.apart:
            what = "a label" if name in data.labels else "the sample weight"
            raise ValueError(f"features must not read the column of {what}, got one that reads {name!r}")
        if name in skipped:
            raise ValueError(f"features must not read what skip leaves out, got one that reads {name!r}")
    if previous is not None:
        check_same_features(estimator.features, estimator.history, encoder)
    elif not isinstance(estimator.features, str):
        known = {*encoder.inputs, *encoder.left_out, *skipped, time}
        unused = [name for name in data.names if name not in known]
        if unused:
            log.warning('features names no kind for %s: unused; add "*": "infer" to use all columns', unused)
    return encoder


class _KeptEncoder(NamedTuple):
    """The encoder and seed that a training keeps beside its checkpoints."""

    encoder: FeatureEncoder
    seed: int


def _kept_encoder(checkpoints: Checkpoints | None) -> _KeptEncoder | None:
    """The encoder that was learned before the first checkpoint; None where there is no checkpoint.

    Raises:
        ValueError: it is broken.
    """
    if checkpoints is None or not checkpoints.begun:
        return None
    encoder = FeatureEncoder.load(checkpoints.directory / ENCODER)
    return _KeptEncoder(encoder, int(read_json(checkpoints.directory / SEED)["seed"]))


def _keep_encoder(checkpoints: Checkpoints, encoder: FeatureEncoder, seed: int) -> None:
    """Save what a training that is cut off needs beside its checkpoints."""
    encoder.save(checkpoints.directory / ENCODER)
    write_json(checkpoints.directory / SEED, {"seed": seed})


def _skipped(estimator: CTREstimator, data: RawData) -> list[str]:
    """The columns that `skip` leaves out."""
    skipped = [estimator.skip] if isinstance(estimator.skip, str) else list(estimator.skip)
    for name in skipped:
        if name not in data.names and name not in data.apart:
            raise ValueError(f"skip must name columns of X, got {name!r}: {suggest(name, data.names)}")
    return skipped


def _fit_encoder(
    encoder: FeatureEncoder, data: RawData, part: RowSubset | None, seed: int, update: bool
) -> dict[str, Array] | None:
    """Fit the encoder to the rows to train on; return these rows encoded if they are in memory."""
    _log_pass(data, "the encoder learns", needed=update or not encoder.fitted)
    if update:
        encoder.update(data.source, part=part, **data.options)
    if data.in_files:
        if not encoder.fitted:
            encoder.fit(data.source, part=part, **data.options)
        return None
    if encoder.fitted:
        return encoder.transform(data.source, training=True, seed=seed, part=part)
    return encoder.fit_transform(data.source, training=True, seed=seed, part=part)  # less work than one by one


def _members(estimator: CTREstimator, rows: int, previous: CTREstimator | None) -> int:
    """Number of models that are trained as one; that of `previous` with "auto"."""
    if previous is not None and estimator.ensemble == "auto":
        return 1 + len(getattr(previous.model_, "further_members", ()))
    return ensemble_size(rows, estimator.ensemble)


def _new_model(
    estimator: CTREstimator,
    cls: type[BaseModel],
    encoder: FeatureEncoder,
    labels: LabelEncoder,
    how: Mapping[str, Any],
    initial_bias: list[float] | None,
) -> BaseModel:
    tasks: dict[str, Any] = {**how, "device": "cpu" if estimator.device is None else estimator.device}
    if is_multitask(cls):
        tasks |= {"task_names": list(labels.names), "task_types": [labels.kind] * len(labels.names)}
    else:
        tasks["task"] = labels.kind
        if isinstance(labels, ClassLabelEncoder) and labels.kind == "multiclass":
            tasks["num_classes"] = len(labels.classes[0])
    return build_model(
        cls,
        encoder,
        embedding_dim=estimator.embedding_dim,
        history=estimator.history,
        model_args=estimator.model_args or {},
        tasks=tasks,
        initial_bias=initial_bias,
    )


def _compile(estimator: CTREstimator, model: BaseModel, labels: LabelEncoder, previous: CTREstimator | None) -> None:
    update = estimator.embedding_update
    if previous is not None and update == "auto":
        update = _update_mode(previous.model_) or "auto"  # the choice stays with the state
    model.compile(
        estimator.optimizer,
        LOSSES[labels.kind] if estimator.loss is None else estimator.loss,
        METRICS[labels.kind],
        learning_rate=estimator.learning_rate,
        embedding_lr=_table_rate(estimator),
        embedding_update=update,
        loss_reduction="mean",
        precision=estimator.precision,
    )


def _carry_optimizer(estimator: CTREstimator, model: BaseModel, previous: CTREstimator) -> None:
    """Give the optimizer the state of the previous one, if they are of one kind."""
    if previous.model_.optim is None:
        return
    before = (previous.optimizer, _update_mode(previous.model_))
    after = (estimator.optimizer, _update_mode(model))
    if before != after:
        log.info("the state of the optimizer begins anew: it was %s, and is %s", before, after)
        return
    restore_optimizer(model, *optimizer_state(previous.model_), grow=True)


def _update_mode(model: BaseModel) -> str | None:
    """The update of the tables, "sparse" or "dense"; None before `compile`."""
    step = train_step_of(model)
    return None if step is None else step.mode


def _table_rate(estimator: CTREstimator) -> float | None:
    """The learning rate of the tables, whose rows move only when a batch has them."""
    if estimator.embedding_lr is not None or not isinstance(estimator.optimizer, (str, Mapping)):
        return estimator.embedding_lr
    name, _ = parse_optimizer(estimator.optimizer)
    return TABLE_RATE * (default_lr(name) if estimator.learning_rate is None else estimator.learning_rate)


def _callbacks(
    estimator: CTREstimator, valid: EncodedBatch | Files | None, callbacks: CallbacksLike, auto_patience: int
) -> list[Callback]:
    own = [] if callbacks is None else callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    if valid is None or not estimator.early_stopping:
        return list(own)
    waits = auto_patience if estimator.early_stopping is True else estimator.early_stopping
    return [EarlyStopping("val_loss", patience=waits, restore_best_weights=True), *own]


class _Trained(NamedTuple):
    """The course of a training."""

    batch_size: int
    history: History
    callbacks: list[Callback]


def _train(
    estimator: CTREstimator,
    model: BaseModel,
    train: EncodedBatch | Files,
    valid: EncodedBatch | Files | None,
    rows: int,
    callbacks: CallbacksLike,
    checkpoints: Checkpoints | None,
) -> _Trained:
    batch_size = batch_rows(rows) if estimator.batch_size == "auto" else int(estimator.batch_size)
    every = eval_steps(rows, batch_size, estimator.eval_every)
    used = _callbacks(estimator, valid, callbacks, patience(rows, batch_size, every))
    x, y, weight = train.as_tuple() if isinstance(train, EncodedBatch) else (train, None, None)
    history = model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=estimator.epochs,
        verbose=estimator.verbose,
        sample_weight=weight,
        validation_data=valid.as_tuple() if isinstance(valid, EncodedBatch) else valid,
        eval_every=every,
        callbacks=used,
        checkpoint_dir=checkpoints,
    )
    model.eval()
    return _Trained(batch_size, history, used)


def _count_validation(parts: Split, given: RawData | None) -> int:
    if given is not None:
        return given.count_rows()
    return 0 if parts.validation is None else parts.validation.rows


def _validation_metrics(
    model: BaseModel,
    encoder: FeatureEncoder,
    labels: LabelEncoder,
    valid: EncodedBatch | Files | None,
    given: RawData | None,
    metrics: str | Sequence[str],
) -> dict[str, float] | None:
    """The metrics of the rows to validate on, if there are such rows and metrics are asked for."""
    names = DEFAULT_METRICS[labels.kind] if metrics == "default" else list(metrics)
    if not names or valid is None:
        return None
    if isinstance(valid, EncodedBatch):
        return predict_labeled(model, labels, [valid]).metrics(names)
    if given is None:
        return None
    labels = labels.renamed(given.labels)
    return predict_labeled(model, labels, encode_batches(encoder, given, labels)).metrics(names)


def _report(
    estimator: CTREstimator, model: BaseModel, counts: Mapping[str, int], seed: int, seconds: float, trained: _Trained
) -> dict[str, Any]:
    """Return what `training_` tells; say at WARNING that the cap of epochs ended a training which still got better."""
    logs = trained.history.history
    evaluations = len(logs.get("val_loss") or [])
    best = _best_evaluation(trained.callbacks, evaluations)
    improving = best is not None and best >= evaluations - evaluations / estimator.epochs  # in the last epoch
    still = bool(improving and estimator.early_stopping and estimator.epochs > 1 and not model.stop_training)
    if still:
        log.warning(
            "training ended at epochs=%d while val_loss was still improving: more epochs may be better",
            estimator.epochs,
        )
    return {
        **counts,
        "batch_size": trained.batch_size,
        "embedding_update": _update_mode(model),
        "seed": seed,
        "seconds": round(seconds, 3),
        "evaluations": evaluations,
        "best_evaluation": best,
        "still_improving": still,
        "history": {name: [float(v) for v in values] for name, values in logs.items()},
    }


def _best_evaluation(callbacks: Sequence[Callback], evaluations: int) -> int | None:
    """Number of the evaluation whose weights the model has: the last one, if none were restored."""
    for each in reversed(callbacks):
        if isinstance(each, EarlyStopping) and each.restore_best_weights and each.best_epoch is not None:
            return each.best_epoch if evaluations else None
    return evaluations - 1 if evaluations else None
