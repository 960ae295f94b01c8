"""Two features share a table by hand."""

import tempfile

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

rng = np.random.default_rng(0)
columns = [SparseFeat("a", 6, 4), SparseFeat("b", 6, 4), DenseFeat("x", 1)]
x = {"a": rng.integers(0, 6, 64), "b": rng.integers(0, 6, 64), "x": rng.random(64)}
y = (x["a"] % 2).astype("float32")


def build():
    model = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu")
    model.embedding_dict["b"] = model.embedding_dict["a"]
    return model


model = build()
before = model.embedding_dict["a"].weight.detach().clone()
model.compile("adam", "binary_crossentropy")
model.fit(x, y, batch_size=16, epochs=2, verbose=0)
assert model.embedding_dict["b"] is model.embedding_dict["a"]
assert not torch.equal(model.embedding_dict["a"].weight, before)
s = model.state_dict()
assert torch.equal(s["embedding_dict.a.weight"], s["embedding_dict.b.weight"])

with tempfile.NamedTemporaryFile() as file:
    torch.save(s, file.name)
    again = build()
    again.load_state_dict(torch.load(file.name))
assert again.embedding_dict["b"].weight is again.embedding_dict["a"].weight
assert np.allclose(again.predict(x), model.predict(x), atol=1e-6)
with torch.no_grad():  # what is read as b is a
    again.embedding_dict["a"].weight.add_(1)
assert torch.equal(again.embedding_dict["b"].weight, s["embedding_dict.a.weight"] + 1)
assert not np.allclose(again.predict(x), model.predict(x))
