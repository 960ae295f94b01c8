"""The features as the baselines read them."""

from __future__ import annotations

import numpy as np

from deepctr_torch.demo import baselines
from deepctr_torch.demo.task import NUMBERS, Splits


def test_baselines_read_the_features_and_change_none(splits: Splits) -> None:
    x, vocabulary = splits.test, splits.data.vocabulary
    before = {name: values.copy() for name, values in x.items()}
    linear = baselines.linear_inputs(x, vocabulary).toarray()
    trees = baselines.boosting_inputs(x, vocabulary)
    for name, values in before.items():
        np.testing.assert_array_equal(x[name], values)
    row = int(np.flatnonzero(x["hist_length"] > 2)[0])
    genres, history = ([int(i) for i in before[name][row] if i] for name in ("genres", "hist_movie"))

    def shares(ids: list[int], size: int) -> np.ndarray:
        return np.bincount(ids, minlength=size) / len(ids)

    expected = [shares([int(before[name][row])], vocabulary[name]) for name in ("user", "movie", "year")]
    expected.append(shares(genres, vocabulary["genres"]))
    expected.append(baselines.HISTORY_SCALE * shares(history, vocabulary["movie"]))
    expected.append(np.array([before[name][row] for name in NUMBERS]))
    np.testing.assert_allclose(linear[row], np.concatenate(expected), rtol=1e-6)
    assert trees[row, :3].tolist() == [before[name][row] for name in ("year", "user", "movie")]
    assert trees[row, 7:9].tolist() == [len(history), history[-1]]
    assert (np.flatnonzero(trees[row, 9:]) + 1).tolist() == sorted(genres)
