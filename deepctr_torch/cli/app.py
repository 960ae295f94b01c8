"""The commands and their options; a module of its own does the work of each, imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from . import options as o
from .console import TRACEBACK, UsageError, reported
from .inputs import Reading
from .options import split_names


def start(
    traceback: bool = typer.Option(False, "--traceback", help="Show where in the program an error came from."),
) -> None:
    """Click-through-rate prediction in PyTorch: raw tables in, probabilities out.

    Begin with `demo`; then `fit` on files of your own, `evaluate` and `predict` with what it wrote.

    Exit codes: 0 done, 1 failed (one line on stderr says why), 2 called in a wrong way.
    """
    TRACEBACK.set(traceback)


def demo(out: o.DemoOut = Path("demo-output"), seed: o.DemoSeed = 2024, json: o.AsJson = False) -> None:
    """Train DeepFM and DIN on 100,004 real ratings, beside two baselines, and compare them."""
    from .models import demo as run

    raise typer.Exit(run(out, seed, json))


def models(json: o.AsJson = False) -> None:
    """List the models, one line each."""
    from .models import models as run

    run(json)


def fit(
    context: typer.Context, out: o.RunOut, data: o.Data = None, label: o.Label = None, model: o.Model = None,
    task: o.Task = None, weight: o.Weight = None, skip: o.Skip = None, features: o.Only = None,
    settings: o.Settings = None, valid: o.Valid = None, valid_fraction: o.ValidFraction = None,
    split_by: o.SplitBy = None, valid_from: o.ValidFrom = None, gap: o.Gap = None, layout: o.Layout = None,
    header: o.Header = None, null: o.Null = None, on_bad_rows: o.OnBadRows = None, config: o.Config = None,
    init_from: o.InitFrom = None, seed: o.Seed = None, overwrite: o.Overwrite = False, resume: o.Resume = False,
    checkpoint_every: o.CheckpointEvery = "10min", threads: o.Threads = None, json: o.AsJson = False,
) -> None:  # fmt: skip
    """Train a model on raw tables, and save it with all that it needs to score raw tables.

    Files are CSV (`.csv`), TSV (`.tsv`, `.txt`), both also with `.gz`, or Parquet, and may be larger than the memory.
    Which columns are ids, numbers, histories or times is inferred from the beginning of the data; `--set` corrects it.
    The best state by validation is kept.

    `run.toml` in the folder holds every setting; with `--config` it makes the same weights again.

        deepctr-torch fit --data 'train/*.csv' --label click --out runs/a

        deepctr-torch fit --config runs/a/run.toml --model DCN --set epochs=5 --out runs/b

        deepctr-torch fit --out runs/a --resume
    """
    from .fit import fit as run
    from .output import Target
    from .settings import parse_settings

    if context.args:
        raise UsageError(f"unexpected {context.args[0]!r}: several files are a glob in quotes, or --data for each")
    given: dict[str, Any] = {
        "data": data, "label": split_names(label), "weight": weight, "model": model, "task": task, "seed": seed,
        "valid": valid, "valid_fraction": valid_fraction, "split_by": split_by, "valid_from": valid_from, "gap": gap,
        "format": layout, "header": split_names(header), "null": null, "init_from": init_from and str(init_from),
        "on_bad_rows": on_bad_rows,
    }  # fmt: skip
    chosen = parse_settings(settings or [])
    every = int(checkpoint_every) if checkpoint_every.isdecimal() else checkpoint_every
    target = Target(out, overwrite, resume, every)
    run(given, chosen, split_names(skip), split_names(features), config, target, json)


def evaluate(
    run: o.RunDir, files: o.Files, label: o.Label = None, weight: o.Weight = None, by: o.By = None,
    group: o.Group = None, layout: o.Layout = None, header: o.Header = None, null: o.Null = None,
    on_bad_rows: o.OnBadRows = None, threads: o.Threads = None, json: o.AsJson = False,
) -> None:  # fmt: skip
    """Compare the predictions of a saved model with the labels of files.

    Every metric is computed over all rows, exactly. `--by` and `--group` take any column of the files.

        deepctr-torch evaluate runs/a 'test/*.csv' --by country --group user
    """
    from .evaluate import evaluate as run_it

    run_it(
        run,
        files,
        split_names(label),
        weight,
        by,
        group,
        Reading(layout, split_names(header), null, on_bad_rows),
        json,
    )


def predict(
    run: o.RunDir, files: o.Files, out: o.Scores, columns: o.Columns = None, layout: o.Layout = None,
    header: o.Header = None, null: o.Null = None, on_bad_rows: o.OnBadRows = None,
    threads: o.Threads = None, json: o.AsJson = False,
) -> None:  # fmt: skip
    """Write the predictions of a saved model for the rows of files, in their order.

    The columns of the files come first, then `prediction` (of several tasks `prediction_<task>`): probabilities, or
    numbers of a regression. Files need no labels, and may hold values that were never seen.

        deepctr-torch predict runs/a 'new/*.csv' --out scores.parquet
    """
    from .predict import predict as run_it

    chosen = None if columns is None else split_names(columns)
    run_it(run, files, out, chosen, Reading(layout, split_names(header), null, on_bad_rows), json)


def inspect(run: o.RunDir, json: o.AsJson = False) -> None:
    """Say what a folder that `fit` wrote holds: model, features, sizes, how it was trained."""
    from .inspect import inspect as run_it

    run_it(run, json)


def encode(
    files: o.Files, out: o.EncodedOut, label: o.Label = None, keep: o.Keep = None, encoder: o.Encoder = None,
    training: o.Training = False, settings: o.Kinds = None, layout: o.Layout = None, header: o.Header = None,
    null: o.Null = None, on_bad_rows: o.OnBadRows = None,
    threads: o.Threads = None, json: o.AsJson = False,
) -> None:  # fmt: skip
    """Encode raw tables into Parquet files of ids and numbers, which `model.fit` reads several times faster.

    deepctr-torch encode 'train/*.csv' --label click --training --out encoded/train

    deepctr-torch encode 'test/*.csv' --label click --encoder encoded/train/encoder --out encoded/test
    """
    from .encode import encode as run_it
    from .settings import parse_settings

    settled = parse_settings(settings or [])
    if settled.parameters or settled.model_args:
        raise UsageError("--set of encode knows features.COLUMN=KIND alone")
    reading = Reading(layout, split_names(header), null, on_bad_rows)
    run_it(files, out, split_names(label), split_names(keep), encoder, training, settled, reading, json)


# Name -> command. Further words of `fit` are for it to explain: a shell makes them of a glob that is not in quotes.
COMMANDS = {c.__name__: reported(c) for c in (demo, models, fit, evaluate, predict, inspect, encode)}
