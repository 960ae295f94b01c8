"""The progress that `fit` shows, on both streams, with a clock that does not run by itself."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tqdm import tqdm

from deepctr_torch.callbacks import ProgressBar
from deepctr_torch.callbacks._console import write

LOGS = {"loss": 0.45671, "auc": 0.78909, "val_auc": 0.7777}
SHOWN = "loss: 0.4567 - auc: 0.7891 - val_auc: 0.7777"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests capture counts as a terminal."""
    monkeypatch.setattr("deepctr_torch.callbacks.progress._is_live", lambda: True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    monkeypatch.setattr("tqdm.std.time", clock)
    yield clock
    for bar in list(getattr(tqdm, "_instances", ())):  # a test that failed may have left one
        bar.close()


class Loss:
    """Counts how often it is asked for."""

    def __init__(self, value: float = 0.5) -> None:
        self.value = value
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.value


def started(verbose: int, epoch: int = 0, **params: Any) -> ProgressBar:
    progress = ProgressBar(verbose)
    progress.set_params({"epochs": 10, "steps": 10, "samples": 1000, "batch_size": 100, **params})
    progress.on_train_begin()
    progress.on_epoch_begin(epoch)
    return progress


def drawn(text: str) -> list[str]:
    """The states of a bar, one by one."""
    return [part for part in re.split(r"[\r\n]", text) if part.strip()]


class TestBar:
    def test_shows_total_rate_loss_and_remaining_time(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(1, epoch=2)
        for _ in range(4):
            clock.now += 0.5
            progress.step(100, Loss(0.45671))
        out, err = capsys.readouterr()
        assert out == ""
        last = drawn(err)[-1]
        assert last.startswith("Epoch 3/10:  40%|")
        assert "400/1.00k" in last
        assert last.endswith("[00:02<00:03, 200 samples/s, loss: 0.4567]")
        progress.close()

    def test_the_loss_is_asked_for_only_when_the_bar_is_drawn(self, clock: Clock) -> None:
        progress, loss = started(1, steps=1000, samples=100_000), Loss()
        for _ in range(999):
            clock.now += 0.001
            progress.step(100, loss)
        assert loss.asked in (9, 10)  # ten times a second
        clock.now += 0.0001
        progress.step(100, loss)
        assert loss.asked in (10, 11)  # and when all is done
        assert progress._bar.n == 100_000
        progress.close()

    def test_fast_epochs_never_ask(self, clock: Clock) -> None:
        progress, loss = started(1), Loss()
        for _ in range(9):
            progress.step(100, loss)
        assert loss.asked == 0
        progress.close()

    def test_at_the_end_one_line_carries_all_logs(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(1)
        for _ in range(10):
            clock.now += 0.2
            progress.step(100, Loss())
        clock.now += 50  # a long validation is not the training's rate
        progress.on_epoch_end(0, LOGS)
        assert drawn(capsys.readouterr().err)[-1] == f"Epoch 1/10: 1.00k samples [00:02, 500 samples/s] - {SHOWN}"
        assert progress._bar is None

    def test_a_bar_an_epoch(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(1, epochs=2)
        for epoch in range(2):
            progress.on_epoch_begin(epoch)
            clock.now += 1
            progress.step(1000, Loss())
            progress.on_epoch_end(epoch, {"loss": 0.5})
        progress.on_train_end()
        finished = [line for line in drawn(capsys.readouterr().err) if line.endswith("- loss: 0.5000")]
        assert [line.split(":")[0] for line in finished] == ["Epoch 1/2", "Epoch 2/2"]
        assert finished[1] == "Epoch 2/2: 1.00k samples [00:01, 1.00k samples/s] - loss: 0.5000"

    @pytest.mark.parametrize(
        ("params", "total"),
        [
            ({}, 1000),
            ({"samples": 950}, 950),  # the last batch is short
            ({"steps": 4}, 400),  # a part of an epoch
            ({"steps": 20}, 2000),  # more than one pass
            ({"samples": None}, 1000),
            ({"steps": None}, 1000),
            ({"steps": None, "samples": None}, None),
            ({"batch_size": None, "samples": None}, None),
        ],
    )
    def test_total(self, clock: Clock, params: dict[str, Any], total: int | None) -> None:
        progress = started(1, **params)
        assert progress._bar.total == total
        progress.close()

    def test_without_a_total_it_counts(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(1, steps=None, samples=None)
        clock.now += 1
        progress.step(1500, Loss())
        last = drawn(capsys.readouterr().err)[-1]
        assert last.startswith("Epoch 1/10: 1.50k samples [")
        assert "loss: 0.5000" in last
        progress.on_epoch_end(0)
        assert drawn(capsys.readouterr().err)[-1] == "Epoch 1/10: 1.50k samples [00:01, 1.50k samples/s]"

    def test_close_leaves_the_bar_and_may_be_repeated(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(1)
        clock.now += 1
        progress.step(300, Loss())
        progress.close()
        err = capsys.readouterr().err
        assert " 30%|" in drawn(err)[-1]
        assert err.endswith("\n")
        progress.close()
        progress.on_train_end()
        progress.step(100, Loss())
        progress.on_epoch_end(0, LOGS)
        assert capsys.readouterr().err == ""
        assert not any(bar.total == 1000 for bar in tqdm._instances)

    def test_messages_do_not_break_the_bar(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(1)
        write("Epoch 00001: a message")
        out, err = capsys.readouterr()
        assert out == "Epoch 00001: a message\n"
        assert len(drawn(err)) == 2  # drawn, wiped, drawn again
        progress.close()

    def test_no_thread_watches_the_bar(self, clock: Clock) -> None:
        before = threading.active_count()
        progress = started(1)
        assert threading.active_count() == before
        progress.close()


class TestLines:
    def test_one_line_an_epoch(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress, loss = started(2, epoch=2), Loss()
        clock.now += 2
        progress.step(3000, loss)
        clock.now += 2
        progress.on_epoch_end(2, LOGS)
        assert capsys.readouterr() == (f"Epoch 3/10 - 4s (1,500 samples/s) - {SHOWN}\n", "")
        assert loss.asked == 0

    def test_without_steps_or_logs(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        progress = started(2)
        clock.now += 4
        progress.on_epoch_end(0, LOGS)
        progress.on_epoch_end(0)
        assert capsys.readouterr().out == f"Epoch 1/10 - 4s - {SHOWN}\nEpoch 1/10 - 4s\n"

    @pytest.mark.parametrize(
        ("epochs", "epoch", "title"), [(1, 0, "Epoch 1/1"), (2, 2, "Epoch 3"), (None, 0, "Epoch 1"), (0, 0, "Epoch 1")]
    )
    def test_title(
        self, clock: Clock, capsys: pytest.CaptureFixture[str], epochs: int | None, epoch: int, title: str
    ) -> None:
        started(2, epoch, epochs=epochs).on_epoch_end(epoch)
        assert capsys.readouterr().out == f"{title} - 0s\n"


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    progress, loss = started(0), Loss()
    progress.step(100, loss)
    progress.on_epoch_end(0, LOGS)
    progress.on_train_end()
    assert capsys.readouterr() == ("", "")
    assert loss.asked == 0


def test_without_params(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressBar(2)
    progress.on_epoch_begin(0)
    progress.on_epoch_end(0, {"loss": 0.5})
    assert capsys.readouterr().out == "Epoch 1 - 0s - loss: 0.5000\n"


@pytest.mark.parametrize("verbose", [3, -1, "auto", None])
def test_wrong_verbosity(verbose: Any) -> None:
    with pytest.raises(ValueError, match=r"verbose must be 0 \(silent\), 1 .* or 2 .*, got "):
        ProgressBar(verbose)


def test_a_flag_is_a_verbosity(clock: Clock) -> None:
    assert (ProgressBar(True).verbose, ProgressBar(False).verbose) == (1, 0)


def test_pickles_without_its_bar(clock: Clock) -> None:
    progress = started(1)
    again = pickle.loads(pickle.dumps(progress))
    assert again._bar is None
    assert again.params == progress.params
    progress.close()


def test_a_file_gets_a_line_every_few_seconds_and_one_an_epoch(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepctr_torch.callbacks.progress._is_live", lambda: False)
    progress = started(1)
    for _ in range(10):
        clock.now += 1.0
        progress.step(100, Loss(0.5))
    progress.on_epoch_end(0, LOGS)
    err = capsys.readouterr().err
    assert "\r" not in err
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Epoch 1/10:  50%|")
    assert "loss: 0.5000" in lines[0]
    assert lines[-1].endswith(SHOWN)
