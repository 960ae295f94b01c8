"""Raw ratings in, probabilities out: train on the past, save, load, and go on with newer days.

Needs the extra `demo`.
"""

import polars as pl

from deepctr_torch import CTRClassifier
from deepctr_torch.datasets import load_movielens
from deepctr_torch.temporal import add_history, add_rates, time_split

if __name__ == "__main__":
    # 1. Raw rows with ids and text; what the user liked before, and rates known at that time.
    ratings = load_movielens().rename({"user_id": "user", "movie_id": "movie"})
    ratings = ratings.with_columns(liked=pl.col("rating") >= 4)
    ratings = add_history(ratings, user="user", item="movie", time="timestamp", maxlen=20, label="liked")
    ratings = add_rates(ratings, keys=["user", "movie"], label="liked", time="timestamp", prior=10)
    ratings = ratings.drop("rating", "title")
    past, test = time_split(ratings, "timestamp", fraction=0.1)
    old, new = time_split(past, "timestamp", fraction=0.1)

    # 2. Train. The latest rows are the validation rows.
    model = CTRClassifier("DeepFM", epochs=3).fit(old, "liked", time="timestamp")
    print(model.encoder_.explain())
    model.save("ratings")

    # 3. Load and predict. New users and new movies are rows like others.
    loaded = CTRClassifier.load("ratings")
    print("equal after loading:", bool((loaded.predict_proba(test) == model.predict_proba(test)).all()))
    print("test auc", round(loaded.evaluate(test, "liked")["auc"], 4))

    # 4. Go on with newer rows.
    updated = CTRClassifier("DeepFM", epochs=1).fit(new, "liked", time="timestamp", init_from="ratings")
    print("test auc after an update", round(updated.evaluate(test, "liked")["auc"], 4))
