"""`fit`: from options and files to a folder with everything in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry import suggest
from .console import Progress, TrainingProgress, UsageError, print_facts, print_json, print_metrics
from .inputs import InputFiles, Reading, input_files
from .output import Target, check_apart, output_folder
from .run_config import Run, load_run, read_run, run_of, write_run
from .settings import INFER, REST, Settings, check_settings, without_columns

if TYPE_CHECKING:
    from ..estimators.base import CTREstimator
    from ..estimators.features import FeaturesLike


def fit(
    given: Mapping[str, Any], said: Settings, skip: Sequence[str], only: Sequence[str], config: Path | None,
    target: Target, as_json: bool,
) -> None:  # fmt: skip
    """Train and save.

    Args:
        given: the fields of `Run` that options name; None or empty where they do not.
        said: `--set`.
        skip, only: columns that are no features, and those that alone are; empty for all.
        config, target, as_json: the options.
    """
    from ..models import MODELS

    out = target.out
    if target.is_done():
        _report(load_run(out), out, as_json)
        return
    for name in skip:
        if said.features.setdefault(name) is not None or name in only:
            raise UsageError(f"--skip leaves {name!r} out: it must not be a feature by --set or --features, too")
    run = _earlier(config or target.settings, given.get("init_from")).changed(given, said)
    run.check()
    if run.init_from and (said.features or said.infer or only):
        raise UsageError(
            "--init-from goes on with the features of that run: leave --set features.COLUMN, --skip and --features out"
        )
    run = _without_targets(run, said)
    if run.model not in MODELS:
        raise UsageError(f"unknown --model {run.model!r}: {suggest(run.model, MODELS)}")
    target.check()
    found = _input_files(run, run.data)
    check_apart(out, [*found.files, *(_input_files(run, run.valid).files if run.valid else [])])
    skipped = [name for name, kind in said.features.items() if kind is None]
    found.check([*run.label, *([run.weight] if run.weight else []), *skipped, *only], "as asked for")
    if only:
        run = _with_only(run, said, only, found)
    cls = _estimator_class(run, found)
    check_settings(run.settings, cls, MODELS.get(run.model))
    estimator = cls(run.model, features=_features(run), skip=_skipped(run, found), **_parameters(run, as_json))
    time = _time(run, found)
    with output_folder(out), Progress(not as_json) as progress:
        target.check(held=True)  # another process may have ended in between
        with target.kept(run):
            _train(estimator, run, found, time, progress, target)
            estimator.save(out)
            write_run(_effective(run, estimator), out)
    _report(estimator, out, as_json)


def _earlier(config: Path | None, init_from: str | None) -> Run:
    """Settings that hold where options say nothing: another run's; of one to go on from all but its rows."""
    if config is not None:
        return read_run(config)
    old = None if init_from is None else run_of(Path(init_from))
    return Run() if old is None else replace(old, data=[], valid=None, valid_from=None, gap=None, init_from=None)


def _without_targets(run: Run, said: Settings) -> Run:
    """The run without features that read the label or the weight, such as those of an earlier run on another label."""
    targets = dict.fromkeys(run.label, "label") | ({run.weight: "weight"} if run.weight else {})
    kinds, left = without_columns(run.settings.features, targets)
    for name, column in left.items():
        if said.features.get(name) is not None:
            raise UsageError(f"--set features.{name} must not read {column!r}, which is the {targets[column]}")
    return replace(run, settings=Settings(run.settings.parameters, run.settings.model_args, kinds))


def _with_only(run: Run, said: Settings, only: Sequence[str], found: InputFiles) -> Run:
    """The run with features of these columns alone, of inferred kinds where none is set."""
    target = next((name for name in only if name in (*run.label, run.weight)), None)
    if target is not None:
        raise UsageError(f"--features must not name {target!r}, which is the label or the weight")
    others = [name for name in found.columns if name not in (*only, *run.label, run.weight)]
    kinds, left = without_columns(run.settings.features, others)
    for name, column in left.items():
        if said.features.get(name) is not None:
            raise UsageError(f"--set features.{name} reads {column!r}, which --features does not name")
    kinds = {name: kind for name, kind in kinds.items() if kind is not None}
    settings = Settings(run.settings.parameters, run.settings.model_args, {**kinds, **dict.fromkeys(others)})
    return replace(run, infer=True, settings=settings)


def _input_files(run: Run, paths: Sequence[str]) -> InputFiles:
    return input_files(paths, Reading(run.format, run.header, run.null, run.on_bad_rows))


def _estimator_class(run: Run, found: InputFiles) -> type[CTREstimator]:
    """`CTRClassifier`, unless labels are numbers with fractions or of many values."""
    from ..estimators import CTRClassifier, CTRRegressor

    if run.task == "auto":
        return CTRRegressor if _looks_continuous(found, run.label) else CTRClassifier
    return CTRRegressor if run.task == "regression" else CTRClassifier


