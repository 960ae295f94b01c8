"""One side of `speed.py`: a process that holds one model and works for some seconds whenever a line comes in on stdin.

`speed.py` starts it under the Python of each side: this package, deepctr-torch 0.3.0 (the same import name, hence the
same code here) or FuxiCTR. The argument is the job as JSON. Answers are lines of JSON on the standard output as the
process found it; whatever the packages print goes to the standard error. The first line on stdin asks for a warm-up,
in which the work of a round is chosen so that it takes `seconds`; each further line asks for a round.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

FIELDS, NUMBERS, HISTORY = 26, 13, 50
LAYERS = (256, 128)
ON_SEQUENCES = ("DIN", "DIEN")
MULTITASK = ("SharedBottom", "MMOE", "PLE", "ESMM")
WITHOUT_NUMBERS = ("AFM", "CCPM")  # neither package takes DenseFeat in their deep columns
WITHOUT_LINEAR = ("PNN", "MLR")
PROBES = 0.15  # share of a round that the last probe of the warm-up must take to be believed


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
        lengths = rng.integers(1, HISTORY + 1, n)  # never 0: deepctr-torch's DIEN cannot train on empty histories
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
    """A model by name with its own defaults, through the constructors that both packages have."""
    import deepctr_torch.models as models

    name, cols = job["model"], columns(job)
    cls = getattr(models, name)
    if name == "DIN":
        return cls(cols, ["C0"])
    if name == "DIEN":
        return cls(cols, ["C0"], gru_type="AUGRU", use_negsampling=True)
    if name in MULTITASK:
        return cls(cols, task_names=["click", "buy"], task_types=["binary", "binary"])
    if name in WITHOUT_LINEAR:
        return cls(cols)
    if name in WITHOUT_NUMBERS:
        return cls(cols, [c for c in cols if not c.name.startswith("I")])
    return cls(cols, cols)


class Side:
    """What a worker runs."""

    detail = ""

    def prepare(self, steps: int) -> None:
        """Untimed, before the first `run` with this number of steps."""

    def run(self, steps: int) -> None:
        """Work through `steps` batches."""
        raise NotImplementedError


class Training(Side):
    """`fit` of either of the two packages named deepctr_torch."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.batch = job["batch"]
        self.x, self.y = make_data(job)
        self.model = build(job)
        loss = ["binary_crossentropy"] * 2 if self.y.shape[1] == 2 else "binary_crossentropy"
        self.model.compile(job["optimizer"], loss, **job.get("options", {}))

    def run(self, steps: int) -> None:
        n = steps * self.batch
        x = {name: values[:n] for name, values in self.x.items()}
        self.model.fit(x, self.y[:n], batch_size=self.batch, epochs=1, verbose=0)
        if hasattr(self.model, "_update"):  # this package: how "auto" was decided
            self.detail = f"{self.model._update.mode} updates"


class Predicting(Training):
    """`predict` over batches; with `each`, one call of `predict` for each batch."""

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(job)
        self.each = job["what"] == "latency"
        self.first = {name: values[: self.batch] for name, values in self.x.items()}

    def run(self, steps: int) -> None:
        if self.each:
            for _ in range(steps):
                self.model.predict(self.first, batch_size=self.batch)
            return
        n = steps * self.batch
        self.model.predict({name: values[:n] for name, values in self.x.items()}, batch_size=self.batch)


class Calling(Training):
    """`model(X)` on a ready packed matrix, without gradients; with "batch", on a ready `Batch` of this package."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch

        super().__init__(job)
        parts = [self.x[name][: self.batch].reshape(self.batch, -1) for name in self.model.feature_index]
        self.ready: Any = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))
        if job["what"] == "call-batch":
            self.ready = self.model.schema.unpack(self.ready)
        self.model.eval()

    def run(self, steps: int) -> None:
        import torch

        with torch.inference_mode():
            for _ in range(steps):
                self.model(self.ready)


class MLP(Side):
    """The same MLP alone on a ready input: forward, backward, fused Adam. With `leaf`, the input has a gradient."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch
        from torch import nn

        width = FIELDS * job["dim"] + NUMBERS
        self.net = nn.Sequential(
            nn.Linear(width, LAYERS[0]), nn.ReLU(), nn.Linear(*LAYERS), nn.ReLU(), nn.Linear(LAYERS[1], 1)
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), fused=True)
        self.x, self.y = torch.randn(job["batch"], width), (torch.rand(job["batch"], 1) < 0.25).float()
        self.leaf = bool(job.get("leaf"))
        self.loss = nn.BCEWithLogitsLoss(reduction="sum")
        self.forward: Any = torch.compile(self.net) if job.get("compile") else self.net

    def run(self, steps: int) -> None:
        for _ in range(steps):
            x = self.x.detach().requires_grad_(self.leaf)
            self.optimizer.zero_grad()
            self.loss(self.forward(x), self.y).backward()
            self.optimizer.step()


class Fuxi(Side):
    """FuxiCTR's DeepFM on the same rows, through its own loaders and training loop."""

    def __init__(self, job: dict[str, Any]) -> None:
        from speed_fuxictr import Trainer

        self.x, self.y = make_data(job)
        self.batch = job["batch"]
        self.trainer = Trainer(job, LAYERS, [n for n in self.x if n[0] == "C"], [n for n in self.x if n[0] == "I"])

    def prepare(self, steps: int) -> None:
        n = steps * self.batch
        self.trainer.load({**{name: values[:n] for name, values in self.x.items()}, "label": self.y[:n, 0]})

    def run(self, steps: int) -> None:
        self.trainer.fit()


def warm_up(side: Side, seconds: float, most: int) -> tuple[int, float]:
    """Steps that take about `seconds`, and the seconds that one takes; the first step of all is left out."""
    side.prepare(1)
    side.run(1)
    steps = 1
    while True:
        side.prepare(steps)
        side.run(steps)  # what depends on the shape of the data is done now
        begin = time.perf_counter()
        side.run(steps)
        spent = time.perf_counter() - begin
        if spent > PROBES * seconds or steps == most:
            chosen = max(1, min(most, round(seconds * steps / spent)))
            side.prepare(chosen)
            return chosen, spent / steps
        steps = min(most, max(steps + 1, int(steps * min(20.0, 2 * PROBES * seconds / max(spent, 1e-6)))))


SIDES: dict[str, Callable[[dict[str, Any]], Side]] = {
    "fit": Training,
    "predict": Predicting,
    "latency": Predicting,
    "call": Calling,
    "call-batch": Calling,
    "mlp": MLP,
    "fuxictr": Fuxi,
}


def main() -> None:
    job = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # packages print, from threads too

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(job["threads"])
    side = SIDES[job["what"]](job)
    package = {"mlp": "torch", "fuxictr": "fuxictr"}.get(job["what"], "deepctr-torch")
    versions = {"python": platform.python_version(), "numpy": version("numpy"), "torch": version("torch")}
    versions = {name: number.partition("+")[0] for name, number in {**versions, package: version(package)}.items()}
    answer(ready=True, versions=versions)
    most = job.get("most_steps", job["samples"] // job["batch"])
    steps = 0
    for _ in sys.stdin:
        if not steps:
            steps, each = warm_up(side, job["seconds"], most)
            answer(steps=steps, step_seconds=each, detail=side.detail)
            continue
        begin, busy = time.perf_counter(), time.process_time()
        side.run(steps)
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        samples = steps * job["batch"]
        answer(rate=samples / seconds, processor_rate=samples / busy, seconds=seconds, peak_mb=peak)


if __name__ == "__main__":
    main()
