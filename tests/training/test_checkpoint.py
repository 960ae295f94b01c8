"""Checkpoints: a training that is cut off and gone on with ends as one that was not, bit for bit."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from deepctr_torch.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from deepctr_torch.data import Files
from deepctr_torch.metrics import state as metric_state
from deepctr_torch.training import checkpoint
from deepctr_torch.training.checkpoint import Checkpoints, flatten, unflatten
from tests.support import click_files
from tests.support.resume import CutOff, CutOffError, assert_same_end, resumed_until_done
from tests.support.training import COLUMNS, assert_same_weights, both_labels, deepfm, inputs, labels, mmoe, taken

X, Y = inputs(60), labels(60)


@pytest.fixture(autouse=True)
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts calls of `fsync`, which would take most of the time."""
    calls: list[int] = []
    monkeypatch.setattr("os.fsync", calls.append)
    return calls


def fitted(callbacks: Any = (), *, compiled: Any = None, model: Any = None, **how: Any) -> Any:
    model = deepfm(dnn_dropout=0.5) if model is None else model
    model.compile(**{"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["auc"], **(compiled or {})})
    model.fit(X, Y, **{"batch_size": 8, "epochs": 2, "verbose": 0, **how}, callbacks=list(callbacks))
    return model


def names(folder: Path) -> list[int]:
    """The steps whose checkpoints are there."""
    return sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))


# ------------------------------------------------------------------ the same end


@pytest.mark.parametrize("update", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("compiled", "how"),
    [
        ({}, {}),
        ({"lr_schedule": "cosine", "metrics": ["auc", "gauc:user"]}, {"validation_split": 0.2}),
        ({"optimizer": "adagrad", "lr_schedule": {"name": "plateau", "monitor": "loss", "patience": 1}}, {}),
        ({"embedding_optimizer": "rowwise_adagrad", "clip_norm": 1.0}, {"steps_per_epoch": 5, "epochs": 3}),
        ({"optimizer": {"name": "adam", "decay_unseen": True}}, {"max_steps": 11, "eval_every": 3}),
        ({"optimizer": "rmsprop", "loss_reduction": "mean"}, {"shuffle": False, "eval_every": 0.5}),
        ({"large_batch": 4}, {"class_weight": {0: 1.0, 1: 2.0}, "initial_epoch": 1, "epochs": 3}),
    ],
    ids=["plain", "cosine", "plateau", "two_optimizers", "periods", "in_order", "large_batch"],
)
def test_a_training_in_memory_that_is_cut_off(
    tmp_path: Path, update: str, compiled: dict[str, Any], how: dict[str, Any]
) -> None:
    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        return fitted(callbacks, compiled={**compiled, "embedding_update": update}, **how, **checkpoints)

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=2, after=5), train(), X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # of torch, in its compiler
@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_compiled_code(tmp_path: Path, update: str) -> None:
    x = taken(inputs(56), slice(56))  # batches of one shape
    compiled = {"embedding_update": update, "torch_compile": True, "lr_schedule": "cosine"}

    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        model = deepfm(columns=[column for column in COLUMNS if column.name != "tags"])
        model.compile("adam", "binary_crossentropy", ["auc"], **compiled)
        model.fit(x, Y[:56], batch_size=8, epochs=2, verbose=0, callbacks=list(callbacks), **checkpoints)
        return model

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=4, after=9), train(), x)


def test_auto_stays_as_it_was_decided(tmp_path: Path) -> None:
    with pytest.raises(CutOffError):
        fitted([CutOff(3)], checkpoint_dir=tmp_path, checkpoint_every=1)
    model = fitted(checkpoint_dir=tmp_path, resume=True)
    assert_same_end(model, fitted(), X)


def test_callbacks_go_on_where_they_were(tmp_path: Path) -> None:
    def train(folder: Path, callbacks: Any = (), **checkpoints: Any) -> Any:
        used = [
            EarlyStopping("val_auc", patience=3, restore_best_weights=True),
            ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.1),
            ModelCheckpoint(folder / "{epoch}.pt", "val_auc", save_best_only=True),
            CSVLogger(folder / "log.csv"),
            *callbacks,
        ]
        how: dict[str, Any] = {"epochs": 9, "eval_every": 3, "validation_split": 0.2, **checkpoints}
        return fitted(used, **how)

    whole = train(tmp_path / "whole")
    cut = resumed_until_done(lambda **how: train(tmp_path / "cut", **how), tmp_path / "c", every=2, after=5)
    assert_same_end(cut, whole, X)
    assert 2 < len(whole.history.epoch) < 20  # stopped early, in the middle
    assert (tmp_path / "cut" / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()
    saved = [sorted(path.name for path in (tmp_path / which).glob("*.pt")) for which in ("cut", "whole")]
    assert saved[0] == saved[1]


def test_tasks_with_learned_weights_and_a_batch_norm(tmp_path: Path) -> None:
    y = both_labels(60)

    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        model = mmoe(dnn_use_bn=True)
        model.compile("adam", ["binary_crossentropy", "mse"], ["auc", "mse"], task_weights="uncertainty")
        model.fit(X, y, batch_size=8, epochs=2, verbose=0, callbacks=list(callbacks), **checkpoints)
        return model

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=3, after=4), train(), X)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SparseAdam])
def test_an_optimizer_of_the_users(tmp_path: Path, kind: Any) -> None:
    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        model = deepfm()
        model.compile(kind(list(model.parameters()), lr=0.01), "binary_crossentropy")
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=list(callbacks), **checkpoints)
        return model

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=2, after=5), train(), X)


