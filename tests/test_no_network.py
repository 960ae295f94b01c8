"""Nothing asks for a connection: not at import, in training, prediction, saving, loading, nor on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BLOCKED = """
import socket, sys

def refuse(event, args):
    if event.startswith("socket."):
        raise SystemExit(f"asked for the network: {event} {args}")

class NoSocket(socket.socket):
    def __init__(self, *args, **kwargs):
        raise SystemExit("asked for a socket")

socket.socket = NoSocket
sys.addaudithook(refuse)
"""
WORK = {
    "models": """
import numpy as np
from deepctr_torch import load_model
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import MODELS, DeepFM
columns = [SparseFeat("user", 9, 4), DenseFeat("price", 1)]
model = DeepFM(columns, columns, dnn_hidden_units=(4,))
model.compile("adam", "binary_crossentropy", metrics=["auc"])
x, y = {"user": np.arange(8), "price": np.ones(8)}, np.arange(8) % 2
model.fit(x, y, verbose=0, checkpoint_dir="checkpoints", checkpoint_every=1)
model.evaluate(x, y)
model.save("model")
assert (load_model("model").predict(x) == model.predict(x)).all()
""",
    "estimators": """
import numpy as np
from deepctr_torch import CTRClassifier
X, y = {"user": ["a", "b"] * 20, "price": np.linspace(0, 1, 40)}, np.arange(40) % 2
fitted = CTRClassifier(epochs=1).fit(X, y)
fitted.evaluate(X, y)
fitted.save("estimator")
assert (CTRClassifier.load("estimator").predict_proba(X) == fitted.predict_proba(X)).all()
""",
    "command line": """
from pathlib import Path
from deepctr_torch.cli import main
Path("x.csv").write_text("user,price,click\\n" + "a,1,0\\nb,2,1\\n" * 20)
for words in (
    ["models"],
    ["fit", "--data", "x.csv", "--label", "click", "--out", "run", "--set", "epochs=1", "--json"],
    ["inspect", "run", "--json"],
    ["evaluate", "run", "x.csv", "--json"],
    ["predict", "run", "x.csv", "--out", "scores.csv", "--json"],
):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, end.code
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WORK)
def test_nothing_asks_for_the_network(what: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BLOCKED + WORK[what]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=None, check=False)
    assert done.returncode == 0, done.stderr


def test_a_connection_would_be_seen(tmp_path: Path) -> None:
    for call in ("socket.create_connection(('127.0.0.1', 9))", "socket.gethostbyname('localhost')"):
        command = [sys.executable, "-c", BLOCKED + call]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 1
        assert "asked for" in done.stderr
