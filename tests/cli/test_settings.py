"""What the command line understands: `--set`, TOML, `run.toml`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.cli.console import UsageError
from deepctr_torch.cli.run_config import Run, from_toml, read_run, to_toml, write_run
from deepctr_torch.cli.settings import Settings, check_settings, parse_kind, parse_settings, parse_value
from deepctr_torch.encoding import Categorical, Cross, MultiValue, Numeric, Sequence, Timestamp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("[64, 32]", [64, 32]),
        ("(64,32)", [64, 32]),
        ("true", True),
        ("False", False),
        ("None", None),
        ("adam", "adam"),
        ("'3'", "3"),
        ('{"a": 1}', {"a": 1}),
        ("1/0", "1/0"),
        ("__import__('os')", "__import__('os')"),
        ("", ""),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Categorical", Categorical()),
        ("categorical", Categorical()),
        ("Categorical(min_count=5, train_only=True)", Categorical(min_count=5, train_only=True)),
        ("MultiValue(separator='|')", MultiValue(separator="|")),
        ("Sequence(maxlen=20, vocabulary_of='movie')", Sequence(maxlen=20, vocabulary_of="movie")),
        ("Cross(columns=['a', 'b'])", Cross(columns=("a", "b"))),
        ("Timestamp(parts=('hour',))", Timestamp(parts=("hour",))),
        ("quantile", Numeric("quantile")),
        ("skip", None),
    ],
)
def test_kinds(text: str, kind: Any) -> None:
    assert parse_kind(text, "x") == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Categorial", "did you mean 'Categorical'"),
        ("Categorical(min_cuont=2)", "did you mean 'min_count'"),
        ("Categorical(min_count=0)", "min_count must be an integer of at least 1"),
        ("Categorical(2)", "a kind must be written as in"),
        ("Categorical(min_count=f())", "a kind must be written as in"),
        ("a.b", "a kind must be written as in"),
        ("a b", "a kind must be written as in"),
    ],
)
def test_wrong_kinds(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_kind(text, "x")


@pytest.mark.parametrize("text", ["epochs", "=3", "model.x=3"])
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        parse_settings([text])


class Estimator:
    def __init__(
        self, model: str = "DeepFM", *, epochs: int = 3, rate: float | None = None, size: int | str = "auto",
        anything: Any = None, features: Any = "infer", random_state: int = 0,
    ) -> None: ...  # fmt: skip


class Model:
    def __init__(
        self, dnn_feature_columns: Any, dnn_hidden_units: Any = (8,), use_bn: bool = False, seed: int = 1
    ) -> None: ...


def check(*texts: str) -> None:
    check_settings(parse_settings(texts), Estimator, Model)


def test_settings_that_are_known() -> None:
    texts = ("epochs=2", "rate=1", "size=64", "anything=[1]", "model_args.use_bn=true")
    check(*texts, "rate=none", "size=auto")
    assert all(parse_settings([text]) for text in texts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch=2", "unknown parameter 'epoch': did you mean 'epochs'"),
        ("epochs=2.5", "epochs must be of type int, got 2.5"),
        ("epochs=true", "epochs must be of type int, got True"),
        ("rate=fast", "rate must be of type float | None, got 'fast'"),
        ("random_state=3", "has an option of its own: --seed"),
        ("features=infer", "--set features.COLUMN=KIND"),
        ("model_args.use_bm=true", "unknown argument of Model 'use_bm': did you mean 'use_bn'"),
        ("model_args.use_bn=1", "model_args.use_bn must be of type bool, got 1"),
        ("model_args.seed=1", "unknown argument of Model 'seed'"),
        ("model_args.dnn_feature_columns=1", "unknown argument of Model"),
    ],
)
def test_settings_that_are_not_known(text: str, message: str) -> None:
    with pytest.raises(UsageError) as problem:
        check(text)
    assert message in str(problem.value)


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
