"""A model of your own: `__init__` builds the parts, `logits` is the formula.

It multiplies the vectors of user and movie, as matrix factorization does, and adds a DNN over all features. Training,
metrics, early stopping, saving and prediction come from `BaseModel`.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from torch import Tensor, nn

import deepctr_torch
from deepctr_torch.callbacks import EarlyStopping
from deepctr_torch.datasets import load_movielens, movielens_features
from deepctr_torch.layers import DNN
from deepctr_torch.models import BaseModel


class FactorizedDNN(BaseModel):
    """logit = linear part + <user, movie> + DNN(everything)."""

    def __init__(
        self, linear_feature_columns: list[Any], dnn_feature_columns: list[Any], dropout: float = 0.0, l2: float = 0.0
    ) -> None:
        super().__init__(linear_feature_columns, dnn_feature_columns, l2_reg_embedding=l2, init_std=0.05)
        width = self.compute_input_dim(dnn_feature_columns)
        self.dnn = self.penalized(DNN(width, (64, 32), dropout_rate=dropout, init_std=0.05), l2=1e-4)
        self.dnn_linear = nn.Linear(32, 1, bias=False)

    def logits(self, fields: Any) -> Tensor:  # [B, 1]
        users, movies = fields.pick(["user"]), fields.pick(["movie"])  # [B, E]
        product = (users * movies).sum(dim=-1, keepdim=True)
        logit: Tensor = fields.linear + product + self.dnn_linear(self.dnn(fields.flat))
        return logit


if __name__ == "__main__":
    data = movielens_features(load_movielens())
    columns = data.columns(embedding_dim=8)
    model = FactorizedDNN(columns.linear, columns.dnn, dropout=0.3, l2=0.02)
    model.compile("adam", "binary_crossentropy", metrics=["auc", "logloss", "gauc:user"], embedding_lr=0.005)
    stop = EarlyStopping("val_logloss", patience=2, restore_best_weights=True)
    model.fit(
        data.train, data.y_train, batch_size=512, epochs=4, validation_split=0.1, eval_every=0.5, verbose=2,
        callbacks=[stop],
    )  # fmt: skip
    for name, value in model.evaluate(data.test, data.y_test).items():
        print("test", name, round(value, 4))

    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        again = deepctr_torch.load_model(folder, custom_objects={"FactorizedDNN": FactorizedDNN})
    print("loaded model predicts the same:", np.array_equal(again.predict(data.test), model.predict(data.test)))
