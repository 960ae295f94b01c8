"""The command `deepctr-torch`. Where a package is missing, one line says which extra brings it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._optional import needs

if TYPE_CHECKING:
    import typer

__all__ = ["build", "main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; `args` are those of the process unless given."""
    try:
        build()(args, prog_name="deepctr-torch")
    except ModuleNotFoundError as error:
        if "pip install" not in str(error):
            raise
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None


def build() -> typer.Typer:
    """The commands as a typer application."""
    with needs("tables"):
        import typer

        from . import app as commands
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(commands.start)
    for name, command in commands.COMMANDS.items():
        app.command(context_settings={"allow_extra_args": name == "fit"})(command)
    return app
