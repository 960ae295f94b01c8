"""The options of the commands, each said once. Imported when a command line is built, since typer may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["split_names"]

_READING, _VALIDATION, _RUN = "Reading text files", "Validation", "The run"


def split_names(text: str | None) -> list[str]:
    """Return the names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else on stdout.")]
Layout = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        rich_help_panel=_READING,
        help="`criteo` (label, I1 to I13, C1 to C26, no line of names), `table`, or `auto`: tell by the first line.",
    ),
]
Header = Annotated[
    str | None,
    typer.Option(
        "--header", metavar="NAMES", rich_help_panel=_READING, help="Names of the columns, where no line says them."
    ),
]
Null = Annotated[
    list[str] | None,
    typer.Option(
        "--null", metavar="TEXT", rich_help_panel=_READING, help="A field that is a missing value, as the empty one is."
    ),
]

Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data", "-d", metavar="FILES", help="A file, a folder, or a glob in quotes; may be given several times."
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", "-l", metavar="COLUMN", help="Column of the labels; several with commas.")
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", metavar="NAME", help="See `deepctr-torch models`. Default: DeepFM.")
]
RunOut = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the model and all it needs.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A parameter of the estimator (`epochs=3`), an argument of the model (`model_args.dnn_dropout=0.2`), or "
        "the kind of a feature (`features.price=Numeric`, `features.id=skip`).",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="The kind of a feature: `features.price=Numeric`."),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="`classification`, `regression`, or `auto`: tell by the labels."),
]
Weight = Annotated[str | None, typer.Option("--weight", metavar="COLUMN", help="Column of the weights of the rows.")]
Valid = Annotated[
    list[str] | None,
    typer.Option("--valid", metavar="FILES", rich_help_panel=_VALIDATION, help="Files to validate on."),
]
ValidFraction = Annotated[
    float | None,
    typer.Option(
        "--valid-fraction",
        metavar="SHARE",
        rich_help_panel=_VALIDATION,
        help="Share of the rows to validate on. Default: 0.1.",
    ),
]
SplitBy = Annotated[
    str | None,
    typer.Option(
        "--split-by",
        metavar="COLUMN",
        rich_help_panel=_VALIDATION,
        help="A time: validate on the last rows by it, `--valid-fraction` of all.",
    ),
]
ValidFrom = Annotated[
    str | None,
    typer.Option(
        "--valid-from",
        metavar="VALUE",
        rich_help_panel=_VALIDATION,
        help="Validate on the rows from this time on, by `--split-by` or by the only column that holds times.",
    ),
]
Gap = Annotated[
    str | None,
    typer.Option(
        "--gap",
        metavar="SPAN",
        rich_help_panel=_VALIDATION,
        help="Leave out so much time before the validation: `1d`, `6h`, a number.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        rich_help_panel=_RUN,
        help="`run.toml` of another run: what is not said here is as it was there.",
    ),
]
InitFrom = Annotated[
    Path | None,
    typer.Option(
        "--init-from",
        metavar="DIR",
        rich_help_panel=_RUN,
        help="Go on from the model of another run; new values get rows of their own.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, metavar="NUMBER", rich_help_panel=_RUN, help="Of weights, order and split. Default: 0."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_RUN, help="Put the new run in the place of the one in `--out`.")
]

RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `fit` wrote.")]
Files = Annotated[list[str], typer.Argument(metavar="FILES...", help="Files, folders, or globs.")]
By = Annotated[
    str | None, typer.Option("--by", metavar="COLUMN", help="Also evaluate the rows of each value of this column.")
]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="Also compute GAUC: the AUC within each value of this column."),
]
Scores = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="Table of the scores: .parquet, .csv, .tsv, text also .gz.")
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="NAMES", help="Columns of the input to write before the scores. Default: all."),
]
EncodedOut = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the encoded files.")]
Encoder = Annotated[
    Path | None,
    typer.Option("--encoder", metavar="DIR", help="Folder of a run or an encoder. Default: learn from the files."),
]
Keep = Annotated[str | None, typer.Option("--keep", metavar="NAMES", help="Further columns to keep as they are.")]
Training = Annotated[
    bool, typer.Option("--training", help="As rows to train on: with train-only columns, and ids dropped out.")
]
DemoOut = Annotated[Path, typer.Option("--out", help="Folder for the learning curves and the models.")]
DemoSeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of initial weights, dropout and shuffling.")]