def _looks_continuous(found: InputFiles, label: Sequence[str]) -> bool:
    """Tell whether the beginning of the data has labels that are no whole numbers, or of more than 20 values."""
    import pyarrow as pa

    from ..tables import read_chunks

    chunk = next(iter(read_chunks(found.paths, list(label), **found.options)), None)
    if chunk is None:
        raise ValueError(f"{found.files[0]} must hold at least one row, got none")
    for name in label:
        column = chunk.table.column(name)
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values = column.drop_null().unique().to_pylist()
            if len(values) > 20 or any(v != int(v) for v in values):
                return True
    return False


def _features(run: Run) -> FeaturesLike:
    """Return what the estimator is told of the features."""
    kinds = {name: kind for name, kind in run.settings.features.items() if kind is not None}
    if run.infer:
        return {**kinds, REST: INFER} if kinds else INFER
    return kinds


def _skipped(run: Run, found: InputFiles) -> list[str]:
    """The columns that are no features, as far as there are such: an earlier run may have had others."""
    there = found.columns
    return [name for name, kind in run.settings.features.items() if kind is None and name in there]


def _parameters(run: Run, as_json: bool) -> dict[str, Any]:
    out: dict[str, Any] = {**run.settings.parameters, "random_state": run.seed}
    if as_json:
        out["verbose"] = 0  # nothing else may stand on stdout
    if run.settings.model_args:
        out["model_args"] = run.settings.model_args
    if run.valid_fraction is not None:
        out["validation_fraction"] = run.valid_fraction
    return out


def _train(
    estimator: CTREstimator, run: Run, found: InputFiles, time: dict[str, Any] | None, progress: Progress,
    target: Target,
) -> None:  # fmt: skip
    progress.begin("reading and learning the values", None)
    estimator.fit(
        found.dataset(run.label, run.weight),
        validation=_input_files(run, run.valid).dataset(run.label, run.weight) if run.valid else None,
        time=time,
        init_from=run.init_from,
        callbacks=[TrainingProgress(progress, found.estimate_rows())] if progress.shown else None,
        metrics="default",
        checkpoint_dir=target.checkpoints,
        checkpoint_every=target.every,
        resume=target.resume,
    )


def _time(run: Run, found: InputFiles) -> dict[str, Any] | None:
    """Return the estimator's split by time; None if there is none."""
    if run.split_by is None and run.valid_from is None:
        return None
    column = run.split_by or _only_time(run, found)
    found.check([column], "--split-by")
    time: dict[str, Any] = {"column": column, "gap": _number(run.gap)}
    if run.valid_from is not None:
        time["valid_from"] = run.valid_from
    return time


def _only_time(run: Run, found: InputFiles) -> str:
    """The one column that holds times."""
    from ..encoding import FeatureEncoder, Timestamp

    kinds = FeatureEncoder.infer(found.paths, run.label, **found.options).features
    times = [name for name, kind in kinds.items() if isinstance(kind, Timestamp)]
    if len(times) != 1:
        raise UsageError(f"--valid-from needs --split-by COLUMN: columns that look like times are {times or 'none'}")
    return times[0]


def _number(gap: str | None) -> float | str:
    """A gap in the unit of the column, or text such as "1d"."""
    if gap is None:
        return 0
    for kind in (int, float):
        try:
            return kind(gap)
        except ValueError:
            continue
    return gap


def _effective(run: Run, estimator: CTREstimator) -> Run:
    """The run with everything that was left to the program filled in."""
    from ..estimators import CTRRegressor

    own = {"model", "features", "skip", "model_args", "random_state", "validation_fraction"}
    parameters = {name: value for name, value in estimator.get_params(deep=False).items() if name not in own}
    fraction = None if run.valid or run.valid_from else estimator.validation_fraction
    unused = dict.fromkeys([*estimator.skip, *estimator.encoder_.left_out])
    settings = Settings(parameters, run.settings.model_args, {**unused, **estimator.encoder_.features})
    task = "regression" if isinstance(estimator, CTRRegressor) else "classification"
    return replace(run, task=task, valid_fraction=fraction, infer=False, settings=settings)


def _report(estimator: CTREstimator, out: Path, as_json: bool) -> None:
    training, metrics = estimator.training_, estimator.validation_metrics_ or {}
    shown = {
        "model": estimator.model,
        "task": estimator.label_encoder_.kind,
        "rows": training["rows"],
        "validation rows": training["validation_rows"],
        "features": len(estimator.encoder_.features),
        "seconds": training["seconds"],
    }
    if as_json:
        print_json({"out": str(out), **{n.replace(" ", "_"): v for n, v in shown.items()}, "validation": metrics})
        return
    print_facts({**shown, "seconds": f"{training['seconds']:.1f}", "saved in": f"{out}{os.sep}"})
    if metrics:
        print_metrics(metrics, estimator.labels_, title="On the validation rows")
