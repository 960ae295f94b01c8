"""The options of the commands, each said once. Imported when a command line is built, since typer may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_READING, _VALIDATION, _RUN = "Reading text files", "Validation", "The run"  # panels of the help


def split_names(text: str | None) -> list[str]:
    """Return the names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _option(names: str, metavar: str | None, help: str, panel: str | None = None, least: int | None = None) -> Any:
    return typer.Option(*names.split(), metavar=metavar, help=help, rich_help_panel=panel, min=least)


def use_threads(threads: int | None) -> int | None:
    """Compute, read and encode with so many threads, if a number is given."""
    if threads is not None:
        import pyarrow as pa
        import torch

        torch.set_num_threads(threads)
        pa.set_cpu_count(threads)
    return threads


Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="NUMBER",
        help="Threads that compute, read and encode. Default: one a processor.",
        min=1,
        callback=use_threads,  # which does all that there is to do
    ),
]
AsJson = Annotated[bool, _option("--json", None, "Print one JSON value and nothing else on stdout.")]
Layout = Annotated[
    str | None,
    _option(
        "--format",
        "NAME",
        "`criteo` (label, I1 to I13, C1 to C26, no line of names), `table`, or `auto`: tell by the first line.",
        _READING,
    ),
]
Header = Annotated[str | None, _option("--header", "NAMES", "Names of the columns, where no line says them.", _READING)]
Null = Annotated[
    list[str] | None, _option("--null", "TEXT", "A field that is a missing value, as the empty one is.", _READING)
]
OnBadRows = Annotated[
    str | None,
    _option("--on-bad-rows", "WORD", "`skip` leaves lines out that cannot be read, and counts them.", _READING),
]

Data = Annotated[
    list[str] | None,
    _option("--data -d", "FILES", "A file, a folder, or a glob in quotes; may be given several times."),
]
Label = Annotated[str | None, _option("--label -l", "COLUMN", "Column of the labels; several with commas.")]
Model = Annotated[str | None, _option("--model -m", "NAME", "See `deepctr-torch models`. Default: DeepFM.")]
RunOut = Annotated[Path, _option("--out -o", "DIR", "Folder for the model and all it needs.")]
Settings = Annotated[
    list[str] | None,
    _option(
        "--set",
        "KEY=VALUE",
        "A parameter of the estimator (`epochs=3`), an argument of the model (`model_args.dnn_dropout=0.2`), or "
        "the kind of a feature (`features.price=Numeric`).",
    ),
]
Skip = Annotated[str | None, _option("--skip", "COLUMNS", "Columns that are no features, such as later events.")]
Only = Annotated[str | None, _option("--features", "COLUMNS", "The only columns that are features. Default: all.")]
Kinds = Annotated[list[str] | None, _option("--set", "KEY=VALUE", "The kind of a feature: `features.price=Numeric`.")]
Task = Annotated[
    str | None, _option("--task", "NAME", "`classification`, `regression`, or `auto`: tell by the labels.")
]
Weight = Annotated[str | None, _option("--weight", "COLUMN", "Column of the weights of the rows.")]
Valid = Annotated[list[str] | None, _option("--valid", "FILES", "Files to validate on.", _VALIDATION)]
ValidFraction = Annotated[
    float | None,
    _option("--valid-fraction", "SHARE", "Share of the rows to validate on. Default: 0.1.", _VALIDATION),
]
SplitBy = Annotated[
    str | None,
    _option("--split-by", "COLUMN", "A time: validate on the last rows by it, `--valid-fraction` of all.", _VALIDATION),
]
ValidFrom = Annotated[
    str | None,
    _option(
        "--valid-from",
        "VALUE",
        "Validate on the rows from this time on, by `--split-by` or by the only column that holds times.",
        _VALIDATION,
    ),
]
Gap = Annotated[
    str | None,
    _option("--gap", "SPAN", "Leave out so much time before the validation: `1d`, `6h`, a number.", _VALIDATION),
]
Config = Annotated[
    Path | None,
    _option("--config -c", "FILE", "`run.toml` of another run: what is not said here is as it was there.", _RUN),
]
InitFrom = Annotated[
    Path | None,
    _option("--init-from", "DIR", "Go on from the model of another run; new values get rows of their own.", _RUN),
]
Seed = Annotated[int | None, _option("--seed", "NUMBER", "Of weights, order and split. Default: 0.", _RUN, least=0)]
Overwrite = Annotated[bool, _option("--overwrite", None, "Put the new run in the place of the one in `--out`.", _RUN)]
Resume = Annotated[
    bool,
    _option("--resume", None, "Go on with the run in `--out` that was cut off; begin where there is none.", _RUN),
]
CheckpointEvery = Annotated[
    str,
    _option("--checkpoint-every", "SPAN", "Between two checkpoints: `30s`, `10min`, `2h`, a number of steps.", _RUN),
]

RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `fit` wrote.")]
Files = Annotated[list[str], typer.Argument(metavar="FILES...", help="Files, folders, or globs.")]
By = Annotated[str | None, _option("--by", "COLUMN", "Also evaluate the rows of each value of this column.")]
Group = Annotated[
    str | None, _option("--group", "COLUMN", "Also compute GAUC: the AUC within each value of this column.")
]
Scores = Annotated[Path, _option("--out -o", "FILE", "Table of the scores: .parquet, .csv, .tsv, text also .gz.")]
Columns = Annotated[
    str | None, _option("--columns", "NAMES", "Columns of the input to write before the scores. Default: all.")
]
EncodedOut = Annotated[Path, _option("--out -o", "DIR", "Folder for the encoded files.")]
Encoder = Annotated[
    Path | None, _option("--encoder", "DIR", "Folder of a run or an encoder. Default: learn from the files.")
]
Keep = Annotated[str | None, _option("--keep", "NAMES", "Further columns to keep as they are.")]
Training = Annotated[
    bool, _option("--training", None, "As rows to train on: with train-only columns, and ids dropped out.")
]
DemoOut = Annotated[Path, _option("--out", None, "Folder for the learning curves and the models.")]
DemoSeed = Annotated[int, _option("--seed", None, "Seed of initial weights, dropout and shuffling.", least=0)]
