"""A model of your own in the way of DeepCTR-Torch: `forward(X)` on one packed matrix.

Such classes train, predict and save here unchanged. `custom_model.py` shows the new way, which is shorter.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deepctr_torch.datasets import load_movielens, movielens_features
from deepctr_torch.inputs import combined_dnn_input
from deepctr_torch.layers import DNN, FM
from deepctr_torch.models.basemodel import BaseModel


class MyFNN(BaseModel):
    """Linear part + FM + DNN, by hand."""

    def __init__(self, linear_feature_columns: list[Any], dnn_feature_columns: list[Any], **kwargs: Any) -> None:
        super().__init__(linear_feature_columns, dnn_feature_columns, l2_reg_embedding=0.01, init_std=0.05, **kwargs)
        self.fm = FM()
        self.dnn = DNN(self.compute_input_dim(dnn_feature_columns), (64, 32), dropout_rate=0.3, init_std=0.05)
        self.dnn_linear = nn.Linear(32, 1, bias=False)
        self.add_regularization_weight(self.dnn_linear.weight, l2=1e-5)
        self.add_regularization_weight(
            filter(lambda x: "weight" in x[0] and "bn" not in x[0], self.dnn.named_parameters()), l2=1e-5
        )
        self.to(self.device)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        sparse_embedding_list, dense_value_list = self.input_from_feature_columns(
            X, self.dnn_feature_columns, self.embedding_dict
        )
        logit = self.linear_model(X)
        logit = logit + self.fm(torch.cat(sparse_embedding_list, dim=1))
        dnn_input = combined_dnn_input(sparse_embedding_list, dense_value_list)
        logit = logit + self.dnn_linear(self.dnn(dnn_input))
        prediction: torch.Tensor = self.out(logit)
        return prediction


if __name__ == "__main__":
    data = movielens_features(load_movielens())
    columns = data.columns(embedding_dim=8)
    model = MyFNN(columns.linear, columns.dnn, task="binary", device="cpu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    model.compile(optimizer, "binary_crossentropy", metrics=["auc", "binary_crossentropy"])
    model.fit(data.train, data.y_train, batch_size=512, epochs=2, verbose=2, validation_split=0.1)
    for name, value in model.evaluate(data.test, data.y_test).items():
        print("test", name, round(value, 4))
