"""DeepFM with a feature of several values: the genres of a movie, as a padded sequence of ids."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.preprocessing import LabelEncoder

from deepctr_torch.datasets import load_movielens
from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat, get_feature_names
from deepctr_torch.models import DeepFM

if __name__ == "__main__":
    data = load_movielens()
    sparse_features = ["user_id", "movie_id", "year"]

    # 1. Number the categories from 0 and the genres from 1, since 0 is padding in a sequence.
    model_input = {name: LabelEncoder().fit_transform(data[name].to_numpy()) for name in sparse_features}
    key2index: dict[str, int] = {}
    lists = [[key2index.setdefault(key, len(key2index) + 1) for key in text.split("|")] for text in data["genres"]]
    max_len = max(map(len, lists))
    genres = np.zeros((len(lists), max_len), np.int32)
    for row, ids in zip(genres, lists, strict=True):
        row[: len(ids)] = ids  # padded at the end
    model_input["genres"] = genres

    # 2. Say what each column is. The vectors of the genres of a movie are averaged.
    fixlen_feature_columns = [
        SparseFeat(name, int(model_input[name].max()) + 1, embedding_dim=4) for name in sparse_features
    ]
    varlen_feature_columns = [
        VarLenSparseFeat(
            SparseFeat("genres", vocabulary_size=len(key2index) + 1, embedding_dim=4), maxlen=max_len, combiner="mean"
        )
    ]
    columns = fixlen_feature_columns + varlen_feature_columns
    assert get_feature_names(columns) == list(model_input)

    # 3. Train; the last fifth of the rows, here the latest ratings, is kept for validation.
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model = DeepFM(
        columns, columns, task="regression", l2_reg_linear=0.01, l2_reg_embedding=0.1, init_std=0.01, device=device
    )
    model.compile("adam", "mse", metrics=["mse"])
    history = model.fit(
        model_input, data["rating"].to_numpy(), batch_size=256, epochs=4, verbose=2, validation_split=0.2
    )
    print("validation MSE", [round(value, 4) for value in history.history["val_mse"]])
