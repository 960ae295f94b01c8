"""Rates against a loop over the rows."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.temporal import add_rates
from tests.support.events import KEYS, ROWS, Event, rows_of_events, table


def added(events: list[Event]) -> float:
    """The sum of their labels, one after the other; `sum` of Python 3.12 rounds otherwise."""
    return reduce(lambda total, e: total + (e.label or 0), events, 0.0)


def naive_rates(rows: list[Event], key: tuple[str, ...], prior: Any, delay: float) -> tuple[list[float], list[int]]:
    by_time = sorted(rows, key=lambda r: r.time)
    made, counts = [], []
    for now in rows:
        known = [e for e in by_time if e.time < now.time - delay and e.label is not None]
        mine = tuple(getattr(now, name) for name in key)
        same = [e for e in known if None not in mine and tuple(getattr(e, name) for name in key) == mine]
        rate, strength = prior if isinstance(prior, tuple) else (None, prior)
        rate = (added(known) + 1) / (len(known) + 2) if rate is None else rate
        weight = len(same) + strength
        made.append((added(same) + strength * rate) / weight if weight else rate)
        counts.append(len(same))
    return made, counts


NAMES = {("user",): "user", ("item",): "item", ("user", "item"): "user_item"}


@given(
    rows=rows_of_events, prior=st.sampled_from([0, 10.0, (0.2, 3.0), (1, 0), (0.0, 0.5)]), delay=st.sampled_from([0, 2])
)
def test_rates_are_those_of_a_loop_over_rows_bit_for_bit(rows: list[Event], prior: Any, delay: int) -> None:
    made = add_rates(table(rows), KEYS, "label", "time", prior, delay)
    for key, name in NAMES.items():
        expected, counts = naive_rates(rows, key, prior, delay)
        assert made[f"{name}_rate"].to_pylist() == expected
        assert made[f"{name}_count"].to_pylist() == counts


def test_wrong_arguments_of_rates() -> None:
    data = table(ROWS)

    def make(keys: Any = "user", label: str = "label", prior: Any = 1) -> None:
        add_rates(data, keys, label, "time", prior)

    with pytest.raises(ValueError, match=r"keys must name at least one column each, got \[\]"):
        make([])
    with pytest.raises(ValueError, match=r"keys must name at least one column each, got \[\(\)\]"):
        make([()])
    with pytest.raises(ValueError, match="keys must have different names, got user, user"):
        make(["user", ("user",)])
    with pytest.raises(ValueError, match="got none named 'click'"):
        make(label="click")
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\], got 2 in column 'time', row 2"):
        make(label="time")
    with pytest.raises(ValueError, match="prior must be a number >= 0, got -1"):
        make(prior=-1)
    with pytest.raises(ValueError, match=r"prior's rate must be in \[0, 1\)"):
        make(prior=(1.5, 1))
    with pytest.raises(ValueError, match="prior's strength must be a number >= 0, got -2"):
        make(prior=(0.5, -2))
    with pytest.raises(ValueError, match=r"prior must be a strength or \(rate, strength\)"):
        make(prior=(0.5, 1, 2))
