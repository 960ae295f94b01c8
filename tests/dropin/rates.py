"""Each table learns at its own rate; compared with a loop written by hand."""

import copy

import numpy as np
import torch

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

rng = np.random.default_rng(0)
columns = [SparseFeat("a", 6, 4), SparseFeat("b", 6, 4), DenseFeat("x", 1)]
x = {"a": rng.integers(0, 6, 64), "b": rng.integers(0, 6, 64), "x": rng.random(64)}
y = (x["a"] % 2).astype("float32")


def groups(model):
    rates = {"embedding_dict.a.weight": 0.1, "embedding_dict.b.weight": 0.01}
    tables = [{"params": [p], "lr": rates[n]} for n, p in model.named_parameters() if n in rates]
    assert len(tables) == 2
    return [*tables, {"params": [p for n, p in model.named_parameters() if n not in rates], "lr": 0.001}]


no_penalty = {"l2_reg_linear": 0, "l2_reg_embedding": 0}
model = DeepFM(columns, columns, dnn_hidden_units=(8,), task="binary", device="cpu", **no_penalty)
by_hand = copy.deepcopy(model)
before = {n: p.detach().clone() for n, p in model.named_parameters()}

model.compile(torch.optim.SGD(groups(model)), "binary_crossentropy")
model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)

X = torch.tensor(np.stack([x["a"], x["b"], x["x"]], axis=1), dtype=torch.float32)
optim = torch.optim.SGD(groups(by_hand))
for _ in range(2):
    for at in range(0, 64, 16):
        optim.zero_grad()
        predicted = by_hand(X[at : at + 16]).squeeze(1)
        # fit adds up the losses of a batch, as the original does
        torch.nn.functional.binary_cross_entropy(predicted, torch.tensor(y[at : at + 16]), reduction="sum").backward()
        optim.step()
for (name, p), q in zip(model.named_parameters(), by_hand.parameters(), strict=True):
    assert torch.allclose(p, q, atol=1e-5), name
    assert not torch.equal(p, before[name]), name
