from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from deepctr_torch.encoding import FeatureEncoder, Timestamp
from tests.support.encoding import encoded


def test_moments_by_part() -> None:
    kind = Timestamp(("minute", "hour", "weekday", "weekend", "day", "month", "hour_of_week"))
    found = encoded(kind, [0], [1_600_000_000, None])  # Sunday, 13 September 2020, 12:26:40
    assert {name: values[0] - 2 for name, values in found.items()} == {
        "f_minute": 26, "f_hour": 12, "f_weekday": 6, "f_weekend": 1, "f_day": 12, "f_month": 8, "f_hour_of_week": 156,
    }  # fmt: skip
    assert {values[1] for values in found.values()} == {0}


@pytest.mark.parametrize(
    "column",
    [
        [1_600_000_000, None],
        [1_600_000_000.9, float("nan")],
        ["1600000000", ""],
        ["2020-09-13 12:26:40", None],
        ["2020-09-13T14:26:40+02:00", None],
        ["2020-09-13T12:26:40.5Z", None],
        np.array(["2020-09-13T12:26:40", "NaT"], "datetime64[ns]"),
        pa.array([1_600_000_000_000, None], pa.timestamp("ms", "Asia/Tokyo")),
    ],
)
def test_moments_of_any_type(column: Any) -> None:
    encoder = FeatureEncoder({"f": Timestamp(("hour", "minute"))}).fit({"f": [0]})
    found = encoder.transform({"f": column})
    assert (found["f_hour"].tolist(), found["f_minute"].tolist()) == ([14, 0], [28, 0])


def test_units_zones_dates_and_moments_that_are_none() -> None:
    kind = Timestamp(("hour",), unit="ms", timezone="Asia/Tokyo")
    assert encoded(kind, [0], [1_600_000_000_123, -1, 10**18]) == {"f_hour": [2 + 21, 2 + 8, 0]}
    assert encoded(Timestamp(("day",)), pa.array([18262], pa.date32())) == {"f_day": [2]}
    assert encoded(Timestamp(("hour",)), [None], pa.array([None, None])) == {"f_hour": [0, 0]}
    with pytest.raises(ValueError, match="'f' must hold ISO times or numbers, got 'soon' in row 1"):
        encoded(Timestamp(), ["2020-01-01", "soon"])
    with pytest.raises(ValueError, match="'f' must hold times, got bool"):
        encoded(Timestamp(), [True])
    with pytest.raises(ValueError, match="timezone must be the name of a zone"):
        FeatureEncoder({"f": Timestamp(timezone="Mars")})


def test_missing_moments_are_counted_and_seconds_are_rounded_down() -> None:
    moments = ["1969-12-31T23:59:59.500+00:00", None, None, "1970-01-01T00:00:00+00:00"]  # the first before zero
    encoder = FeatureEncoder({"t": Timestamp(("minute",))}).fit({"t": moments})
    assert encoder.describe()[0]["missing"] == 0.5
    minutes = encoder.transform({"t": moments})["t_minute"]
    assert (minutes - minutes[-1]).tolist() == [59, -2, -2, 0]
    assert {c.name: c.vocabulary_size for c in encoder.feature_columns(4)} == {"t_minute": 62}


def test_a_part_has_a_row_for_each_of_its_values_and_two_for_others() -> None:
    rows = {"minute": 60, "hour": 24, "weekday": 7, "weekend": 2, "day": 31, "month": 12, "hour_of_week": 168}
    encoder = FeatureEncoder({"t": Timestamp(tuple(rows))}).fit({"t": [0]})
    assert {c.name: c.vocabulary_size for c in encoder.feature_columns(4)} == {f"t_{p}": n + 2 for p, n in rows.items()}
