"""Trains in processes that are killed again and again: `python -m tests.support.kills FOLDER KIND UPDATE`.

A process is a fork of this one, which has imported all there is to import. Prints JSON: what came of it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepctr_torch.callbacks import EarlyStopping, ReduceLROnPlateau
from tests.support import click_files
from tests.support.training import deepfm, inputs, labels

KILLS = 25
PARTS = 30  # the mean time to a kill is that of the whole training over so many


def train(kind: str, update: str, files: Path, checkpoints: Path | None) -> dict[str, Any]:
    """What is to be the same at the end."""
    how: dict[str, Any] = {} if checkpoints is None else {"checkpoint_dir": checkpoints, "checkpoint_every": 3}
    own = [EarlyStopping("val_auc", patience=50, restore_best_weights=True), ReduceLROnPlateau("val_loss", patience=3)]
    plan = {"batch_size": 16, "epochs": 8, "verbose": 0, "eval_every": 10, "callbacks": own}
    compiled = {"metrics": ["auc", "gauc:user"], "embedding_update": update, "lr_schedule": "cosine"}
    if kind == "memory":
        x, y = inputs(600), labels(600)
        model = deepfm(dnn_dropout=0.3)
        model.compile("adam", "binary_crossentropy", **compiled)
        model.fit(x, y, validation_data=(x, y), resume=checkpoints is not None, **plan, **how)
    else:
        frame = click_files.frame(200, seed=1)
        x = {"a": frame["a"], "d": frame["d"], "v": np.stack(frame["v"]), "s": [list(s) for s in frame["s"]]}
        data = (x | {"user": frame["user"]}, frame["click"])
        model = click_files.model(dnn_dropout=0.3)
        model.compile("adam", "binary_crossentropy", **compiled)
        where = click_files.Files(files, buffer_rows=150)
        model.fit(where, "click", validation_data=data, resume=checkpoints is not None, **plan, **how)
    states = {name: torch.as_tensor(value) for name, value in model.state_dict().items()}
    return {"weights": states, "history": model.history.history, "predictions": torch.from_numpy(model.predict(x))}


def fork(kind: str, update: str, files: Path, checkpoints: Path | None, result: Path) -> int:
    """A process that trains and writes its result; its number."""
    child = os.fork()
    if child:
        return child
    try:
        torch.save(train(kind, update, files, checkpoints), result)
        result.with_suffix(".json").write_text(json.dumps(list(sys.modules)))
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


def main(folder: Path, kind: str, update: str) -> None:
    torch.set_num_threads(1)
    files = folder / "files"
    click_files.write(files, click_files.frame(600))
    draw = random.Random(f"{kind}/{update}")
    codes = [os.waitpid(fork(kind, update, files, None, folder / "whole.pt"), 0)[1]]
    for name in json.loads((folder / "whole.json").read_text()):  # autograd does not survive a fork, imports do
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    begin = time.monotonic()
    codes.append(os.waitpid(fork(kind, update, files, folder / "timed", folder / "timed.pt"), 0)[1])
    mean = (time.monotonic() - begin) / PARTS
    kills, inside, steps = 0, 0, set()
    for _ in range(KILLS):
        child = fork(kind, update, files, folder / "killed", folder / "killed.pt")
        time.sleep(mean * draw.uniform(0.2, 1.8))
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
        inside += any((folder / "killed").glob(".*.part"))
        steps.add(max((path.name for path in (folder / "killed").glob("step-*")), default=""))
    codes.append(os.waitpid(fork(kind, update, files, folder / "killed", folder / "killed.pt"), 0)[1])
    results = [torch.load(folder / f"{name}.pt") if not any(codes) else None for name in ("whole", "timed", "killed")]
    print(json.dumps({"codes": codes, "kills": kills, "inside": inside, "steps": len(steps), "same": same(results)}))


def same(results: list[Any]) -> bool:
    """All results are equal, bit for bit."""
    first, *others = results
    return first is not None and all(
        first["history"] == other["history"]
        and torch.equal(first["predictions"], other["predictions"])
        and all(torch.equal(value, other["weights"][name]) for name, value in first["weights"].items())
        for other in others
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