def test_a_loader_that_shuffles_with_the_global_generator(tmp_path: Path) -> None:
    matrix = torch.from_numpy(np.concatenate([np.stack([X["user"], X["item"]], 1), X["tags"], X["price"]], axis=1))

    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        model = deepfm(dnn_dropout=0.5)
        model.compile("adam", "binary_crossentropy", ["auc"])
        loader = DataLoader(TensorDataset(matrix, torch.from_numpy(Y)), batch_size=8, shuffle=True)
        model.fit(loader, epochs=2, verbose=0, callbacks=list(callbacks), **checkpoints)
        return model

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=2, after=5), train(), X)


def test_a_stream_of_other_data_is_too_short(tmp_path: Path) -> None:
    def batches(count: int) -> Iterator[Any]:
        for i in range(count):
            rows = slice(8 * i, 8 * i + 8)
            yield {name: values[rows] for name, values in X.items() if name != "session"}, Y[rows]

    model = deepfm()
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(CutOffError):
        model.fit(batches(7), verbose=0, callbacks=[CutOff(6)], checkpoint_dir=tmp_path, checkpoint_every=5)
    again = deepfm()
    again.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match="the data must be those of the checkpoint, got 3 batches, not more"):
        again.fit(batches(3), verbose=0, checkpoint_dir=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("update", "how", "options"),
    [
        ("dense", {}, {"buffer_rows": 30}),
        ("sparse", {"shuffle": False}, {"buffer_rows": 30}),
        ("sparse", {}, {"buffer_rows": 200, "negative_rate": 0.5}),
        ("dense", {"steps_per_epoch": 6, "epochs": 4}, {"buffer_rows": 30, "negative_rate": 0.5}),
        ("sparse", {"steps_per_epoch": 6, "epochs": 4}, {"buffer_rows": 200}),
    ],
    ids=["shuffled", "in_order", "one_block", "passes", "one_block_passes"],
)
def test_a_training_on_files_that_is_cut_off(
    tmp_path: Path, update: str, how: dict[str, Any], options: dict[str, Any]
) -> None:
    frame = click_files.frame()
    folder = click_files.write(tmp_path / "files", frame)

    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        model = click_files.model()
        model.compile("adam", "binary_crossentropy", ["auc", "gauc:user"], embedding_update=update)
        plan = {"batch_size": 8, "epochs": 2, "verbose": 0, **how}
        model.fit(Files(folder, **options), "click", callbacks=list(callbacks), **plan, **checkpoints)
        return model

    x = {"a": frame["a"], "d": frame["d"], "v": np.stack(frame["v"]), "s": [list(s) for s in frame["s"]]}
    assert_same_end(resumed_until_done(train, tmp_path / "c", every=3, after=8), train(), x)


def test_metrics_beyond_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_state, "EXACT_ROWS", 30)
    monkeypatch.setattr(metric_state, "BLOCK_ROWS", 16)
    measured = {"metrics": ["auc", "logloss", "ne", "calibration", "pr_auc"]}

    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        return fitted(callbacks, compiled=measured, sample_weight=1 + X["session"], **checkpoints)

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=2, after=5), train(), X)


