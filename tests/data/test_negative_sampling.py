"""Training on a share of the negative rows, and predictions as if all had been there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch import load_model
from deepctr_torch.data import Files
from deepctr_torch.data.batch import LabelSpec
from deepctr_torch.data.loader import make_source
from deepctr_torch.data.negative_sampling import correct_probability, keep_rows
from deepctr_torch.features import SparseFeat
from deepctr_torch.models.deepfm import DeepFM
from deepctr_torch.models.multitask.esmm import ESMM
from deepctr_torch.models.wdl import WDL
from tests.support.click_files import (
    COLUMNS,
    NUMBERED,
    ROWS,
    flat,
    frame,
    model,
    numbered,
    rows_of,
    write,
)


def test_negatives_are_sampled_by_a_hash_of_the_row() -> None:
    positive = np.zeros(100_000, bool)
    positive[::10] = True
    kept = keep_rows(positive, "a.parquet", 0, 0.1)
    assert kept[::10].all()
    assert abs(kept[~positive].mean() - 0.1) < 0.004
    parts = [keep_rows(positive[i : i + 999], "a.parquet", i, 0.1) for i in range(0, len(positive), 999)]
    np.testing.assert_array_equal(np.concatenate(parts), kept)
    assert (keep_rows(positive, "b.parquet", 0, 0.1) != kept).any()
    assert (keep_rows(positive, "a.parquet", 0, 0.1, seed=1) != kept).any()
    assert (keep_rows(positive, "a.parquet", 0, 0.3) >= kept).all()
    assert keep_rows(positive, "a.parquet", 0, 1.0).all()


@pytest.mark.parametrize("seed", [None, [0, 1]])
def test_the_same_rows_are_kept_in_any_order_and_part(folder: Path, seed: Any) -> None:
    data = frame()
    kept = []
    for number, part in enumerate(np.array_split(np.arange(ROWS), 3)):
        mask = keep_rows(data["click"].to_numpy()[part] > 0, f"part-{number}.parquet", 0, 0.3, seed=4)
        kept += part[mask].tolist()
    source = numbered(folder, negative_rate=0.3, seed=4, buffer_rows=16)
    assert (source.rows, source.steps(8)) == (None, None)
    batches = rows_of(source, 8, seed)
    assert sorted(flat(batches)) == kept
    assert {len(b) for b in batches[:-1]} == {8}
    parts = [numbered(folder, negative_rate=0.3, seed=4, rank=r, world_size=2) for r in range(2)]
    assert sorted(flat(rows_of(parts[0], 8, seed)) + flat(rows_of(parts[1], 8, seed))) == kept
    whole = numbered(folder, negative_rate=0.3, seed=4, buffer_rows=1000)
    if seed is not None:
        expected = np.array(kept)[np.random.default_rng(seed).permutation(len(kept))]
        assert flat(rows_of(whole, 8, seed)) == expected.tolist()


def test_a_positive_row_is_kept_though_its_other_label_was_not_observed(tmp_path: Path) -> None:
    row = np.arange(200)
    missing = [None if i % 2 else i % 4 == 0 for i in row.tolist()]
    labels = {"click": [float(i % 5 == 0) for i in row.tolist()], "buy": missing}
    pq.write_table(pa.table({"row": row, **labels}), tmp_path / "a.parquet")
    both = LabelSpec([("click", "binary"), ("buy", "binary")])
    files = Files(tmp_path, negative_rate=0.1)
    source = make_source(NUMBERED, files, ["click", "buy"], both, training=True)
    kept = set(flat(rows_of(source, 64)))
    positive = {i for i in row.tolist() if i % 5 == 0 or i % 4 == 0}
    assert positive <= kept
    assert len(kept - positive) < 40


@given(st.floats(0.01, 0.99), st.floats(0.01, 1.0))
def test_the_correction_of_one_task_adds_log_r_to_the_logit(p: float, rate: float) -> None:
    corrected = correct_probability(torch.tensor([[p]], dtype=torch.float64), rate)
    logit = torch.logit(torch.tensor([[p]], dtype=torch.float32)) + np.log(rate)
    torch.testing.assert_close(corrected.float(), torch.sigmoid(logit), rtol=1e-4, atol=1e-7)


@given(st.floats(0.01, 0.9), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_the_correction_of_nested_tasks_is_bayes(click: float, order: float, rate: float) -> None:
    """A table of P(click), P(buy | click), sampled at a rate: the corrected probabilities are those before sampling."""
    kept = click + (1 - click) * rate
    sampled = torch.tensor([[click / kept, click * order / kept]], dtype=torch.float64)
    expected = torch.tensor([[click, click * order]])
    torch.testing.assert_close(correct_probability(sampled, rate).float(), expected, rtol=1e-4, atol=1e-6)


def test_a_model_trained_on_sampled_negatives_predicts_the_rate_of_all_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 30_000)
    click = rng.random(30_000) < np.array([0.02, 0.1, 0.3])[a]
    buy = click & (rng.random(30_000) < 0.4)
    data = pd.DataFrame({"a": a, "click": click * 1, "buy": buy * 1})
    write(tmp_path, data, files=2, group=5000)
    columns = [SparseFeat("a", 3, 2)]
    each = WDL(columns, columns, dnn_hidden_units=())
    each.compile("adam", "binary_crossentropy", ["logloss", "calibration"], learning_rate=0.05)
    files = Files(tmp_path, label="click", negative_rate=0.1)
    history = each.fit(files, batch_size=256, epochs=10, verbose=0, validation_data=(data, "click")).history
    assert each.negative_rate == 0.1
    predicted = each.predict({"a": np.arange(3)})[:, 0]
    observed = data.groupby("a")["click"].mean().to_numpy()
    np.testing.assert_allclose(predicted, observed, rtol=0.2)
    assert abs(history["val_calibration"][-1] - 1) < 0.1
    assert history["val_loss"][-1] == pytest.approx(each.evaluate(data, "click")["logloss"], rel=1e-4)
    raw = each.eval()(torch.tensor([[0], [1], [2]]))[:, 0].detach().numpy()
    np.testing.assert_allclose(raw / (1 - raw) * 0.1, predicted / (1 - predicted), rtol=1e-4)

    both = ESMM(columns, task_types=["binary", "binary"], task_names=["click", "buy"], tower_dnn_hidden_units=(8,))
    both.compile("adam", "binary_crossentropy", learning_rate=0.02)
    both.fit(Files(tmp_path, negative_rate=0.2), ["click", "buy"], batch_size=256, epochs=4, verbose=0)
    rates = data.groupby("a")[["click", "buy"]].mean().to_numpy()
    np.testing.assert_allclose(both.predict({"a": np.arange(3)}), rates, rtol=0.3, atol=0.01)


def test_the_rate_is_saved_with_the_model(folder: Path, tmp_path: Path) -> None:
    import copy
    import pickle

    each = model()
    each.fit(Files(folder, negative_rate=0.5), "click", batch_size=16, verbose=0)
    expected = each.predict(folder)
    each.save(tmp_path)
    for other in (load_model(tmp_path), pickle.loads(pickle.dumps(each)), copy.deepcopy(each)):
        assert other.negative_rate == 0.5
        np.testing.assert_array_equal(other.predict(folder), expected)
    each.fit(folder, "click", verbose=0)
    assert each.negative_rate == 1.0


@pytest.mark.parametrize("streamed", [False, True])
def test_the_rate_is_that_of_the_last_steps(folder: Path, streamed: bool) -> None:
    each, table = model(), frame()
    x, y = ([(table, table["click"].to_numpy())], None) if streamed else (table, "click")
    sampled = Files(folder, label="click", negative_rate=0.5)
    each.fit(sampled, batch_size=16, verbose=0)
    each.fit(x, y, epochs=0, verbose=0)
    assert each.negative_rate == 0.5
    each.fit(x, y, verbose=0)
    assert each.negative_rate == 1.0
    each.fit(sampled, epochs=0, verbose=0)
    assert each.negative_rate == 1.0


def test_sampling_is_for_training_binary_tasks(folder: Path) -> None:
    files = Files(folder, label="click", negative_rate=0.5)
    each = model()
    for call in (each.evaluate, each.predict):
        with pytest.raises(ValueError, match=r"negative_rate=0\.5 is for training: .* leave it out of these files"):
            call(files)
    with pytest.raises(ValueError, match=r"negative_rate=0\.5 is for training"):
        each.fit(folder, "click", validation_data=files, verbose=0)
    regression = DeepFM(COLUMNS, COLUMNS, task="regression")
    regression.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"negative_rate=0\.5 needs binary tasks, got a regression task"):
        regression.fit(files, verbose=0)
    assert each.negative_rate == 1.0
