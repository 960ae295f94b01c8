"""Models saved while they are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from deepctr_torch.callbacks import ModelCheckpoint
from tests.support.callbacks import Tiny, run_epochs


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
        run_epochs(ModelCheckpoint(str(tmp_path / "deep/er/{epoch}.pt"), save_weights_only=True, **arguments), FIVE)
        assert self.saved(tmp_path / "deep/er") == [f"{epoch}.pt" for epoch in epochs]
        assert [weight_in(tmp_path / f"deep/er/{epoch}.pt") for epoch in epochs] == epochs

    def test_the_template_is_filled_from_the_logs(self, tmp_path: Path) -> None:
        template = tmp_path / "w.{epoch:02d}-{val_loss:.2f}-{loss}.hdf5"
        run_epochs(ModelCheckpoint(template, save_weights_only=True), losses(0.987))
        assert self.saved(tmp_path) == ["w.01-0.99-1.0.hdf5"]

    def test_a_metric_with_an_argument_is_named_without_it(self, tmp_path: Path) -> None:
        logs = [{"val_gauc:user_id": 0.75, "val_ndcg@5:q": 0.5}]
        run_epochs(ModelCheckpoint(tmp_path / "{val_gauc:.2f}-{val_ndcg}", save_weights_only=True), logs)
        assert self.saved(tmp_path) == ["0.75-0.5"]

    def test_where_two_arguments_compete_neither_is_taken(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="which is not in the logs"):
            run_epochs(ModelCheckpoint(tmp_path / "{gauc}"), [{"gauc:a": 0.5, "gauc:b": 0.25}])

    def test_a_name_that_the_logs_lack(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"names 'val_auc', which is not in the logs; they have loss, val_loss, epoch"
        ):
            run_epochs(ModelCheckpoint(tmp_path / "{val_auc:.2f}"), losses(0.5))
        assert self.saved(tmp_path) == []

    def test_a_format_that_does_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot be filled in"):
            run_epochs(ModelCheckpoint(tmp_path / "{val_loss:d}"), losses(0.5))

    @pytest.mark.parametrize("template", ["{}.pt", "{0}.pt", "{epoch.pt", "epoch}.pt"])
    def test_a_broken_template_is_found_at_once(self, template: str) -> None:
        with pytest.raises(ValueError, match="filepath must"):
            ModelCheckpoint(template)

    def test_the_whole_model_by_default(self, tmp_path: Path) -> None:
        model = run_epochs(ModelCheckpoint(tmp_path / "model.ckpt"), losses(0.5))
        again = torch.load(tmp_path / "model.ckpt", weights_only=False)
        assert type(again) is Tiny
        torch.testing.assert_close(again.state_dict(), model.state_dict())

    def test_a_path_without_suffix_and_in_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run_epochs(ModelCheckpoint("model", save_weights_only=True), FIVE)
        assert self.saved(tmp_path) == ["model"]
        assert weight_in(tmp_path / "model") == 5

    def test_messages(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run_epochs(ModelCheckpoint(tmp_path / "m", verbose=1, save_best_only=True), losses(0.9, 0.95, 0.8))
        assert capsys.readouterr().out.splitlines() == [
            f"Epoch 00001: val_loss improved from inf to 0.90000, saving model to {tmp_path / 'm'}",
            "Epoch 00002: val_loss did not improve from 0.90000",
            f"Epoch 00003: val_loss improved from 0.90000 to 0.80000, saving model to {tmp_path / 'm'}",
        ]
        run_epochs(ModelCheckpoint(tmp_path / "{epoch}", verbose=1), losses(0.9))
        assert capsys.readouterr().out == f"Epoch 00001: saving model to {tmp_path / '1'}\n"
        run_epochs(ModelCheckpoint(tmp_path / "m", save_best_only=True), FIVE)
        assert capsys.readouterr().out == ""

    def test_the_best_is_kept_over_fits(self, tmp_path: Path) -> None:
        checkpoint = ModelCheckpoint(tmp_path / "m", save_best_only=True, save_weights_only=True)
        run_epochs(checkpoint, losses(0.9, 0.5))
        run_epochs(checkpoint, losses(0.6))
        assert weight_in(tmp_path / "m") == 2

    def test_without_its_monitor_it_warns_once_and_saves_nothing(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="ModelCheckpoint does nothing: 'val_auc' is not in the logs") as caught:
            run_epochs(ModelCheckpoint(tmp_path / "m", "val_auc", save_best_only=True), FIVE)
        assert len(caught) == 1
        assert self.saved(tmp_path) == []

    def test_without_save_best_only_the_monitor_does_not_matter(self, tmp_path: Path) -> None:
        run_epochs(ModelCheckpoint(tmp_path / "m", "val_auc"), FIVE)
        assert self.saved(tmp_path) == ["m"]

    def test_nan_is_not_the_best(self, tmp_path: Path) -> None:
        run_epochs(ModelCheckpoint(tmp_path / "m", save_best_only=True), losses(float("nan")))
        assert self.saved(tmp_path) == []

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint = ModelCheckpoint(tmp_path / "m", save_best_only=True, save_weights_only=True)
        run_epochs(checkpoint, losses(0.9))

        def half(thing: Any, file: Any) -> None:
            file.write(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="disk full"):
            run_epochs(checkpoint, losses(0.8))
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