def test_random_numbers_of_numpy_and_python(tmp_path: Path) -> None:
    class Noise(Callback):
        """Draws from the global generators in each step."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            with torch.no_grad():
                self.model.out.bias += np.random.normal() + random.random()

    def train(callbacks: Any = (), **checkpoints: Any) -> Any:
        np.random.seed(3)
        random.seed(3)
        return fitted([Noise(), *callbacks], **checkpoints)

    assert_same_end(resumed_until_done(train, tmp_path / "c", every=2, after=5), train(), X)


def test_a_checkpoint_changes_nothing(tmp_path: Path) -> None:
    compiled = {"lr_schedule": "cosine", "embedding_update": "sparse"}
    with_them = fitted(compiled=compiled, validation_split=0.2, checkpoint_dir=tmp_path / "c", checkpoint_every=1)
    assert_same_end(with_them, fitted(compiled=compiled, validation_split=0.2), X)


def test_a_training_that_was_done_is_loaded(tmp_path: Path) -> None:
    first = fitted(checkpoint_dir=tmp_path, epochs=3)
    steps: list[int] = []

    class Count(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            steps.append(batch)

    again = fitted([Count()], checkpoint_dir=tmp_path, epochs=3, resume=True)
    assert not steps
    assert_same_end(again, first, X)
    longer = fitted([Count()], checkpoint_dir=tmp_path, epochs=4, resume=True)
    assert len(steps) == 8
    assert_same_end(longer, fitted(epochs=4), X)


# ------------------------------------------------------------------ the folder


def test_files_and_folders_are_flushed(tmp_path: Path, flushed: list[int]) -> None:
    Checkpoints(tmp_path, every=1).write(1, {"step": 1}, None)
    assert len(flushed) == 6  # tensors, state, about, checksums, their folder, and the folder around it


def test_the_last_ones_and_the_best_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, every=1, keep=2)
    for step, loss in enumerate([None, 0.5, 0.3, float("nan"), 0.4, 0.6, 0.7], start=1):
        checkpoints.write(step, {"step": step}, loss)
    assert names(tmp_path) == [3, 6, 7]
    checkpoints = Checkpoints(tmp_path, every=1, keep=2, resume=True)
    assert checkpoints.load() == {"step": 7}
    checkpoints.write(8, {"step": 8}, 0.2)
    assert names(tmp_path) == [7, 8]


def test_a_broken_one_is_named_and_the_one_before_it_used(tmp_path: Path) -> None:
    whole = fitted(epochs=3)
    with pytest.raises(CutOffError):
        fitted([CutOff(10)], epochs=3, checkpoint_dir=tmp_path, checkpoint_every=2)
    assert names(tmp_path) == [4, 6, 8]
    tensors = tmp_path / "step-0000000008" / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[len(data) // 2] ^= 1
    tensors.write_bytes(data)
    (tmp_path / "step-0000000006" / "state.json").unlink()
    with pytest.warns(UserWarning, match=r"step-000000000[68].*; going on from step-0000000004") as warned:
        model = fitted(epochs=3, checkpoint_dir=tmp_path, checkpoint_every=100, keep=1, resume=True)
    assert len(warned) == 2
    assert "tensors.safetensors must be as it was saved" in str(warned[0].message)
    assert_same_end(model, whole, X)
    assert names(tmp_path) == [24]


def test_no_change_of_a_file_goes_unnoticed(tmp_path: Path) -> None:
    """Bits that flip, files that are cut off, emptied or gone: the one before it is used, or the same state is read."""
    draw = random.Random(0)
    writer = Checkpoints(tmp_path / "c", every=1)
    writer.directory.mkdir()
    for step in (1, 2):
        state = {"step": step, "weights": {"w": torch.arange(40.0) * step}, "names": np.array(["a", None], object)}
        writer.write(step, state, 0.5)
    files = sorted((tmp_path / "c" / "step-0000000002").iterdir())
    noticed = 0
    for number in range(240):
        path = files[number % len(files)]
        kept = path.read_bytes()
        at = draw.randrange(len(kept))
        flipped = kept[:at] + bytes([kept[at] ^ 1 << draw.randrange(8)]) + kept[at + 1 :]
        path.write_bytes([flipped, flipped, kept[:at], b""][number // len(files) % 4])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = Checkpoints(tmp_path / "c", resume=True).load()
        assert found is not None
        step = found["step"]
        assert torch.equal(found["weights"]["w"], torch.arange(40.0) * step)
        assert [path.parent.name in str(w.message) for w in caught] == [True] * (step == 1)
        noticed += step == 1
        path.write_bytes(kept)
    assert noticed >= 235  # else what changed is white space in checksums.json


def test_if_all_are_broken_nothing_begins(tmp_path: Path) -> None:
    fitted(checkpoint_dir=tmp_path)
    for path in tmp_path.glob("step-*"):
        (path / "checksums.json").unlink()
    with pytest.raises(ValueError, match=r"must hold a whole checkpoint, got broken ones: .* but lacks checksums.json"):
        fitted(checkpoint_dir=tmp_path, resume=True)


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, every=1)
    checkpoints.write(1, {"step": 1}, None)
    with pytest.raises(TypeError, match="thing/0 of a checkpoint must be numbers, text, tensors or arrays, got object"):
        checkpoints.write(2, {"thing": [object()]}, None)

    def full(tensors: Any, path: Path) -> None:
        path.write_text("a")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_tensors", full)
    for step in (1, 2):
        with pytest.raises(OSError, match="the checkpoints before it stay: No space left on device"):
            checkpoints.write(step, {"step": step}, None)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001"]
    assert Checkpoints(tmp_path, resume=True).load() == {"step": 1}


def test_checkpoints_of_something_else_are_refused(tmp_path: Path) -> None:
    fitted(checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"must hold no checkpoints, got some in .*: go on from them with resume=True"):
        fitted(checkpoint_dir=tmp_path)
    model = deepfm(dnn_dropout=0.5)
    model.compile("adam", "binary_crossentropy", ["auc"])
    with pytest.raises(ValueError, match="must be of a training with a checksum of the labels="):
        model.fit(X, 1 - Y, 8, 2, 0, checkpoint_dir=tmp_path, resume=True)
    for other in ({"batch_size": 9}, {"compiled": {"learning_rate": 0.1}}, {"model": deepfm(seed=2)}):
        with pytest.raises(ValueError, match=r"must be of a training with (batch_size=9|learning_rate=0.1|seed=2)"):
            fitted(checkpoint_dir=tmp_path, resume=True, **other)
    model = fitted()
    with pytest.raises(ValueError, match="must be of a training with epochs trained before=2, as this one, got 0"):
        model.fit(X, Y, 8, 2, 0, checkpoint_dir=tmp_path, resume=True)
    fitted([EarlyStopping("loss")], checkpoint_dir=tmp_path / "stopped")
    with pytest.raises(ValueError, match="callbacks must have EarlyStopping"):
        fitted(checkpoint_dir=tmp_path / "stopped", resume=True)


def test_wrong_arguments(tmp_path: Path) -> None:
    for wrong in (0, "ten minutes", "10", True, 2.5):
        with pytest.raises(ValueError, match="checkpoint_every must be"):
            fitted(checkpoint_dir=tmp_path, checkpoint_every=wrong)
    with pytest.raises(ValueError, match="keep must be an integer of at least 1, got 0"):
        fitted(checkpoint_dir=tmp_path, keep=0)
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        fitted(resume=True)


def test_one_training_at_a_time_has_the_folder(tmp_path: Path) -> None:
    class Second(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            with pytest.raises(BlockingIOError, match="another process is writing here"):
                fitted(checkpoint_dir=tmp_path / "c", resume=True)

    fitted([Second()], checkpoint_dir=tmp_path / "c")


def test_a_folder_that_was_not_needed_goes_again(tmp_path: Path) -> None:
    with pytest.raises(CutOffError):
        fitted([CutOff(1)], checkpoint_dir=tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_time_between_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every="1.5min")
    now[0] = 89.0
    assert not checkpoints.is_due(1)
    now[0] = 90.0
    assert checkpoints.is_due(2)
    checkpoints.write(2, {}, None)
    assert not checkpoints.is_due(3)


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    fitted(checkpoint_dir=tmp_path)
    left = tmp_path / ".step-0000000099.part"
    shutil.copytree(next(tmp_path.glob("step-*")), left)
    fitted(checkpoint_dir=tmp_path, resume=True)
    assert not left.exists()


# ------------------------------------------------------------------ states as plain data


def test_states_come_back_as_they_were() -> None:
    state = {
        "a/b": torch.arange(3),
        "a": {"b": torch.ones(2, 2, dtype=torch.bfloat16), 3: (1, None, [True, 0.1])},
        "nan": float("inf"),
        "array": np.arange(4, dtype=np.uint64),
        "words": np.array(["x", None, 3], dtype=object),
        "number": np.float32(0.5),
    }
    tensors: dict[str, torch.Tensor] = {}
    back = unflatten(flatten(state, tensors), tensors)
    assert set(tensors) == {"a/b", "a/b+", "array", "words"}
    torch.testing.assert_close(back["a/b"], state["a/b"])
    torch.testing.assert_close(back["a"]["b"], torch.ones(2, 2, dtype=torch.bfloat16))
    assert back["a"][3] == (1, None, [True, 0.1])
    assert back["nan"] == float("inf")
    assert back["number"] == 0.5
    np.testing.assert_array_equal(back["array"], state["array"])
    assert back["words"].tolist() == ["x", None, 3]


def test_states_are_by_table_and_name(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = fitted(checkpoint_dir=tmp_path, compiled={"embedding_update": "sparse"})
    tensors = load_file(next(tmp_path.glob("step-*")) / "tensors.safetensors")
    weights = {name.removeprefix("weights/"): t for name, t in tensors.items() if name.startswith("weights/")}
    assert_same_weights(weights, model)
    assert tensors["optimizer/1/state/embedding_dict.user.weight/exp_avg"].shape == (7, 4)
