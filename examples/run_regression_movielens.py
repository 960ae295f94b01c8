"""DeepFM predicts ratings: a regression on the 100,004 ratings of MovieLens."""

from __future__ import annotations

import torch
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder

from deepctr_torch.datasets import load_movielens
from deepctr_torch.inputs import SparseFeat, get_feature_names
from deepctr_torch.models import DeepFM

if __name__ == "__main__":
    data = load_movielens()
    sparse_features = ["user_id", "movie_id", "year"]

    # 1. Number the categories from 0.
    encoded = {name: LabelEncoder().fit_transform(data[name].to_numpy()) for name in sparse_features}
    rating = data["rating"].to_numpy()

    # 2. Say what each column is. A table has a row for each category.
    columns = [SparseFeat(name, int(ids.max()) + 1, embedding_dim=8) for name, ids in encoded.items()]
    feature_names = get_feature_names(columns)

    # 3. Split.
    train, test = train_test_split(range(len(rating)), test_size=0.2, random_state=2020)
    train_model_input = {name: encoded[name][train] for name in feature_names}
    test_model_input = {name: encoded[name][test] for name in feature_names}

    # 4. Train, predict, evaluate. The penalty on the tables keeps the model from learning the ids by heart.
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model = DeepFM(
        columns, columns, task="regression", l2_reg_linear=0.01, l2_reg_embedding=0.1, init_std=0.01, device=device
    )
    model.compile("adam", "mse", metrics=["mse"])
    model.fit(train_model_input, rating[train], batch_size=256, epochs=5, verbose=2, validation_split=0.2)
    pred_ans = model.predict(test_model_input, batch_size=256)
    print("test MSE", round(mean_squared_error(rating[test], pred_ans), 4))
    print("test MSE of always saying the mean", round(float(((rating[test] - rating[train].mean()) ** 2).mean()), 4))
