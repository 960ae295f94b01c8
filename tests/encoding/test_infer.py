from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch.datasets import make_criteo_like
from deepctr_torch.encoding import (
    Categorical,
    Dense,
    FeatureEncoder,
    FeatureSpec,
    MultiValue,
    Numeric,
    Sequence,
    Timestamp,
)
from deepctr_torch.encoding.infer import infer_specs


def of(values: Any, name: str = "x", **others: Any) -> FeatureSpec | str:
    """The kind inferred for a column, or why it was left out."""
    encoder = FeatureEncoder.infer({name: values, "click": [0.5] * len(values), **others})
    return encoder.features.get(name) or next(r["why"] for r in encoder.explain() if r["feature"] == name)


@pytest.fixture(autouse=True)
def _a_second_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder needs a feature; here one may be left out."""
    monkeypatch.setattr("deepctr_torch.encoding.encoder._check", lambda features: None)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b", "a"], Categorical()),
        ([True, False], Categorical()),
        ([1, 2, 3], Categorical()),
        (list(range(11)), Numeric()),
        ([0.5, 1.5], Numeric()),
        (["0.5", "", "1e3"], Numeric()),
        ([str(i) for i in range(20)], Numeric()),
        (["1", "2"], Categorical()),
        ([0.0, None, 1.0], Categorical()),
        (np.array(["2020-01-01", "2021-01-01"], "datetime64[s]"), Timestamp()),
        (["2020-01-01 10:00", "2020-01-02T11:00Z"], Timestamp()),
        (["a|b", "b", "c|a"], MultiValue(separator="|")),
        (["Heat (1995)", "Toy Story, The"], Categorical()),
        ([["a"], ["b", "a"], None], MultiValue()),
        ([[0.5, 1.0], [0.1, 0.2]], Dense()),
        ([[0.5], [0.1, 0.2]], "lists of numbers of different lengths"),
        ([None, None], "no value in the first 2 rows"),
        ([7, 7], "the same value in every row"),
        ([7, None], Categorical()),
        (["", ""], "only missing values, such as empty strings"),
        ([float("inf"), float("-inf")], "no finite number"),
        ([f"row {i}" for i in range(1000)], "another value in every row: it names the row"),
        ([f"row {i % 500}" for i in range(1000)], Categorical(min_count=2)),
    ],
)
def test_kinds_by_value(values: Any, kind: FeatureSpec | str) -> None:
    assert of(values) == kind


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("user_id", list(range(100)), Categorical()),
        ("itemId", list(range(100)), Categorical()),
        ("C14", list(range(100)), Categorical()),
        ("user_id", list(range(1000)), "another value in every row: it names the row"),
        ("zip", [str(10_000 + i) for i in range(20)], Categorical()),
        ("timestamp", [1_600_000_000, 1_600_000_060], Timestamp()),
        ("created_at", [1_600_000_000_000, 1_600_000_000_060], Timestamp(unit="ms")),
        ("time_spent", list(range(100)), Numeric()),
        ("hist", [["a"], ["b"]], Sequence()),
        ("last_items", ["1 2 3", "2 1", "3 1 2", "1 3", "2 3"] * 2, Categorical()),
    ],
)
def test_kinds_by_name(name: str, values: Any, kind: FeatureSpec | str) -> None:
    assert of(values, name) == kind


def test_a_history_of_another_column() -> None:
    item = ["a", "b"]
    assert of([["a"], ["b"]], "hist_item", item=item) == Sequence(vocabulary_of="item")
    assert of([["a"], ["b"]], "item_history", item=item) == Sequence(vocabulary_of="item")
    assert of(["a|b|c", "b|a|a"], "hist_item", item=item) == Sequence(separator="|", vocabulary_of="item")
    assert of([["a"], ["b"]], "hist_item", item=[0.5, 1.5]) == Sequence()


def test_labels_are_left_out_and_everything_is_explained(tmp_path: Path) -> None:
    frame = pl.DataFrame({"click": [0, 1, 0], "row": [1, 2, 3], "city": ["a", "b", "a"], "price": [0.5, 1.0, None]})
    frame.write_csv(tmp_path / "a.csv")
    for data in (frame, tmp_path / "a.csv"):
        encoder = FeatureEncoder.infer(data, label="click", exclude=["row"])
        assert encoder.features == {"city": Categorical(), "price": Numeric()}
        assert encoder.explain() == [
            {"feature": "city", "kind": "Categorical", "why": "2 different values"},
            {"feature": "price", "kind": "Numeric", "why": "numbers with fractions"},
            {"feature": "click", "kind": "left out", "why": "the label"},
            {"feature": "row", "kind": "left out", "why": "excluded"},
        ]
        assert not encoder.fitted
        assert encoder.fit(data).transform(data)["city"].tolist() == [2, 3, 2]
    with pytest.raises(ValueError, match="unknown column 'clik': did you mean 'click'"):
        FeatureEncoder.infer(frame, label=["clik"])
    with pytest.raises(ValueError, match="at least one row, got none"):
        FeatureEncoder.infer(frame.clear())


def test_only_the_beginning_is_looked_at() -> None:
    data = {"x": [1.5] + [2.0] * 9, "y": [1] * 5 + [2] * 5}
    encoder = FeatureEncoder.infer(data, rows=5)
    assert [row["why"] for row in encoder.explain()] == ["numbers with fractions", "the same value in every row"]


def test_rows_like_those_of_criteo() -> None:
    data = make_criteo_like(2000, vocabulary=5000)
    features = FeatureEncoder.infer(data.x).features
    assert all(type(kind) is (Numeric if name[0] == "I" else Categorical) for name, kind in features.items())


def test_rare_values_of_a_target_keep_their_rows() -> None:
    """Seen once and liked, an item has a second count from a history; being rare would tell the label."""
    items = [f"i{i}" for i in range(1200)]
    assert of([*items, "i0"], "item") == Categorical(min_count=2)
    shared = FeatureEncoder.infer({"item": [*items, "i0"], "hist_item": [["i1"]] * 1201})
    assert shared.features["item"] == Categorical()
    assert next(r["why"] for r in shared.explain()).endswith("each has a row, as a history shares them")


def test_amounts_are_no_ids_whatever_they_count() -> None:
    assert of(list(range(30)), "item") == Categorical()
    assert of(list(range(30)), "item_count") == Numeric()


def test_histories_know_the_kinds_that_are_given() -> None:
    items = [f"i{i % 700}" for i in range(1000)]
    table = {"item": items, "hist_item": [[a, b] for a, b in zip(items, items[1:] + items[:1], strict=True)]}
    own = Sequence()
    cases: Any = (
        ({"item": Categorical(min_count=5)}, {"hist_item": Sequence(vocabulary_of="item")}),
        ({"item": Numeric()}, {"hist_item": own}),
        ({"hist_item": own}, {"item": Categorical(min_count=2)}),
        ({"hist_item": Sequence(vocabulary_of="item")}, {"item": Categorical()}),
    )
    for given, found in cases:
        assert infer_specs(table, given=given).specs == found


def test_columns_that_no_kind_reads_are_left_out() -> None:
    import pyarrow as pa

    table = pa.table(
        {
            "place": [{"x": 1}, {"x": 2}],
            "nested": [[[[1]], [[2]]], [[[3]]]],
            "raw": pa.array([b"\xff\xfe", b"\x80"]),
            "map": pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
            "city": ["Rome", "Oslo"],
        }
    )
    encoder = FeatureEncoder.infer(table)
    assert list(encoder.features) == ["city"]
    why = {row["feature"]: row["why"] for row in encoder.explain() if row["kind"] == "left out"}
    assert list(why) == ["place", "nested", "raw", "map"]
    assert why["place"].startswith("struct<x: int64> is of no kind")
    encoder.fit(table)


def test_columns_called_like_a_further_input_of_another() -> None:
    at = [f"2024-05-0{i % 9 + 1}T0{i % 7}:00:00" for i in range(40)]
    data = {
        "price": [0.5, None, *np.arange(38) / 4],
        "price_missing": [0, 1] * 20,
        "time": at,
        "time_hour": [1, 2, 3, 4] * 10,
        "seen_time": at,
        "seen_time_hour": [1, 2, 3, 4] * 10,
        "seen_time_weekday": [1, 2] * 20,
    }
    encoder = FeatureEncoder.infer(data)
    assert encoder.features["price"] == Numeric(indicator=False)
    assert encoder.features["time"] == Timestamp(parts=("weekday",))
    assert "seen_time" not in encoder.features
    why = {row["feature"]: row["why"] for row in encoder.explain()}
    assert why["price"].endswith("no indicator, as there is a column 'price_missing'")
    assert why["time"] == "dates or times, as text: weekday, as there is a column 'time_hour'"
    assert why["seen_time"] == "its hour and weekday are there as 'seen_time_hour' and 'seen_time_weekday'"
    encoder.fit(data).transform(data)


def test_text_files_are_judged_by_all_rows_of_the_sample(tmp_path: Path) -> None:
    rows = 90_000  # more than the MiB that readers of text look at
    numbers = [f"{i % 5000:010d}" for i in range(rows)]
    path = tmp_path / "books.csv"
    lines = [f"{n},{i % 3},2024-05-01,{i % 30}.5,{'' if i % 2 else 'x'},true" for i, n in enumerate(numbers)]
    lines[80_000] = "080442957X" + lines[80_000][10:]
    path.write_text("\n".join(["isbn,shop,day,price,note,flag", *lines]) + "\n")
    encoder = FeatureEncoder.infer(path)
    assert isinstance(encoder.features["isbn"], Categorical)
    others = {name: kind for name, kind in encoder.features.items() if name != "isbn"}
    assert others == {"shop": Categorical(), "day": Timestamp(), "price": Numeric(), "note": Categorical()}
    assert encoder.left_out == {"flag": "the same value in every row"}
    encoder.fit(path)
    named = FeatureEncoder.infer(path, schema={"shop": "string"})
    assert named.features["shop"] == Categorical()


def test_lists_of_ids_that_became_floats() -> None:
    assert of([[5.0, 7.0], [5.0]], "tags") == MultiValue()
    assert of([[5.0, None], [5.0, 7.0]], "tags") == MultiValue()
    assert of([[5.5, 7.0], [5.0]], "tags") == "lists of numbers of different lengths"
    assert of([[0.0, 1.0], [1.0, 0.0]], "one_hot") == Dense()


def test_the_reason_of_a_shared_vocabulary_keeps_its_numbers() -> None:
    items = [f"i{i}" for i in range(1200)]
    shared = FeatureEncoder.infer({"item": [*items, "i0"], "hist_item": [["i1"]] * 1201})
    assert shared.reasons["item"] == "1,200 different values; each has a row, as a history shares them"


def why(values: Any, name: str = "x") -> str:
    found = FeatureEncoder.infer({name: values, "click": [0.5] * len(values)}).explain()
    return next(row["why"] for row in found if row["feature"] == name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", ["12,50", "7,95", "1.234,00"] * 50),
        ("x", ["12,50", "7,95", "1234,00"] * 50),
        ("x", ["1,234.50", "12.00", "1,000,000.99"]),
        ("income", ["1,234", "12", "1,000,000"]),
        ("x", ["$1,234.50", "$7", "$12.5"]),
        ("x", ["12.50 EUR", "7 EUR", "-3 EUR"]),
        ("x", ["12%", "7.5%", "100 %"]),
    ],
)
def test_numbers_that_are_written_for_people_are_left_out_with_the_way_to_write_them(
    name: str, values: list[str]
) -> None:
    assert isinstance(of(values, name), str)
    assert "for a Numeric" in why(values, name)


def test_lists_with_commas_stay_lists() -> None:
    assert of(["1,2", "3", "2,1", "1,3", "3,1"] * 20) == Categorical()  # too few repeat
    assert of(["1,2,3", "3", "2,1", "1,3", "3,1", "3,2", "2,3", "1", "2", "2,1,3"] * 20) == MultiValue(separator=",")
    assert of(["100,200", "200,300", "300,100", "100", "200", "300", "300,200", "100,300"] * 9) == MultiValue(
        separator=","
    )


def test_integers_that_only_ids_are_as_large_as() -> None:
    large = [2**60 + i for i in range(50)]
    assert of(large * 3) == of([str(v) for v in large] * 3) == Categorical()
    assert why(large * 3) == "50 different integers beyond 2**53, as only ids are"


@pytest.mark.parametrize("name", ["country", "City", "user_region"])
def test_codes_of_places(name: str) -> None:
    assert of([i % 230 for i in range(2000)], name) == Categorical(min_count=2)


def test_a_running_number_is_left_out() -> None:
    rows = np.arange(5000)
    for values in (rows, rows[::-1], rows + 7, rows[rows % 4 > 0], np.random.default_rng(0).permutation(rows)):
        assert "it counts the rows" in why(values.tolist())
    assert of((rows * 100).tolist()) == Numeric()
    assert of(list(range(100)), "Unnamed: 0") == "a running number from 0 to 99: it counts the rows"
    assert of(list(range(100))) == Numeric()


def test_integers_that_may_be_codes_or_amounts_are_both() -> None:
    values = [i * i % 97 for i in range(4000)]
    encoder = FeatureEncoder.infer({"x": values, "rooms_count": values, "I1": values})
    assert encoder.features == {
        "x": Numeric(),
        "x_code": Categorical(column="x"),
        "rooms_count": Numeric(),
        "I1": Numeric(),
    }
    assert encoder.reasons["x"] == (
        "49 different integers from 0 to 96: amounts or codes? 'x_code' takes them as codes; declare 'x' to keep one"
    )
    encoded = encoder.fit_transform({"x": values, "rooms_count": values, "I1": values})
    assert (encoded["x"].dtype, encoded["x_code"].dtype) == (np.float32, np.int32)
    assert len(np.unique(encoded["x_code"])) == len(np.unique(encoded["x"])) == 49
    assert "x_code" not in infer_specs({"x": values, "y": values}, given={"x": Numeric()}).specs
    assert infer_specs({"x": values, "x_code": ["a", "b"] * 2000}).specs["x_code"] == Categorical()


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame({"city": ["a", "b"] * 20, "click": [0, 1] * 20}).to_csv(path)
    encoder = FeatureEncoder.infer(path, label="click")
    assert list(encoder.features) == ["city"]
    assert encoder.left_out[""] == "it has no name, as the index that pandas writes into a CSV file"
    assert encoder.fit(path).transform(path)["city"].tolist() == [2, 3] * 20


def test_a_history_of_integers_that_are_both_shares_the_vocabulary_of_the_codes() -> None:
    values = [i * i % 97 for i in range(4000)]
    histories = [[values[i], values[i - 1]] for i in range(4000)]
    encoder = FeatureEncoder.infer({"x": values, "hist_x": histories})
    assert encoder.features == {
        "x": Numeric(),
        "x_code": Categorical(column="x"),
        "hist_x": Sequence(vocabulary_of="x_code"),
    }
    encoded = encoder.fit_transform({"x": values, "hist_x": histories})
    assert (encoded["hist_x"][:, 0] == encoded["x_code"]).all()
    assert infer_specs({"x": values, "hist_x": histories}, given={"x": Numeric()}).specs["hist_x"] == Sequence()


def test_negatives_of_a_history_share_its_vocabulary_and_are_for_training_only() -> None:
    data = {"item": ["a", "b"], "hist_item": [["a"], ["b"]], "neg_hist_item": [["b"], ["c"]]}
    encoder = FeatureEncoder.infer(data)
    assert encoder.features["neg_hist_item"] == Sequence(vocabulary_of="item", train_only=True)
    assert encoder.serving_inputs == ["item", "hist_item"]
    assert "called like negatives of 'hist_item'" in encoder.reasons["neg_hist_item"]


def test_columns_called_like_predictions_are_left_out_with_the_reason() -> None:
    found = infer_specs({"prediction": [0.1, 0.2], "prediction_buy": [0.3, 0.4], "predictions": [0.5, 0.6]})
    assert list(found.specs) == ["predictions"]
    assert all("called like the predictions" in found.left_out[name] for name in ("prediction", "prediction_buy"))


def test_lists_of_lists_are_sequences_with_steps_of_several_values() -> None:
    data = {
        "tags": [["a", "b"], ["c"], ["a"]],
        "hist_tags": [[["a"], ["b", "c"]], [], [["a", None]]],
        "visits": [[[1, 2], [3]], [[4]], None],
        "paths": [[[0.5, 1.5], [2.5, 1.0]], [[1.0, 0.0]], []],
        "hist_shop": [[[1], [2, 3]], [], [[3]]],
        "shop": [1, 2, 2],
    }
    encoder = FeatureEncoder.infer(data)
    assert encoder.features == {
        "tags": MultiValue(),
        "hist_tags": Sequence(vocabulary_of="tags"),
        "visits": Sequence(),
        "hist_shop": Sequence(vocabulary_of="shop"),
        "shop": Categorical(),
    }
    assert encoder.reasons["hist_tags"] == "lists of lists, called like a history of 'tags'"
    assert encoder.reasons["visits"] == "lists of lists: steps of several values, 4 different"
    assert encoder.left_out == {"paths": "lists of lists of numbers"}


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "-", "?", "None", "nan"])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_word_for_missing_makes_no_category_of_a_number(word: str, in_file: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(0).permutation(4000)
    table = pl.DataFrame(
        {
            "count": [word if i in (3, 9) else str(v) for i, v in enumerate(x)],
            "price": [word if i == 3 else str(v / 8) for i, v in enumerate(x)],
            "seen": [word if i == 3 else f"2024-01-{1 + v % 28:02} 10:00" for i, v in enumerate(x)],
            "land": [word if v % 3 else "DE" for v in x],
        }
    )
    table.write_csv(tmp_path / "a.csv")
    data: Any = tmp_path / "a.csv" if in_file else table
    encoder = FeatureEncoder.infer(data).fit(data)
    assert [type(kind) for kind in encoder.features.values()] == [Numeric, Numeric, Timestamp, Categorical]
    encoded = encoder.transform(data)
    assert [encoded[f"{name}_missing"].sum() for name in ("count", "price")] == [2, 1]
    assert (encoded["seen_hour"] == 0).sum() == 1
    assert encoder.vocabulary("land").values.to_pylist() == [word, "DE"]
    if not in_file:
        assert encoder.reasons["count"] == f"integers, as text; {word!r} for missing"


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.250+02:00"])
def test_dates_and_times_that_are_text_are_times(form: str) -> None:
    moments = pd.Timestamp("2024-01-31 22:15") + pd.to_timedelta(np.arange(300) * 7, unit="h")
    text = list(moments.strftime(form))
    for values in (text, pd.Series(text), pd.Series(text, dtype="string"), pd.Categorical(text)):
        assert of(values, "seen") == Timestamp()


def test_the_reason_of_several_values_says_how_they_are_written() -> None:
    inferred = infer_specs({"a": [["x", "y"], ["x"]] * 20, "b": ["x|y", "y|x|x"] * 20})
    assert inferred.reasons == {
        "a": "lists, 2 different elements",
        "b": "strings separated by '|', 2 different elements",
    }


@pytest.mark.parametrize("unit", [(1, "s"), (10**3, "ms"), (10**6, "us")])
def test_times_begin_in_1973_and_end_in_2286(unit: tuple[int, str]) -> None:
    ticks, name = unit
    for low, high, is_time in ((10**8, 10**10 - 1, True), (10**8 - 1, 10**9, False), (10**9, 10**10, False)):
        values = np.linspace(low, high, 40).astype(np.int64) * ticks
        kind = infer_specs({"time": values.tolist()}).specs.get("time")
        assert (getattr(kind, "unit", None) == name) == is_time, (low, high, kind)
