"""Logs written where other programs read them: CSV, TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from deepctr_torch.callbacks import CSVLogger, TensorBoard
from tests.support.callbacks import run_epochs


def losses(*values: float) -> list[dict[str, float]]:
    return [{"loss": 1.0, "val_loss": value} for value in values]


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
        run_epochs(CSVLogger(str(tmp_path / "log.tsv"), separator="\t"), losses(0.5))
        assert (tmp_path / "log.tsv").read_text() == "epoch\tloss\tval_loss\n0\t1.0\t0.5\n"

    def test_names_that_come_and_go(self, tmp_path: Path) -> None:
        run_epochs(
            CSVLogger(tmp_path / "log.csv"), [{"loss": 3.0}, {"loss": 2.0, "a,b": 1.0}, {"c": 0.0}, {"loss": 1.0}]
        )
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
            run_epochs(CSVLogger(path, append=append), losses(0.5))
            assert path.read_text().splitlines() == ["epoch,loss,val_loss", *["0,1.0,0.5"] * (lines - 1)]

    def test_appending_to_a_file_with_other_columns_or_none(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_text("")
        run_epochs(CSVLogger(path, append=True), [{"loss": 2.0}])
        run_epochs(CSVLogger(path, append=True), [{"auc": 0.5}])
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
        run_epochs(
            callback, [{"loss": 1.0, "val_loss": 0.5}, {"loss": 0.75, "val_auc": torch.tensor(0.25), "note": "x"}]
        )  # type: ignore[dict-item]
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
