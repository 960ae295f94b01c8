"""What the tests of the command line share: raw tables, small, and a way to run commands."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from typer.testing import CliRunner

from deepctr_torch.cli import build

ROOT = Path(__file__).resolve().parents[2]

_spec = importlib.util.spec_from_file_location("raw_tables", ROOT / "examples" / "raw_tables.py")
assert _spec is not None
assert _spec.loader is not None
raw_tables: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(raw_tables)


def views_frame(rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Views of movies after others, with a label, a second one and a weight."""
    rng = np.random.default_rng(seed)
    movies = [" ".join(map(str, rng.integers(0, 9, n))) for n in rng.integers(1, 5, rows)]
    return pl.DataFrame(
        {
            "movie": rng.integers(0, 9, rows),
            "hist_movie": movies,
            "buy": rng.integers(0, 2, rows),
            "weight": rng.integers(1, 3, rows),
            "click": rng.integers(0, 2, rows),
        }
    )


def call(*arguments: Any) -> Any:
    """The result of a command: `exit_code`, `stdout`, `stderr`."""
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


def ran(*arguments: Any) -> str:
    """What a command printed, that ended well."""
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def as_json(*arguments: Any) -> Any:
    """What a command printed with `--json`, and nothing else."""
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def failed(*arguments: Any, code: int = 1) -> str:
    """The message of a command that failed: of exit code 1 one line on stderr, without a traceback."""
    done = call(*arguments)
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("Error: ")
    return " ".join(done.stderr.replace("│", " ").split())
