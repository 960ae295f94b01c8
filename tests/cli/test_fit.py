"""`fit`, `evaluate`, `predict`, `inspect` on raw files: rows shaped like Criteo's, MovieLens, Criteo's own format."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from deepctr_torch import load_model
from deepctr_torch.cli.run_config import from_toml
from deepctr_torch.encoding import FeatureEncoder
from deepctr_torch.estimators import CTRClassifier

from ..support.cli_tables import ROOT, as_json, failed, ran, raw_tables

SMALL = ["--set", "epochs=1", "--set", "batch_size=64", "--set", "model_args.dnn_hidden_units=[8]"]
METRICS = {"auc", "logloss", "ne", "calibration"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """criteo_like/, criteo/ and movielens/, a thousand rows each."""
    folder = tmp_path_factory.mktemp("data")
    frame = raw_tables.criteo_like(1000, 400)
    raw_tables.write(folder / "criteo_like", frame)
    raw_tables.write_criteo(folder / "criteo", frame)
    ratings = raw_tables.movielens()[:1000]
    raw_tables.write(folder / "movielens", ratings.with_columns(loved=(pl.col("movie_id") % 3 == 0).cast(pl.Int8)))
    return folder


@pytest.fixture(scope="module")
def criteo_like(data: Path) -> Path:
    """The folder of a run on CSV files."""
    run = data / "runs" / "criteo_like"
    ran("fit", "--data", data / "criteo_like" / "train.csv", "--label", "label", "--out", run, *SMALL)
    return run


def scores_of(path: Path) -> Any:
    """The last column of a table."""
    table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    return table[table.columns[-1]].to_numpy()


def test_a_run_holds_all_it_needs(data: Path, criteo_like: Path) -> None:
    there = {path.name for path in criteo_like.iterdir()}
    assert there >= {"config.json", "weights.safetensors", "encoder.json", "vocab", "training.json", "run.toml"}
    run = from_toml((criteo_like / "run.toml").read_text())
    assert run["data"] == [str(data / "criteo_like" / "train.csv")]
    assert (run["label"], run["model"], run["task"], run["seed"]) == (["label"], "DeepFM", "classification", 0)
    assert (run["valid_fraction"], run["infer"]) == (0.1, False)
    assert run["parameters"]["epochs"] == 1
    assert run["model_args"] == {"dnn_hidden_units": [8]}
    assert list(run["features"]) == [*(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    assert set(CTRClassifier().get_params()) == {
        *run["parameters"], *run["unset"], "features", "model", "model_args", "random_state", "validation_fraction",
    }  # fmt: skip


def test_the_same_settings_make_the_same_weights(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    done = as_json("fit", "--config", criteo_like / "run.toml", "--out", tmp_path / "again")
    assert (done["rows"], done["validation_rows"]) == (900 - done["validation_rows"], done["validation_rows"])
    assert set(done["validation"]) == METRICS
    weights, again = (run / "weights.safetensors" for run in (criteo_like, tmp_path / "again"))
    assert weights.read_bytes() == again.read_bytes()
    assert (criteo_like / "run.toml").read_text() == (tmp_path / "again" / "run.toml").read_text()
    ran("fit", "--config", criteo_like / "run.toml", "--out", tmp_path / "other", "--seed", 1)
    assert weights.read_bytes() != (tmp_path / "other" / "weights.safetensors").read_bytes()


def test_what_fit_says_of_the_validation_is_what_the_training_saw(criteo_like: Path, tmp_path: Path) -> None:
    done = as_json("fit", "--config", criteo_like / "run.toml", "--out", tmp_path / "again")
    training = json.loads((tmp_path / "again" / "training.json").read_text())["estimator"]
    best = training["best_evaluation"]
    assert done["validation"]["auc"] == pytest.approx(training["history"]["val_auc"][best], abs=1e-9)
    assert done["validation"]["logloss"] == pytest.approx(training["history"]["val_loss"][best], abs=1e-5)
    assert done["validation_rows"] == training["validation_rows"] > 0


def test_scores_keep_the_order_and_are_those_of_the_estimator(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    done = as_json("predict", criteo_like, test, "--out", tmp_path / "scores.parquet")
    raw, scored = pl.read_csv(test), pl.read_parquet(tmp_path / "scores.parquet")
    assert (done["rows"], done["columns"]) == (100, scored.columns)
    assert scored.columns == [*raw.columns, "prediction"]
    assert scored.drop("prediction").equals(raw)
    loaded = CTRClassifier.load(criteo_like)
    assert (scored["prediction"].to_numpy() == loaded.predict_proba(str(test))[:, 1]).all()
    ran("predict", criteo_like, test, "--out", tmp_path / "scores.csv.gz", "--columns", "C1,label")
    text = pl.read_csv(tmp_path / "scores.csv.gz", schema_overrides={"C1": pl.String})
    assert text.equals(scored.select("C1", "label", "prediction"))
    ran("predict", criteo_like, test, "--out", tmp_path / "alone.tsv", "--columns", "")
    alone = pl.read_csv(tmp_path / "alone.tsv", separator="\t")
    assert alone.equals(scored.select("prediction"))


def test_text_is_copied_as_it_stands(criteo_like: Path, data: Path, tmp_path: Path) -> None:
    lines = (data / "criteo_like" / "test.csv").read_text().splitlines()[:4]
    rows = [lines[0] + ",note", *(f"{line},{note}" for line, note in zip(lines[1:], ["007", "1.50", ""], strict=True))]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    ran("predict", criteo_like, tmp_path / "a.csv", "--out", tmp_path / "b.csv")
    assert [line.rpartition(",")[0] for line in (tmp_path / "b.csv").read_text().splitlines()] == rows


def test_a_model_reads_parquet_as_it_reads_text(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    overrides = {f"C{i}": pl.String for i in range(1, 27)}
    pl.read_csv(test, schema_overrides=overrides).write_parquet(tmp_path / "test.parquet", row_group_size=30)
    for name, source in (("a", test), ("b", tmp_path / "test.parquet")):
        ran("predict", criteo_like, source, "--out", tmp_path / f"{name}.parquet")
    assert scores_of(tmp_path / "a.parquet") == pytest.approx(scores_of(tmp_path / "b.parquet"), abs=1e-6)


def test_values_never_seen_and_fields_left_empty_get_a_probability(criteo_like: Path, tmp_path: Path) -> None:
    names = [*(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    rows = [",".join(names), "," * 38, ",".join(["99999999999999"] * 13 + ["never seen"] * 26)]
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    ran("predict", criteo_like, tmp_path / "new.csv", "--out", tmp_path / "out.parquet")
    scores = scores_of(tmp_path / "out.parquet")
    assert len(scores) == 2
    assert ((scores >= 0) & (scores <= 1)).all()


def test_metrics_are_those_of_the_scores(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    ran("predict", criteo_like, test, "--out", tmp_path / "scores.parquet")
    frame = pl.read_csv(test, schema_overrides={f"C{i}": pl.String for i in range(1, 27)})
    frame.with_columns(w=pl.arange(pl.len()) % 3).write_csv(tmp_path / "weighted.csv")
    weighted = as_json("evaluate", criteo_like, tmp_path / "weighted.csv", "--weight", "w")["metrics"]
    done = as_json("evaluate", criteo_like, test, "--by", "C9", "--group", "C6")
    scored = pl.read_parquet(tmp_path / "scores.parquet")
    assert done["rows"] == 100
    assert {*METRICS, "gauc:C6", "gauc_skipped:C6"} == set(done["metrics"])
    plain = as_json("evaluate", criteo_like, test)["metrics"]
    y, p = scored["label"].to_numpy(), scored["prediction"].to_numpy()
    assert plain["auc"] == pytest.approx(roc_auc_score(y, p))
    assert plain["logloss"] == pytest.approx(log_loss(y, p))
    assert plain["calibration"] == pytest.approx(p.sum() / y.sum())
    assert weighted["logloss"] == pytest.approx(log_loss(y, p, sample_weight=np.arange(len(y)) % 3))


def test_metrics_by_value(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test = data / "criteo_like" / "test.csv"
    ran("predict", criteo_like, test, "--out", tmp_path / "scores.parquet")
    done = as_json("evaluate", criteo_like, test, "--by", "C9")
    scored = pl.read_parquet(tmp_path / "scores.parquet").with_columns(pl.col("C9").fill_null("(missing)"))
    assert done["by"] == "C9"
    assert sum(part["rows"] for part in done["parts"]) == 100
    assert [p["rows"] for p in done["parts"]] == sorted((p["rows"] for p in done["parts"]), reverse=True)
    for part in done["parts"]:
        rows = scored.filter(pl.col("C9") == part["value"])
        assert part["rows"] == rows.height
        if rows["label"].n_unique() == 2:
            assert part["metrics"]["auc"] == pytest.approx(roc_auc_score(rows["label"], rows["prediction"]))
    out = ran("evaluate", criteo_like, test, "--by", "C9")
    assert "By C9" in out
    assert "(missing)" in out
    assert "the 20 most frequent of" in ran("evaluate", criteo_like, test, "--by", "C3")


def test_inspect_says_what_is_there(criteo_like: Path) -> None:
    done = as_json("inspect", criteo_like)
    assert (done["estimator"], done["model"], done["labels"]) == ("CTRClassifier", "DeepFM", ["label"])
    assert (
        done["weights"] == sum(p.numel() for p in load_model(criteo_like).parameters()) == sum(done["tables"].values())
    )
    assert next(feature["feature"] for feature in done["features"]) == "I1"
    assert set(done["validation"]) == {"loss", "auc"}
    out = ran("inspect", criteo_like)
    assert "Features" in out
    assert "Categorical" in out


def test_a_folder_of_criteo_files(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    """Without a line of names, the same rows as the CSV files hold: the same scores."""
    run = tmp_path / "run"
    done = as_json("fit", "--data", data / "criteo" / "train", "--label", "label", "--out", run, *SMALL)
    assert done["rows"] + done["validation_rows"] == 900
    assert as_json("evaluate", run, data / "criteo" / "test")["rows"] == 100
    ran("predict", run, data / "criteo" / "test", "--out", tmp_path / "a.tsv")
    assert pl.read_csv(tmp_path / "a.tsv", separator="\t").columns[::39] == ["label", "C26"]
    unlabelled = (data / "criteo" / "test" / "day_2.tsv").read_text().splitlines()
    (tmp_path / "new.txt").write_text("\n".join(line.partition("\t")[2] for line in unlabelled) + "\n")
    ran("predict", run, tmp_path / "new.txt", "--out", tmp_path / "b.parquet")
    ran("predict", run, data / "criteo_like" / "test.csv", "--out", tmp_path / "c.parquet")
    a, b, c = (pl.read_parquet(tmp_path / f"{n}.parquet")["prediction"] if n != "a" else
               pl.read_csv(tmp_path / "a.tsv", separator="\t")["prediction"] for n in "abc")  # fmt: skip
    assert a.equals(b)
    assert a.equals(c)
    ran("fit", "--config", run / "run.toml", "--out", tmp_path / "again")
    assert (run / "weights.safetensors").read_bytes() == (tmp_path / "again" / "weights.safetensors").read_bytes()


def test_names_of_columns_that_no_line_says(data: Path, tmp_path: Path) -> None:
    whole = (data / "movielens" / "train.csv").read_text().splitlines()
    (tmp_path / "bare.csv").write_text("\n".join(whole[1:]) + "\n")
    run = tmp_path / "run"
    ran("fit", "--data", tmp_path / "bare.csv", "--header", whole[0], "--label", "liked", "--out", run, *SMALL)
    for name, files in (("a", tmp_path / "bare.csv"), ("b", data / "movielens" / "train.csv")):  # names or none
        ran("predict", run, files, "--out", tmp_path / f"{name}.parquet")
    a, b = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    assert a.equals(b)


def test_movielens_split_by_time(data: Path, tmp_path: Path) -> None:
    train, run = data / "movielens" / "train.csv", tmp_path / "run"
    arguments = ["--data", train, "--label", "liked", "--split-by", "timestamp", "--valid-fraction", 0.2]
    done = as_json("fit", *arguments, "--out", run, "--model", "WDL", *SMALL, "--set", "features.loved=skip",
                   "--set", "features.year=Categorical(min_count=3)")  # fmt: skip
    assert 180 <= done["validation_rows"] <= 200
    settings = from_toml((run / "run.toml").read_text())
    assert settings["features"]["genres"] == {"kind": "MultiValue", "separator": "|"}
    assert settings["features"]["year"] == {"kind": "Categorical", "min_count": 3}
    assert settings["features"]["timestamp"] == {"kind": "Timestamp"}
    assert "loved" not in settings["features"]
    users = pl.read_csv(train).sort("timestamp", maintain_order=True)["user_id"][: done["rows"]].n_unique()
    described = {feature["feature"]: feature for feature in as_json("inspect", run)["features"]}
    assert described["user_id"]["cardinality"] == users  # of the training rows alone
    done = as_json("evaluate", run, data / "movielens" / "test.csv", "--group", "user_id")
    assert {"gauc:user_id", "gauc_skipped:user_id"} < set(done["metrics"])
    ran("fit", "--config", run / "run.toml", "--out", tmp_path / "again")
    assert (run / "weights.safetensors").read_bytes() == (tmp_path / "again" / "weights.safetensors").read_bytes()


def test_a_validation_that_begins_at_a_time(data: Path, tmp_path: Path) -> None:
    train = data / "movielens" / "train.csv"
    times = np.sort(pl.read_csv(train)["timestamp"].to_numpy())
    start = int(times[700])
    done = as_json("fit", "--data", train, "--label", "liked", "--out", tmp_path / "run", "--valid-from", start,
                   "--gap", 86400, *SMALL)  # fmt: skip
    assert done["validation_rows"] == (times >= start).sum()
    assert done["rows"] == (times < start - 86400).sum()


def test_a_fraction_of_nothing_leaves_all_rows_to_train_on(data: Path, tmp_path: Path) -> None:
    train = data / "movielens" / "train.csv"
    done = as_json("fit", "--data", train, "--label", "liked", "--out", tmp_path / "run", "--split-by", "timestamp",
                   "--valid-fraction", 0, *SMALL)  # fmt: skip
    assert (done["rows"], done["validation_rows"], done["validation"]) == (len(pl.read_csv(train)), 0, {})


def test_a_day_between_the_parts(data: Path, tmp_path: Path) -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 10), "1d")
    ids = pl.int_range(10).repeat_by(30).explode()
    table = pl.select(day=days.repeat_by(30).explode(), user=ids % 7, click=ids % 2)
    table.write_csv(tmp_path / "a.csv")
    arguments = ["fit", "--data", tmp_path / "a.csv", "--label", "click", "--valid-from", "2024-01-09", *SMALL]
    done = as_json(*arguments, "--gap", "1d", "--out", tmp_path / "run")
    assert (done["rows"], done["validation_rows"]) == (210, 60)
    table.drop("day").write_csv(tmp_path / "a.csv")
    assert "columns that look like times are none" in failed(*arguments, "--out", tmp_path / "no", code=2)


def test_a_column_that_changes_its_looks(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    """Beyond the first MiB of a text file the types of Parquet columns may turn out wrong."""
    lines = (data / "criteo_like" / "test.csv").read_text().splitlines()
    many = [f"{line},7" for line in lines[1:]] * 60
    (tmp_path / "a.csv").write_text("\n".join([f"{lines[0]},note", *many, f"{lines[1]},seven"]) + "\n")
    message = failed("predict", criteo_like, tmp_path / "a.csv", "--out", tmp_path / "a.parquet")
    assert "'note' looked like int64 at the beginning of the files" in message
    assert as_json("predict", criteo_like, tmp_path / "a.csv", "--out", tmp_path / "b.csv")["rows"] == 6001
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_files_to_validate_on(data: Path, tmp_path: Path) -> None:
    folder = data / "movielens"
    done = as_json("fit", "--data", folder / "train.csv", "--valid", folder / "test.csv", "--label", "liked",
                   "--out", tmp_path / "run", *SMALL)  # fmt: skip
    assert done["rows"] == 900
    same = as_json("evaluate", tmp_path / "run", folder / "test.csv")["metrics"]
    assert done["validation"] == same


def test_no_validation(data: Path, tmp_path: Path) -> None:
    done = as_json("fit", "--data", data / "movielens" / "train.csv", "--label", "liked", "--valid-fraction", 0,
                   "--out", tmp_path / "run", *SMALL)  # fmt: skip
    assert (done["rows"], done["validation_rows"], done["validation"]) == (900, 0, {})


def test_several_labels(data: Path, tmp_path: Path) -> None:
    run, test = tmp_path / "run", data / "movielens" / "test.csv"
    ran("fit", "--data", data / "movielens" / "train.csv", "--label", "liked,loved", "--model", "SharedBottom",
        "--out", run, "--set", "epochs=1")  # fmt: skip
    metrics = as_json("evaluate", run, test)["metrics"]
    assert metrics["auc"] == pytest.approx((metrics["liked_auc"] + metrics["loved_auc"]) / 2)
    assert "mean" in ran("evaluate", run, test)
    ran("predict", run, test, "--out", tmp_path / "scores.parquet")
    assert pl.read_parquet(tmp_path / "scores.parquet").columns[-2:] == ["prediction_liked", "prediction_loved"]


def test_numbers_are_predicted_in_their_own_units(data: Path, tmp_path: Path) -> None:
    run, train = tmp_path / "run", tmp_path / "train.csv"
    frame = pl.read_csv(data / "movielens" / "train.csv").with_columns(stars=50 + pl.col("liked") * 2.5)
    frame.drop("liked").write_csv(train)
    done = as_json("fit", "--data", train, "--label", "stars", "--out", run, "--set", "epochs=1")
    assert set(done["validation"]) == {"rmse", "mae"}
    assert as_json("inspect", run)["estimator"] == "CTRRegressor"
    ran("predict", run, train, "--out", tmp_path / "scores.parquet")
    scores = scores_of(tmp_path / "scores.parquet")
    assert 49 < scores.mean() < 54
    assert as_json("evaluate", run, train)["metrics"]["mae"] == pytest.approx(
        np.abs(scores - frame["stars"].to_numpy()).mean()
    )


def test_settings_by_hand(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        f"data = ['{(data / 'movielens' / 'train.csv').as_posix()}']\nlabel = ['liked']\nmodel = 'WDL'\n"
        "[parameters]\nepochs = 1\n[features]\nyear = {kind = 'Numeric'}\n"
    )
    as_json("fit", "--config", tmp_path / "run.toml", "--out", tmp_path / "a", "--set", "features.loved=skip")
    assert set(from_toml((tmp_path / "a" / "run.toml").read_text())["features"]) == {
        "user_id", "movie_id", "year", "genres", "timestamp",
    }  # fmt: skip


def test_going_on_from_a_run(data: Path, tmp_path: Path) -> None:
    """Yesterday's model, then today's rows: its settings hold, new values get rows, nothing is renumbered."""
    days = pl.read_csv(data / "movielens" / "train.csv")
    days[:600].write_csv(tmp_path / "day1.csv")
    days[600:].write_csv(tmp_path / "day2.csv")
    first, second = tmp_path / "first", tmp_path / "second"
    ran("fit", "--data", tmp_path / "day1.csv", "--label", "liked", "--model", "WDL", "--out", first, *SMALL)
    done = as_json("fit", "--data", tmp_path / "day2.csv", "--init-from", first, "--out", second)
    assert done["model"] == "WDL"
    before, after = (FeatureEncoder.load(run).vocabulary("user_id").values.to_pylist() for run in (first, second))
    assert after[: len(before)] == before
    assert len(after) > len(before)
    ran("fit", "--config", second / "run.toml", "--out", tmp_path / "again")
    assert (second / "weights.safetensors").read_bytes() == (tmp_path / "again" / "weights.safetensors").read_bytes()
    message = "goes on with the features of that run"
    arguments = ["fit", "--data", tmp_path / "day2.csv", "--init-from", first, "--out", tmp_path / "no"]
    assert message in failed(*arguments, "--set", "features.year=skip", code=2)
    assert "must be of the model 'DeepFM', got 'WDL'" in failed(*arguments, "--model", "DeepFM")


def test_histories_of_another_name(tmp_path: Path) -> None:
    """A run with a history is made again from what its folder says."""
    rng = np.random.default_rng(0)
    lists = [" ".join(map(str, rng.integers(0, 9, n))) for n in rng.integers(0, 5, 300)]
    frame = {"movie": rng.integers(0, 9, 300), "watched": lists, "click": rng.integers(0, 2, 300)}
    pl.DataFrame(frame).write_csv(tmp_path / "a.csv")
    history = ["--model", "DIN", "--set", 'history={"movie": "watched"}', "--set", "features.movie=Categorical",
               "--set", "features.watched=Sequence(separator=' ')"]  # fmt: skip
    ran("fit", "--data", tmp_path / "a.csv", "--label", "click", *history, "--set", "epochs=1", "--out", tmp_path / "a")
    settings = from_toml((tmp_path / "a" / "run.toml").read_text())
    assert settings["parameters"]["history"] == {"movie": "watched"}
    assert settings["features"]["hist_movie"]["column"] == "watched"
    ran("fit", "--config", tmp_path / "a" / "run.toml", "--out", tmp_path / "b")
    assert (tmp_path / "a" / "run.toml").read_text() == (tmp_path / "b" / "run.toml").read_text()
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in "ab"]
    assert weights[0] == weights[1]


def test_a_run_replaces_another_one_only_when_told(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    arguments = ["fit", "--data", data / "movielens" / "train.csv", "--label", "liked", *SMALL]
    ran(*arguments, "--out", tmp_path / "run")
    assert "is not empty: name a new folder, or add --overwrite" in failed(
        *arguments, "--out", tmp_path / "run", code=2
    )
    ran(*arguments, "--out", tmp_path / "run", "--overwrite", "--model", "WDL")
    assert as_json("inspect", tmp_path / "run")["model"] == "WDL"
    assert "holds something else" in failed(*arguments, "--out", data / "movielens", "--overwrite", code=2)
    assert "must be a folder" in failed(*arguments, "--out", data / "movielens" / "test.csv", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "DeepFN"], "unknown --model 'DeepFN': did you mean 'DeepFM'"),
        (["--set", "epoch=3"], "unknown parameter 'epoch': did you mean 'epochs'"),
        (["--set", "model_args.dnn_dropuot=0.5"], "did you mean 'dnn_dropout'"),
        (["--set", "features.year=Numerical"], "did you mean 'Numeric'"),
        (["--task", "clasification"], "did you mean 'classification'"),
        (["--format", "crito"], "did you mean 'criteo'"),
        (["--config", "no.toml"], "there is no file no.toml"),
        (["more.csv"], "unexpected 'more.csv': several files are a glob in quotes"),
        (["--epochs", "3"], "No such option"),
        (["--valid-fraction", "1.5"], "--valid-fraction must be in"),
    ],
)
def test_wrong_calls_end_with_2(data: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    base = ["fit", "--data", data / "movielens" / "train.csv", "--label", "liked", "--out", tmp_path / "run"]
    assert message in failed(*base, *arguments, code=2)
    assert not (tmp_path / "run").exists()


def test_wrong_data_end_with_1(data: Path, tmp_path: Path) -> None:
    train, out = data / "movielens" / "train.csv", tmp_path / "run"
    base = ["fit", "--out", out, "--set", "epochs=1"]
    assert "there is no file, folder or glob match at no.csv" in failed(*base, "--data", "no.csv", "--label", "liked")
    assert "has no column 'clik'" in failed(*base, "--data", train, "--label", "clik")
    assert "has no column 'C99'" in failed(*base, "--data", train, "--label", "liked", "--set", "features.C99=skip")
    assert "has no column 'when'" in failed(*base, "--data", train, "--label", "liked", "--split-by", "when")
    (tmp_path / "torn.csv").write_text("liked,user_id\n1,2\n0,3,4\n")
    assert "torn.csv" in failed(*base, "--data", tmp_path / "torn.csv", "--label", "liked")
    (tmp_path / "empty.csv").write_text("liked,user_id\n")
    assert "at least one row" in failed(*base, "--data", tmp_path / "empty.csv", "--label", "liked")
    assert not out.exists()


def test_wrong_folders_end_with_1(data: Path, criteo_like: Path, tmp_path: Path) -> None:
    test, out = data / "criteo_like" / "test.csv", tmp_path / "scores.csv"
    assert "there is no folder" in failed("predict", tmp_path / "no", test, "--out", out)
    assert "must hold a saved estimator" in failed("evaluate", data, test)
    assert "lacks config.json" in failed("inspect", data)
    assert "has no column 'I1' (a feature of the model)" in failed(
        "predict", criteo_like, data / "movielens" / "test.csv", "--out", out
    )
    assert "has no column 'liked'" in failed("evaluate", criteo_like, test, "--by", "liked")
    assert "--out must end in" in failed("predict", criteo_like, test, "--out", tmp_path / "scores.json", code=2)
    ran("predict", criteo_like, test, "--out", out)
    assert "have a column 'prediction' already" in failed("predict", criteo_like, out, "--out", tmp_path / "b.csv")
    assert list(tmp_path.iterdir()) == [out]


def test_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deepctr_torch", "inspect", str(tmp_path)]
    command.insert(3, "--traceback")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
    assert "Traceback" in done.stderr


def commands() -> list[str]:
    """The commands of the README's section, one a line."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^<!-- command: files -->\n```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line for line in found[1].splitlines() if line]


@pytest.mark.slow
def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    """In processes of their own, and the numbers that the README shows."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    programs = {
        ".venv/bin/python": [sys.executable],
        ".venv/bin/deepctr-torch": [sys.executable, "-m", "deepctr_torch"],
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = {}
    for line in commands():
        program, *arguments = shlex.split(line)
        command = [*programs[program], *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        said[line] = done.stdout
    first = next(out for line, out in said.items() if " evaluate " in line)
    shown = re.search(r"10,000 rows\n.*?```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    numbers = [[float(n) for n in re.findall(r"\d\.\d+(?:e-\d+)?", text)] for text in (first, shown[0])]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)
    runs = tmp_path / "runs"
    weights = [(runs / name / "weights.safetensors").read_bytes() for name in ("criteo", "criteo_again")]
    assert weights[0] == weights[1]
    assert pl.read_parquet(runs / "movielens.parquet").columns[-1] == "prediction"
    assert pl.read_csv(runs / "criteo.tsv.gz", separator="\t").columns[-2:] == ["C26", "prediction"]
