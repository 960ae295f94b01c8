"""`--set key=value`: parameters of the estimator, arguments of the model, kinds of features."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..encoding.specs import SPECS, Categorical, FeatureSpec, MultiValue, Sequence, spec_from_json
from ..registry import suggest
from .console import UsageError

SKIP = "skip"  # features.COLUMN=skip: the column is no feature
REST, INFER = "*", "infer"  # features.*=infer: so are all columns of which nothing is said
OWN_OPTIONS = {
    "model": "--model",
    "random_state": "--seed",
    "validation_fraction": "--valid-fraction",
    "features": "--set features.COLUMN=KIND",
    "skip": "--skip",
    "model_args": "--set model_args.NAME=VALUE",
}
COLUMNS = {f"{part}_feature_columns" for part in ("linear", "dnn", "region", "base")} | {"history_feature_list"}
FROM_DATA = {"seed", "task", "task_names", "task_types", "num_tasks", "num_classes", "device", "gpus"}
TYPES: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool, "None": type(None)}
TYPES |= {"list": list, "Sequence": list, "tuple": list, "Mapping": dict, "dict": dict}  # word of an annotation -> type
WORDS = {"true": True, "false": False, "none": None, "null": None}


@dataclass
class Settings:
    """The values that `--set` gives."""

    parameters: dict[str, Any] = field(default_factory=dict)  # of the estimator
    model_args: dict[str, Any] = field(default_factory=dict)
    features: dict[str, FeatureSpec | None] = field(default_factory=dict)  # None: the column is no feature
    infer: bool = False  # so are all other columns, of the kinds they seem to be

    def over(self, earlier: Settings) -> Settings:
        """These settings, and where they say nothing the earlier ones."""
        return Settings(
            {**earlier.parameters, **self.parameters},
            {**earlier.model_args, **self.model_args},
            {**earlier.features, **self.features},
        )


def without_columns(
    features: Mapping[str, FeatureSpec | None], columns: Collection[str]
) -> tuple[dict[str, FeatureSpec | None], dict[str, str]]:
    """The kinds that read none of these raw columns; and of the others, feature -> the column that it reads.

    >>> from deepctr_torch.encoding import Categorical, Sequence
    >>> kinds = {"buy": Categorical(), "hist_buy": Sequence(vocabulary_of="buy")}
    >>> kept, left = without_columns(kinds, ["buy"])
    >>> kept["hist_buy"].vocabulary_of, left
    (None, {'buy': 'buy'})
    """
    left: dict[str, str] = {}
    for name, kind in features.items():
        if kind is None:
            continue
        own = [*(getattr(kind, "columns", ()) or [kind.column or name]), getattr(kind, "weights", None)]
        read = next((column for column in own if column in columns), None)
        if read is not None:
            left[name] = read
    kept = {name: kind for name, kind in features.items() if name not in left}
    for name, kind in kept.items():
        if isinstance(kind, (Categorical, MultiValue, Sequence)) and kind.vocabulary_of in left:
            kept[name] = replace(kind, vocabulary_of=None)
    return kept, left


def parse_settings(given: Iterable[str]) -> Settings:
    """`key=value` texts, the last one of a key counts.

    >>> found = parse_settings(["epochs=3", "model_args.dnn_hidden_units=[64, 32]", "features.price=quantile"])
    >>> found.parameters, found.model_args, found.features["price"].scaling
    ({'epochs': 3}, {'dnn_hidden_units': [64, 32]}, 'quantile')
    """
    settings = Settings()
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--set must be key=value, as in --set epochs=3, got {text!r}")
        place, dot, name = key.partition(".")
        if place == "features" and name == REST:
            if value.strip().lower() != INFER:
                raise UsageError(f"--set {key} must be {INFER}, got {value!r}")
            settings.infer = True
        elif place == "features" and dot:
            settings.features[name] = parse_kind(value.strip(), name)
        elif place == "model_args" and dot:
            settings.model_args[name] = parse_value(value)
        elif dot:
            raise UsageError(f"--set knows model_args.NAME and features.COLUMN, got {key!r}")
        else:
            settings.parameters[key] = parse_value(value)
    return settings


def parse_value(text: str) -> Any:
    """A number, truth value, list or None where the text is written as one, else the text itself.

    >>> parse_value("0.01"), parse_value("[64, 32]"), parse_value("True"), parse_value("none"), parse_value("adam")
    (0.01, [64, 32], True, None, 'adam')
    """
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError):
            continue
        return list(value) if isinstance(value, tuple) else value
    return text


def parse_kind(text: str, feature: str) -> FeatureSpec | None:
    """A kind as in Python, `Categorical(min_count=5)`, its name alone, or a scaling of numbers; None for `skip`.

    >>> parse_kind("MultiValue(separator='|')", "genres").separator
    '|'
    """
    if text.lower() == SKIP:
        return None
    names = {name.lower(): name for name in SPECS}
    try:
        node = ast.parse(text, mode="eval").body
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if not isinstance(call.func, ast.Name) or call.args:
            raise ValueError
        options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg}
    except (ValueError, SyntaxError):
        example = "features.genres=\"MultiValue(separator='|')\""
        raise UsageError(f"a kind must be written as in {example}, got {text!r} for {feature!r}") from None
    name = call.func.id
    if name.lower() in ("standard", "quantile", "minmax", "plain") and not options:
        name, options = "Numeric", {"scaling": name.lower()}
    if name.lower() not in names:
        raise UsageError(f"unknown kind {name!r} of feature {feature!r}: {suggest(name, [*SPECS, SKIP])}")
    try:
        return spec_from_json({"kind": names[name.lower()], **options}, feature)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def check_settings(settings: Settings, estimator: type, model: type) -> None:
    """Check that every name is known to the estimator or the model, every value of the type that it takes."""
    for name in settings.parameters:
        if name in OWN_OPTIONS:
            raise UsageError(f"{name} has an option of its own: {OWN_OPTIONS[name]}")
    known = {n: p for n, p in _parameters(estimator).items() if n not in OWN_OPTIONS}
    _check_names("parameter", settings.parameters, known)
    for name, value in settings.parameters.items():
        _check_type(name, value, known[name])
    left = COLUMNS | FROM_DATA
    own = {n: p for n, p in _parameters(model).items() if n not in left and p.kind is not p.VAR_KEYWORD}
    _check_names(f"argument of {model.__name__}", settings.model_args, own)
    for name, value in settings.model_args.items():
        _check_type(f"model_args.{name}", value, own[name])


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Of the constructor, which a metaclass may hide."""
    found = inspect.signature(cls.__init__).parameters  # type: ignore[misc]  # of the class itself
    return {name: parameter for name, parameter in found.items() if name != "self"}


def _check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            raise UsageError(f"unknown {what} {name!r}: {suggest(name, names)}")


def _check_type(name: str, value: Any, parameter: inspect.Parameter) -> None:
    """Compare with the annotation, as far as it names plain types."""
    annotation = str(parameter.annotation)
    plain = annotation
    while "[" in plain:  # what stands in brackets is of the elements
        plain = re.sub(r"\[[^\[\]]*\]", "", plain)
    words = [part.strip() for part in plain.split("|")]
    if any(word not in TYPES for word in words):
        return
    fits = any(isinstance(value, TYPES[word]) and (word == "bool" or not isinstance(value, bool)) for word in words)
    if not fits:
        raise UsageError(f"{name} must be of type {annotation}, got {value!r}")
