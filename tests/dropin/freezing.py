"""One table is frozen by name; training leaves it as it is."""

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

rng = np.random.default_rng(0)
columns = [SparseFeat("a", 6, 4), SparseFeat("b", 6, 4), DenseFeat("x", 1)]
x = {"a": rng.integers(0, 6, 64), "b": rng.integers(0, 6, 64), "x": rng.random(64)}
y = (x["a"] % 2).astype("float32")

model = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu")
frozen = {"embedding_dict.a.weight", "linear_model.embedding_dict.a.weight"}
found = set()
for name, p in model.named_parameters():
    if name in frozen:
        p.requires_grad = False
        found.add(name)
assert found == frozen
before = {n: p.detach().clone() for n, p in model.named_parameters()}
model.compile("adam", "binary_crossentropy")
model.fit(x, y, batch_size=16, epochs=2, verbose=0)
for name, p in model.named_parameters():
    assert torch.equal(p, before[name]) == (name in frozen), name
