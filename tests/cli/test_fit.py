"""`fit` on raw files: rows shaped like Criteo's, MovieLens, Criteo's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch.cli.run_config import from_toml
from deepctr_torch.encoding import FeatureEncoder
from deepctr_torch.estimators import CTRClassifier
from deepctr_torch.training.checkpoint import Checkpoints

from ..support.cli_tables import as_json, failed, ran

SMALL = ["--set", "epochs=1", "--set", "batch_size=64", "--set", "model_args.dnn_hidden_units=[8]"]


METRICS = {"auc", "logloss", "ne", "calibration"}


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
        *run["parameters"], *run["unset"], "features", "model", "model_args", "random_state", "skip",
        "validation_fraction",
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


def test_labels_of_a_funnel_in_the_wrong_order(tmp_path: Path) -> None:
    click = np.arange(200) % 3 == 0
    pl.DataFrame({"user": np.arange(200) % 7, "click": click, "buy": click & (np.arange(200) % 2 == 0)}).write_csv(
        tmp_path / "a.csv"
    )
    arguments = ["fit", "--data", tmp_path / "a.csv", "--model", "ESMM", "--out", tmp_path / "run"]
    message = failed(*arguments, "--label", "buy,click")
    assert "33 of 67 rows with 'click' have no 'buy'; give them as ['click', 'buy']" in message


def shop(path: Path, **more: Any) -> Path:
    rng = np.random.default_rng(0)
    click = rng.integers(0, 2, 300)
    spend = np.where(click, rng.integers(1, 999, 300) / 100, 0)
    table = {"user": rng.integers(0, 9, 300), "price": rng.normal(size=300), "spend": spend, "buy": spend > 5, **more}
    pd.DataFrame({**table, "click": click}).to_csv(path)  # with its index, a first column without a name
    return path


@pytest.mark.parametrize("split", [[], ["--split-by", "day"]])
def test_a_first_column_without_a_name(split: list[str], tmp_path: Path) -> None:
    data = shop(tmp_path / "a.csv", day=np.repeat(np.arange(30), 10))
    run = tmp_path / "run"
    ran("fit", "--data", data, "--label", "click", "--skip", "spend,buy", "--out", run, *split, *SMALL)
    written = from_toml((run / "run.toml").read_text())
    assert "" not in written["features"]
    assert set(written["skip"]) == {"", "spend", "buy", *(["day"] if split else [])}
    assert as_json("evaluate", run, data, "--by", "user")["rows"] == 300
    ran("predict", run, data, "--out", tmp_path / "p.csv")
    scored = pd.read_csv(tmp_path / "p.csv")  # which calls it "Unnamed: 0"
    assert scored.columns[1:].tolist() == ["user", "price", "spend", "buy", "day", "click", "prediction"]
    assert scored.iloc[:, 0].tolist() == list(range(300))
    ran("predict", run, data, "--out", tmp_path / "p.parquet")
    assert pl.read_parquet(tmp_path / "p.parquet")["prediction"].to_list() == scored["prediction"].tolist()


def test_columns_to_skip_are_skipped_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, run, again = shop(tmp_path / "a.csv"), tmp_path / "run", tmp_path / "again"
    ran("fit", "--data", data, "--label", "click", "--skip", "spend, buy", "--out", run, *SMALL)
    assert sorted(from_toml((run / "run.toml").read_text())["features"]) == ["price", "user"]
    ran("fit", "--config", run / "run.toml", "--out", again)
    assert (run / "run.toml").read_text() == (again / "run.toml").read_text()
    assert (run / "weights.safetensors").read_bytes() == (again / "weights.safetensors").read_bytes()
    assert not caplog.records  # nothing is said to be unused
    pd.read_csv(data, index_col=0).drop(columns=["spend"]).assign(new=1.5).to_csv(tmp_path / "b.csv", index=False)
    ran("fit", "--config", run / "run.toml", "--data", tmp_path / "b.csv", "--out", tmp_path / "other")
    assert caplog.messages == ['features names no kind for [\'new\']: unused; add "*": "infer" to use all columns']
    assert "it must not be a feature by --set or --features, too" in failed(
        "fit", "--data", data, "--label", "click", "--skip", "spend", "--features", "user,spend", "--out", again, code=2
    )
    assert "no column 'spent' (as asked for): did you mean 'spend'" in failed(
        "fit", "--data", data, "--label", "click", "--skip", "spent", "--out", tmp_path / "new"
    )


def test_a_star_infers_what_an_earlier_run_did_not_know(tmp_path: Path) -> None:
    data, run = shop(tmp_path / "a.csv"), tmp_path / "run"
    ran("fit", "--data", data, "--label", "click", "--skip", "spend,buy", "--out", run, *SMALL)
    shop(tmp_path / "a.csv", shop=np.arange(300) % 4)
    star = ["--config", run / "run.toml", "--set", "features.*=infer", "--set", "features.price=quantile"]
    ran("fit", *star, "--out", tmp_path / "more")
    features = from_toml((tmp_path / "more" / "run.toml").read_text())["features"]
    assert list(features) == ["user", "price", "shop"]
    assert features["price"]["scaling"] == "quantile"


def test_only_some_columns_are_features(tmp_path: Path) -> None:
    data, run = shop(tmp_path / "a.csv"), tmp_path / "run"
    arguments = ["fit", "--data", data, "--label", "click", *SMALL]
    ran(*arguments, "--features", "user,price", "--set", "features.price=quantile", "--out", run)
    written = from_toml((run / "run.toml").read_text())
    assert list(written["features"]) == ["user", "price"]
    assert written["features"]["price"]["scaling"] == "quantile"
    assert set(written["skip"]) == {"", "spend", "buy"}
    ran("fit", "--config", run / "run.toml", "--features", "user,buy", "--out", tmp_path / "other")
    assert list(from_toml((tmp_path / "other" / "run.toml").read_text())["features"]) == ["user", "buy"]
    new = ["--out", tmp_path / "new"]
    for wrong, code, message in [
        (["--features", "user,click"], 2, "--features must not name 'click', which is the label"),
        (["--features", "users"], 1, "did you mean 'user'"),
        (["--features", "user", "--set", "features.price=Numeric"], 2, "reads 'price', which --features does not name"),
        (["--features", "user", "--init-from", run], 2, "leave --set features.COLUMN, --skip and --features out"),
        (["--set", "features.*=Numeric"], 2, "--set features.* must be infer, got 'Numeric'"),
    ]:
        assert message in failed(*arguments, *new, *wrong, code=code)


# ------------------------------------------------------------------ a run that is cut off


def test_a_run_that_was_cut_off_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, whole = tmp_path / "run", tmp_path / "whole"
    asked = ["fit", "--data", data / "movielens" / "train.csv", "--label", "liked", "--split-by", "timestamp", *SMALL]
    ran(*asked, "--set", "epochs=2", "--out", whole)
    write, done = Checkpoints.write, []

    def cut_off(checkpoints: Checkpoints, step: int, *how: Any) -> None:
        write(checkpoints, step, *how)
        done.append(step)
        if len(done) in (3, 4):
            raise RuntimeError("cut off")

    monkeypatch.setattr(Checkpoints, "write", cut_off)
    settings = ["--set", "epochs=2", "--checkpoint-every", 2]
    assert "cut off" in failed(*asked, *settings, "--out", out)
    assert {path.name for path in out.iterdir()} == {"checkpoints"}
    assert "holds a run that was cut off: add --resume to go on" in failed(*asked, *settings, "--out", out, code=2)
    assert "give one of them" in failed(*asked, "--out", out, "--resume", "--overwrite", code=2)
    assert "cut off" in failed("fit", "--out", out, "--resume", "--checkpoint-every", 2)  # run.toml lies beside them
    ran("fit", "--out", out, "--resume")
    assert done[:4] == [2, 4, 6, 8]
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
    for name in ("weights.safetensors", "optimizer.safetensors", "run.toml", "encoder.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert as_json("fit", "--out", out, "--resume")["rows"] == 808  # nothing is left to do
    ran(*asked, "--out", out, "--overwrite")


def test_a_run_without_a_checkpoint_leaves_nothing(data: Path, tmp_path: Path) -> None:
    wrong = ["--set", "model_args.dnn_hidden_units=[-1]"]
    failed("fit", "--data", data / "movielens" / "train.csv", "--label", "liked", "--out", tmp_path / "run", *wrong)
    assert not (tmp_path / "run").exists()
    asked = ["fit", "--data", data / "movielens" / "train.csv", "--label", "liked", *SMALL]
    ran(*asked, "--out", tmp_path / "run", "--resume")
