"""Exponential moving averages of the weights, by hand and by torch."""

import copy

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

rng = np.random.default_rng(0)
columns = [SparseFeat("a", 6, 4), SparseFeat("b", 6, 4), DenseFeat("x", 1)]
x = {"a": rng.integers(0, 6, 64), "b": rng.integers(0, 6, 64), "x": rng.random(64)}
y = (x["a"] % 2).astype("float32")

model = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu")
ema = copy.deepcopy(model)
averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=lambda e, p, n: 0.5 * e + 0.5 * p)
averaged.update_parameters(model)
expected = {k: v.clone() for k, v in model.state_dict().items()}
model.compile(torch.optim.Adam(model.parameters(), 0.01), "binary_crossentropy")
for _ in range(3):
    model.fit(x, y, batch_size=16, verbose=0)
    with torch.no_grad():
        for e, p in zip(ema.parameters(), model.parameters(), strict=True):
            e.copy_(0.5 * e + 0.5 * p)
    averaged.update_parameters(model)
    expected = {k: 0.5 * v + 0.5 * model.state_dict()[k] for k, v in expected.items()}
for found in (ema, averaged.module):
    for k, v in found.state_dict().items():
        assert torch.allclose(v, expected[k], atol=1e-6), k
fresh = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu")
fresh.load_state_dict(expected)
assert np.allclose(ema.predict(x), fresh.predict(x), atol=1e-6)
assert np.allclose(averaged.module.predict(x), fresh.predict(x), atol=1e-6)
assert not np.allclose(ema.predict(x), model.predict(x), atol=1e-4)
