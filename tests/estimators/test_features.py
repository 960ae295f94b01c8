"""The features an estimator begins with: given, inferred, histories; labels and weights are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.encoding import Categorical, FeatureEncoder, MultiValue, Numeric, Sequence
from deepctr_torch.estimators.features import history_columns
from deepctr_torch.tables import text
from tests.support.estimators import assert_same_weights, classifier, frame, inputs, regressor

WEIGHTED = frame().with_columns(w=pl.Series(np.random.default_rng(5).uniform(0.1, 5.0, 600)))


BOTH = {"movie": Categorical(), "price": Numeric()}


@pytest.mark.parametrize(
    ("name", "y", "weight", "what"),
    [
        ("click", "click", None, "a label"),
        ("click", WEIGHTED["click"], None, "a label"),
        ("w", "click", "w", "the sample weight"),
        ("w", WEIGHTED["click"], "w", "the sample weight"),
    ],
)
def test_a_feature_cannot_read_a_label_or_the_weight(name: str, y: Any, weight: str | None, what: str) -> None:
    kinds = {**BOTH, "copy": Categorical(column=name)}
    for features in (kinds, FeatureEncoder(kinds), FeatureEncoder(kinds).fit(WEIGHTED)):
        with pytest.raises(
            ValueError, match=f"features must not read the column of {what}, got one that reads '{name}'"
        ):
            classifier(features=features).fit(WEIGHTED, y, sample_weight=weight)


def test_nor_can_one_of_the_model_to_go_on_from(tmp_path: Path) -> None:
    old = regressor(features={**BOTH, "click": Numeric()}).fit(WEIGHTED, "stars")
    with pytest.raises(ValueError, match="the column of the sample weight, got one that reads 'click'"):
        regressor().fit(WEIGHTED, "stars", sample_weight="click", init_from=old)
    WEIGHTED.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="the column of the sample weight, got one that reads 'click'"):
        regressor().fit(tmp_path, "stars", sample_weight="click", init_from=old)


def test_a_named_weight_is_no_feature_whatever_the_labels_are() -> None:
    table = WEIGHTED.select("user", "movie", "price", "w", "click")
    named = classifier().fit(table, "click", sample_weight="w")
    given = classifier().fit(table.drop("click"), table["click"].to_numpy(), sample_weight="w")
    assert "w" not in given.encoder_.features
    assert given.feature_names_in_.tolist() == named.feature_names_in_.tolist() == ["user", "movie", "price"]
    assert_same_weights(named, given)
    with pytest.raises(ValueError, match="sample_weight must be numbers or the name of a column"):
        classifier().fit(np.ones((4, 2)), [0, 1, 0, 1], sample_weight="x0")


SHORT = frame(200).with_columns(buy=pl.col("buy").fill_null(0), title=pl.concat_str("movie", pl.lit("|x")))


def test_a_history_may_be_called_anything() -> None:
    named = SHORT.rename({"hist_movie": "watched"})
    din = classifier("DIN", history={"movie": "watched"}).fit(named, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(vocabulary_of="movie", column="watched")
    assert din.encoder_.inputs[-1] == "watched"
    assert din.predict_proba(named).shape == (200, 2)
    plain = classifier("DIN", history="hist_movie").fit(SHORT, "click")
    assert (plain.predict_proba(SHORT)[:, 1] > 0).all()


def test_a_history_of_text_keeps_its_separator() -> None:
    text = SHORT.with_columns(hist_movie=pl.col("hist_movie").list.join("|"))
    kinds = {"movie": Categorical(), "hist_movie": MultiValue(separator="|"), "price": Numeric()}
    din = classifier("DIN", history=["hist_movie"], features=kinds).fit(text, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(vocabulary_of="movie", separator="|")


def test_a_declared_history_keeps_its_width() -> None:
    kinds = {"movie": Categorical(), "hist_movie": Sequence(None), "price": Numeric()}
    din = classifier("DIN", history="hist_movie", features=kinds).fit(SHORT, "click")
    assert din.encoder_.features["hist_movie"] == Sequence(None, vocabulary_of="movie")
    assert din.encoder_.transform(SHORT)["hist_movie"].shape == (200, 4)


SEVERAL = SHORT.with_columns(
    hist_movie_long=pl.concat_list("hist_movie", pl.col("hist_movie").shift(1, fill_value=[])),
    neg_hist_movie=pl.col("hist_movie").list.eval(pl.lit("m0") + (pl.element() == "m0").cast(pl.Int64).cast(pl.String)),
)


@pytest.mark.parametrize("history", [["hist_movie", "hist_movie_long"], {"movie": ["hist_movie_long", "hist_movie"]}])
def test_din_compares_a_target_with_several_histories(history: Any, tmp_path: Path) -> None:
    table = SEVERAL.drop("neg_hist_movie")
    din = classifier("DIN", history=history).fit(table, "click")
    assert din.model_.history_feature_list == {"movie": ["hist_movie", "hist_movie_long"]}
    assert din.encoder_.features["hist_movie_long"] == Sequence(vocabulary_of="movie")
    assert set(din.model_.embedding_dict) == {"user", "movie", "day", "buy", "title"}
    shorter = table.with_columns(hist_movie_long="hist_movie")
    expected = din.predict_proba(table)
    assert (expected != din.predict_proba(shorter)).any()
    din.save(tmp_path / "saved")
    loaded = CTRClassifier.load(tmp_path / "saved", training=True)
    assert (loaded.predict_proba(table) == expected).all()
    assert loaded.history == history
    again = classifier("DIN", history=history).fit(table, "click", init_from=loaded)
    assert len(again.model_.further_attention) == 1


def test_several_histories_from_files(tmp_path: Path) -> None:
    table = SEVERAL.drop("neg_hist_movie")
    lists = [pl.col(name).list.join("|") for name in ("hist_movie", "hist_movie_long")]
    table.write_parquet(tmp_path / "rows.parquet")
    table.with_columns(lists).write_csv(tmp_path / "rows.csv")
    history = {"movie": ["hist_movie", "hist_movie_long"]}
    in_memory = classifier("DIN", history=history).fit(table, "click")
    for name in ("rows.parquet", "rows.csv"):
        streamed = classifier("DIN", history=history).fit(tmp_path / name, "click")
        assert streamed.model_.history_feature_list == history
        if name.endswith("parquet"):
            assert_same_weights(streamed, in_memory)
        assert streamed.predict_proba(tmp_path / name).shape == (200, 2)


def test_models_without_several_histories_pool_the_further_ones() -> None:
    table = SEVERAL.drop("neg_hist_movie")
    dien = classifier("DIEN", history=["hist_movie", "hist_movie_long"]).fit(table, "click")
    assert dien.model_.item_features == ["movie"]
    assert "hist_movie_long" in dien.model_.features
    deep = classifier(history=["hist_movie", "hist_movie_long"]).fit(table, "click")
    assert deep.encoder_.features["hist_movie_long"] == Sequence(vocabulary_of="movie")


@pytest.mark.parametrize("source", ["memory", "rows.parquet", "rows.csv"])
def test_negatives_share_the_vocabulary_and_are_needed_in_training_only(source: str, tmp_path: Path) -> None:
    table = SEVERAL.drop("hist_movie_long")
    if source == "rows.csv":
        table = table.with_columns(pl.col("hist_movie", "neg_hist_movie").list.join("|"))
        table.write_csv(tmp_path / source)
    table.write_parquet(tmp_path / "rows.parquet")
    rows = table if source == "memory" else tmp_path / source
    model = classifier("DIEN", history="hist_movie", model_args={"use_negsampling": True, "dnn_hidden_units": (8,)})
    fitted = model.fit(rows, "click")
    assert set(fitted.model_.embedding_dict) == {"user", "movie", "day", "buy", "title"}  # none of their own
    assert "m01" in fitted.encoder_.vocabulary("movie").values.to_pylist()  # seen among the negatives alone
    fitted.save(tmp_path / "saved")
    served = table.drop("neg_hist_movie", "click")
    loaded = CTRClassifier.load(tmp_path / "saved")
    assert (loaded.predict_proba(served) == fitted.predict_proba(rows)).all()


@pytest.mark.parametrize("name", ["DIEN", "DIN", "DeepFM"])
def test_negatives_are_no_input_without_the_auxiliary_loss(name: str) -> None:
    model = classifier(name, history="hist_movie", epochs=1).fit(SEVERAL, "click").model_
    assert "hist_movie" in model.feature_index
    assert "neg_hist_movie" not in model.feature_index


def test_negatives_of_a_declared_history_share_its_table_too() -> None:
    named = SEVERAL.rename({"hist_movie": "watched", "neg_hist_movie": "neg_watched"})
    kinds = {"movie": Categorical(), "watched": Sequence(20), "neg_watched": MultiValue()}
    model = classifier("DIEN", history={"movie": "watched"}, features=kinds, model_args={"use_negsampling": True})
    found = model.fit(named, "click").encoder_.features
    assert found["hist_movie"] == Sequence(20, vocabulary_of="movie", column="watched")
    assert found["neg_hist_movie"] == Sequence(vocabulary_of="movie", column="neg_watched", train_only=True)
    assert model.predict_proba(named.drop("neg_watched")).shape == (200, 2)


def test_a_target_of_integers_that_are_both_is_the_codes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(100, 140, 2000)
    table = pl.DataFrame({"x": x, "hist_x": [x[max(i - 3, 0) : i].tolist() for i in range(2000)], "click": x % 2})
    table.write_parquet(tmp_path / "rows.parquet")
    for rows in (table, tmp_path / "rows.parquet"):
        din = classifier("DIN", history="hist_x", epochs=1).fit(rows, "click")
        assert din.encoder_.features["hist_x_code"] == Sequence(vocabulary_of="x_code", column="hist_x")
        assert din.model_.history_feature_list == ["x_code"]
        din.save(tmp_path / "saved")
        assert (CTRClassifier.load(tmp_path / "saved").predict_proba(table) == din.predict_proba(table)).all()


def test_a_history_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="DIN needs a history: name its column"):
        classifier("DIN").fit(SHORT.drop("hist_movie"), "click")
    with pytest.raises(ValueError, match="needs a Categorical or MultiValue feature 'film': there are"):
        classifier("DIN", history={"film": "hist_movie"}).fit(SHORT, "click")
    assert history_columns(None, {}) == {}


def test_a_column_that_looks_like_numbers_at_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_SAMPLE", 256)
    lines = [f"08044295{i % 20:02d},{i % 2}" for i in range(200)]
    lines[150] = "080442957X,1"
    path = tmp_path / "books.csv"
    path.write_text("\n".join(["isbn,click", *lines]) + "\n")
    model = CTRClassifier(epochs=1).fit(path, "click")
    assert isinstance(model.encoder_.features["isbn"], Categorical)
    assert "080442957X" in model.encoder_.vocabulary("isbn").values.to_pylist()


def test_columns_that_a_dict_of_kinds_does_not_name_are_unused_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model = classifier(features=BOTH).fit(frame().drop("buy", "stars"), "click", time="day")
    assert list(model.encoder_.features) == ["movie", "price"]
    (said,) = [record.getMessage() for record in caplog.records if "no kind for" in record.getMessage()]
    assert "no kind for ['user', 'hist_movie']" in said
    caplog.clear()
    classifier(features=BOTH, skip=["user", "hist_movie"]).fit(frame().drop("buy", "stars"), "click", time="day")
    classifier().fit(inputs(frame()).with_columns(same=pl.lit(1)), frame()["click"])  # left out by inference
    assert "no kind for" not in caplog.text


def test_a_star_infers_the_kinds_of_all_other_columns(tmp_path: Path) -> None:
    features = {"film": Categorical(column="movie"), "*": "infer"}
    model = classifier(features=features, skip="buy").fit(frame().drop("stars"), "click", time="day")
    assert list(model.encoder_.features) == ["user", "hist_movie", "price", "film"]
    assert set(model.encoder_.left_out) == {"movie", "buy", "day"}
    model.save(tmp_path)
    assert CTRClassifier.load(tmp_path).features == features
    with pytest.raises(TypeError, match="features must be"):
        classifier(features={"*": "all"}).fit(frame(), "click")


def test_columns_to_skip_are_no_features(parquet: Path, tmp_path: Path) -> None:
    model = classifier(skip=["buy", "stars"]).fit(parquet, "click")
    assert not {"buy", "stars"} & set(model.encoder_.features)
    model.save(tmp_path)
    assert list(CTRClassifier.load(tmp_path).skip) == ["buy", "stars"]
    with pytest.raises(ValueError, match="skip must name columns of X, got 'buys'"):
        classifier(skip=["buys"]).fit(parquet, "click")
    with pytest.raises(ValueError, match="features must not read what skip leaves out, got one that reads 'movie'"):
        classifier(features=BOTH, skip=["movie"]).fit(parquet, "click")


def test_a_model_to_go_on_from_keeps_its_features_and_others_are_an_error() -> None:
    old = classifier(features=BOTH, epochs=0).fit(frame(), "click")
    classifier(features=BOTH, epochs=0).fit(frame(), "click", init_from=old)
    classifier(features={"price": Numeric(), "*": "infer"}, epochs=0).fit(frame(), "click", init_from=old)
    for features in (
        {"movie": Categorical()},
        {**BOTH, "price": Numeric("minmax")},
        FeatureEncoder({"user": Categorical()}),
    ):
        with pytest.raises(ValueError, match="init_from goes on with its own features"):
            classifier(features=features).fit(frame(), "click", init_from=old)


def test_a_label_of_a_feature_s_name_is_another_thing_if_its_values_are() -> None:
    table = frame().drop("buy", "stars")
    spent = pl.Series("price", np.random.default_rng(0).permutation(table["click"].to_numpy()))
    model = classifier(epochs=1).fit(table, spent)
    assert model.labels_ == ["price"]
    assert "price" in model.encoder_.features
    assert 0 < model.evaluate(table, spent)["auc"] < 1
    with pytest.raises(ValueError, match="y must be given: 'price' is a feature's column, too"):
        model.evaluate(table)


def of_lists(rows: int = 300) -> pl.DataFrame:
    """Rows of `tags` and of `hist_tags`, the tags of earlier items; `click` tells if they have met before."""
    rng = np.random.default_rng(0)

    def tags(most: int) -> list[str]:
        return [f"t{t}" for t in rng.choice(6, rng.integers(1, most), replace=False)]

    target = [tags(3) for _ in range(rows)]
    past = [[tags(4) for _ in range(rng.integers(0, 5))] for _ in range(rows)]
    click = [int(any(set(t) & set(step) for step in steps)) for t, steps in zip(target, past, strict=True)]
    return pl.DataFrame({"tags": target, "hist_tags": past, "price": rng.normal(size=rows), "click": click})


@pytest.mark.parametrize("model", ["DIN", "DIEN", "DeepFM"])
def test_histories_of_lists(model: str, tmp_path: Path) -> None:
    table = of_lists()
    table.write_parquet(tmp_path / "rows.parquet", row_group_size=70)
    table.to_pandas().to_parquet(tmp_path / "pandas.parquet")
    fitted = classifier(model, random_state=0).fit(table, "click")
    columns = {c.name: c for c in fitted.encoder_.feature_columns()}
    assert (columns["hist_tags"].step_width, columns["hist_tags"].embedding_name) == (3, "tags")
    for data in (table.to_pandas(), table.to_arrow(), pd.DataFrame(table.to_dict(as_series=False))):
        assert_same_weights(classifier(model, random_state=0).fit(data, "click"), fitted)
        assert np.array_equal(fitted.predict_proba(data), fitted.predict_proba(table))
    fitted.save(tmp_path / "saved")
    loaded = CTRClassifier.load(tmp_path / "saved")
    streamed = classifier(model, random_state=0).fit(tmp_path / "rows.parquet", "click")
    for each in (loaded, streamed):
        one = np.concatenate([each.predict_proba(table[i : i + 1]) for i in range(8)])
        np.testing.assert_allclose(one, each.predict_proba(table[:8]), atol=1e-6)
        assert np.array_equal(each.predict_proba(tmp_path / "pandas.parquet"), each.predict_proba(table))
    assert np.array_equal(loaded.predict_proba(table), fitted.predict_proba(table))
    unknown = {"tags": [["new"], None], "hist_tags": [[["t1", "new"], []], None], "price": [None, 1.0]}
    assert np.isfinite(loaded.predict_proba(unknown)).all()


def test_attention_finds_what_meets_in_lists() -> None:
    table = of_lists(1500)
    model = CTRClassifier("DIN", epochs=12, batch_size=64, random_state=0).fit(table, "click")
    assert model.evaluate(of_lists(1500), metrics=["auc"])["auc"] > 0.9
