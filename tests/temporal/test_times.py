"""Times and delays of all types."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deepctr_torch.temporal import add_history, add_rates, time_split

INT_MIN = np.iinfo(np.int64).min


DAYS = [datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2024, 1, 2, 12), datetime(2024, 1, 3)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("delay", "counts"),
    [
        (0, [0, 1, 2, 3]),
        ("12h", [0, 1, 1, 2]),
        ("1d", [0, 0, 1, 1]),
        (timedelta(hours=13), [0, 1, 1, 2]),
        (np.timedelta64(36, "h"), [0, 0, 0, 1]),
        (pd.Timedelta(days=2), [0, 0, 0, 0]),
        ("1.5 D", [0, 0, 0, 1]),
    ],
)
def test_delays_of_timestamps(unit: str, delay: Any, counts: list[int]) -> None:
    data = pa.table({"u": [1] * 4, "t": pa.array(DAYS, pa.timestamp(unit, "UTC")), "y": [1] * 4})
    assert add_rates(data, "u", "y", "t", 1, delay)["u_count"].to_pylist() == counts


def test_times_of_other_types() -> None:
    dates = pa.array([date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 4)])
    for kind in (pa.date32(), pa.date64()):
        data = pa.table({"u": [1] * 3, "t": dates.cast(kind), "y": [1] * 3})
        assert add_rates(data, "u", "y", "t", 1)["u_count"].to_pylist() == [0, 1, 2]
        assert add_rates(data, "u", "y", "t", 1, "36h")["u_count"].to_pylist() == [0, 0, 2]
    floats = {"u": [1] * 3, "t": [0.5, 1.0, 1.25], "y": [1] * 3}
    assert add_rates(floats, "u", "y", "t", 1, 0.5)["u_count"].tolist() == [0, 0, 1]
    lowest = {"u": [1] * 3, "t": [INT_MIN, INT_MIN, INT_MIN + 5], "y": [1] * 3}
    assert add_rates(lowest, "u", "y", "t", 1, 4)["u_count"].tolist() == [0, 0, 2]
    assert add_rates(lowest, "u", "y", "t", 1, "7")["u_count"].tolist() == [0, 0, 0]
    assert add_history({"u": [1, 1], "i": [1, 2], "t": np.array([9, 3], np.uint8)}, "u", "i", "t", 1)["hist_i"][0] == [
        2
    ]


def test_times_that_are_text() -> None:
    for text in (
        ["2024-01-02", "2024-01-03", "2024-01-03"],
        ["2024-01-02T23:30:00Z", "2024-01-03T00:00:00+00:00", "2024-01-03T02:00:00.5+02:00"],
        ["2024-01-02 23:30", "2024-01-03 00:30", "2024-01-03 00:30:00"],
        ["-7.5", "1e3", "1000"],
    ):
        data = {"u": [1] * 3, "t": text, "y": [1] * 3}
        assert add_rates(data, "u", "y", "t", 1)["u_count"].tolist() == [0, 1, 1]
    train, valid = time_split(
        pd.DataFrame({"t": ["2024-02-01", "2024-01-31"], "x": [1, 2]}), "t", valid_from="2024-02-01"
    )
    assert (train["x"].tolist(), valid["x"].tolist()) == ([2], [1])


def test_wrong_times() -> None:
    data = {"u": [1, 2], "i": [1, 2], "y": [0, 1]}

    def with_times(times: Any, delay: Any = 0) -> None:
        add_history({**data, "t": times}, "u", "i", "t", 1, delay=delay)

    with pytest.raises(ValueError, match="every row must have a time, got none in column 't', row 1"):
        with_times(pd.Series([3, None], dtype="Int64"))
    with pytest.raises(ValueError, match="times must be finite, got inf in column 't', row 0"):
        with_times([np.inf, 1.0])
    with pytest.raises(ValueError, match="must hold numbers, dates or timestamps, got bool"):
        with_times([True, False])
    with pytest.raises(ValueError, match="'t' must hold ISO times or numbers, got 'soon' in row 1"):
        with_times(["2024-01-01", "soon"])
    for missing in ("NA", "", None):
        with pytest.raises(ValueError, match="every row must have a time, got none in column 't', row 1"):
            with_times(["2024-01-01", missing])
    with pytest.raises(ValueError, match=r"times must lie below 2\*\*63"):
        with_times(np.array([0, 2**63], np.uint64))
    with pytest.raises(ValueError, match="delay must be a number, as the time column 't' holds int64, got '1d'"):
        with_times([1, 2], "1d")
    with pytest.raises(ValueError, match=r"delay must be a duration such as '1d', as 't' holds timestamp\[us\], got 3"):
        with_times(pa.array(DAYS[:2]).to_numpy(), 3)
    with pytest.raises(ValueError, match="delay must be a duration such as '1d', '12h' or '30min', got 'soon'"):
        with_times([1, 2], "soon")
    with pytest.raises(ValueError, match="delay must be a number >= 0, got -1"):
        with_times([1, 2], -1)
    with pytest.raises(ValueError, match="delay must be a duration >= 0"):
        with_times(pa.array(DAYS[:2]).to_numpy(), timedelta(-1))
