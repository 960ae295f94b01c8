"""Columns on the command line: labels that were features, histories of set columns, types that differ by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch.cli.console import print_metrics
from deepctr_torch.cli.run_config import from_toml
from deepctr_torch.encoding import FeatureEncoder

from ..support.cli_tables import as_json, failed, ran

SMALL = ["--set", "epochs=1", "--set", "batch_size=64", "--set", "model_args.dnn_hidden_units=[8]"]


def frame(rows: int = 300, seed: int = 0) -> pl.DataFrame:
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


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    frame().write_csv(folder / "views.csv")
    where = ["--data", folder / "views.csv", "--label", "click", "--weight", "weight"]
    ran("fit", *where, "--out", folder / "run", *SMALL)
    return folder


def features_of(run: Path) -> list[str]:
    return list(from_toml((run / "run.toml").read_text())["features"])


def test_another_label_or_weight_is_no_feature_of_the_earlier_settings(views: Path, tmp_path: Path) -> None:
    assert features_of(views / "run") == ["movie", "hist_movie", "buy"]
    config = ["fit", "--config", views / "run" / "run.toml", "--out"]
    for option in ("--label", "--weight"):
        run = tmp_path / option.strip("-")
        ran(*config, run, option, "buy")
        assert features_of(run) == ["movie", "hist_movie"]
        assert FeatureEncoder.load(run).inputs == ["movie", "hist_movie"]
    wrong = ["fit", "--data", views / "views.csv", "--label", "click", "--out", tmp_path / "no"]
    message = "--set features.seen must not read 'click', which is the label"
    assert message in failed(*wrong, "--set", "features.seen=Categorical(column='click')", code=2)
    again = [*config, tmp_path / "no", "--label", "buy"]
    message = "features.buy must not read 'buy', which is the label"
    assert message in failed(*again, "--set", "features.buy=Numeric", code=2)
    ran(*again, "--set", "features.buy=skip")


def test_a_set_target_still_shares_its_vocabulary_with_its_history(views: Path, tmp_path: Path) -> None:
    base = ["fit", "--data", views / "views.csv", "--label", "click", *SMALL]

    def owner(number: int, *kinds: str) -> Any:
        run = tmp_path / str(number)
        ran(*base, "--out", run, *(part for kind in kinds for part in ("--set", f"features.{kind}")))
        return from_toml((run / "run.toml").read_text())["features"]["hist_movie"].get("vocabulary_of")

    assert owner(0) == "movie"
    assert owner(1, "movie=Categorical(min_count=5)") == "movie"
    assert owner(2, "movie=Numeric") is None
    assert owner(3, "movie=skip") is None
    assert owner(4, "hist_movie=Sequence(separator=' ')") is None


def test_files_of_other_types_are_scored_as_they_are_trained_on(views: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    first, second = frame(200), frame(100, seed=1)
    first.with_columns(note=pl.lit(None)).write_parquet(parts / "a.parquet")
    later = second.with_columns(pl.col("buy").cast(pl.Float64), pl.col("click").cast(pl.Float64), note=pl.lit("late"))
    later.with_columns(buy=pl.when(pl.col("movie") > 2).then("buy")).write_parquet(parts / "b.parquet")
    ran("predict", views / "run", parts, "--out", tmp_path / "scores.parquet")
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert [scores.schema[name] for name in ("movie", "buy", "note")] == [pl.Int64, pl.Float64, pl.String]
    expected = [*first["buy"].cast(float), *pl.read_parquet(parts / "b.parquet")["buy"]]
    assert scores["buy"].to_list() == expected
    assert as_json("evaluate", views / "run", parts)["rows"] == 300
    ran("encode", parts, "--label", "click", "--keep", "note", "--set", "features.note=skip", "--out", tmp_path / "out")
    encoded = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert encoded["click"].to_list() == [*first["click"], *second["click"]]
    assert encoded["note"].to_list() == [None] * 200 + ["late"] * 100


def test_types_that_have_none_in_common_are_named(views: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    frame(50).with_columns(note=pl.lit(2**53 + 1)).write_parquet(parts / "a.parquet")
    arguments = ["predict", views / "run", parts, "--out", tmp_path / "scores.parquet"]
    frame(50).with_columns(note=pl.lit("x")).write_parquet(parts / "b.parquet")
    message = failed(*arguments)
    assert "column 'note' must be of one type, got int64 in" in message
    assert "a.parquet and large_string in" in message
    assert "b.parquet" in message
    frame(50).with_columns(note=pl.lit(0.5)).write_parquet(parts / "b.parquet")
    message = failed(*arguments)  # no float is that integer
    assert "column 'note' must be double, as in other files, got in" in message
    assert "a.parquet" in message
    ran(*arguments, "--columns", "movie")


def test_weights_are_checked_when_metrics_are_computed(views: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for value, message in ((None, "got nan in row 7"), (-1, "got -1.0 in row 7")):
        values = [value if i == 7 else 1 for i in range(300)]
        frame().with_columns(weight=pl.Series(values)).write_csv(path)
        said = failed("evaluate", views / "run", path, "--weight", "weight")
        assert f"rows.csv: sample_weight must be finite and >= 0, {message}" in said


@pytest.mark.parametrize("option", ["--by", "--group"])
def test_metrics_by_the_label_or_the_weight(views: Path, option: str) -> None:
    path = views / "views.csv"
    for name in ("click", "weight"):
        found = as_json("evaluate", views / "run", path, option, name, "--weight", "weight")
        plain = as_json("evaluate", views / "run", path, "--weight", "weight")
        assert found["rows"] == 300
        assert {name: found["metrics"][name] for name in plain["metrics"]} == plain["metrics"]


def test_json_stands_alone_whatever_is_set(views: Path, tmp_path: Path) -> None:
    done = as_json("fit", "--data", views / "views.csv", "--label", "click", "--out", tmp_path / "a", *SMALL,
                   "--set", "verbose=2")  # fmt: skip
    assert done["model"] == "DeepFM"


def test_metrics_of_tasks_whose_names_begin_alike(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"click_auc": 0.7, "click_buy_auc": 0.8, "auc": 0.75}
    print_metrics(metrics, ["click", "click_buy"], "Metrics")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1] == ["task", "auc"]
    assert lines[3:] == [["click", "0.7000"], ["click_buy", "0.8000"], ["mean", "0.7500"]]
