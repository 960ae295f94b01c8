"""How commands end: 0 done, 1 the run failed, 2 they were called in a wrong way. Failures are one line on stderr."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["TRACEBACK", "UsageError", "reported"]

TRACEBACK: ContextVar[bool] = ContextVar("traceback", default=False)  # show where an error came from
F = TypeVar("F", bound=Callable[..., None])


class UsageError(ValueError):
    """What the user asked for makes no sense, whatever the data: exit code 2."""


def reported(command: F) -> F:
    """The command, its errors as one line on stderr and an exit code; `deepctr-torch --traceback` shows where."""
    import typer

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UsageError as problem:
            raise typer.BadParameter(str(problem)) from problem
        except BrokenPipeError:
            raise
        except Exception as error:
            if isinstance(error, (typer.Exit, typer.Abort, typer.BadParameter)) or TRACEBACK.get():
                raise
            sys.stderr.write(f"Error: {_one_line(error)}\n")
            raise typer.Exit(1) from error

    return run  # type: ignore[return-value]  # the same signature


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    expected = isinstance(error, (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError))
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return text if expected else f"{type(error).__name__}: {text} (an error of the program: --traceback shows where)"
