"""Models on disk: `torch.save` with torch's safe loading, state_dicts, `model.save` without pickle, checkpoints."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import deepctr_torch
from deepctr_torch.callbacks import Callback, ModelCheckpoint
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.layers import Dice
from deepctr_torch.models import DeepFM
from deepctr_torch.models._serialization import NotPlainError, decode_argument, encode_argument
from tests.support.artefacts import edited, overwritten
from tests.support.training import COLUMNS, Recorder, assert_same_weights, both_labels, deepfm, inputs, labels, mmoe

X, Y = inputs(), labels()


def fitted(optimizer: Any = "adam", epochs: int = 1, model: Any = None, **kwargs: Any) -> Any:
    model = deepfm(dnn_dropout=0.2) if model is None else model
    made = optimizer(model) if callable(optimizer) and not isinstance(optimizer, type) else optimizer
    model.compile(made, "binary_crossentropy", ["auc", "logloss"], **kwargs)
    model.fit(X, Y, 10, epochs, 0)
    return model


def stored(model: Any, path: Path, **options: Any) -> Any:
    """Through a file, with torch's safe loading."""
    torch.save(model, path / "model.pt")
    return torch.load(path / "model.pt", weights_only=True, **options)


def go_on(model: Any) -> Any:
    model.fit(X, Y, 10, 2, 0, initial_epoch=1)
    return model


class UsersDeepFM(DeepFM):
    """A user's own class."""

    def twice(self) -> int:
        return 2


# ------------------------------------------------------------------ torch.save


