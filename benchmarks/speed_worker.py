"""One side of `speed.py`: builds a model once, then trains or predicts a round whenever a line comes in on stdin.

Run by `speed.py` under the Python of each side: this package, deepctr-torch 0.3.0 (same import name, same code here) or
FuxiCTR. The first argument is the job as JSON; a round prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
import warnings
from typing import Any

import numpy as np

FIELDS, NUMBERS, HISTORY = 26, 13, 50
LAYERS = (256, 128)
ON_SEQUENCES = ("DIN", "DIEN")
MULTITASK = ("SharedBottom", "MMOE", "PLE", "ESMM")


def make_data(job: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Zipf-distributed ids of 26 equal tables and 13 uniform numbers; labels at random, since only time counts."""
    rng = np.random.default_rng(0)
    n, size = job["samples"], job["rows"] // FIELDS
    x: dict[str, np.ndarray] = {}
    for i in range(FIELDS):
        x[f"C{i}"] = np.minimum(((size + 1) ** rng.random(n)).astype(np.int64) - 1, size - 1)
    for i in range(NUMBERS):
        x[f"I{i}"] = rng.random(n, dtype=np.float32)
    if job["model"] in ON_SEQUENCES:
        lengths = rng.integers(1, HISTORY + 1, n)
        steps = np.arange(HISTORY)
        for prefix in ("hist_", "neg_hist_") if job["model"] == "DIEN" else ("hist_",):
            ids = rng.integers(1, size, (n, HISTORY))
            x[f"{prefix}C0"] = np.where(steps < lengths[:, None], ids, 0)
        x["seq_length"] = lengths
    tasks = 2 if job["model"] in MULTITASK else 1
    return x, (rng.random((n, tasks)) < 0.25).astype(np.float32)


def columns(job: dict[str, Any]) -> list[Any]:
    from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat

    size, dim = job["rows"] // FIELDS, job["dim"]
    out: list[Any] = [SparseFeat(f"C{i}", size, dim) for i in range(FIELDS)]
    out += [DenseFeat(f"I{i}", 1) for i in range(NUMBERS)]
    if job["model"] in ON_SEQUENCES:
        names = ["hist_C0", "neg_hist_C0"] if job["model"] == "DIEN" else ["hist_C0"]
        for name in names:
            one = SparseFeat(name, size, dim, embedding_name="C0")
            out.append(VarLenSparseFeat(one, HISTORY, length_name="seq_length"))
    return out


def build(job: dict[str, Any]) -> Any:
    """A model by name, through the constructors that both packages have."""
    import deepctr_torch.models as models

    name, cols, layers = job["model"], columns(job), LAYERS
    cls = getattr(models, name)
    if name == "DeepFM":
        return cls(cols, cols, dnn_hidden_units=layers)
    if name == "DIN":
        return cls(cols, ["C0"], dnn_hidden_units=layers)
    if name == "DIEN":
        return cls(cols, ["C0"], gru_type="AUGRU", use_negsampling=True, dnn_hidden_units=layers)
    if name in MULTITASK:
        return cls(cols, task_names=["click", "buy"], task_types=["binary", "binary"])
    if name in ("MLR", "PNN"):
        return cls(cols) if name == "PNN" else cls(cols, base_feature_columns=cols)
    return cls(cols, cols)


class Ours:
    """Either of the two packages named deepctr_torch."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.x, self.y = make_data(job)
        self.model = build(job)
        loss = ["binary_crossentropy"] * 2 if self.y.shape[1] == 2 else "binary_crossentropy"
        self.model.compile(job["optimizer"], loss, **job.get("options", {}))

    def run(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            if self.job["what"] == "predict":
                self.model.predict(self.x, batch_size=self.job["batch"])
            else:
                self.model.fit(self.x, self.y, batch_size=self.job["batch"], epochs=1, verbose=0)


class MLP:
    """The same MLP alone on a ready input: forward, backward, fused Adam."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch
        from torch import nn

        width = FIELDS * job["dim"] + NUMBERS
        self.net = nn.Sequential(
            nn.Linear(width, LAYERS[0]), nn.ReLU(), nn.Linear(*LAYERS), nn.ReLU(), nn.Linear(LAYERS[1], 1)
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), fused=True)
        self.x, self.y = torch.randn(job["batch"], width), (torch.rand(job["batch"], 1) < 0.25).float()
        self.steps = job["samples"] // job["batch"]
        self.leaf = bool(job.get("leaf"))
        self.loss = nn.BCEWithLogitsLoss(reduction="sum")
        self.forward = torch.compile(self.net) if job.get("compile") else self.net

    def run(self) -> None:
        for _ in range(self.steps):
            x = self.x.detach().requires_grad_(self.leaf)
            self.optimizer.zero_grad()
            self.loss(self.forward(x), self.y).backward()
            self.optimizer.step()


class Fuxi:
    """FuxiCTR's DeepFM on the same ids, through its own training loop."""

    def __init__(self, job: dict[str, Any]) -> None:
        from speed_fuxictr import make

        self.train = make(job, *make_data(job), LAYERS)

    def run(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.train()


def main() -> None:
    job = json.loads(sys.argv[1])
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(job.get("threads", 2))
    sides = {"ours": Ours, "deepctr": Ours, "mlp": MLP, "fuxictr": Fuxi}
    with contextlib.redirect_stdout(sys.stderr):
        side = sides[job["side"]](job)
        for _ in range(job.get("warm", 1)):
            side.run()
    answer({"ready": True, "torch": torch.__version__})
    for _ in sys.stdin:
        begin = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            side.run()
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer({"rate": job["samples"] / seconds, "peak_kib": peak})


def answer(value: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(value) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    main()
