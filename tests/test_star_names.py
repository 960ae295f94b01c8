"""Star and named imports through any module of the original bring what they brought there."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import basemodel

STAR: dict[str, list[str]] = json.loads(Path(__file__).with_name("original_names.json").read_text())["star"]
# Its version check asks the network, in a thread of its own, whenever the package is imported: it stays out.
LEFT_OUT = {"check_version", "utils"}


def wanted(module: str) -> list[str]:
    return [n for n in STAR[module] if module != "deepctr_torch" or n not in LEFT_OUT]


@pytest.mark.parametrize("module", STAR)
def test_star_and_named_imports_bring_what_they_brought(module: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from {module} import *", namespace)
    assert [name for name in wanted(module) if name not in namespace] == []
    found = importlib.import_module(module)
    assert [name for name in wanted(module) if getattr(found, name) is not namespace[name]] == []


def test_what_star_imports_bring_is_the_real_thing() -> None:
    import sklearn.metrics
    import tqdm

    namespace: dict[str, Any] = {}
    exec("from deepctr_torch.models.basemodel import *", namespace)
    assert namespace["roc_auc_score"] is sklearn.metrics.roc_auc_score
    assert namespace["tqdm"] is tqdm.tqdm
    assert namespace["Data"] is torch.utils.data
    assert namespace["F"] is torch.nn.functional
    assert namespace["np"] is np
    assert all(isinstance(namespace[name], types.ModuleType) for name in ("Data", "F", "nn", "np", "time", "torch"))
    assert namespace["SparseFeat"] is SparseFeat
    assert sys.modules["time"] is namespace["time"]


@pytest.mark.parametrize("module", ["inputs", "layers.core", "layers.interaction", "models.deepfm", "callbacks"])
def test_a_star_import_is_the_first_import_of_a_process(module: str) -> None:
    full = f"deepctr_torch.{module}"
    code = f"from {full} import *; assert all(name in globals() for name in {wanted(full)})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_packages_are_attributes_of_a_fresh_process() -> None:
    code = (
        "import sys, deepctr_torch as d; assert 'deepctr_torch.models' not in sys.modules; "
        "d.models.DeepFM, d.inputs.SparseFeat, d.layers.DNN, d.callbacks.EarlyStopping, d.models.multitask.ple.PLE"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_missing_as_usual() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'pandas'"):
        _ = basemodel.pandas
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from deepctr_torch.models.basemodel import nothing", {})
