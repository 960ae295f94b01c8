"""CowClip: rates, penalties and gradients that follow the batch size."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deepctr_torch.embedding import EmbeddingCollection, embedding_configs
from deepctr_torch.embedding.sparse_grad import CoalescedIndex, SparseGrad
from deepctr_torch.features import SparseFeat
from deepctr_torch.models import DeepFM
from deepctr_torch.optim.cowclip import CowClip
from deepctr_torch.optim.regularizer import Regularizer
from tests.support.training import assert_same_weights, deepfm, inputs, labels, taken


@pytest.mark.parametrize(("reduction", "rows"), [("mean", 1.0), ("sum", 4.0)])
@pytest.mark.parametrize("waiting", [False, True])
def test_a_row_is_cut_to_its_count_times_its_norm(reduction: str, rows: float, waiting: bool) -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 3, 2)], init_std=0.0))
    tables.assign("user", torch.tensor([[3.0, 4.0], [0.0, 0.0], [30.0, 40.0]]))
    index = torch.tensor([0, 1, 0, 2])
    sums = CoalescedIndex(index)
    if waiting:  # as on a GPU
        sums = CoalescedIndex.__new__(CoalescedIndex)
        sums._sort_in_place(index)
    gradient = torch.tensor([[100.0, 0.0], [0.0, 1.0], [100.0, 0.0], [0.6, 0.8]])
    touched = SparseGrad(tables.fused[0], sums.rows, sums.sum(gradient), sums)
    CowClip(base=2, r=0.5, zeta=1e-3).clip([touched], 4, reduction)
    cut = touched.gradient if sums.first is None else touched.gradient[sums.first]
    # row 0: twice, norm 5: at most 2 * 0.5 * 5; row 1: norm 0: at most zeta; row 2: short enough
    expected = torch.tensor([[5.0 * rows, 0.0], [0.0, 1e-3 * rows], [0.6, 0.8]])
    torch.testing.assert_close(cut, expected)


def test_rates_and_penalties_follow_the_batch() -> None:
    table, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    penalty = Regularizer([([table, other], 0.0, 0.25)])
    large = CowClip(100)
    assert large.rate(1600) == 4.0
    scaled = large.strengthen(penalty, [table], 400, "mean", sparse=False)
    assert scaled.of(table) == (0.0, 1.0)
    assert scaled.of(other) == (0.0, 0.25)
    assert large.strengthen(penalty, [table], 400, "sum", sparse=False).of(table) == (0.0, 4.0)
    assert large.strengthen(penalty, [table], 400, "mean", sparse=True).of(table) == (0.0, 0.25)
    assert large.strengthen(penalty, [table], 400, "sum", sparse=True).of(table) == (0.0, 1.0)


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_training_scales_all_but_the_tables_rate_once(mode: str) -> None:
    model = deepfm()
    model.compile("adam", "binary_crossentropy", embedding_update=mode, learning_rate=0.01, large_batch=10)
    x, y = inputs(80), labels(80)
    model.fit(x, y, batch_size=40, verbose=0)
    rest, tables = model.optim.param_groups
    assert (rest["lr"], tables["lr"]) == (0.02, 0.01)
    model.fit(x, y, batch_size=40, verbose=0)
    assert (rest["lr"], tables["lr"]) == (0.02, 0.01)
    model.fit(x, y, batch_size=10, verbose=0)
    assert (rest["lr"], tables["lr"]) == (0.01, 0.01)


def test_without_a_cut_and_at_the_base_size_nothing_changes() -> None:
    x, y = inputs(40), labels(40)
    plain, scaled = deepfm(l2_reg_embedding=0.1), deepfm(l2_reg_embedding=0.1)
    plain.compile("adam", "binary_crossentropy", embedding_update="sparse")
    large = {"base": 10, "r": 1e9, "zeta": 1e9}
    scaled.compile("adam", "binary_crossentropy", embedding_update="sparse", large_batch=large)
    for model in (plain, scaled):
        model.fit(x, y, batch_size=10, epochs=2, verbose=0)
    assert_same_weights(plain, scaled)


def test_wrong_settings() -> None:
    model = deepfm()
    with pytest.raises(ValueError, match="large_batch must be an integer of at least 1, got 0"):
        model.compile("adam", "binary_crossentropy", large_batch=0)
    with pytest.raises(ValueError, match="or a dict of it as 'base' with 'r' and 'zeta', got"):
        model.compile("adam", "binary_crossentropy", large_batch={"size": 3})
    columns = [SparseFeat("user", 5, 4)]
    given: Any = DeepFM(columns, columns, dnn_hidden_units=(4,))
    given.compile(torch.optim.Adam(given.parameters()), "binary_crossentropy", large_batch=10)
    with pytest.raises(ValueError, match="large_batch needs an optimizer given by name"):
        given.fit({"user": np.arange(5)}, np.ones(5), verbose=0)


def twins(tmp_path: Path, update: str) -> tuple[Any, list[Any]]:
    """A model trained with large batches, and copies of it by every way there is."""
    model = deepfm()
    model.compile("adam", "binary_crossentropy", embedding_update=update, learning_rate=0.01, large_batch=10)
    model.fit(inputs(80), labels(80), batch_size=40, verbose=0)
    torch.save(model, tmp_path / "model.pt")
    by_state = deepfm()
    by_state.compile("adam", "binary_crossentropy", embedding_update=update, large_batch=10)
    by_state.load_state_dict(model.state_dict())
    by_state.optim.load_state_dict(copy.deepcopy(model.optim.state_dict()))
    by_state.epochs_trained = 1
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    return model, [saved, by_state, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]


@pytest.mark.parametrize("update", ["dense", "sparse", "auto"])
def test_a_saved_rate_is_not_scaled_again(update: str, tmp_path: Path) -> None:
    model, copies = twins(tmp_path, update)
    model.fit(inputs(80), labels(80), batch_size=40, verbose=0)
    for other in copies:
        other.fit(inputs(80), labels(80), batch_size=40, verbose=0)
        assert [group["lr"] for group in other.optim.param_groups] == [0.02, 0.01]
        assert_same_weights(model, other)
        other.fit(inputs(80), labels(80), batch_size=10, verbose=0)
        assert [group["lr"] for group in other.optim.param_groups] == [0.01, 0.01]


class Batches:
    """A stream that tells nothing about its batches."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[Any]:
        x, y = inputs(80), labels(80)
        for start in range(0, 80, self.size):
            yield taken(x, slice(start, start + self.size)), y[start : start + self.size]


class Rows(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 80

    def __getitem__(self, row: int) -> Any:
        return taken(inputs(80), row), labels(80)[row]


def test_the_batches_of_a_stream_have_their_own_size() -> None:
    whole = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(Rows()), 40, drop_last=False)
    streams: list[tuple[Any, Any]] = [
        (torch.utils.data.DataLoader(Rows(), batch_size=40), None),
        (torch.utils.data.DataLoader(Rows(), batch_sampler=whole), None),
        (Batches(40), 40),
    ]
    expected = deepfm(l2_reg_embedding=0.1)
    expected.compile("adam", "binary_crossentropy", learning_rate=0.01, large_batch=10)
    expected.fit(inputs(80), labels(80), batch_size=40, verbose=0, shuffle=False)
    for stream, told in streams:
        model = deepfm(l2_reg_embedding=0.1)
        model.compile("adam", "binary_crossentropy", learning_rate=0.01, large_batch=10)
        model.fit(stream, batch_size=told, verbose=0)
        assert model.optim.param_groups[0]["lr"] == 0.02
        assert_same_weights(expected, model)
    with pytest.raises(ValueError, match=r"large_batch needs the size of the stream's batches, .* give batch_size"):
        model.fit(Batches(40), verbose=0)
