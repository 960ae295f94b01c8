"""Folders of data and runs that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ..support.cli_tables import ran, raw_tables, views_frame

SMALL = ["--set", "epochs=1", "--set", "batch_size=64", "--set", "model_args.dnn_hidden_units=[8]"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """criteo_like/, criteo/ and movielens/, a thousand rows each."""
    folder = tmp_path_factory.mktemp("data")
    frame = raw_tables.criteo_like(1000, 400)
    raw_tables.write(folder / "criteo_like", frame)
    raw_tables.write_criteo(folder / "criteo", frame)
    ratings = raw_tables.movielens()[:1000]
    raw_tables.write(folder / "movielens", ratings.with_columns(loved=(pl.col("movie_id") % 3 == 0).cast(pl.Int8)))
    return folder


@pytest.fixture(scope="session")
def criteo_like(data: Path) -> Path:
    """The folder of a run on CSV files."""
    run = data / "runs" / "criteo_like"
    ran("fit", "--data", data / "criteo_like" / "train.csv", "--label", "label", "--out", run, *SMALL)
    return run


@pytest.fixture(scope="session")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    views_frame().write_csv(folder / "views.csv")
    where = ["--data", folder / "views.csv", "--label", "click", "--weight", "weight"]
    ran("fit", *where, "--out", folder / "run", *SMALL)
    return folder
