"""DIEN with negative sampling: will a user who bought these items buy that one?

Each step of a history has two features, item and category. The negatives of the auxiliary loss are drawn from the
distribution of the items in the histories, each with its category.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch

from deepctr_torch.datasets import sample_negatives
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat, get_feature_names
from deepctr_torch.models import DIEN

Column: TypeAlias = SparseFeat | VarLenSparseFeat | DenseFeat

ITEMS, CATES, STEPS = 4, 3, 4  # ids 1 to 3 and 1 to 2; 0 is padding
CATE_OF_ITEM = np.array([0, 1, 2, 1])


def get_xy_fd() -> tuple[dict[str, np.ndarray], np.ndarray, list[Column], list[str]]:
    def history(name: str, table: str, vocabulary: int) -> VarLenSparseFeat:
        # embedding_name: a step of the history has the vector of its item
        column = SparseFeat(name, vocabulary, embedding_dim=8, embedding_name=table)
        return VarLenSparseFeat(column, maxlen=STEPS, length_name="seq_length")

    feature_columns: list[Column] = [
        SparseFeat("user", 3, embedding_dim=8),
        SparseFeat("gender", 2, embedding_dim=8),
        SparseFeat("item", ITEMS, embedding_dim=8),
        SparseFeat("item_gender", CATES, embedding_dim=8),
        DenseFeat("score", 1),
        history("hist_item", "item", ITEMS),
        history("hist_item_gender", "item_gender", CATES),
        history("neg_hist_item", "item", ITEMS),
        history("neg_hist_item_gender", "item_gender", CATES),
    ]
    behavior_feature_list = ["item", "item_gender"]

    hist_item = np.array([[1, 2, 3, 0], [1, 2, 3, 0], [1, 2, 0, 0]])
    neg_hist_item = sample_negatives(hist_item, np.bincount(hist_item.ravel(), minlength=ITEMS), seed=1024)
    item = np.array([1, 2, 3])
    feature_dict = {
        "user": np.array([0, 1, 2]),
        "gender": np.array([0, 1, 0]),
        "item": item,
        "item_gender": CATE_OF_ITEM[item],
        "score": np.array([0.1, 0.2, 0.3]),
        "hist_item": hist_item,
        "hist_item_gender": CATE_OF_ITEM[hist_item],
        "neg_hist_item": neg_hist_item,
        "neg_hist_item_gender": CATE_OF_ITEM[neg_hist_item],
        "seq_length": np.array([3, 3, 2]),
    }
    x = {name: feature_dict[name] for name in get_feature_names(feature_columns)}
    y = np.array([1, 0, 1])
    return x, y, feature_columns, behavior_feature_list


if __name__ == "__main__":
    x, y, feature_columns, behavior_feature_list = get_xy_fd()

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model = DIEN(
        feature_columns,
        behavior_feature_list,
        gru_type="AUGRU",
        use_negsampling=True,
        alpha=1.0,
        dnn_hidden_units=[16, 8],
        dnn_dropout=0.1,
        device=device,
    )
    model.compile("adam", "binary_crossentropy", metrics=["binary_crossentropy"])
    history = model.fit(x, y, batch_size=3, epochs=10, verbose=2, validation_split=0.0)
    print("loss:", [round(value, 3) for value in history.history["loss"]])
    print("prediction:", model.predict(x).round(3).ravel())
