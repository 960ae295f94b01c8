"""DeepFM against Guo et al., IJCAI 2017, equation 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import DeepFM
from tests.support.cases import FIELDS, PRICE, USER, inputs, packed
from tests.support.reference import Row, assert_follows, penalty_of, randomized


def fm(row: Row) -> float:
    return float(sum(a @ b for a, b in row.pairs()))


def deep(row: Row) -> float:
    return float(row.w["dnn_linear.weight"][0] @ row.dnn(row.flat))


@pytest.mark.parametrize("use_fm", [True, False])
@pytest.mark.parametrize("hidden", [(6, 5), ()])
def test_logit_is_linear_plus_pairwise_products_plus_dnn(use_fm: bool, hidden: tuple[int, ...]) -> None:
    model = randomized(DeepFM(FIELDS, FIELDS, use_fm=use_fm, dnn_hidden_units=hidden))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + use_fm * fm(r) + (deep(r) if hidden else 0))


def test_the_two_sides_may_have_different_columns() -> None:
    model = randomized(DeepFM([PRICE, USER], FIELDS[1:], dnn_hidden_units=(4,)))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + fm(r) + deep(r))


def test_every_class_has_a_logit_of_each_part() -> None:
    model = randomized(DeepFM([], FIELDS, dnn_hidden_units=(4,), task="multiclass", num_classes=3))

    def logits(row: Row) -> np.ndarray:
        pooled = sum(a * b for a, b in row.pairs())
        return row.w["fm.projection.weight"] @ pooled + row.w["dnn_linear.weight"] @ row.dnn(row.flat)

    assert_follows(model, inputs(FIELDS, 5), logits)


def test_mixed_dimensions_are_an_error_that_names_them_or_fine_without_fm() -> None:
    columns = [SparseFeat("a", 5, 2), SparseFeat("b", 6, 3)]
    with pytest.raises(ValueError, match=r"DeepFM needs one embedding_dim for all columns, got \{'a': 2, 'b': 3\}"):
        DeepFM(columns, columns)
    model = randomized(DeepFM(columns, columns, use_fm=False, dnn_hidden_units=(4,)))
    assert_follows(model, inputs(columns, 6), lambda r: r.linear + deep(r))


def test_slopes_of_prelu_are_not_penalized() -> None:
    """W12 in `docs/differences.md`."""
    model = DeepFM(FIELDS, FIELDS, dnn_hidden_units=(4,), dnn_activation="prelu", l2_reg_dnn=0.5)
    assert [n for n, l2 in penalty_of(model).items() if l2 == 0.5] == ["dnn.linears.0.weight", "dnn_linear.weight"]


def test_init_std_reaches_the_linear_side() -> None:
    """W13 in `docs/differences.md`."""
    columns = [SparseFeat("a", 4000, 4)]
    weight = DeepFM(columns, columns, init_std=0.3).linear_model.embedding_dict["a"].weight
    assert weight.std().item() == pytest.approx(0.3, rel=0.1)


def test_dice_and_names_of_activations_work_in_the_dnn() -> None:
    """C11 in `docs/differences.md`."""
    x, y = inputs(FIELDS, 16), np.arange(16) % 2.0
    for activation in ("dice", "gelu", "leaky_relu", torch.nn.Tanh):
        model = DeepFM(FIELDS, FIELDS, dnn_hidden_units=(4,), dnn_activation=activation, init_std=0.1)
        model.compile("adam", "binary_crossentropy", learning_rate=0.05)
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history["loss"]
        assert history[-1] < history[0]


def test_the_square_of_a_gradient_has_a_gradient() -> None:
    model = randomized(DeepFM(FIELDS, FIELDS, dnn_hidden_units=(4,), dnn_activation="tanh")).double().train()
    batch = model.schema.unpack(packed(model, FIELDS, 6))
    batch = batch._replace(dense=batch.dense.double())
    rows = [r.detach().requires_grad_() for r in model.embedding.lookup(batch)]
    weight = model.dnn.linears[0].weight

    def steepness() -> torch.Tensor:
        grads = torch.autograd.grad(model.predict_rows(batch, rows)[0].sum(), [*rows, weight], create_graph=True)
        return torch.stack([g.square().sum() for g in grads]).sum()

    found = torch.autograd.grad(steepness(), [*rows, weight])
    for tensor, grad in zip([*rows, weight], found, strict=True):
        values, step = tensor.data.view(-1), 1e-5
        at = int(grad.abs().argmax())
        values[at] += step
        above = steepness()
        values[at] -= 2 * step
        below = steepness()
        values[at] += step
        assert grad.flatten()[at].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-4)