@pytest.mark.parametrize("update", ["dense", "sparse", "auto"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_a_reloaded_model_goes_on_as_if_nothing_had_happened(optimizer: str, update: str, tmp_path: Path) -> None:
    model = fitted(optimizer, embedding_update=update, learning_rate=0.02)
    loaded = stored(model, tmp_path)
    assert type(loaded) is DeepFM
    assert_same_weights(model, loaded)
    assert loaded.training == model.training
    assert loaded.metrics_names == ["loss", "auc", "logloss"]
    assert loaded.history.history == model.history.history
    assert loaded.history.epoch == [0]
    assert loaded.epochs_trained == 1
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    assert_same_weights(go_on(model), go_on(loaded))
    assert model.history.history == loaded.history.history


OPTIMIZERS = {
    "momentum": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "amsgrad": lambda m: torch.optim.Adam(m.parameters(), lr=0.01, betas=(0.8, 0.9), amsgrad=True),
    "groups": lambda m: torch.optim.Adagrad(
        [{"params": list(m.dnn.parameters()), "lr": 0.3}, {"params": list(m.embedding_dict.parameters())}], lr=0.02
    ),
    "part": lambda m: torch.optim.RMSprop(m.dnn.parameters(), lr=0.01),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizers_of_ones_own_come_back(kind: str, tmp_path: Path) -> None:
    model = fitted(OPTIMIZERS[kind])
    loaded = stored(model, tmp_path)
    assert type(loaded.optim) is type(model.optim)
    assert [g["lr"] for g in loaded.optim.param_groups] == [g["lr"] for g in model.optim.param_groups]
    assert_same_weights(go_on(model), go_on(loaded))


def test_an_optimizer_that_replaced_a_named_one_comes_back(tmp_path: Path) -> None:
    model = deepfm()
    model.compile("adam", "binary_crossentropy", ["auc"], embedding_update="sparse", embedding_lr=0.1)
    model.optim = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.fit(X, Y, 10, verbose=0)
    loaded = stored(model, tmp_path)
    assert isinstance(loaded.optim, torch.optim.SGD)
    assert_same_weights(go_on(model), go_on(loaded))


def test_an_optimizer_class_comes_back(tmp_path: Path) -> None:
    model = fitted(torch.optim.NAdam, learning_rate=0.03)
    loaded = stored(model, tmp_path)
    assert loaded.optim.param_groups[0]["lr"] == 0.03
    assert_same_weights(go_on(model), go_on(loaded))


@pytest.mark.parametrize(
    "options",
    [
        {"embedding_optimizer": "adagrad", "embedding_lr": 0.1, "embedding_update": "sparse"},
        {"embedding_optimizer": "adagrad", "embedding_update": "dense"},
        {"lr_schedule": {"name": "warmup", "warmup_steps": 3}, "clip_norm": 0.5, "loss_reduction": "mean"},
        {"precision": "bf16"},
    ],
)
def test_what_compile_was_given_comes_back(options: dict[str, Any], tmp_path: Path) -> None:
    model = fitted(**options)
    assert_same_weights(go_on(stored(model, tmp_path)), go_on(model))


@pytest.mark.parametrize("update", ["dense", "sparse", "auto"])
@pytest.mark.parametrize(
    "spec",
    [{"name": "adam", "betas": (0.8, 0.9), "eps": 1e-6}, {"name": "Adam", "decay_unseen": True}, {"name": "sgd"}],
)
def test_an_optimizer_with_options_comes_back(spec: dict[str, Any], update: str, tmp_path: Path) -> None:
    model = fitted(spec, embedding_update=update, learning_rate=0.02)
    loaded = stored(model, tmp_path)
    model.save(tmp_path / "plain")
    plain = deepctr_torch.load_model(tmp_path / "plain")
    for each in (loaded, plain):
        assert each._compile_arguments is not None
        assert each._compile_arguments["optimizer"] == spec
        assert each._compile_arguments["embedding_update"] == update
        groups = [{k: v for k, v in g.items() if k != "params"} for g in each.optim.param_groups]
        assert groups == [{k: v for k, v in g.items() if k != "params"} for g in model.optim.param_groups]
        assert each._update is not None
        assert model._update is not None
        assert each._update.mode == model._update.mode
    assert_same_weights(go_on(model), go_on(loaded))


def test_frozen_tables_and_parameters_stay_frozen(tmp_path: Path) -> None:
    model = deepfm()
    model.set_embedding("user", np.ones((7, 4)), trainable=False)
    model.dnn.linears[0].weight.requires_grad_(False)
    loaded = go_on(stored(fitted(model=model), tmp_path))
    assert loaded.embedding_dict.frozen == {"user"}
    assert loaded.state_dict()["embedding_dict.user.weight"].eq(1).all()
    assert torch.equal(loaded.dnn.linears[0].weight, model.dnn.linears[0].weight)
    assert not loaded.dnn.linears[0].weight.requires_grad


def test_tasks_and_learned_weights_come_back(tmp_path: Path) -> None:
    model = mmoe()
    model.compile("adam", ["binary_crossentropy", "mse"], {"click": ["auc"]}, task_weights="uncertainty")
    model.fit(X, both_labels(), verbose=0)
    loaded = stored(model, tmp_path)
    assert torch.equal(loaded.task_log_variances, model.task_log_variances)
    for each in (model, loaded):
        each.fit(X, both_labels(), verbose=0, epochs=2, initial_epoch=1)
    assert_same_weights(model, loaded)
    model.save(tmp_path / "plain")
    assert_same_weights(model, deepctr_torch.load_model(tmp_path / "plain"))


def test_models_that_were_never_compiled(tmp_path: Path) -> None:
    model = deepfm()
    loaded = stored(model, tmp_path)
    assert_same_weights(model, loaded)
    assert loaded.optim is None
    with pytest.raises(RuntimeError, match="call compile"):
        loaded.evaluate(X, Y)
    model.compile("adam", "binary_crossentropy")
    assert_same_weights(go_on(stored(model, tmp_path)), go_on(model))


@pytest.mark.parametrize("activation", [nn.SiLU, nn.PReLU, Dice, "dice"])
def test_classes_as_activations_are_plain(activation: Any, tmp_path: Path) -> None:
    model = deepfm(dnn_activation=activation)
    loaded = stored(model, tmp_path)
    assert type(loaded.dnn.activation_layers[0]) is type(model.dnn.activation_layers[0])
    assert loaded._arguments["dnn_activation"] == activation


def test_a_loss_of_ones_own_is_left_out_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = deepfm()
    model.compile("adam", nn.BCELoss(), ["auc"])
    with caplog.at_level(logging.WARNING, logger="deepctr_torch"):
        loaded = stored(model, tmp_path)
    assert "saved without what compile was given: loss=BCELoss()" in caplog.text
    assert_same_weights(model, loaded)
    assert loaded.optim is None


def test_an_activation_instance_needs_ordinary_pickle(tmp_path: Path) -> None:
    model = deepfm(dnn_activation=nn.LeakyReLU(0.3))
    torch.save(model, tmp_path / "model.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model.pt", weights_only=True)
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_users_class_needs_ordinary_pickle(update: str, tmp_path: Path) -> None:
    model = UsersDeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(6,), seed=1)
    model.extra = "kept"
    fitted(model=model, embedding_update=update)
    torch.save(model, tmp_path / "model.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model.pt", weights_only=True)
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    assert (loaded.twice(), loaded.extra) == (2, "kept")
    assert_same_weights(model, loaded)
    assert_same_weights(go_on(model), go_on(loaded))


def test_safe_loading_needs_nothing_but_the_package(tmp_path: Path) -> None:
    torch.save(fitted(), tmp_path / "model.pt")
    code = (
        "import sys, torch, deepctr_torch\n"
        "assert 'deepctr_torch.models' not in sys.modules\n"
        "model = torch.load(sys.argv[1])\n"
        "print(type(model).__name__, model.epochs_trained)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "model.pt")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(deepctr_torch.__file__).parents[1]
    )
    assert done.stdout.split() == ["DeepFM", "1"]


def test_map_location_decides_the_device(tmp_path: Path) -> None:
    model = deepfm(device="cpu")
    assert stored(model, tmp_path, map_location="meta").dnn_linear.weight.device.type == "meta"
    assert str(stored(model, tmp_path, map_location="cpu").device) == "cpu"


def test_a_pickle_is_a_copy_too() -> None:
    model = fitted()
    loaded = pickle.loads(pickle.dumps(model))
    assert_same_weights(model, loaded)
    assert_same_weights(go_on(model), go_on(loaded))


# ------------------------------------------------------------------ checkpoints


def test_checkpoints_of_whole_models_and_of_weights(tmp_path: Path) -> None:
    whole, weights = ModelCheckpoint(str(tmp_path / "{epoch}.pt")), tmp_path / "best.pt"
    best = ModelCheckpoint(str(weights), monitor="val_auc", save_best_only=True, save_weights_only=True)
    model = deepfm()
    model.compile("adam", "binary_crossentropy", ["auc"], lr_schedule={"name": "step", "every": 2, "factor": 0.5})
    model.fit(X, Y, 10, 3, 0, validation_split=0.25, callbacks=[whole, best])
    second = torch.load(tmp_path / "2.pt", weights_only=True)
    assert second.optim.param_groups[0]["lr"] == 0.001  # the base, not the scheduled one
    assert second.training
    assert list(torch.load(weights, weights_only=True)) == list(model.state_dict())
    other = deepfm(seed=9)
    other.load_state_dict(torch.load(weights, weights_only=True))


def test_a_checkpoint_within_a_schedule_has_the_base_rate(tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            torch.save(self.model, tmp_path / "model.pt")

    model = deepfm()
    model.compile("adam", "binary_crossentropy", lr_schedule=lambda step: 0.5, learning_rate=0.1)
    object.__setattr__(model, "_compile_arguments", {**(model._compile_arguments or {}), "lr_schedule": "cosine"})
    recorder = Recorder()
    model.fit(X, Y, 20, verbose=0, callbacks=[Save(), recorder])
    assert recorder.rates == [0.05, 0.05]
    assert torch.load(tmp_path / "model.pt", weights_only=True).optim.param_groups[0]["lr"] == 0.1


# ------------------------------------------------------------------ save and load_model


@pytest.mark.parametrize("update", ["dense", "sparse", "auto"])
def test_a_directory_holds_the_model_without_pickle(update: str, tmp_path: Path) -> None:
    model = fitted(embedding_update=update, epochs=2)
    model.set_embedding("item", np.ones((5, 4)), trainable=False)
    model.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "checksums.json",
        "config.json",
        "training.json",
        "weights.safetensors",
    ]
    assert len({p.stat().st_mode for p in (tmp_path / "model").iterdir()}) == 1  # who may read one may read all
    loaded = deepctr_torch.load_model(tmp_path / "model")
    assert_same_weights(model, loaded)
    assert not loaded.training
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    assert loaded.history.history == model.history.history
    assert (loaded.epochs_trained, loaded.embedding_dict.frozen) == (2, {"item"})
    assert loaded._update is not None
    assert loaded._update.mode == model._update.mode
    loaded.fit(X, Y, 10, verbose=0)
    model.save(tmp_path / "model")  # again, over the first
    assert_same_weights(model, deepctr_torch.load_model(str(tmp_path / "model")))


def test_weights_are_stored_by_table(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = deepfm()
    model.save(tmp_path)
    assert_same_weights(load_file(tmp_path / "weights.safetensors"), dict(sorted(model.state_dict().items())))


def test_a_users_class_is_named_in_custom_objects(tmp_path: Path) -> None:
    model = UsersDeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(6,))
    model.save(tmp_path)
    with pytest.raises(ValueError, match="'UsersDeepFM': UsersDeepFM"):
        deepctr_torch.load_model(tmp_path)
    loaded = deepctr_torch.load_model(tmp_path, custom_objects={"UsersDeepFM": UsersDeepFM})
    assert isinstance(loaded, UsersDeepFM)
    assert_same_weights(model, loaded)


def test_the_device_may_be_chosen(tmp_path: Path) -> None:
    deepfm().save(tmp_path)
    assert deepctr_torch.load_model(tmp_path, device="cpu:0").device == "cpu:0"
    edited(tmp_path / "config.json", lambda c: c["arguments"].update(device="cuda:7", gpus=[7]))
    if not torch.cuda.is_available():
        assert str(deepctr_torch.load_model(tmp_path).device) == "cpu"
    assert deepctr_torch.load_model(tmp_path, device="cpu").gpus is None


def test_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks config.json, weights.safetensors"):
        deepctr_torch.load_model(tmp_path)
    deepfm().save(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"format": 99, "library": "9.0"}, "must be of format 1, got 99, saved by deepctr-torch 9.0: this is"),
        ({"class": "DeepFN"}, r"must be of a model class, got deepctr_torch\.models\.deepfm\.DeepFN"),
        ({"module": "deepctr_torch.features", "class": "FeatureSchema"}, "must be of a model class"),
        ({"module": "os", "class": "system"}, "system is a class of your own"),
    ):
        overwritten(tmp_path / "config.json", json.dumps({**described, **change}))
        with pytest.raises(ValueError, match=message):
            deepctr_torch.load_model(tmp_path)
    with pytest.raises(TypeError, match=r"dnn_activation=LeakyReLU.*is not plain data"):
        deepfm(dnn_activation=nn.LeakyReLU()).save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_training_json_may_be_missing(tmp_path: Path) -> None:
    model = fitted()
    model.save(tmp_path)
    (tmp_path / "training.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"must be whole, but lacks training\.json"):
        deepctr_torch.load_model(tmp_path)
    (tmp_path / "checksums.json").unlink()
    loaded = deepctr_torch.load_model(tmp_path)
    assert_same_weights(model, loaded)
    assert loaded.optim is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        0.5,
        "relu",
        (1, 2),
        [1, (2, [3])],
        {"a": (1,), 3: None},
        nn.GELU,
        Dice,
        SparseFeat("user", 5, 3, use_hash=True, embedding_name="t"),
        VarLenSparseFeat(SparseFeat("tags", 4), 3, "max", "n", "w"),
        DenseFeat("age", 2),
    ],
)
def test_encode_and_decode(value: Any) -> None:
    back = decode_argument(json.loads(json.dumps(encode_argument(value, "x"))))
    assert back == value
    assert type(back) is type(value)


def test_what_is_not_plain() -> None:
    assert encode_argument(np.int64(3), "x") == 3
    assert encode_argument(torch.device("cpu"), "x") == "cpu"
    for value in (nn.ReLU(), len, object(), torch.ones(2), np.ones(2), int):
        with pytest.raises(NotPlainError, match="is not plain data"):
            encode_argument(value, "x")


def test_deepcopy_within_training() -> None:
    copies = []

    class Copy(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            copies.append(copy.deepcopy(self.model))

    model = deepfm()
    model.compile("adam", "binary_crossentropy")
    model.fit(X, Y, 10, verbose=0, callbacks=[Copy()])
    assert_same_weights(copies[-1], model)
    assert not torch.equal(copies[0].dnn_linear.weight, model.dnn_linear.weight)
