from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch.encoding import Dense, FeatureEncoder, Numeric
from tests.support.encoding import encoded


def test_standard_numbers() -> None:
    x = np.array([0.0, np.e - 1, 1 - np.e, np.nan])  # signed logs 0, 1, -1
    std = np.sqrt(2 / 3)
    found = encoded(Numeric(), x, [0.0, np.e**2 - 1, None, np.inf, -np.inf])
    np.testing.assert_allclose(found["f"], [0, 2 / std, 0, 1 / std, -1 / std], rtol=1e-6, atol=1e-7)
    assert found["f_missing"] == [0, 0, 1, 0, 0]


def test_plain_and_minmax_numbers() -> None:
    assert encoded(Numeric("plain"), [1.0, 2.0, 6.0], [5.0, None, np.inf, 1e300]) == {
        "f": [5, 3, 6, float(np.finfo(np.float32).max)]
    }
    assert encoded(Numeric("minmax"), [2, None, 6, 4], [3, None, 9, -np.inf]) == {
        "f": [0.25, 0.5, 1, 0],
        "f_missing": [0, 1, 0, 0],
    }
    assert encoded(Numeric("minmax"), [2, 2], [2, 3, None])["f"] == [0, 0, 0]
    assert encoded(Numeric("minmax"), [-1.7e308, 1.7e308], [0.0])["f"] == [0.5]


def test_the_indicator_is_there_if_wanted_or_needed() -> None:
    assert set(encoded(Numeric(), [1, 2])) == {"f"}
    assert set(encoded(Numeric(), [1, None])) == {"f", "f_missing"}
    assert set(encoded(Numeric(indicator=True), [1, 2])) == {"f", "f_missing"}
    assert set(encoded(Numeric(indicator=False), [1, None])) == {"f"}


def test_numbers_of_which_nothing_was_learned() -> None:
    for scaling in ("standard", "plain", "minmax"):
        assert encoded(Numeric(scaling, indicator=False), [None, np.nan], [None, np.inf])["f"] == [0, 0]
    assert encoded(Numeric("quantile"), [None, np.nan], [None, 3.0, np.inf]) == {"f": [0, 1, 1]}


def test_buckets_of_numbers() -> None:
    kind = Numeric("quantile", bins=2)
    assert encoded(kind, [1, 2, 3, 4], [0, 2, 3, 9, None, np.inf, -np.inf]) == {"f": [2, 2, 3, 3, 0, 3, 2]}
    assert encoded(Numeric("quantile", bins=10), [5, 5, None], [5, 6, 4]) == {"f": [2, 2, 2]}


def test_vectors(tmp_path: Path) -> None:
    lists = [[1.0, 2.0], None, [np.nan, np.inf]]
    found = encoded(Dense(), lists)["f"]
    assert found == [[1, 2], [0, 0], [0, float(np.finfo(np.float32).max)]]
    assert encoded(Dense(separator=" "), ["1 2", None])["f"] == [[1, 2], [0, 0]]
    assert encoded(Dense(), np.arange(4).reshape(2, 2))["f"] == [[0, 1], [2, 3]]
    assert encoded(Dense(1), [[1.0], []])["f"] == [1, 0]
    assert encoded(Dense(), [None, []])["f"] == [0, 0]
    with pytest.raises(ValueError, match=r"'f' must hold 2 number\(s\) or nothing, got 1 in row 1"):
        encoded(Dense(2), [[1.0, 2.0], [1.0]])
    pq.write_table(pa.table({"f": [[1.0, 2.0], [1.0, 2.0, 3.0]]}), tmp_path / "a.parquet", row_group_size=1)
    with pytest.raises(
        ValueError, match=r"'f' must hold 2 number\(s\), as in rows before, got 3 in row 1 of .*a\.parquet"
    ):
        FeatureEncoder({"f": Dense()}).fit(tmp_path)
