"""`models` and `demo`."""

from __future__ import annotations

import inspect
from pathlib import Path

from .._optional import needs
from .console import print_json
from .output import output_folder


def demo(out: Path, seed: int, as_json: bool) -> int:
    """The exit code: 0, or 1 if a loaded model predicts otherwise than the saved one."""
    with needs("demo"):
        import matplotlib  # noqa: F401 - missed before the training, not after it
        from rich.console import Console

    from ..demo import run

    with output_folder(out):
        numbers, equal = run(out, seed, Console(stderr=as_json))
    if as_json:
        print_json(numbers)
    return 0 if equal else 1


def models(as_json: bool) -> None:
    """Every model with the first line of its documentation."""
    with needs("tables"):
        from rich.console import Console
        from rich.table import Table

    from ..models import MODELS

    lines = {name: (inspect.getdoc(MODELS.get(name)) or "").partition("\n")[0] for name in MODELS}
    if as_json:
        print_json([{"name": name, "summary": line} for name, line in lines.items()])
        return
    table = Table(box=None, show_header=False)
    for name, line in lines.items():
        table.add_row(f"[bold]{name}[/]", line)
    Console().print(table)
