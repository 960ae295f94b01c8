"""The case of every registered model, for the suites over all of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from deepctr_torch.models import MODELS
from tests.support.cases import Case

__all__ = ["CASES", "ORIGINAL", "every_model"]


def _case_of(name: str) -> Case:
    """`CASE` of the model's test file; without one, what follows from the model's traits and signature."""
    module = f"tests.models.test_{name.lower()}"
    if importlib.util.find_spec(module) is None:
        return Case(name)
    return getattr(importlib.import_module(module), "CASE", None) or Case(name)


SURFACE = json.loads((Path(__file__).resolve().parents[1] / "surface.json").read_text())
ORIGINAL = {name.rpartition(".")[2] for name in SURFACE} & set(MODELS)  # the models that the original has
CASES = {name: _case_of(name) for name in MODELS}
every_model = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
