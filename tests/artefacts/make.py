"""Write the artefacts beside this file, in the formats of the version that runs: `make.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from deepctr_torch import CTRClassifier, CTRRegressor
from deepctr_torch.cli import main
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM

SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 16, "embedding_dim": 4, "validation_fraction": 0.2}
INPUTS = ["user", "movie", "hist_movie", "price"]


def table(rows: int = 48) -> pl.DataFrame:
    """Ids, histories, numbers with gaps; labels `click`, `buy` and `stars`."""
    rng = np.random.default_rng(7)
    user, movie = rng.integers(0, 5, rows), rng.integers(0, 4, rows)
    price = rng.normal(20, 10, rows).round(2)
    click = (rng.random(rows) < 1 / (1 + np.exp(1.5 - movie))).astype(int)
    return pl.DataFrame(
        {
            "user": [f"u{u}" if u else None for u in user],
            "movie": [f"m{m}" for m in movie],
            "hist_movie": ["|".join(f"m{m}" for m in rng.integers(0, 4, rng.integers(0, 4))) for _ in range(rows)],
            "price": [p if p > 8 else None for p in price.tolist()],
            "click": click,
            "buy": click * rng.integers(0, 2, rows),
            "stars": (3 + movie / 2 + rng.normal(size=rows) / 4).round(3),
        }
    )


def matrix(rows: int = 48) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Input of the model without an encoder, and its labels."""
    rng = np.random.default_rng(8)
    lengths = rng.integers(0, 4, rows)
    x = {
        "user": rng.integers(0, 5, rows),
        "movie": rng.integers(0, 4, rows),
        "hist_movie": rng.integers(1, 4, (rows, 3)) * (np.arange(3) < lengths[:, None]),
        "hist_length": lengths,
        "price": rng.normal(size=rows).astype(np.float32),
    }
    return x, (rng.random(rows) < 0.4).astype(np.float32)


def model() -> DeepFM:
    """A DeepFM over columns of every kind, not yet trained."""
    columns = [
        SparseFeat("user", 5, 4),
        SparseFeat("movie", 4, 4),
        VarLenSparseFeat(SparseFeat("hist_movie", 4, 4, embedding_name="movie"), 3, "mean", "hist_length"),
        DenseFeat("price", 1),
    ]
    return DeepFM(columns, columns, dnn_hidden_units=(4,), seed=1)


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = table()
    rows.write_csv(folder / "rows.csv")
    x = rows.select(INPUTS)
    predictions: dict[str, Any] = {}

    small = {"model_args": {"dnn_hidden_units": (4,)}, **SMALL}
    classifier = CTRClassifier("DeepFM", **small).fit(x, rows["click"])
    classifier.save(folder / "classifier")
    predictions["classifier"] = classifier.predict_proba(x).tolist()

    experts = {"expert_dnn_hidden_units": (4,), "tower_dnn_hidden_units": (4,), "gate_dnn_hidden_units": (4,)}
    tasks = CTRClassifier("MMOE", model_args={**experts, "num_experts": 2}, **SMALL).fit(x, rows[["click", "buy"]])
    tasks.save(folder / "multitask")
    predictions["multitask"] = tasks.predict_proba(x).tolist()

    regressor = CTRRegressor("WDL", **small).fit(x, rows["stars"])
    regressor.save(folder / "regressor")
    predictions["regressor"] = regressor.predict(x).tolist()

    options = ["epochs=2", "batch_size=16", "embedding_dim=4", "model_args.dnn_hidden_units=[4]"]
    options += ["features.buy=skip", "features.stars=skip"]
    settings = [word for option in options for word in ("--set", option)]
    main_ends(["fit", "--data", str(folder / "rows.csv"), "--label", "click", "--out", str(folder / "run"), *settings])
    predictions["run"] = CTRClassifier.load(folder / "run").predict_proba(str(folder / "rows.csv")).tolist()
    settings_file = folder / "run" / "run.toml"
    settings_file.write_text(settings_file.read_text().replace(str(folder.absolute()), "tests/artefacts"))

    inputs, labels = matrix()
    trained = model()
    trained.compile("adam", "binary_crossentropy", metrics=["auc"])
    trained.fit(inputs, labels, batch_size=16, epochs=2, verbose=0)
    trained.save(folder / "model")
    torch.save(trained.state_dict(), folder / "state_dict.pt")
    torch.save(trained, folder / "model.pt")
    predictions["model"] = trained.predict(inputs).tolist()
    (folder / "predictions.json").write_text(json.dumps(predictions) + "\n")


def main_ends(arguments: list[str]) -> None:
    """Run a command, which exits."""
    try:
        main(arguments)
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    write(Path(sys.argv[1]))
