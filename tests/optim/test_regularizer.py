"""The penalty outside autograd equals the penalty in the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepctr_torch.optim.regularizer import Regularizer
from tests.support.training import assert_same_weights, deepfm, inputs, labels


def parameters() -> tuple[nn.Parameter, nn.Parameter]:
    return nn.Parameter(torch.tensor([[1.0, -2.0], [0.0, 3.0]])), nn.Parameter(torch.tensor([0.5, -0.5]))


def test_value_and_gradient_by_hand() -> None:
    w, v = parameters()
    penalty = Regularizer([([w], 0.0, 0.1), ([w, v], 0.5, 0.0)])  # a parameter may be registered twice
    assert penalty.of(w) == (0.5, 0.1)
    torch.testing.assert_close(penalty.value(), torch.tensor(0.1 * 14 + 0.5 * 6 + 0.5 * 1))
    v.grad = torch.ones(2)
    penalty.add_gradients()
    assert w.grad is not None
    torch.testing.assert_close(w.grad, torch.tensor([[0.2 + 0.5, -0.4 - 0.5], [0.0, 0.6 + 0.5]]))
    torch.testing.assert_close(v.grad, torch.tensor([1.5, 0.5]))


def test_parameters_that_are_not_trained_or_not_penalised_are_left_out() -> None:
    w, v = parameters()
    w.requires_grad_(False)
    assert Regularizer([([w], 0.0, 1.0), ([v], 0.0, 0.0)]).value() == 0.0
    w.requires_grad_(True)
    both = Regularizer([([w, v], 0.0, 1.0)])
    assert both.without([w]).strengths == {v: (0.0, 1.0)}
    assert both.without([w]).of(w) == (0.0, 0.0)


def test_it_equals_the_penalty_of_autograd() -> None:
    model = deepfm(l2_reg_linear=0.1, l2_reg_embedding=0.2, l2_reg_dnn=0.3)
    model.add_regularization_weight(model.dnn.named_parameters(), l1=0.05)
    penalty = Regularizer(model.regularization_weight)
    loss = model.get_regularization_loss()
    assert loss.shape == (1,)
    torch.testing.assert_close(penalty.value(), loss.detach()[0])
    loss.backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    for p in model.parameters():
        p.grad = None
    penalty.add_gradients()
    assert len(expected) > 4
    torch.testing.assert_close({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, expected)


@pytest.mark.parametrize("given", ["adamw", "instance"])
def test_optimizers_get_it_in_the_gradient_and_never_as_decoupled_decay(given: str) -> None:
    x, y = inputs(16), labels(16)
    model = deepfm(l2_reg_linear=0.05, l2_reg_embedding=0.1, l2_reg_dnn=0.2)
    reference = deepfm(l2_reg_linear=0.05, l2_reg_embedding=0.1, l2_reg_dnn=0.2)
    # Amsgrad-free AdamW without its own decay is Adam: a decoupled penalty would give other weights.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0) if given == "instance" else given
    rate = None if given == "instance" else 0.01
    model.compile(optimizer, "binary_crossentropy", learning_rate=rate, embedding_update="dense")
    model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    adam = torch.optim.Adam(reference.parameters(), lr=0.01)
    packed = reference.schema.pack(next(iter(reference_batches(reference, x))))
    for _ in range(3):
        adam.zero_grad()
        loss = nn.functional.binary_cross_entropy(reference(packed)[:, 0], torch.from_numpy(y), reduction="sum")
        (loss + reference.get_regularization_loss()[0]).backward()
        adam.step()
    assert_same_weights(model, reference, rtol=1e-4, atol=1e-6)


def reference_batches(model: object, x: dict[str, np.ndarray]) -> list[object]:
    from deepctr_torch.data.loader import make_source

    return [e.batch for e in make_source(model.schema, x).batches(1000)]  # type: ignore[attr-defined]
