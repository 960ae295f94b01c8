"""The base of callbacks, and the list that passes every event on to all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["Callback", "CallbackList", "Callbacks", "Logs"]

Logs: TypeAlias = dict[str, Any]

_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
_HOOKS = (
    *_BATCH_HOOKS,
    *(f"on_{what}_{edge}" for what in ("train", "test", "predict", "epoch") for edge in ("begin", "end")),
    *(f"on_{what}_batch_{edge}" for what in ("test", "predict") for edge in ("begin", "end")),
)


class Callback:
    """Something that is told what happens during `fit`, `evaluate` and `predict`; override the hooks you need.

    `self.model` is the model, `self.params` what `fit` was asked for. `self.model.stop_training = True` ends the
    training. The unit of `on_epoch_end` is an epoch or, with `fit(eval_every=...)`, the part of one between two
    evaluations; its index keeps rising. `logs` is one dict that all callbacks share, in the order of their list.

    >>> class Losses(Callback):
    ...     def on_train_begin(self, logs=None):
    ...         self.seen = []
    ...
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.seen.append(logs["loss"])
    >>> losses = Losses()
    >>> losses.on_train_begin()
    >>> losses.on_epoch_end(0, {"loss": 0.5})
    >>> losses.seen
    [0.5]
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    @property
    def wants_batches(self) -> bool:
        """True if a train batch hook does anything; where none does, the loop need not wait for the loss."""
        return any(_overrides(self, hook) for hook in _BATCH_HOOKS)

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of this callback to go on: plain data, tensors and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, after `on_train_begin`."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch, also when the training was stopped."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch and its validation, with `loss`, the metrics, `val_loss` and the `val_` metrics."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a training step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a training step, with its `loss` and its `size` in rows."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name for `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name for `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation, that of `fit` included."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch is evaluated."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch was evaluated."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch is predicted."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch was predicted."""


def _overrides(callback: object, hook: str) -> bool:
    """Return True if `callback` has a `hook` of its own: not missing, not the empty one of `Callback`."""
    found = getattr(callback, hook, None)
    return found is not None and getattr(found, "__func__", found) is not getattr(Callback, hook)


def _has_hooks(candidate: object) -> bool:
    return not isinstance(candidate, type) and any(callable(getattr(candidate, hook, None)) for hook in _HOOKS)


Callbacks: TypeAlias = Iterable[Any] | Callback | None  # objects with at least one of the hooks, or one of them


class CallbackList(Callback):
    """Passes every event on to its callbacks, in their order.

    Any object with at least one of the hooks is a callback; the hooks that it lacks are skipped.

    Args:
        callbacks: several callbacks (any iterable), a single one, or None.
    """

    def __init__(self, callbacks: Callbacks = None) -> None:
        super().__init__()
        self.callbacks: list[Any] = []
        for callback in _listed(callbacks):
            self.append(callback)

    def append(self, callback: object) -> None:
        """Add `callback` at the end; it is given the model and the parameters that the list has already."""
        if isinstance(callback, type):
            raise TypeError(
                f"a callback must be an instance, got the class {callback.__name__}: write {callback.__name__}(...)"
            )
        if not _has_hooks(callback):
            raise TypeError(
                f"a callback must have at least one hook such as on_epoch_end, got {type(callback).__name__}"
            )
        self.callbacks.append(callback)
        if self.model is not None:
            _call(callback, "set_model", self.model)
        if self.params:
            _call(callback, "set_params", self.params)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def __len__(self) -> int:
        return len(self.callbacks)

    def __repr__(self) -> str:
        return f"CallbackList({self.callbacks!r})"

    @property
    def wants_batches(self) -> bool:
        """True if a callback wants the train batch hooks; if none does, the loop need not wait for each loss."""
        return any(_wants_batches(callback) for callback in self.callbacks)

    def set_model(self, model: Any) -> None:
        self.model = model
        for callback in self.callbacks:
            _call(callback, "set_model", model)

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        for callback in self.callbacks:
            _call(callback, "set_params", params)

    def _named(self) -> dict[str, Any]:
        """The callbacks that have a state, by class, and by number where several are of one."""
        out: dict[str, Any] = {}
        for callback in self.callbacks:
            if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
                kind = type(callback).__name__
                number = sum(name.split(" ")[0] == kind for name in out)
                out[f"{kind} {number + 1}" if number else kind] = callback
        return out

    def state_dict(self) -> dict[str, Any]:
        """The states of all callbacks, by class."""
        return {name: callback.state_dict() for name, callback in self._named().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; callbacks that it does not know begin anew.

        Raises:
            ValueError: a callback that it knows is missing.
        """
        named = self._named()
        missing = [name for name, saved in state.items() if saved and name not in named]
        if missing:
            raise ValueError(f"callbacks must have {missing[0]}, whose state the checkpoint holds, got {list(named)}")
        for name, saved in state.items():
            if name in named:
                named[name].load_state_dict(saved)


def _passed_on(hook: str) -> Callable[..., None]:
    """The method of `CallbackList` that tells all callbacks of an event."""
    event = getattr(Callback, hook)
    signature = inspect.signature(event)

    @functools.wraps(event)
    def tell(self: CallbackList, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).args[1:] if kwargs else args
        *index, logs = (*given, None)[: len(signature.parameters) - 1]
        shared = {} if logs is None else logs  # one dict for all: what a callback adds, those after it see
        for callback in self.callbacks:
            _call(callback, hook, *index, shared)

    return tell


for _hook in _HOOKS:
    _long = _hook.replace("on_batch", "on_train_batch")  # of which the short names of the list are other names
    setattr(CallbackList, _hook, _passed_on(_long))


def _listed(callbacks: Callbacks) -> list[Any]:
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return callbacks.callbacks
    if isinstance(callbacks, (str, bytes)) or not isinstance(callbacks, Iterable) or _has_hooks(callbacks):
        return [callbacks]
    return list(callbacks)


def _wants_batches(callback: object) -> bool:
    wants = getattr(callback, "wants_batches", None)
    return wants if isinstance(wants, bool) else any(_overrides(callback, hook) for hook in _BATCH_HOOKS)


def _call(callback: object, hook: str, *args: Any) -> None:
    method = getattr(callback, hook, None)
    if method is None and hook in _BATCH_HOOKS:  # an object that knows the short name only
        method = getattr(callback, hook.replace("train_", ""), None)
    if method is not None:
        method(*args)
