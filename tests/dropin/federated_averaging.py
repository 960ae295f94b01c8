"""Federated averaging: two models train apart, their state dicts are averaged in place."""

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

rng = np.random.default_rng(0)
columns = [SparseFeat("a", 6, 4), SparseFeat("b", 6, 4), DenseFeat("x", 1)]
x = {"a": rng.integers(0, 6, 64), "b": rng.integers(0, 6, 64), "x": rng.random(64)}
y = (x["a"] % 2).astype("float32")


def client(part):
    model = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu")
    model.compile(torch.optim.Adam(model.parameters(), 0.01), "binary_crossentropy")
    model.fit({k: v[part] for k, v in x.items()}, y[part], batch_size=8, epochs=2, verbose=0)
    return model


one, two = client(slice(0, 32)), client(slice(32, 64))
s, t = one.state_dict(), two.state_dict()
expected = {k: (s[k] + t[k]) / 2 for k in s}
for k in s:
    s[k] += t[k]
    s[k] /= 2
two.load_state_dict(s)
for model in (one, two):
    for k, v in model.state_dict().items():
        assert torch.equal(v, expected[k]), k
    assert torch.equal(model.embedding_dict["a"].weight, expected["embedding_dict.a.weight"])
assert np.array_equal(one.predict(x), two.predict(x))
before = one.predict(x)
s["embedding_dict.a.weight"] += 1
assert not np.allclose(one.predict(x), before)
