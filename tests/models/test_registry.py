"""A model is its file, its test and its page: what registers itself gets everything that is made for all models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepctr_torch import models
from deepctr_torch.models import DeepFM, ModelTraits, model_traits, register_model

ROOT = Path(__file__).resolve().parents[2]
TOY = '''
"""A linear side and the sum of all vectors, projected."""

from torch import nn

from deepctr_torch.models import BaseModel, register_model


@register_model(one_dimension=True)
class Toy(BaseModel):
    """Linear side, and a projection of the sum of the fields."""

    def __init__(self, linear_feature_columns, dnn_feature_columns, toy_scale=2.0, toy_bias=False, l2_reg_linear=1e-5,
                 l2_reg_embedding=1e-5, l2_reg_dnn=0, init_std=0.0001, seed=1024, task="binary", device="cpu",
                 gpus=None, num_classes=None):
        super().__init__(linear_feature_columns, dnn_feature_columns, l2_reg_linear, l2_reg_embedding, init_std, seed,
                         task, device, gpus, num_classes)
        self.toy_scale = toy_scale
        self.use_sum = len(self.embedding_dict) > 0
        if self.use_sum:
            self.projection = self.penalized(nn.Linear(self.embedding_size, self.outputs, bias=toy_bias), l2_reg_dnn)
            nn.init.normal_(self.projection.weight, std=init_std)
        self.to(device)

    def logits(self, fields):
        if not self.use_sum:
            return fields.linear
        return fields.linear + self.toy_scale * self.projection(fields.stacked.sum(dim=1))
'''


def test_a_model_in_a_module_of_its_own_gets_the_whole_suite(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "toy", "-p", "no:cacheprovider"]
    suite = ["tests/models/test_all_models.py", "tests/training/test_no_wait.py"]
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""}
    only = [*command, *suite, "-k", "Toy"]
    run = subprocess.run(only, cwd=ROOT, env=path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    listed = [*command, *suite, "--collect-only"]
    names = subprocess.run(listed, cwd=ROOT, env=path, capture_output=True, text=True, check=True).stdout.splitlines()

    def tests_of(model: str) -> set[str]:
        return {n.partition("[")[0] for n in names if f"[{model}" in n or f"-{model}]" in n}

    assert tests_of("Toy") == tests_of("DeepFM")
    assert len(tests_of("Toy")) > 30


def test_traits_are_inherited_and_have_defaults() -> None:
    class Mine(DeepFM):
        pass

    assert model_traits(Mine) == model_traits(DeepFM) == ModelTraits(one_dimension=True)
    assert model_traits(dict) == ModelTraits()


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="model 'DeepFM' is registered already"):
        register_model()(type("DeepFM", (), {}))


def test_every_model_of_the_package_is_registered_and_exported() -> None:
    classes = {c.__name__ for c in vars(models).values() if isinstance(c, type) and issubclass(c, models.BaseModel)}
    assert classes - {"BaseModel"} == set(models.MODELS) <= set(models.__all__)
