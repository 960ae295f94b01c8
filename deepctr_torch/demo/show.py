"""The words and curves of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .deep import EVALUATIONS
from .task import METRICS, Result, Splits, score

if TYPE_CHECKING:
    from rich.console import Console

BEST = {"auc": max, "gauc": max, "logloss": min, "ne": min}


def _explain(rows: Mapping[str, str], console: Console) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    for term, text in rows.items():
        grid.add_row(f"[bold]{term}[/]", text)
    console.print(grid)


def introduction(splits: Splits, console: Console) -> None:
    """Say what the data are, and what is asked of them."""
    sizes = [len(y) for y in (splits.y_fit, splits.y_validation, splits.y_test)]
    people = len(np.unique(splits.fit["user"]))
    console.rule("[bold]deepctr-torch demo")
    _explain(
        {
            "data": f"MovieLens: {sum(sizes):,} real ratings of movies, by {people} people",
            "question": "Will this person give this movie 4 stars or more?",
            "features": "user, movie, year, genres, the user's last 20 liked movies; past like-rates and counts of "
            "user and movie. Each is made from earlier ratings alone.",
            "train on": f"{sizes[0]:,} ratings",
            "stop by": f"{sizes[1]:,} ratings, the last tenth of each person's training ratings",
            "test on": f"{sizes[2]:,} ratings, the last fifth of each person's; used once, at the end",
        },
        console,
    )


def table(numbers: Mapping[str, Any], results: list[Result], splits: Splits, console: Console) -> None:
    """The comparison, best values marked, and what its columns mean."""
    from rich import box
    from rich.table import Table

    best = {name: pick(numbers[r.name][name] for r in results) for name, pick in BEST.items()}
    shown = Table(title=f"On the test part ({len(splits.y_test):,} ratings)", box=box.SIMPLE, padding=0, pad_edge=False)
    shown.add_column("model", no_wrap=True)
    for title in (*METRICS.values(), "samples/s"):
        shown.add_column(title, justify="right", no_wrap=True, min_width=len(title) + 1)
    for result in results:
        row = numbers[result.name]
        marks = {name: "[bold green]" if row[name] == best.get(name) else "[default]" for name in METRICS}
        cells = [f"{marks[name]}{row[name]:.4f}[/]" for name in METRICS]
        shown.add_row(result.name, *cells, f"{row['samples_per_s']:,.0f}")
    console.print()
    console.print(shown)
    rates = f"{splits.y_fit.mean():.0%} of the ratings in training and {splits.y_test.mean():.0%} in the test"
    _explain(
        {
            "AUC": "share of pairs (liked, not liked) in the right order; 0.5 is chance. GAUC: the same within a user",
            "logloss": "lower is better. NE: logloss over that of always saying the average; below 1 means learned",
            "calibration": f"likes promised over likes seen; 1 is right. People liked {rates}.",
            "samples/s": "ratings read in training, on one core: in all epochs, iterations or trees",
        },
        console,
    )
    console.print()


def curves(results: list[Result], splits: Splits, file: Path) -> None:
    """Draw logloss and AUC against epochs; the baselines, which have no epochs, as level lines."""
    from matplotlib.figure import Figure

    users = splits.validation[splits.data.group]
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = dict(zip(("logloss", "auc"), figure.subplots(1, 2), strict=True))
    for number, result in enumerate(results):
        color = f"C{number}"
        if result.history is None:
            levels = score(splits.y_validation, result.predict(splits.validation), users)
        for metric, axes in panels.items():
            if result.history is None:
                axes.axhline(levels[metric], color=color, linestyle=":", label=f"{result.name}, validation")
                continue
            epochs = np.arange(1, len(result.history[metric]) + 1) / EVALUATIONS
            axes.plot(epochs, result.history[metric], color=color, linestyle="--", label=f"{result.name}, training")
            validation = result.history[f"val_{metric}"]
            axes.plot(epochs, validation, color=color, marker="o", markersize=4, label=f"{result.name}, validation")
    for metric, axes in panels.items():
        axes.set_title(METRICS[metric])
        axes.set_xlabel("epochs")
        axes.grid(alpha=0.3)
    panels["logloss"].legend(fontsize=8)
    figure.suptitle("MovieLens: will they like it? (4 stars or more)")
    figure.savefig(file, dpi=120)


def farewell(out: Path, seconds: float, console: Console) -> None:
    """Say where things are, and where to go on."""
    console.print()
    _explain(
        {
            "curves": f"{out / 'learning_curves.png'}",
            "models": f"{out / 'DeepFM'}, {out / 'DIN'}; deepctr_torch.load_model(folder) reads one",
            "next": "README.md, 'Quick start': ten lines; examples/: complete scripts; docs/: every model and "
            "metric; `deepctr-torch models`: the list",
        },
        console,
    )
    console.print(f"Done in {seconds:.0f} s.", highlight=False)
