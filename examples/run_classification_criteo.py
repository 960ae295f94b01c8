"""DeepFM on data in the shape of Criteo's: 26 categorical columns, 13 numbers, clicked or not.

    python examples/run_classification_criteo.py [criteo_sample.txt]

Without a file it makes rows of the same shape from a known model.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, MinMaxScaler

from deepctr_torch.datasets import make_criteo_like
from deepctr_torch.inputs import DenseFeat, SparseFeat, get_feature_names
from deepctr_torch.models import DeepFM


def load() -> pd.DataFrame:
    """label, C1 to C26, I1 to I13."""
    if len(sys.argv) > 1:
        return pd.read_csv(sys.argv[1])
    made = make_criteo_like(100_000, vocabulary=1_000, seed=0)
    print(f"made {len(made.y):,} rows; the best possible: logloss {made.best_logloss:.4f}, AUC {made.best_auc:.4f}")
    return pd.DataFrame({"label": made.y.astype(np.int64), **made.x})


if __name__ == "__main__":
    data = load()
    sparse_features = [f"C{i}" for i in range(1, 27)]
    dense_features = [f"I{i}" for i in range(1, 14)]
    target = ["label"]
    if data.isna().any(axis=None):
        data[sparse_features] = data[sparse_features].fillna("-1")
        data[dense_features] = data[dense_features].fillna(0)

    # 1. Number the categories from 0; bring the numbers into [0, 1].
    for name in sparse_features:
        data[name] = LabelEncoder().fit_transform(data[name])
    data[dense_features] = MinMaxScaler(feature_range=(0, 1)).fit_transform(data[dense_features])

    # 2. Say what each column is.
    columns = [SparseFeat(name, data[name].nunique()) for name in sparse_features]
    columns += [DenseFeat(name, 1) for name in dense_features]
    feature_names = get_feature_names(columns)

    # 3. Split; a model takes a dict of arrays.
    train, test = train_test_split(data, test_size=0.2, random_state=2020)
    train_model_input = {name: train[name] for name in feature_names}
    test_model_input = {name: test[name] for name in feature_names}

    # 4. Train, predict, evaluate.
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model = DeepFM(columns, columns, task="binary", l2_reg_embedding=1e-5, device=device)
    model.compile("adam", "binary_crossentropy", metrics=["binary_crossentropy", "auc"])
    model.fit(train_model_input, train[target].values, batch_size=256, epochs=5, verbose=2)
    pred_ans = model.predict(test_model_input, 256)
    print("test LogLoss", round(log_loss(test[target].values, pred_ans), 4))
    print("test AUC", round(roc_auc_score(test[target].values, pred_ans), 4))
