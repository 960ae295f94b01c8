"""The command `deepctr-torch`. Where a package is missing, one line says which extra brings it."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._optional import needs

if TYPE_CHECKING:
    import typer

__all__ = ["build", "main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; `args` are those of the process unless given."""
    try:
        build()(args)
    except ModuleNotFoundError as error:
        if "pip install" not in str(error):
            raise
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None


def build() -> typer.Typer:
    """The commands as a typer application."""
    with needs("demo"):
        import typer

    app = typer.Typer(
        help="Click-through-rate prediction in PyTorch.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    as_json = typer.Option(False, "--json", help="Print one JSON value and nothing else.")
    out_option = typer.Option(Path("demo-output"), help="Folder for the learning curves and the models.")
    seed_option = typer.Option(2024, help="Seed of initial weights, dropout and shuffling.", min=0)

    @app.command()
    def demo(out: Path = out_option, seed: int = seed_option, json: bool = as_json) -> None:
        """Train DeepFM and DIN on 100,004 real ratings, beside two baselines, and compare them."""
        raise typer.Exit(_demo(out, seed, json))

    @app.command()
    def models(json: bool = as_json) -> None:
        """List the models, one line each."""
        _models(json)

    return app


def _demo(out: Path, seed: int, as_json: bool) -> int:
    """The exit code: 0, or 1 if a loaded model predicts otherwise than the saved one."""
    with needs("demo"):
        import matplotlib  # noqa: F401 - missed before the training, not after it
        from rich.console import Console

    from .demo import run

    numbers, equal = run(out, seed, Console(stderr=as_json))
    if as_json:
        sys.stdout.write(json.dumps(numbers) + "\n")
    return 0 if equal else 1


def _models(as_json: bool) -> None:
    with needs("demo"):
        from rich.console import Console
        from rich.table import Table

    from .models import MODELS

    lines = {name: (inspect.getdoc(MODELS.get(name)) or "").partition("\n")[0] for name in MODELS}
    if as_json:
        sys.stdout.write(json.dumps([{"name": name, "summary": line} for name, line in lines.items()]) + "\n")
        return
    table = Table(box=None, show_header=False)
    for name, line in lines.items():
        table.add_row(f"[bold]{name}[/]", line)
    Console().print(table)
