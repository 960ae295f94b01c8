"""`make_source`: the kind of source for each kind of input, and the labels that must come with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepctr_torch.data.arrays import ArraySource
from deepctr_torch.data.file_source import FileSource
from deepctr_torch.data.loader import make_source
from deepctr_torch.data.stream import StreamSource
from tests.support.sources import LABELS, SCHEMA, data


@pytest.mark.parametrize("of", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_samples_in_memory_are_an_array_source(of: Any) -> None:
    assert isinstance(make_source(SCHEMA, of(data(3)), [0, 1, 0], LABELS), ArraySource)


def test_files_are_a_file_source(tmp_path: Path) -> None:
    pd.DataFrame({**data(3), "click": [0, 1, 0]}).to_csv(tmp_path / "a.csv", index=False)
    source = make_source(SCHEMA, tmp_path, "click", LABELS)
    assert isinstance(source, FileSource)
    assert not source.once
    assert not source.weighted
    assert (source.batch_size, source.negative_rate) == (None, 1.0)


def test_a_list_of_labelled_batches_is_a_stream_that_is_read_again() -> None:
    source = make_source(SCHEMA, [(data(2), [0, 1]), (data(1), [0])], None, LABELS)
    assert isinstance(source, StreamSource)
    assert not source.once
    assert source.steps(99) == 2


def test_labels_must_come() -> None:
    with pytest.raises(ValueError, match="labels are missing: pass y"):
        make_source(SCHEMA, data(2), None, LABELS)
    with pytest.raises(ValueError, match="2 inputs, 3 labels"):
        make_source(SCHEMA, data(2), [0, 1, 1], LABELS)
