"""MMOE learns two tasks at once: will a user like this movie (4 stars or more), and love it (5 stars)?"""

from __future__ import annotations

import torch

from deepctr_torch.datasets import load_movielens, movielens_features
from deepctr_torch.models import MMOE

if __name__ == "__main__":
    data = movielens_features(load_movielens())
    target = ["like", "love"]

    # 1. Labels: one column for each task. The columns of the model describe the features.
    y_train, y_test = data.multitask_labels((4.0, 5.0))
    dnn_feature_columns = data.columns(embedding_dim=8).dnn

    # 2. Train, predict, evaluate. Each metric has a value for each task, and the mean over the tasks.
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model = MMOE(
        dnn_feature_columns,
        expert_dnn_hidden_units=(64, 32),
        gate_dnn_hidden_units=(16,),
        tower_dnn_hidden_units=(16,),
        task_types=["binary", "binary"],
        task_names=target,
        l2_reg_embedding=0.01,
        init_std=0.05,
        device=device,
    )
    model.compile(
        "adam",
        loss=["binary_crossentropy", "binary_crossentropy"],
        metrics=["binary_crossentropy", "auc", "gauc:user"],
    )
    model.fit(data.train, y_train, batch_size=256, epochs=2, verbose=2)
    pred_ans = model.predict(data.test, 256)
    print("predictions", pred_ans.shape)
    for name, value in model.evaluate(data.test, y_test).items():
        print("test", name, round(value, 4))
