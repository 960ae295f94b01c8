"""The events of a training, and the list that passes them on."""

from __future__ import annotations

from typing import Any

import pytest

import deepctr_torch.callbacks as package
from deepctr_torch.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)

MODES = ("train", "test", "predict")
EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
PLAIN_HOOKS = tuple(f"on_{mode}_{edge}" for mode in MODES for edge in ("begin", "end"))
BATCH_HOOKS = tuple(f"on_{mode}_batch_{edge}" for mode in MODES for edge in ("begin", "end"))
TRAIN_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class FakeModel:
    stop_training = False
    history: History | None = None


class Recorder(Callback):
    """Writes down every hook it is told of, in a list that several may share."""

    def __init__(self, name: str, events: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.name = name
        self.events = events


def _recording(hook: str) -> Any:
    def method(self: Recorder, *args: Any) -> None:
        self.events.append((self.name, hook, *args))

    return method


for _hook in (*EPOCH_HOOKS, *PLAIN_HOOKS, *BATCH_HOOKS):
    setattr(Recorder, _hook, _recording(_hook))


def test_every_name_can_be_imported_and_the_list_of_names_is_complete() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    needed = {
        "Callback",
        "CallbackList",
        "History",
        "EarlyStopping",
        "ModelCheckpoint",
        "ReduceLROnPlateau",
        "LearningRateScheduler",
        "CSVLogger",
        "TensorBoard",
        "TerminateOnNaN",
        "ProgressBar",
    }
    assert needed <= set(package.__all__)


class TestCallback:
    def test_every_hook_exists_and_does_nothing(self) -> None:
        callback = Callback()
        for hook in PLAIN_HOOKS:
            assert getattr(callback, hook)() is None
            assert getattr(callback, hook)(logs={}) is None
        for hook in (*EPOCH_HOOKS, *BATCH_HOOKS, "on_batch_begin", "on_batch_end"):
            assert getattr(callback, hook)(0) is None
            assert getattr(callback, hook)(0, logs={}) is None

    def test_model_and_params_are_set(self) -> None:
        callback, model = Callback(), FakeModel()
        assert Callback().model is None
        assert callback.params == {}
        callback.set_model(model)
        callback.set_params({"epochs": 3})
        assert callback.model is model
        assert callback.params == {"epochs": 3}

    def test_train_batch_hooks_call_their_short_names(self) -> None:
        seen: list[tuple[str, int, Any]] = []

        class Short(Callback):
            def on_batch_begin(self, batch: int, logs: Any = None) -> None:
                seen.append(("begin", batch, logs))

            def on_batch_end(self, batch: int, logs: Any = None) -> None:
                seen.append(("end", batch, logs))

        short = Short()
        short.on_train_batch_begin(4, {"a": 1})
        short.on_train_batch_end(5)
        assert seen == [("begin", 4, {"a": 1}), ("end", 5, None)]

    @pytest.mark.parametrize("hook", TRAIN_BATCH_HOOKS)
    def test_overriding_any_train_batch_hook_asks_for_batches(self, hook: str) -> None:
        overriding = type("Overriding", (Callback,), {hook: lambda self, batch, logs=None: None})
        assert overriding().wants_batches
        assert not Callback().wants_batches
        patched = Callback()
        setattr(patched, hook, lambda batch, logs=None: None)
        assert patched.wants_batches

    def test_those_of_the_package_that_need_no_batch_do_not_ask_for_them(self) -> None:
        assert not History().wants_batches
        assert not EarlyStopping().wants_batches
        assert not ModelCheckpoint("x").wants_batches
        assert not ProgressBar(1).wants_batches
        assert TerminateOnNaN().wants_batches


class TestCallbackList:
    def test_every_event_reaches_every_callback_in_order_with_one_dict(self) -> None:
        events: list[tuple[Any, ...]] = []
        callbacks = CallbackList((Recorder("a", events), Recorder("b", events)))
        for hook in PLAIN_HOOKS:
            logs = {"hook": hook}
            getattr(callbacks, hook)(logs)
            assert events[-2:] == [("a", hook, logs), ("b", hook, logs)]
            assert events[-1][-1] is events[-2][-1] is logs
        for hook in (*EPOCH_HOOKS, *BATCH_HOOKS):
            logs = {"hook": hook}
            getattr(callbacks, hook)(7, logs)
            assert events[-2:] == [("a", hook, 7, logs), ("b", hook, 7, logs)]
        assert len(events) == 2 * len((*PLAIN_HOOKS, *EPOCH_HOOKS, *BATCH_HOOKS))

    def test_no_logs_are_an_empty_dict_that_all_share(self) -> None:
        events: list[tuple[Any, ...]] = []
        callbacks = CallbackList([Recorder("a", events), Recorder("b", events)])
        callbacks.on_epoch_end(0)
        assert events[0][-1] == {}
        assert events[0][-1] is events[1][-1]

    def test_short_batch_names_of_the_list_are_the_train_batch_events(self) -> None:
        events: list[tuple[Any, ...]] = []
        callbacks = CallbackList([Recorder("a", events)])
        callbacks.on_batch_begin(1)
        callbacks.on_batch_end(1, {"loss": 2.0})
        assert events == [("a", "on_train_batch_begin", 1, {}), ("a", "on_train_batch_end", 1, {"loss": 2.0})]

    def test_what_it_may_be_made_from(self) -> None:
        first, second = History(), History()
        assert CallbackList().callbacks == []
        assert CallbackList(None).callbacks == []
        assert CallbackList([]).callbacks == []
        assert CallbackList([first, second]).callbacks == [first, second]
        assert CallbackList((first, second)).callbacks == [first, second]
        assert CallbackList(callback for callback in (first, second)).callbacks == [first, second]
        assert CallbackList(first).callbacks == [first]
        assert list(CallbackList(CallbackList([first, second]))) == [first, second]
        assert len(CallbackList([first, second])) == 2

    def test_the_list_given_is_not_changed(self) -> None:
        given = [History()]
        CallbackList(given).append(History())
        wrapped = CallbackList(given)
        CallbackList(wrapped).append(History())
        assert len(given) == len(wrapped) == 1

    @pytest.mark.parametrize("wrong", [[3], 3, "early", [None], [[]], {"a": 1}, object()])
    def test_what_has_no_hook_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="a callback must have at least one hook such as on_epoch_end, got"):
            CallbackList(wrong)

    def test_a_class_in_place_of_an_instance_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"must be an instance, got the class EarlyStopping: write EarlyStopping\("):
            CallbackList([EarlyStopping])
        with pytest.raises(TypeError, match="got the class EarlyStopping"):
            CallbackList(EarlyStopping)  # type: ignore[arg-type]

    def test_any_object_with_a_hook_is_a_callback_and_missing_hooks_are_skipped(self) -> None:
        class Duck:
            def __init__(self) -> None:
                self.seen: list[tuple[int, Any]] = []

            def on_epoch_end(self, epoch: int, logs: Any) -> None:
                self.seen.append((epoch, logs))

        duck = Duck()
        callbacks = CallbackList(duck)  # type: ignore[arg-type]
        callbacks.set_model(FakeModel())
        callbacks.set_params({"epochs": 1})
        callbacks.on_train_begin()
        callbacks.on_train_batch_end(0, {"loss": 1.0})
        callbacks.on_epoch_end(0, {"loss": 1.0})
        callbacks.on_train_end()
        assert duck.seen == [(0, {"loss": 1.0})]
        assert not callbacks.wants_batches

    def test_a_foreign_callback_with_the_short_batch_name_is_told(self) -> None:
        class Duck:
            seen: tuple[int, Any] | None = None

            def on_batch_end(self, batch: int, logs: Any) -> None:
                self.seen = (batch, logs)

        duck = Duck()
        callbacks = CallbackList([duck])
        assert callbacks.wants_batches
        callbacks.on_train_batch_begin(3)
        callbacks.on_train_batch_end(3, {"loss": 0.5})
        assert duck.seen == (3, {"loss": 0.5})

    def test_wants_batches_if_one_does_also_inside_another_list(self) -> None:
        assert not CallbackList([History(), EarlyStopping()]).wants_batches
        assert CallbackList([History(), TerminateOnNaN()]).wants_batches
        callbacks = CallbackList([History()])
        callbacks.append(CallbackList([TerminateOnNaN()]))
        assert callbacks.wants_batches

    def test_a_callback_appended_late_gets_model_and_params(self) -> None:
        callbacks, model, late = CallbackList(), FakeModel(), Callback()
        callbacks.set_model(model)
        callbacks.set_params({"epochs": 2})
        callbacks.append(late)
        assert late.model is model
        assert late.params == {"epochs": 2}

    def test_a_callback_sees_what_one_before_it_adds_to_the_logs(self) -> None:
        class Adds(Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                logs["extra"] = epoch

        history = History()
        CallbackList([Adds(), history]).on_epoch_end(4, {"loss": 1.0})
        assert history.history == {"loss": [1.0], "extra": [4.0]}

    def test_repr_names_the_callbacks(self) -> None:
        assert repr(CallbackList([History()])) == "CallbackList([History(0 epochs)])"
