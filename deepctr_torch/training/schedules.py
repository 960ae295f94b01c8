"""Learning-rate schedules by name: a multiplier of the learning rates that `compile` was given, for each step.

`compile(lr_schedule=...)` takes None, a name, a dict such as `{"name": "cosine", "warmup_steps": 0.1}`, a function
`step -> multiplier` or a `Schedule`. Steps count from 0 over the whole training. A number of steps is an int, or a
float in (0, 1): a fraction of all steps.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from .._checks import check_at_least, check_choice, check_fraction, check_non_negative
from ..callbacks.monitor import PlateauMonitor
from ..registry import Registry, suggest

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "FromFunction",
    "Plateau",
    "Schedule",
    "ScheduleSpec",
    "Step",
    "get_schedule",
]


def _check_steps(name: str, value: Any) -> None:
    """`value` is a number of steps: an integer >= 0 or a fraction of all steps in (0, 1)."""
    if isinstance(value, float) and 0 < value < 1:
        return
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise ValueError(f"{name} must be an integer >= 0 or a fraction of all steps in (0, 1), got {value!r}")


def _steps(name: str, value: int | float, total_steps: int | None) -> int:
    """The number of steps that `value` means; a fraction of all steps is at least one step."""
    return int(value) if value >= 1 or value == 0 else max(1, round(value * _known(name, total_steps)))


def _known(name: str, total_steps: int | None) -> int:
    if total_steps is None:
        raise ValueError(f"{name} needs the number of all steps: pass max_steps or steps_per_epoch")
    return total_steps


class Schedule:
    """Base of the schedules: a linear warm-up, then `after_warmup`.

    During warm-up step s has the multiplier `(s + 1) / warmup_steps`, so that no step is lost to a rate of 0.

    Args:
        warmup_steps: length of the warm-up.
    """

    def __init__(self, warmup_steps: int | float = 0) -> None:
        _check_steps("warmup_steps", warmup_steps)
        self.warmup_steps = warmup_steps

    def multiplier(self, step: int, total_steps: int | None = None, steps_per_epoch: int | None = None) -> float:
        """Return what the learning rates are multiplied with in this step.

        Args:
            step: counted from 0 over the whole training.
            total_steps, steps_per_epoch: None where they are not known; some schedules need them.
        """
        warmup = _steps("warmup_steps", self.warmup_steps, total_steps)
        ramp = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return ramp * self.after_warmup(max(0, step - warmup), warmup, total_steps, steps_per_epoch)

    def after_warmup(self, step: int, warmup: int, total_steps: int | None, steps_per_epoch: int | None) -> float:
        """The multiplier `step` steps after the `warmup` first ones."""
        return 1.0

    def on_period_end(self, logs: Mapping[str, float]) -> None:
        """Called with the logs of each epoch, or of each part of it with `eval_every`."""

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be kept to resume: plain numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""


class Constant(Schedule):
    """The learning rate as given, after the warm-up.

    >>> [Constant(warmup_steps=4).multiplier(step) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """


class Cosine(Schedule):
    """Half a cosine from 1 to `final` over the steps after the warm-up (Loshchilov and Hutter 2017, eq. 5, no restart).

    Args:
        warmup_steps: length of the warm-up.
        final: multiplier at the end.

    >>> [round(Cosine().multiplier(step, total_steps=4), 4) for step in range(5)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    def __init__(self, warmup_steps: int | float = 0, final: float = 0.0) -> None:
        super().__init__(warmup_steps)
        check_fraction("final", final)
        self.final = final

    def after_warmup(self, step: int, warmup: int, total_steps: int | None, steps_per_epoch: int | None) -> float:
        way = _known("the schedule 'cosine'", total_steps) - warmup
        done = min(1.0, step / way) if way > 0 else float(step > 0)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


class Step(Schedule):
    """The multiplier falls by `factor` after every `every` steps, or after every `epochs` epochs.

    Args:
        every: steps between two falls; steps of the warm-up do not count.
        epochs: epochs between two falls, the warm-up included.
        factor: what each fall multiplies with.
        warmup_steps: length of the warm-up.

    >>> [Step(every=2, factor=0.5).multiplier(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        every: int | float | None = None,
        epochs: int | None = None,
        factor: float = 0.1,
        warmup_steps: int | float = 0,
    ) -> None:
        super().__init__(warmup_steps)
        if (every is None) == (epochs is None):
            raise ValueError(
                f"the schedule 'step' must be given every or epochs, got every={every!r}, epochs={epochs!r}"
            )
        if every is not None:
            _check_steps("every", every)
            if every == 0:
                raise ValueError("every must be at least one step, got 0")
        if epochs is not None:
            check_at_least("epochs", epochs, 1)
        check_non_negative("factor", factor)
        self.every, self.epochs, self.factor = every, epochs, factor

    def after_warmup(self, step: int, warmup: int, total_steps: int | None, steps_per_epoch: int | None) -> float:
        if self.every is not None:
            return float(self.factor ** (step // _steps("every", self.every, total_steps)))
        if self.epochs is None or steps_per_epoch is None:
            raise ValueError(
                "the schedule 'step' with epochs needs the steps of an epoch: pass steps_per_epoch, got none"
            )
        return float(self.factor ** ((step + warmup) // (steps_per_epoch * self.epochs)))


class Plateau(Schedule):
    """The multiplier falls by `factor` when `monitor` has not improved for `patience` periods.

    Args:
        monitor: key of the logs.
        factor: what each fall multiplies with.
        patience: periods without improvement before a fall; the count starts again after it.
        min_delta: a change has to be larger to count.
        minimum: the multiplier falls no further.
        mode: "min" or "max"; "auto" goes by the name of the metric.
        warmup_steps: length of the warm-up.

    >>> schedule = Plateau("val_auc", factor=0.5, patience=1)
    >>> for auc in (0.7, 0.8, 0.75):
    ...     schedule.on_period_end({"val_auc": auc})
    >>> schedule.multiplier(step=30)
    0.5
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.5,
        patience: int = 2,
        min_delta: float = 0.0,
        minimum: float = 0.0,
        mode: str = "auto",
        warmup_steps: int | float = 0,
    ) -> None:
        super().__init__(warmup_steps)
        check_fraction("factor", factor)
        check_at_least("patience", patience, 1)
        check_fraction("minimum", minimum)
        self.factor, self.minimum = factor, minimum
        self.plateau = PlateauMonitor(monitor, mode, min_delta, patience=patience)
        self.scale = 1.0

    def after_warmup(self, step: int, warmup: int, total_steps: int | None, steps_per_epoch: int | None) -> float:
        return self.scale

    def on_period_end(self, logs: Mapping[str, float]) -> None:
        if self.plateau.stalled(logs):
            self.scale = max(self.scale * self.factor, self.minimum)
            self.plateau.restart()

    def state_dict(self) -> dict[str, Any]:
        best = self.plateau.best
        return {"scale": self.scale, "wait": self.plateau.wait, "best": None if best == self.plateau.worst else best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scale, self.plateau.wait = float(state["scale"]), int(state["wait"])
        self.plateau.best = self.plateau.worst if state["best"] is None else float(state["best"])


class FromFunction(Schedule):
    """A user's function `step -> multiplier`.

    >>> FromFunction(lambda step: 1 / (1 + step)).multiplier(3)
    0.25
    """

    def __init__(self, function: Callable[[int], float]) -> None:
        super().__init__()
        self.function = function

    def multiplier(self, step: int, total_steps: int | None = None, steps_per_epoch: int | None = None) -> float:
        value = float(self.function(step))
        if not 0 <= value < math.inf:
            raise ValueError(f"the multiplier of the schedule must be a number >= 0, got {value} in step {step}")
        return value


ScheduleSpec: TypeAlias = str | Mapping[str, Any] | Schedule | Callable[[int], float] | None

SCHEDULES: Registry[Callable[..., Schedule]] = Registry("schedule")
for _name, _schedule in [("constant", Constant), ("cosine", Cosine), ("plateau", Plateau), ("step", Step)]:
    SCHEDULES.add(_name, _schedule)


@SCHEDULES.register("warmup")
def _warmup(warmup_steps: int | float = 0.1) -> Schedule:
    return Constant(warmup_steps)


def get_schedule(spec: ScheduleSpec) -> Callable[[], Schedule]:
    """Return what makes a fresh schedule from the argument `lr_schedule` of `compile`; a wrong argument shows at once.

    >>> get_schedule({"name": "warmup", "warmup_steps": 10})().multiplier(0)
    0.1
    >>> get_schedule({"name": "cosine", "warm_steps": 10})
    Traceback (most recent call last):
        ...
    ValueError: unknown option of cosine 'warm_steps': did you mean 'warmup_steps'? Known: final, warmup_steps
    """
    if spec is None:
        return Constant
    if isinstance(spec, Schedule):
        return partial(copy.deepcopy, spec)
    if isinstance(spec, str):
        spec = {"name": spec}
    if isinstance(spec, Mapping):
        return _configured(spec)
    if isinstance(spec, type):
        raise TypeError(f"lr_schedule must be a name, a dict, an instance or a function, got the class {spec.__name__}")
    if not callable(spec):
        raise TypeError(f"lr_schedule must be a name, a dict or a function of the step, got {type(spec).__name__}")
    return partial(FromFunction, spec)


def _configured(spec: Mapping[str, Any]) -> Callable[[], Schedule]:
    if "name" not in spec:
        raise ValueError(
            f"a dict as lr_schedule must have a 'name', got the keys {sorted(spec)}. {suggest('', SCHEDULES)}"
        )
    name = spec["name"]
    make = SCHEDULES.get(name)
    options = {key: value for key, value in spec.items() if key != "name"}
    known = inspect.signature(make).parameters
    for key in options:
        check_choice(f"option of {name}", key, known)
    factory = partial(make, **options)
    factory()  # the first one is for its checks
    return factory
