"""`run.toml`: written, read, and gone before by options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.cli.console import UsageError
from deepctr_torch.cli.run_config import Run, from_toml, read_run, to_toml, write_run
from deepctr_torch.cli.settings import Settings
from deepctr_torch.encoding import Categorical, Cross, MultiValue

from ..support.cli_tables import as_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_settings_by_hand(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        f"data = ['{(data / 'movielens' / 'train.csv').as_posix()}']\nlabel = ['liked']\nmodel = 'WDL'\n"
        "[parameters]\nepochs = 1\n[features]\nyear = {kind = 'Numeric'}\n"
    )
    as_json("fit", "--config", tmp_path / "run.toml", "--out", tmp_path / "a", "--set", "features.loved=skip")
    assert set(from_toml((tmp_path / "a" / "run.toml").read_text())["features"]) == {
        "user_id", "movie_id", "year", "genres", "timestamp",
    }  # fmt: skip


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


VALUES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS


TABLES = st.recursive(
    st.dictionaries(TEXTS, VALUES | st.lists(VALUES, max_size=3), max_size=4),
    lambda inner: st.dictionaries(TEXTS, VALUES | inner, max_size=3),
    max_leaves=8,
)


@given(TABLES)
def test_toml_is_read_as_it_was_written(values: dict[str, Any]) -> None:
    text = to_toml(values)
    assert tomllib.loads(text) == values
    assert from_toml(text) == values


def test_toml_has_no_none() -> None:
    with pytest.raises(TypeError, match="not TOML serializable"):
        to_toml({"a": None})


RUN = Run(
    data=["train"],
    label=["click", "buy"],
    valid_fraction=0.25,
    split_by="time",
    header=["a", "b"],
    null=["NA"],
    init_from="old",
    settings=Settings(
        {"epochs": 2, "learning_rate": None},
        {"dnn_hidden_units": [8, 4]},
        {"genres": MultiValue(separator="|"), "both": Cross(columns=("a", "b"), min_count=2), "id": None},
    ),
)


def test_a_run_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(RUN, tmp_path)
    monkeypatch.chdir("/")
    found = read_run(tmp_path / "run.toml")
    assert found.data == [str(tmp_path / "train")]
    assert found.init_from == str(tmp_path / "old")
    assert (found.label, found.valid_fraction, found.split_by) == (["click", "buy"], 0.25, "time")
    assert (found.header, found.null, found.valid, found.seed) == (["a", "b"], ["NA"], None, 0)
    for part in ("parameters", "model_args", "features"):
        assert getattr(found.settings, part) == getattr(RUN.settings, part)
    text = (tmp_path / "run.toml").read_text()
    assert '[features.genres]\nkind = "MultiValue"\nseparator = "|"\n' in text
    assert from_toml(text)["unset"] == ["learning_rate"]
    assert from_toml(text)["skip"] == ["id"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'DIN'", "unknown setting 'modle': did you mean 'model'"),
        ("model = 3", "model must be a text, got 3"),
        ("data = 'x'", "data must be a list of texts, got 'x'"),
        ("seed = 'x'", "seed must be a whole number, got 'x'"),
        ("[features]\nx = {kind = 'Nmeric'}", "did you mean 'Numeric'"),
        ("[features]\nx = 'Numeric'", "features must be a table"),
        ("model_args = 3", "model_args must be a table"),
        ("run_format = 9", "must be of run_format 1, got 9"),
        ("model", "must be TOML"),
    ],
)
def test_wrong_run_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UsageError) as problem:
        read_run(tmp_path / "run.toml")
    assert message in str(problem.value)


def test_a_run_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_run(tmp_path / "run.toml")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"valid": ["v"]}, (["v"], None, None, None)),
        ({"valid_from": "5"}, (None, None, "time", "5")),
        ({"valid_fraction": 0.5}, (None, 0.5, "time", None)),
        ({"model": "DIN"}, (None, 0.25, "time", None)),
    ],
)
def test_another_split_takes_the_place_of_the_earlier_one(given: dict[str, Any], kept: tuple[Any, ...]) -> None:
    run = RUN.changed(given, Settings())
    assert (run.valid, run.valid_fraction, run.split_by, run.valid_from) == kept
    run.check()


def test_options_go_before_the_file() -> None:
    run = RUN.changed({"model": "DIN", "label": [], "seed": None}, Settings({"epochs": 9}, {}, {"id": Categorical()}))
    assert (run.model, run.label, run.seed) == ("DIN", ["click", "buy"], 0)
    assert run.settings.parameters == {"epochs": 9, "learning_rate": None}
    assert run.settings.features["id"] == Categorical()
    assert RUN.settings.features["id"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "--data is missing"),
        ({"data": ["x"]}, "--label is missing"),
        ({"data": ["x"], "label": ["a", "a"]}, "--label must name each column once"),
        ({"data": ["x"], "label": ["a"], "task": "classify"}, "did you mean 'classification'"),
        ({"data": ["x"], "label": ["a"], "valid": ["v"], "split_by": "t"}, "--valid names the rows"),
        ({"data": ["x"], "label": ["a"], "valid_from": "1", "valid_fraction": 0.1}, "give one of them"),
        ({"data": ["x"], "label": ["a"], "valid_fraction": 1.0}, "--valid-fraction must be in"),
        ({"data": ["x"], "label": ["a"], "gap": "1d"}, "--gap is between"),
    ],
)
def test_options_that_do_not_fit_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Run(**given).check()
