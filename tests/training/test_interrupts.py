"""Signals, and errors of callbacks: the training ends, the model stays whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.callbacks import Callback, TensorBoard
from deepctr_torch.optim.sparse import LazyAdam
from deepctr_torch.training.interrupts import Interrupts
from tests.support import click_files
from tests.support.resume import CutOff, CutOffError, assert_same_end
from tests.support.training import assert_same_weights, deepfm, inputs, labels

X, Y = inputs(60), labels(60)


class Send(Callback):
    """Sends a signal in the middle of step number 5, and counts steps."""

    def __init__(self, number: int, times: int = 1) -> None:
        super().__init__()
        self.number, self.times, self.steps = number, times, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == 5:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def fitted(callbacks: Any = (), model: Any = None, update: str = "sparse", **how: Any) -> Any:
    model = deepfm() if model is None else model
    model.compile("adam", "binary_crossentropy", ["auc"], embedding_update=update)
    model.fit(X, Y, **{"batch_size": 8, "epochs": 2, "verbose": 0, **how}, callbacks=list(callbacks))
    return model


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, as in a terminal; a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_after_the_step_with_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sender = Send(signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as raised:
        fitted([sender], verbose=1, checkpoint_dir=tmp_path)
    assert raised.value.__context__ is None
    assert sender.steps == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000005"]
    assert signal.getsignal(signal.SIGINT) is before
    assert_same_end(fitted(checkpoint_dir=tmp_path, resume=True), fitted(), X)


def test_without_a_folder_the_weights_are_those_after_the_step() -> None:
    model = deepfm()
    with pytest.raises(KeyboardInterrupt):
        fitted([Send(signal.SIGINT)], model)
    assert_same_weights(model, fitted(max_steps=5))
    fitted(model=model)


def test_a_second_one_ends_at_once() -> None:
    sender = Send(signal.SIGINT, times=2)
    model = deepfm()
    with pytest.raises(KeyboardInterrupt):
        fitted([sender], model)
    assert_same_weights(model, fitted(max_steps=4))


def test_a_handler_of_the_users_is_called_at_the_end() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            fitted([Send(signal.SIGTERM)])
        assert seen == [signal.SIGTERM]
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.received == signal.SIGTERM
            assert seen == [signal.SIGTERM]
        assert seen == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sender = Send(signal.SIGINT)
        fitted([sender])
        assert sender.steps == 16
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone() -> None:
    seen: list[Any] = []

    class Look(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=lambda: fitted([Look()]))
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)] * 2


@pytest.mark.slow
def test_sigterm_ends_the_process_after_a_checkpoint(tmp_path: Path) -> None:
    code = (
        "import signal, sys\nfrom tests.training.test_interrupts import Send, fitted\n"
        "fitted([Send(signal.SIGTERM)], checkpoint_dir=sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "c")], capture_output=True)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["step-0000000005"]


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_callback_that_raises_leaves_a_model_that_predicts_and_trains(update: str) -> None:
    model = deepfm()
    with pytest.raises(CutOffError):
        fitted([CutOff(5)], model, update)
    assert_same_weights(model, fitted(update=update, max_steps=5))
    assert np.isfinite(model.predict(X)).all()
    model.fit(X, Y, verbose=0)


def test_files_are_closed_while_the_error_is_held(tmp_path: Path) -> None:
    folder = click_files.write(tmp_path / "files", click_files.frame())
    model, board = click_files.model(), TensorBoard(tmp_path / "board", update_freq=1)
    with pytest.raises(CutOffError) as held:
        model.fit(click_files.Files(folder, buffer_rows=20), "click", 8, verbose=0, callbacks=[board, CutOff(5)])
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("deepctr_torch")]
    links = [] if sys.platform != "linux" else list(Path("/proc/self/fd").iterdir())
    assert not [link for link in links if str(link.resolve()).startswith(str(tmp_path))]
    del held


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_an_error_within_an_update_leaves_plain_tables(update: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(update=update)
    before = {id(p) for p in model.parameters()}
    state = torch.random.get_rng_state()

    def fail(*args: Any, **how: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LazyAdam, "change", fail)
        patched.setattr(torch, "_fused_adam_", fail)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, verbose=0)
    held = [p for group in model.optim.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()} == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.isfinite(model.predict(X)).all()
    model.fit(X, Y, verbose=0)
