"""All tables start from xavier by `apply`."""

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

rng = np.random.default_rng(0)
columns = [SparseFeat("a", 6, 4), SparseFeat("b", 6, 4), DenseFeat("x", 1)]
x = {"a": rng.integers(0, 6, 64), "b": rng.integers(0, 6, 64), "x": rng.random(64)}
y = (x["a"] % 2).astype("float32")

model = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu")
before = model.predict(x)
model.apply(lambda t: torch.nn.init.xavier_uniform_(t.weight) if isinstance(t, torch.nn.Embedding) else None)
for name in ("a", "b"):
    weight = model.embedding_dict[name].weight.detach()
    assert 0.1 < weight.std() < (6 / (6 + 4)) ** 0.5
    assert weight.abs().max() <= (6 / (6 + 4)) ** 0.5
after = model.predict(x)
assert np.abs(after - before).max() > 0.01
X = torch.tensor(np.stack([x["a"], x["b"], x["x"]], axis=1), dtype=torch.float32)
assert np.allclose(model(X).detach().numpy(), after, atol=1e-6)
