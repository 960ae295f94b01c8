"""Schedules: exact multipliers, resuming, wrong arguments."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.training.schedules import SCHEDULES, Constant, Plateau, Schedule, Step, get_schedule


def curve(spec: Any, steps: int, total: int | None = None, epoch: int | None = None) -> list[float]:
    schedule = get_schedule(spec)()
    return [schedule.multiplier(step, total, epoch) for step in range(steps)]


def test_none_and_constant() -> None:
    assert curve(None, 3) == curve("constant", 3) == [1.0, 1.0, 1.0]


def test_warmup() -> None:
    assert curve({"name": "warmup", "warmup_steps": 4}, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert curve({"name": "warmup", "warmup_steps": 0.5}, 5, total=8) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert curve("warmup", 3, total=20) == [0.5, 1.0, 1.0]  # a tenth
    assert curve("warmup", 2, total=3) == [1.0, 1.0]  # a fraction is at least one step
    assert curve({"name": "warmup", "warmup_steps": 0}, 2) == [1.0, 1.0]


def test_cosine() -> None:
    assert curve("cosine", 6, total=4) == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0, 0]
    )
    assert curve({"name": "cosine", "final": 0.2}, 5, total=4)[2::2] == pytest.approx([0.6, 0.2])
    both = {"name": "cosine", "warmup_steps": 2, "final": 0.5}
    assert curve(both, 7, total=6) == pytest.approx(
        [0.5, 1, 1, (1 + (1 + math.sqrt(0.5)) / 2) / 2, 0.75, 0.5 + (1 - math.sqrt(0.5)) / 4, 0.5]
    )
    assert curve({"name": "cosine", "warmup_steps": 4}, 5, total=4) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_step() -> None:
    assert curve({"name": "step", "every": 2, "factor": 0.5}, 6) == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    assert curve({"name": "step", "every": 0.1}, 1001, total=1000)[99:101] == [1.0, 0.1]
    assert curve({"name": "step", "every": 2, "factor": 0.5, "warmup_steps": 2}, 6) == [0.5, 1.0, 1.0, 1.0, 0.5, 0.5]
    assert curve({"name": "step", "epochs": 2, "factor": 0.5}, 8, epoch=2) == [1.0] * 4 + [0.5] * 4
    assert curve({"name": "step", "epochs": 1, "factor": 0.5, "warmup_steps": 2}, 6, epoch=3) == [
        0.5,
        1,
        1,
        0.5,
        0.5,
        0.5,
    ]


def test_function() -> None:
    assert curve(lambda step: 1 / (1 + step), 3) == [1.0, 0.5, 1 / 3]
    for wrong in (-0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"the multiplier of the schedule must be a number >= 0, got .* in step 0"):
            curve(lambda step, wrong=wrong: wrong, 1)  # type: ignore[misc]


def test_plateau() -> None:
    schedule = Plateau("val_loss", factor=0.5, patience=2, minimum=0.2)
    seen = []
    for loss in (1.0, 0.9, 0.9, 0.95, 0.91, math.nan, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8):
        schedule.on_period_end({"val_loss": loss})
        seen.append(schedule.multiplier(0))
    assert seen == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    ("options", "falls"),
    [
        ({"monitor": "val_auc"}, [0.7, 0.7]),
        ({"monitor": "val_auc"}, [0.7, 0.6]),
        ({"monitor": "val_logloss"}, [0.6, 0.7]),
        ({"monitor": "custom", "mode": "max"}, [0.7, 0.6]),
        ({"monitor": "val_auc", "mode": "min"}, [0.6, 0.7]),
        ({"monitor": "val_auc", "min_delta": 0.01}, [0.7, 0.709]),
    ],
)
def test_direction_and_size_of_an_improvement(options: dict[str, Any], falls: list[float]) -> None:
    schedule = get_schedule({"name": "plateau", "patience": 1, **options})()
    for value in falls:
        schedule.on_period_end({options["monitor"]: value})
    assert schedule.multiplier(5) == 0.5
    again = get_schedule({"name": "plateau", "patience": 1, **options})()
    rise = [0.5, 0.6] if again.plateau.mode == "max" else [0.6, 0.5]  # type: ignore[attr-defined]
    for value in rise:
        again.on_period_end({options["monitor"]: value})
    assert again.multiplier(5) == 1.0


def test_plateau_with_warmup() -> None:
    schedule = Plateau(patience=1, warmup_steps=2)
    for _ in range(2):
        schedule.on_period_end({"val_loss": 1.0})
    assert [schedule.multiplier(step) for step in range(3)] == [0.25, 0.5, 0.5]


def test_missing_monitor_warns_once_and_lists_what_there_is() -> None:
    schedule = Plateau("val_auc")
    with pytest.warns(UserWarning, match="'val_auc' is not in the logs; the logs have loss, auc"):
        schedule.on_period_end({"loss": 1.0, "auc": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.on_period_end({"loss": 1.0, "auc": 0.5})
    assert schedule.multiplier(0) == 1.0


@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=12), st.integers(0, 12))
def test_resuming_goes_on_as_if_nothing_had_happened(losses: list[float], cut: int) -> None:
    whole, first, second = Plateau(patience=1), Plateau(patience=1), Plateau(patience=1)
    for loss in losses[:cut]:
        first.on_period_end({"val_loss": loss})
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for loss in losses[cut:]:
        second.on_period_end({"val_loss": loss})
    for loss in losses:
        whole.on_period_end({"val_loss": loss})
    assert second.state_dict() == whole.state_dict()


def test_schedules_without_state() -> None:
    schedule = Constant()
    schedule.on_period_end({})
    assert schedule.state_dict() == {}
    schedule.load_state_dict({})


def test_each_training_gets_a_fresh_schedule() -> None:
    given = Plateau(patience=1)
    for spec in ({"name": "plateau", "patience": 1}, given):
        factory = get_schedule(spec)
        first = factory()
        for _ in range(3):
            first.on_period_end({"val_loss": 1.0})
        assert first.multiplier(0) == 0.25
        assert factory().multiplier(0) == 1.0
    assert given.multiplier(0) == 1.0


def test_a_users_schedule() -> None:
    class Half(Schedule):
        def after_warmup(self, step: int, warmup: int, total_steps: int | None, steps_per_epoch: int | None) -> float:
            return 0.5

    assert curve(Half(warmup_steps=2), 3) == [0.25, 0.5, 0.5]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cosin", "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"name": "cosine", "warm_up": 3}, "unknown option of cosine 'warm_up': did you mean 'warmup_steps'"),
        ({"warmup_steps": 3}, r"a dict as lr_schedule must have a 'name', got the keys \['warmup_steps'\]"),
        ({"name": "warmup", "warmup_steps": -1}, r"warmup_steps must be an integer >= 0 or a fraction .* got -1"),
        ({"name": "warmup", "warmup_steps": 1.5}, "got 1.5"),
        ({"name": "warmup", "warmup_steps": True}, "got True"),
        ({"name": "cosine", "final": 1.5}, r"final must be in \[0, 1\), got 1.5"),
        ("step", "the schedule 'step' must be given every or epochs, got every=None, epochs=None"),
        ({"name": "step", "every": 2, "epochs": 1}, "got every=2, epochs=1"),
        ({"name": "step", "every": 0}, "every must be at least one step, got 0"),
        ({"name": "step", "epochs": 0}, "epochs must be an integer of at least 1, got 0"),
        ({"name": "step", "every": 1, "factor": -1}, "factor must be a number >= 0, got -1"),
        ({"name": "plateau", "patience": 0}, "patience must be an integer of at least 1, got 0"),
        ({"name": "plateau", "mode": "up"}, "unknown mode 'up'"),
    ],
)
def test_wrong_arguments_show_at_once(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_schedule(spec)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="lr_schedule must be a name, a dict or a function of the step, got int"):
        get_schedule(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got the class Step"):
        get_schedule(Step)  # type: ignore[arg-type]


def test_unknown_lengths() -> None:
    for spec in ("cosine", "warmup", {"name": "step", "every": 0.5}):
        with pytest.raises(ValueError, match="needs the number of all steps: pass max_steps or steps_per_epoch"):
            curve(spec, 1)
    with pytest.raises(ValueError, match="needs the steps of an epoch: pass steps_per_epoch"):
        curve({"name": "step", "epochs": 1}, 1)


def test_names() -> None:
    assert list(SCHEDULES) == ["constant", "cosine", "plateau", "step", "warmup"]
