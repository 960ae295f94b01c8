"""SharedBottom against a loop over tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.features import DenseFeat, SparseFeat
from deepctr_torch.models import SharedBottom

COLUMNS = [SparseFeat("a", 5, 3), DenseFeat("d", 2)]
NAMES, KINDS = ("click", "buy", "price"), ("binary", "binary", "regression")


def data(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 5, rows), "d": rng.normal(size=(rows, 2))}


@pytest.mark.parametrize("tower", [(3, 2), ()])
@pytest.mark.parametrize("bottom", [(4,), ()])
def test_shared_bottom_is_one_dnn_and_a_tower_a_task(bottom: tuple[int, ...], tower: tuple[int, ...]) -> None:
    model = SharedBottom(COLUMNS, bottom, tower, init_std=0.5, task_types=KINDS, task_names=NAMES).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0.0, 0.5)
    state, x = model.state_dict(), data(6)
    for b in range(6):
        shared = torch.cat([state["embedding_dict.a.weight"][x["a"][b]], torch.tensor(x["d"][b], dtype=torch.float32)])
        for i in range(len(bottom)):
            shared = torch.relu(
                state[f"bottom_dnn.linears.{i}.weight"] @ shared + state[f"bottom_dnn.linears.{i}.bias"]
            )
        for t, kind in enumerate(KINDS):
            h = shared
            for i in range(len(tower)):
                key = f"tower_dnn.{t}.linears.{i}"
                h = torch.relu(state[f"{key}.weight"] @ h + state[f"{key}.bias"])
            logit = state[f"tower_dnn_final_layer.{t}.weight"] @ h + state[f"out.{t}.bias"]
            expected = torch.sigmoid(logit) if kind == "binary" else logit
            np.testing.assert_allclose(model.predict(x)[b, t], expected.item(), atol=1e-6)


def test_penalty_is_that_of_weights() -> None:
    model = SharedBottom(COLUMNS, (4,), (3,), l2_reg_dnn=0.1, l2_reg_embedding=0, init_std=0.5)
    named = [v for k, v in model.state_dict().items() if k.endswith("weight") and "embedding" not in k]
    torch.testing.assert_close(model.get_regularization_loss().squeeze(), 0.1 * sum(v.square().sum() for v in named))


def test_tasks_of_two_kinds_are_trained_together() -> None:
    model = SharedBottom(COLUMNS, (4,), (3,), init_std=0.3, task_types=KINDS, task_names=NAMES)
    model.compile(
        "adam", ["binary_crossentropy", "binary_crossentropy", "mse"], metrics={"price": ["rmse"]}, learning_rate=0.02
    )
    x = data(32)
    y = np.stack([x["a"] > 2, x["d"][:, 0] > 0, x["d"][:, 1]], axis=1).astype(float)
    losses = model.fit(x, y, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
