"""Callbacks that write files: checkpoints, CSV, TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from deepctr_torch.callbacks import CallbackList, CSVLogger, ModelCheckpoint, TensorBoard


def tiny() -> torch.nn.Linear:
    return torch.nn.Linear(1, 1)


def run(callback: Any, epochs: list[dict[str, float]], model: torch.nn.Module | None = None) -> torch.nn.Module:
    """A training whose epoch e leaves the weight e + 1."""
    model = tiny() if model is None else model
    callbacks = CallbackList(callback)
    callbacks.set_model(model)
    callbacks.on_train_begin()
    for epoch, logs in enumerate(epochs):
        with torch.no_grad():
            model.weight.fill_(epoch + 1)  # type: ignore[operator]
        callbacks.on_epoch_end(epoch, dict(logs))
    callbacks.on_train_end()
    return model


def losses(*values: float) -> list[dict[str, float]]:
    return [{"loss": 1.0, "val_loss": value} for value in values]


def weight_in(path: Path) -> float:
    return float(torch.load(path, weights_only=True)["weight"])


FIVE = losses(0.9, 0.8, 0.85, 0.7, 0.6)


class TestModelCheckpoint:
    def saved(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())

    @pytest.mark.parametrize(
        ("arguments", "epochs"),
        [
            ({}, [1, 2, 3, 4, 5]),
            ({"save_best_only": True}, [1, 2, 4, 5]),
            ({"period": 2}, [2, 4]),
            ({"period": 2, "save_best_only": True}, [2, 4]),
            ({"period": 3}, [3]),
            ({"save_best_only": True, "mode": "max"}, [1]),
        ],
    )
    def test_which_epochs_are_saved(self, tmp_path: Path, arguments: dict[str, Any], epochs: list[int]) -> None:
        run(ModelCheckpoint(str(tmp_path / "deep/er/{epoch}.pt"), save_weights_only=True, **arguments), FIVE)
        assert self.saved(tmp_path / "deep/er") == [f"{epoch}.pt" for epoch in epochs]
        assert [weight_in(tmp_path / f"deep/er/{epoch}.pt") for epoch in epochs] == epochs

    def test_the_template_is_filled_from_the_logs(self, tmp_path: Path) -> None:
        template = tmp_path / "w.{epoch:02d}-{val_loss:.2f}-{loss}.hdf5"
        run(ModelCheckpoint(template, save_weights_only=True), losses(0.987))
        assert self.saved(tmp_path) == ["w.01-0.99-1.0.hdf5"]

    def test_a_metric_with_an_argument_is_named_without_it(self, tmp_path: Path) -> None:
        logs = [{"val_gauc:user_id": 0.75, "val_ndcg@5:q": 0.5}]
        run(ModelCheckpoint(tmp_path / "{val_gauc:.2f}-{val_ndcg}", save_weights_only=True), logs)
        assert self.saved(tmp_path) == ["0.75-0.5"]

    def test_where_two_arguments_compete_neither_is_taken(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="which is not in the logs"):
            run(ModelCheckpoint(tmp_path / "{gauc}"), [{"gauc:a": 0.5, "gauc:b": 0.25}])

    def test_a_name_that_the_logs_lack(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"names 'val_auc', which is not in the logs; they have loss, val_loss, epoch"
        ):
            run(ModelCheckpoint(tmp_path / "{val_auc:.2f}"), losses(0.5))
        assert self.saved(tmp_path) == []

    def test_a_format_that_does_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot be filled in"):
            run(ModelCheckpoint(tmp_path / "{val_loss:d}"), losses(0.5))

    @pytest.mark.parametrize("template", ["{}.pt", "{0}.pt", "{epoch.pt", "epoch}.pt"])
    def test_a_broken_template_is_found_at_once(self, template: str) -> None:
        with pytest.raises(ValueError, match="filepath must"):
            ModelCheckpoint(template)

    def test_the_whole_model_by_default(self, tmp_path: Path) -> None:
        model = run(ModelCheckpoint(tmp_path / "model.ckpt"), losses(0.5))
        again = torch.load(tmp_path / "model.ckpt", weights_only=False)
        assert type(again) is torch.nn.Linear
        torch.testing.assert_close(again.state_dict(), model.state_dict())

    def test_a_path_without_suffix_and_in_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run(ModelCheckpoint("model", save_weights_only=True), FIVE)
        assert self.saved(tmp_path) == ["model"]
        assert weight_in(tmp_path / "model") == 5

    def test_messages(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run(ModelCheckpoint(tmp_path / "m", verbose=1, save_best_only=True), losses(0.9, 0.95, 0.8))
        assert capsys.readouterr().out.splitlines() == [
            f"Epoch 00001: val_loss improved from inf to 0.90000, saving model to {tmp_path / 'm'}",
            "Epoch 00002: val_loss did not improve from 0.90000",
            f"Epoch 00003: val_loss improved from 0.90000 to 0.80000, saving model to {tmp_path / 'm'}",
        ]
        run(ModelCheckpoint(tmp_path / "{epoch}", verbose=1), losses(0.9))
        assert capsys.readouterr().out == f"Epoch 00001: saving model to {tmp_path / '1'}\n"
        run(ModelCheckpoint(tmp_path / "m", save_best_only=True), FIVE)
        assert capsys.readouterr().out == ""

    def test_the_best_is_kept_over_fits(self, tmp_path: Path) -> None:
        checkpoint = ModelCheckpoint(tmp_path / "m", save_best_only=True, save_weights_only=True)
        run(checkpoint, losses(0.9, 0.5))
        run(checkpoint, losses(0.6))
        assert weight_in(tmp_path / "m") == 2

    def test_without_its_monitor_it_warns_once_and_saves_nothing(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="ModelCheckpoint does nothing: 'val_auc' is not in the logs") as caught:
            run(ModelCheckpoint(tmp_path / "m", "val_auc", save_best_only=True), FIVE)
        assert len(caught) == 1
        assert self.saved(tmp_path) == []

    def test_without_save_best_only_the_monitor_does_not_matter(self, tmp_path: Path) -> None:
        run(ModelCheckpoint(tmp_path / "m", "val_auc"), FIVE)
        assert self.saved(tmp_path) == ["m"]

    def test_nan_is_not_the_best(self, tmp_path: Path) -> None:
        run(ModelCheckpoint(tmp_path / "m", save_best_only=True), losses(float("nan")))
        assert self.saved(tmp_path) == []

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint = ModelCheckpoint(tmp_path / "m", save_best_only=True, save_weights_only=True)
        run(checkpoint, losses(0.9))

        def half(thing: Any, file: Any) -> None:
            file.write(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="disk full"):
            run(checkpoint, losses(0.8))
        monkeypatch.undo()
        assert self.saved(tmp_path) == ["m"]
        assert weight_in(tmp_path / "m") == 1
        assert checkpoint.best == 0.9

    def test_refused_arguments(self) -> None:
        with pytest.raises(TypeError, match=r"save_freq must be left out, got 100: .*eval_every"):
            ModelCheckpoint("m", save_freq=100)
        with pytest.raises(ValueError, match="period must be an integer of at least 1, got 0"):
            ModelCheckpoint("m", period=0)
        with pytest.raises(TypeError, match="None"):
            ModelCheckpoint(None)  # type: ignore[arg-type]


class TestCSVLogger:
    def test_a_line_an_epoch_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "deep/log.csv"
        logger = CSVLogger(path)
        logger.on_train_begin()
        logger.on_epoch_end(0, {"loss": torch.tensor(0.5), "val_auc": 1 / 3})
        assert path.read_text() == f"epoch,loss,val_auc\n0,0.5,{1 / 3!r}\n"
        logger.on_epoch_end(1, {"val_auc": float("nan"), "loss": 0.25})
        assert path.read_text() == f"epoch,loss,val_auc\n0,0.5,{1 / 3!r}\n1,0.25,nan\n"

    def test_separator(self, tmp_path: Path) -> None:
        run(CSVLogger(str(tmp_path / "log.tsv"), separator="\t"), losses(0.5))
        assert (tmp_path / "log.tsv").read_text() == "epoch\tloss\tval_loss\n0\t1.0\t0.5\n"

    def test_names_that_come_and_go(self, tmp_path: Path) -> None:
        run(CSVLogger(tmp_path / "log.csv"), [{"loss": 3.0}, {"loss": 2.0, "a,b": 1.0}, {"c": 0.0}, {"loss": 1.0}])
        with (tmp_path / "log.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows == [
            ["epoch", "loss", "a,b", "c"],
            ["0", "3.0", "", ""],
            ["1", "2.0", "1.0", ""],
            ["2", "", "", "0.0"],
            ["3", "1.0", "", ""],
        ]
        assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]

    def test_a_second_fit_replaces_or_appends(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        for append, lines in ((True, 2), (True, 3), (False, 2), (True, 3)):
            run(CSVLogger(path, append=append), losses(0.5))
            assert path.read_text().splitlines() == ["epoch,loss,val_loss", *["0,1.0,0.5"] * (lines - 1)]

    def test_appending_to_a_file_with_other_columns_or_none(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_text("")
        run(CSVLogger(path, append=True), [{"loss": 2.0}])
        run(CSVLogger(path, append=True), [{"auc": 0.5}])
        assert path.read_text() == "epoch,loss,auc\n0,2.0,\n0,,0.5\n"

    def test_without_logs(self, tmp_path: Path) -> None:
        logger = CSVLogger(tmp_path / "log.csv")
        logger.on_train_begin()
        logger.on_epoch_end(0)
        assert (tmp_path / "log.csv").read_text() == "epoch\n0\n"


class FakeWriter:
    """Stands in for SummaryWriter; remembers what it was given."""

    made: dict[str, FakeWriter]

    def __init__(self, log_dir: str) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.flushed = 0
        self.closed = False
        self.made[Path(log_dir).name] = self

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars.append((tag, value, step))

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeWriter]:
    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    FakeWriter.made = {}
    return FakeWriter.made


class TestTensorBoard:
    def test_epochs_go_to_two_runs(self, tmp_path: Path, writers: dict[str, FakeWriter]) -> None:
        callback = TensorBoard(tmp_path)
        assert not callback.wants_batches
        run(callback, [{"loss": 1.0, "val_loss": 0.5}, {"loss": 0.75, "val_auc": torch.tensor(0.25), "note": "x"}])  # type: ignore[dict-item]
        assert writers["train"].scalars == [("epoch_loss", 1.0, 0), ("epoch_loss", 0.75, 1)]
        assert writers["validation"].scalars == [("epoch_loss", 0.5, 0), ("epoch_auc", 0.25, 1)]
        assert all(writer.closed and writer.flushed == 2 for writer in writers.values())

    def test_batches_are_written_at_their_interval_and_counted_on(
        self, tmp_path: Path, writers: dict[str, FakeWriter]
    ) -> None:
        callback = TensorBoard(tmp_path, update_freq=2)
        assert callback.wants_batches
        for batch in range(3):
            callback.on_train_batch_end(batch, {"loss": float(batch)})
        callback.on_train_batch_end(0, {"loss": 5.0})
        assert writers["train"].scalars == [("batch_loss", 1.0, 2), ("batch_loss", 5.0, 4)]

    def test_batches_that_others_asked_for_are_not_written(
        self, tmp_path: Path, writers: dict[str, FakeWriter]
    ) -> None:
        TensorBoard(tmp_path).on_train_batch_end(0, {"loss": 1.0})
        assert writers == {}

    def test_pickles_without_model_and_writers(self, tmp_path: Path, writers: dict[str, FakeWriter]) -> None:
        callback = TensorBoard(tmp_path)
        callback.set_model(lambda: None)
        callback.on_epoch_end(0, {"loss": 1.0})
        again = pickle.loads(pickle.dumps(callback))
        assert again.model is None
        assert again.log_dir == tmp_path

    @pytest.mark.parametrize("update_freq", [0, "batch", 1.5, True])
    def test_wrong_interval(self, update_freq: Any) -> None:
        with pytest.raises(ValueError, match=r"update_freq .* must be an integer of at least 1"):
            TensorBoard(update_freq=update_freq)

    def test_without_the_package_the_error_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        with pytest.raises(ModuleNotFoundError, match=r'pip install "deepctr-torch\[tensorboard\]"'):
            TensorBoard()
