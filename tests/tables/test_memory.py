"""Tables in memory: whose they are is asked of the type, not of the columns."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.encoding import FeatureEncoder, Numeric
from deepctr_torch.tables import column_names, read_chunks, row_count
from deepctr_torch.temporal import add_history, time_split

NAMES = ["height", "num_rows", "column_names", "get_column", "collect", "schema", "columns"]


@pytest.mark.parametrize("name", NAMES)
def test_pandas_columns_may_be_called_like_attributes_of_other_tables(name: str) -> None:
    frame = pd.DataFrame({name: [50.0, 90.0, 70.0], "user": [1, 1, 1], "at": [1, 2, 3]})
    assert column_names(frame) == [name, "user", "at"]
    assert row_count(frame, [name]) == 3
    (chunk,) = read_chunks(frame)
    assert chunk.table.column(name).to_pylist() == [50, 90, 70]
    encoder = FeatureEncoder({name: Numeric("plain")}).fit(frame)
    assert encoder.transform(frame)[name].tolist() == [50, 90, 70]
    assert add_history(frame, "user", name, "at", 5)[f"hist_{name}"].map(list).tolist() == [[], [50], [50, 90]]
    train, valid = time_split(frame, "at", valid_from=3)
    assert isinstance(train, pd.DataFrame)
    assert (len(train), len(valid)) == (2, 1)


def test_rows_of_every_table() -> None:
    whole = pa.table({"height": [1, 2]})
    for data in (whole, whole.to_batches()[0], pl.DataFrame({"height": [1, 2]}), {"height": [1, 2]}):
        assert row_count(data, ["height"]) == 2
        assert column_names(data) == ["height"]
