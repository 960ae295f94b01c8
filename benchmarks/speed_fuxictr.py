"""FuxiCTR's DeepFM, put together from FuxiCTR's own layers as its documentation describes, for `speed_worker.py`.

The wheel brings layers, loaders and the training loop, but no models: those lie in the project's repository. So DeepFM
is a subclass of its `BaseModel` here: embeddings, factorization machine and MLP are FuxiCTR's. In it numbers are fields
with a vector each, so that its MLP is 39 vectors wide where that of the others is 26 vectors and 13 numbers.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel

PENALTY = 1e-5  # as l2_reg_embedding of the others


class DeepFM(BaseModel):
    """The model: factorization machine (with its linear part) and MLP over the same embeddings."""

    def __init__(self, columns: FeatureMap, job: dict[str, Any], layers: Sequence[int], folder: Path) -> None:
        super().__init__(
            columns,
            model_id="DeepFM",
            gpu=-1,
            embedding_regularizer=PENALTY,
            model_root=str(folder),
            metrics=["AUC"],
            verbose=0,
        )
        self.embedding_layer = FeatureEmbedding(columns, job["dim"])
        self.fm = FactorizationMachine(columns)
        self.mlp = MLP_Block(columns.sum_emb_out_dim(), hidden_units=list(layers), output_dim=1)
        self.compile(job["optimizer"], "binary_crossentropy", 0.001)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: Any) -> dict[str, Any]:
        X = self.get_inputs(inputs)
        vectors = self.embedding_layer(X)
        logit = self.fm(X, vectors) + self.mlp(vectors.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logit)}

    def eval_step(self) -> None:
        """Nothing: the others, too, are timed without validation."""

    def load_weights(self, checkpoint: str) -> None:
        """Nothing: without validation there is no best checkpoint to go back to."""


class Trainer:
    """A DeepFM and the file that it is trained from."""

    def __init__(self, job: dict[str, Any], layers: Sequence[int], ids: Sequence[str], numbers: Sequence[str]) -> None:
        self.job = job
        self.folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        size = job["rows"] // len(ids)
        features: list[dict[str, Any]] = [{n: {"source": "", "type": "categorical", "vocab_size": size}} for n in ids]
        features += [{n: {"source": "", "type": "numeric"}} for n in numbers]
        description = {
            "dataset_id": "speed",
            "num_fields": len(features),
            "total_features": size * len(ids) + len(numbers),
            "input_length": len(features),
            "labels": ["label"],
            "features": features,
        }
        path = self.folder / "feature_map.json"
        path.write_text(json.dumps(description))
        self.columns = FeatureMap("speed", str(self.folder))
        self.columns.load(str(path), {"embedding_dim": job["dim"]})
        self.model = DeepFM(self.columns, job, layers, self.folder)
        self.batches: Any = None

    def load(self, columns: dict[str, np.ndarray]) -> None:
        """Write the rows as FuxiCTR reads them, and open them; in this process, which is faster here than a worker."""
        path = self.folder / "train.npz"
        np.savez(path, **columns)
        self.batches, _ = RankDataLoader(
            self.columns,
            stage="train",
            train_data=str(path),
            batch_size=self.job["batch"],
            data_format="npz",
            num_workers=0,
        )

    def fit(self) -> None:
        """One epoch."""
        self.model.fit(self.batches, epochs=1)
