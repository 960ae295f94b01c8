"""`--set key=value`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from deepctr_torch.cli.console import UsageError
from deepctr_torch.cli.run_config import from_toml
from deepctr_torch.cli.settings import check_settings, parse_kind, parse_settings, parse_value
from deepctr_torch.encoding import Categorical, Cross, MultiValue, Numeric, Sequence, Timestamp

from ..support.cli_tables import ran

if sys.version_info >= (3, 11):
    pass
else:
    pass


SMALL = ["--set", "epochs=1", "--set", "batch_size=64", "--set", "model_args.dnn_hidden_units=[8]"]


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
