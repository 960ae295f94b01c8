"""Fixtures of the estimators' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepctr_torch import CTRClassifier
from tests.support.estimators import classifier, frame, inputs

TABLE = frame()


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table in two files of several row groups."""
    folder = tmp_path_factory.mktemp("raw")
    TABLE[:350].write_parquet(folder / "a.parquet", row_group_size=90)
    TABLE[350:].write_parquet(folder / "b.parquet", row_group_size=100)
    return folder


@pytest.fixture(scope="session")
def fitted() -> CTRClassifier:
    return classifier().fit(inputs(TABLE), TABLE["click"])
