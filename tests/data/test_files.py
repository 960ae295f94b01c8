"""`Files` as input of models: the same as memory for training, evaluation and prediction; arguments refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from deepctr_torch.data import Files
from deepctr_torch.data.arrays import ArraySource
from deepctr_torch.data.loader import make_source
from deepctr_torch.models.multitask.sharedbottom import SharedBottom
from tests.support.click_files import (
    COLUMNS,
    LABELS,
    SCHEMA,
    equal,
    frame,
    model,
    numbered,
    weights,
    write,
)


@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_frame_and_files_train_to_the_same_weights(folder: Path, shuffle: bool) -> None:
    data = frame()
    arrays = {
        "a": data["a"].to_numpy(),
        "s": data["s"].tolist(),
        "d": data["d"].to_numpy(),
        "v": np.stack(data["v"].to_list()),
        "user": data["user"].to_numpy(),
    }
    inputs = [
        (arrays, data["click"].to_numpy()),
        (data, "click"),
        (pl.from_pandas(data), "click"),
        (str(folder), "click"),
        (folder, ["click"]),
        (f"{folder}/*.parquet", "click"),
        ([folder / f"part-{i}.parquet" for i in range(3)], "click"),
        (Files(folder, label="click", threads=2), None),
    ]
    trained = []
    for x, y in inputs:
        each = model()
        each.fit(x, y, batch_size=16, epochs=3, shuffle=shuffle, verbose=0)
        trained.append(each)
    for each in trained[1:]:
        assert equal(trained[0], each)
        assert each.history.history == trained[0].history.history


def test_evaluate_predict_and_validation_data(folder: Path, tmp_path: Path) -> None:
    data = frame()
    each = model()
    history = each.fit(folder, "click", 16, validation_data=(f"{folder}/*.parquet", "click"), verbose=0).history
    other = model()
    memory = other.fit(data, "click", 16, validation_data=(data, "click"), verbose=0).history
    assert history == memory
    assert "val_auc" in history
    assert each.evaluate(folder, "click") == other.evaluate(data, "click")
    weighted = each.evaluate(Files(folder, label="click", weight="weight"))
    assert weighted == each.evaluate(folder, "click", sample_weight="weight")
    assert weighted == other.evaluate(data, "click", sample_weight=data["weight"])
    np.testing.assert_array_equal(each.predict(folder), other.predict(data))
    unlabelled = write(tmp_path / "serve", data.drop(columns=["click"]))
    np.testing.assert_array_equal(each.predict(str(unlabelled)), other.predict(data))
    again = model()
    assert again.fit(folder, "click", 16, validation_data=Files(folder, label="click"), verbose=0).history == history


def test_groups_by_another_column(folder: Path) -> None:
    each = model()
    each.compile("adam", "binary_crossentropy", ["gauc", "gauc:member"])
    data = frame()
    named = each.evaluate(folder, "click", groups={"groups": "user", "member": "user"})
    assert named == each.evaluate(data, "click", groups={"groups": data["user"], "member": data["user"]})
    each.compile("adam", "binary_crossentropy", ["gauc"])
    assert each.evaluate(folder, "click", groups="user") == {"gauc": named["gauc"]}


def test_several_tasks(folder: Path) -> None:
    trained = []
    for x in (frame(), folder):
        each = SharedBottom(COLUMNS, task_types=["binary", "binary"], task_names=["click", "buy"])
        each.compile("adam", "binary_crossentropy")
        each.fit(x, ["click", "buy"], batch_size=16, verbose=0)
        trained.append(each)
    assert equal(*trained)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ("{}", None, {}, "labels are missing: name their column"),
        ("{}", "clack", {}, r"part-0.parquet lacks the column\(s\) \['clack'\]; it has \['row', "),
        ("{}", ["click", "buy"], {}, r"one column for each of 1 task\(s\), got \['click', 'buy'\]"),
        ("{}", np.zeros(3), {}, "y must name the column.* got ndarray"),
        ("{}", "click", {"sample_weight": np.ones(3)}, "sample_weight must name a column, got ndarray"),
        ("{}", "click", {"groups": np.ones(3)}, "groups must name a column"),
        ("{}", "click", {"validation_split": 0.1}, "validation_split needs the data in memory"),
        ("{}/none.parquet", "click", {}, "there is no file, folder or glob match at"),
        ("{}/part-0.feather", "click", {}, "there is no file"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(
    folder: Path, x: str, y: Any, options: dict[str, Any], message: str
) -> None:
    each = model()
    before = [w.clone() for w in weights(each)]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        each.fit(x.format(folder), y, verbose=0, **options)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(each), strict=True))


def test_arguments_of_files(folder: Path) -> None:
    for options, message in [
        ({"buffer_rows": 0}, "buffer_rows must be an integer of at least 1, got 0"),
        ({"threads": -1}, "threads must be an integer of at least 0"),
        ({"rank": 2, "world_size": 2}, "rank must be below world_size=2, got 2"),
        ({"negative_rate": 0}, r"negative_rate must be a number in \(0, 1\], got 0"),
        ({"negative_rate": 1.5}, "negative_rate must be a number in"),
    ]:
        with pytest.raises(ValueError, match=message):
            Files(folder, **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="paths must be a path, a folder, a glob or a list of them, got 5"):
        Files(5)
    with pytest.raises(ValueError, match=r"y='buy' and Files\(label='click'\) must not differ"):
        model().fit(Files(folder, label="click"), "buy", verbose=0)
    with pytest.raises(ValueError, match="must hold at least 99 row groups"):
        numbered(folder, rank=0, world_size=99)


def test_a_file_that_is_no_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.parquet must be a Parquet file, got"):
        model().predict(tmp_path / "a.parquet")


def test_the_second_file_lacks_a_column(tmp_path: Path) -> None:
    write(tmp_path, frame(), files=1)
    write(tmp_path / "more", frame().drop(columns=["d"]), files=1)
    with pytest.raises(ValueError, match=r"more/part-0\.parquet lacks the column\(s\) \['d'\]"):
        model().predict([tmp_path / "part-0.parquet", tmp_path / "more"])


def test_in_memory_sources_are_as_before(folder: Path) -> None:
    assert isinstance(make_source(SCHEMA, frame(), "click", LABELS), ArraySource)
