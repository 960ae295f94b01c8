"""DIN: what a user bought before, weighted by its relation to the target item."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat, get_feature_names
from deepctr_torch.models import DIN

Column: TypeAlias = SparseFeat | VarLenSparseFeat | DenseFeat


def get_xy_fd() -> tuple[dict[str, np.ndarray], np.ndarray, list[Column], list[str]]:
    feature_columns: list[Column] = [
        SparseFeat("user", 3, embedding_dim=8),
        SparseFeat("gender", 2, embedding_dim=8),
        SparseFeat("item", 3 + 1, embedding_dim=8),  # one more: id 0 is padding in the histories
        SparseFeat("item_gender", 2 + 1, embedding_dim=8),
        DenseFeat("score", 1),
    ]
    # The history of `item` is the sequence named `hist_item`. With embedding_name it shares the table of `item`.
    feature_columns += [
        VarLenSparseFeat(
            SparseFeat("hist_item", 3 + 1, embedding_dim=8, embedding_name="item"), maxlen=4, length_name="seq_length"
        ),
        VarLenSparseFeat(
            SparseFeat("hist_item_gender", 2 + 1, embedding_dim=8, embedding_name="item_gender"),
            maxlen=4,
            length_name="seq_length",
        ),
    ]
    behavior_feature_list = ["item", "item_gender"]

    feature_dict = {
        "user": np.array([0, 1, 2]),
        "gender": np.array([0, 1, 0]),
        "item": np.array([1, 2, 3]),
        "item_gender": np.array([1, 2, 1]),
        "score": np.array([0.1, 0.2, 0.3]),
        "hist_item": np.array([[1, 2, 3, 0], [1, 2, 3, 0], [1, 2, 0, 0]]),
        "hist_item_gender": np.array([[1, 1, 2, 0], [2, 1, 1, 0], [2, 1, 0, 0]]),
        "seq_length": np.array([3, 3, 2]),
    }
    x = {name: feature_dict[name] for name in get_feature_names(feature_columns)}
    y = np.array([1, 0, 1])
    return x, y, feature_columns, behavior_feature_list


if __name__ == "__main__":
    x, y, feature_columns, behavior_feature_list = get_xy_fd()

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model = DIN(feature_columns, behavior_feature_list, att_weight_normalization=True, device=device)
    model.compile("adagrad", "binary_crossentropy", metrics=["binary_crossentropy"])
    history = model.fit(x, y, batch_size=3, epochs=10, verbose=2, validation_split=0.0)
    print("binary_crossentropy", [round(value, 3) for value in history.history["binary_crossentropy"]])
    print("prediction", model.predict(x).round(3).ravel())
