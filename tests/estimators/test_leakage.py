"""Columns that nearly decide the label are told of; strong but honest ones are not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from deepctr_torch import CTRClassifier, CTRRegressor
from deepctr_torch.estimators.labels import ClassLabelEncoder, NumberLabelEncoder
from deepctr_torch.estimators.leakage import find_leaks
from tests.support.cli_tables import call

ROWS = 4000
QUICK: dict[str, Any] = {"epochs": 0}


def views(seed: int = 0, rate: float = 0.2) -> pl.DataFrame:
    """`strong` has an AUC of .95; of ten clicks one leads to spending, which is known later."""
    rng = np.random.default_rng(seed)
    click = (rng.random(ROWS) < rate).astype(int)
    strong = rng.normal(size=ROWS) + 2.33 * click
    assert 0.93 < roc_auc_score(click, strong) < 0.97
    spent = (click == 1) & (rng.random(ROWS) < 0.3)
    return pl.DataFrame(
        {
            "user": rng.integers(0, 300, ROWS),
            "strong": strong,
            "level": np.digitize(strong, np.quantile(strong, np.linspace(0, 1, 30)[1:-1])),
            "stars": np.digitize(strong, [-1, 0, 1, 2, 3]),
            "click": click,
            "spend": np.where(spent, rng.lognormal(size=ROWS), 0),
            "stage": np.where(spent, "bought", np.where(np.arange(ROWS) % 3 == 0, "seen", "none")),
            "spent_at": [f"2026-01-{1 + i % 28:02} 10:00" if s else None for i, s in enumerate(spent)],
        }
    )


TABLE = views()
HONEST = TABLE.select("user", "strong", "level", "stars", "click")


@pytest.mark.parametrize("rate", [0.02, 0.2, 0.45, 0.6])
def test_strong_features_are_no_leaks(rate: float, caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(3):
        CTRClassifier(**QUICK).fit(views(seed, rate).select(HONEST.columns), "click")
    assert not caplog.records


@pytest.mark.parametrize("kind", ["memory", "parquet", "csv"])
def test_a_copy_of_the_label_and_later_steps_are_told_of_once(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    click = pl.col("click")
    table = TABLE.with_columns(
        copied=click, words=click.replace_strict({0: "no", 1: "yes"}), score=click * 3.5 + pl.col("strong") / 1e3
    )
    rows: Any = table
    if kind != "memory":
        rows = tmp_path / f"rows.{kind}"
        table.write_parquet(rows) if kind == "parquet" else table.write_csv(rows)
    CTRClassifier(**QUICK).fit(rows, "click")
    (message,) = caplog.messages
    assert message.startswith("columns that nearly decide the label alone: 'spend': ")
    assert "rows with any but the most frequent value have 'click'; 'stage': " in message
    assert "rows with one value have 'click'; 'spent_at': " in message
    assert "'copied': AUC 1.000 for 'click'; 'words': AUC 1.000 for 'click'; 'score': AUC 1.000" in message
    names = ["spend", "stage", "spent_at", "copied", "words", "score"]
    assert message.endswith(f"Leave out what is known only after the label: skip={names}")
    caplog.clear()
    CTRClassifier(**QUICK, skip=names).fit(rows, "click")
    assert not caplog.records


def test_a_column_that_gives_one_of_several_labels_away(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(1)
    other = np.where(rng.random(ROWS) < 0.9, rng.integers(0, 2, ROWS), np.nan)
    table = HONEST.with_columns(buy=pl.Series(other), told=pl.Series(other).fill_nan(2))
    CTRClassifier("MMOE", **QUICK).fit(table, ["click", "buy"])
    assert "alone: 'told': AUC 1.000 for 'buy'. Leave" in caplog.text


def test_numbers_are_compared_by_rank(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    spend = rng.lognormal(sigma=2, size=ROWS)
    table = {"strong": np.log(spend) + rng.normal(size=ROWS) / 2, "cents": spend * 100 + 1, "spend": spend}
    CTRRegressor(**QUICK).fit(table, "spend")
    (message,) = caplog.messages
    assert message.startswith("columns that nearly decide the label alone: 'cents': R2 of the ranks 0.999 for 'spend'.")


def test_of_several_classes_all_must_be_decided() -> None:
    y = np.random.default_rng(0).integers(0, 3, 1000)
    labels = ClassLabelEncoder(["kind"], [np.array(["a", "b", "c"])], [[1 / 3] * 3])
    x = {"all": (y * 2).astype(np.int32), "one": (y == 1).astype(np.int32), "none": np.arange(1000) % 7}
    assert list(find_leaks(x, y[:, None].astype(np.float32), labels)) == [("all", "AUC 1.000 for 'kind'")]


def test_what_is_too_little_says_nothing() -> None:
    y = np.zeros((1000, 1), np.float32)
    labels = ClassLabelEncoder(["click"], [np.array([0, 1])], [[0.9, 0.1]])
    y[:19] = 1
    assert not list(find_leaks({"copied": y[:, 0]}, y, labels))
    y[:20] = 1
    assert list(find_leaks({"copied": y[:, 0]}, y, labels)) == [("copied", "AUC 1.000 for 'click'")]
    assert not list(find_leaks({"same": y[:, 0] * 0, "wide": y}, y, labels))
    assert not list(find_leaks({"copied": y[:, 0]}, y * 0, NumberLabelEncoder(["n"], [0.0], [1.0])))


def test_forty_columns_take_less_than_a_tenth_of_a_second() -> None:
    rng = np.random.default_rng(0)
    rows = 20_000
    x: dict[str, Any] = {f"I{i}": rng.normal(size=rows).astype(np.float32) for i in range(13)}
    x |= {f"C{i}": rng.integers(0, 10 ** (1 + i % 6), rows).astype(np.int32) for i in range(27)}
    y = (rng.random((rows, 1)) < 0.2).astype(np.float32)
    labels = ClassLabelEncoder(["click"], [np.array([0, 1])], [[0.8, 0.2]])
    took = []
    for _ in range(3):
        begin = time.process_time()
        assert not list(find_leaks(x, y, labels))
        took.append(time.process_time() - begin)
    assert min(took) < 0.1


def test_the_command_line_tells_of_it_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    TABLE.drop("stage", "spent_at").write_csv(tmp_path / "a.csv")
    arguments = ["fit", "--data", tmp_path / "a.csv", "--label", "click", "--set", "epochs=0", "--out", tmp_path / "a"]
    assert call(*arguments).exit_code == 0
    assert "skip=['spend']" in caplog.text
