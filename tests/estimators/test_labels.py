"""Labels and the numbers that a model learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.estimators.labels import (
    ClassLabelEncoder,
    ClassLearner,
    NumberLabelEncoder,
    NumberLearner,
    check_funnel,
    missing_in,
)
from tests.support.estimators import INPUTS, assert_same_weights, classifier, frame, inputs

TABLE = frame()


@pytest.mark.parametrize(
    ("values", "classes"),
    [(["no", "yes"], ["no", "yes"]), ([False, True], [False, True]), ([-1, 1], [-1, 1]), ([2.0, 7.0], [2.0, 7.0])],
)
def test_classes_are_of_any_type(values: list[Any], classes: list[Any], fitted: CTRClassifier) -> None:
    y = np.array(values)[TABLE["click"].to_numpy()]
    named = classifier().fit(inputs(TABLE), y)
    assert named.classes_.tolist() == classes
    assert_same_weights(fitted, named)
    assert set(named.predict(inputs(TABLE)).tolist()) <= set(classes)
    assert named.score(inputs(TABLE), y) == fitted.score(inputs(TABLE), TABLE["click"]) > 0.6


def test_classes_of_files_are_of_any_type(tmp_path: Path, fitted: CTRClassifier) -> None:
    table = TABLE.with_columns(click=pl.col("click").replace_strict({0: "no", 1: "yes"}))
    table.select([*INPUTS, "click"]).write_parquet(tmp_path / "words.parquet", row_group_size=100)
    streamed = classifier().fit(tmp_path / "words.parquet", "click")
    assert streamed.classes_.tolist() == ["no", "yes"]
    assert_same_weights(fitted, streamed)


def test_wrong_labels_of_files_name_file_and_row(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"the label 'buy' must not be missing, got .* in row \d+ of .*a.parquet"):
        classifier().fit(tmp_path / "a.parquet", "buy")
    known = classifier().fit(tmp_path / "a.parquet", "click")
    TABLE[:5].with_columns(click=pl.Series([0, 1, 7, 0, 1])).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(
        ValueError, match=r"the label 'click' must be one of \[0, 1\], got .*7.* in row 2 of .*b.parquet"
    ):
        known.evaluate(tmp_path / "b.parquet")


def where(row: int) -> str:
    return f"row {row}"


def classes(*values: Any, train: Any = None) -> ClassLabelEncoder:
    learner = ClassLearner(["y"])
    for block in values:
        learner.update("y", np.array(block), where)
    return learner.compute(train)


def numbers(*values: Any, train: Any = None) -> NumberLabelEncoder:
    learner = NumberLearner(["y"])
    for block in values:
        learner.update("y", np.array(block), where)
    return learner.compute(train)


def test_classes_and_their_shares() -> None:
    targets = classes(["b", "a"], ["a", "a"])
    assert targets.classes[0].tolist() == ["a", "b"]
    assert targets.rates == [[0.75, 0.25]]
    assert targets.initial_bias == [pytest.approx(np.log(1 / 3))]
    assert targets.encode("y", ["b", "a"], where).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"the label 'y' must be one of \['a', 'b'\], got 7 in row 0"):
        targets.encode("y", np.array([7, 8]), where)
    assert classes([0, 1, 2]).initial_bias == pytest.approx(np.log([1 / 3] * 3).tolist())


def test_what_are_no_classes_is_said() -> None:
    for odd in ([0, 1, 0, "x"], ["no", "yes", "no", 7.0]):
        with pytest.raises(ValueError, match=rf"must be of one type, got {odd[3]!r} in row 4"):
            classes(np.array([np.nan, *odd], dtype=object))
    with pytest.raises(ValueError, match="must be of one type"):
        classes([1, 2], ["a", "b"])
    with pytest.raises(ValueError, match=r"must be of classes, got more than 1000 different values up to row 1999"):
        classes(np.arange(2000))
    dates = classes(np.array(["2024-01-01", "2024-01-02"], "datetime64[D]"))
    with pytest.raises(TypeError, match="the classes of 'y' must be numbers, strings or booleans"):
        dates.state()


def test_numbers_are_standardised() -> None:
    targets = numbers([1.0, 3.0], [5.0, 7.0])
    assert (targets.mean, targets.std) == ([4.0], [pytest.approx(np.sqrt(5))])
    assert targets.decode(targets.encode("y", [1.0, 7.0], where)[:, None]).ravel() == pytest.approx([1, 7])
    assert numbers(np.ones(3)).std == [1.0]
    assert numbers([1.0, 3.0], [100.0], train=np.array([True, True, False])).mean == [2.0]
    with pytest.raises(ValueError, match=r"the label 'y' must be finite, .* got infinity in row 1"):
        targets.encode("y", [1.0, float("inf")], where)
    with pytest.raises(ValueError, match="the label 'y' must be a number"):
        targets.encode("y", ["x"], where)
    assert missing_in(np.array([None, 1, float("nan")], object)).tolist() == [True, False, True]


def steps(first: list[Any], second: list[Any]) -> None:
    learner = ClassLearner(["visit", "buy"])
    for name, values in (("visit", first), ("buy", second)):
        learner.update(name, np.array(values), where)
    check_funnel("ESMM", learner, learner.compute(None))


def test_steps_of_a_funnel_follow_each_other(caplog: pytest.LogCaptureFixture) -> None:
    steps(["no", "yes", "yes"], [0, 0, 1])
    steps([np.nan, 0, 1, 1], [1, 0, 1, np.nan])  # nothing is known of the first row's visit
    assert not caplog.records
    message = r"got \['visit', 'buy'\]: 2 of 3 rows with 'buy' have no 'visit'; give them as \['buy', 'visit'\]"
    with pytest.raises(ValueError, match=message):
        steps([0, 0, 0, 1], [0, 1, 1, 1])
    with pytest.raises(ValueError, match="1 of 2 rows with 'buy' have no 'visit'; MMOE and PLE take labels that"):
        steps([0, 1, 1], [1, 0, 1])
    steps([1] * 199 + [0, 0], [1] * 200 + [0])
    assert caplog.messages == ["1 of 200 rows with 'buy' have no 'visit'; ESMM learns as if they were none"]


def test_esmm_refuses_labels_in_the_wrong_order(tmp_path: Path) -> None:
    table = TABLE.with_columns(buy=pl.col("buy").fill_null(0).cast(int))
    table.write_parquet(tmp_path / "a.parquet", row_group_size=100)
    clicks, buys = table["click"].sum(), table["buy"].sum()
    message = rf"{clicks - buys} of {clicks} rows with 'click' have no 'buy'; give them as \['click', 'buy'\]"
    for rows in (table, tmp_path / "a.parquet"):
        with pytest.raises(ValueError, match=message):
            classifier("ESMM", model_args={}).fit(rows, ["buy", "click"])
    with pytest.raises(ValueError, match=message):
        classifier("ESMM", model_args={}).fit(inputs(table), table[["buy", "click"]])


def test_a_stray_label_is_named_with_its_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    y = TABLE["click"].to_numpy().copy()
    classifier(epochs=0).fit(inputs(TABLE), np.where(np.arange(600) < 5, 2, y))  # five of 600 may be a class
    assert not caplog.records
    y[77] = 7
    rest = "and the like come in 1 of 600 rows: leave them out if they are slips"
    classifier(epochs=0).fit(inputs(TABLE), y)
    assert caplog.messages == [f"the label 'label' has 3 classes, so the task is multiclass; but 7 in row 77 {rest}"]
    caplog.clear()
    words = TABLE.select("user", "price", click=pl.Series(y).cast(str).replace("7", "?!"))
    words.write_csv(tmp_path / "a.csv")
    classifier(epochs=0).fit(tmp_path / "a.csv", "click")
    assert f"but '?!' in row 77 of {tmp_path / 'a.csv'} {rest}" in caplog.text
    words.with_columns(pl.col("click").replace("?!", "N/A")).write_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="the label 'click' must not be missing, got nan in row 77"):
        classifier(epochs=0).fit(tmp_path / "a.csv", "click")
