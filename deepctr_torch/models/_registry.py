"""The registry of the models, and the traits that each states beside its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..registry import Registry

if TYPE_CHECKING:
    from .basemodel import BaseModel


@dataclass(frozen=True)
class ModelTraits:
    """Facts of a model that others need and cannot read from its signature."""

    one_dimension: bool = False  # fields meet each other, so that all columns of the deep side need one `embedding_dim`
    dense_deep: bool = True  # the deep side takes numbers (`DenseFeat`)
    independent_heads: bool = True  # each prediction comes from a head of its own, whose bias moves it alone
    # a target is compared with each of several histories; elsewhere all but one are pooled
    several_histories: bool = False
    funnel: bool = False  # tasks are steps: a label is positive only where the one before it is


MODELS: Registry[type[BaseModel]] = Registry("model")
_TRAITS: dict[type, ModelTraits] = {}
C = TypeVar("C", bound="type[BaseModel]")


def register_model(
    *,
    one_dimension: bool = False,
    dense_deep: bool = True,
    independent_heads: bool = True,
    several_histories: bool = False,
    funnel: bool = False,
) -> Callable[[C], C]:
    """Decorate a model class: register it under its name, with its traits (see `ModelTraits`).

    The estimators, the command line, the lists of the documentation, the benchmarks and the tests over all models
    find it there.
    """
    traits = ModelTraits(one_dimension, dense_deep, independent_heads, several_histories, funnel)

    def decorate(cls: C) -> C:
        _TRAITS[cls] = traits
        MODELS.add(cls.__name__, cls)
        return cls

    return decorate


def model_traits(cls: type) -> ModelTraits:
    """Return the traits of a class or of the nearest registered class that it inherits from."""
    return next((_TRAITS[base] for base in cls.__mro__ if base in _TRAITS), ModelTraits())
