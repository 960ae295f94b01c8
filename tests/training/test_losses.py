"""Losses: numbers by hand and torch's, every kind of callable, weights."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_poisson_deviance, mean_tweedie_deviance
from torch import Tensor, nn

from deepctr_torch.training.losses import LOSSES, UserLoss, focal, get_loss, link_of, poisson, tweedie, weighted_loss

P = torch.tensor([0.9, 0.2, 0.5, 0.75])
Y = torch.tensor([1.0, 0.0, 0.0, 1.0])
REDUCTIONS = ("sum", "mean", "none")


def plain(pred: Tensor, y: Tensor) -> Tensor:
    return (pred - y).square()


def average(pred: Tensor, y: Tensor) -> Tensor:
    return (pred - y).square().mean()


class Hinge(nn.Module):
    """A user's module: no `reduction` attribute, one value a row."""

    def forward(self, pred: Tensor, y: Tensor) -> Tensor:
        return torch.relu(1 - pred * (2 * y - 1))


class Reduced(nn.Module):
    """A user's module with the parameter in `forward`."""

    def forward(self, pred: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
        return F.mse_loss(pred, y, reduction=reduction)


# ------------------------------------------------------------------------------------------ named losses


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "reference"), [("binary_crossentropy", F.binary_cross_entropy), ("mse", F.mse_loss), ("mae", F.l1_loss)]
)
def test_named_losses_are_torchs(name: str, reference: Any, reduction: str) -> None:
    torch.testing.assert_close(get_loss(name)(P, Y, reduction=reduction), reference(P, Y, reduction=reduction))


COUNTS, MEANS = torch.tensor([0.0, 1.0, 4.0, 2.5]), torch.tensor([0.5, 2.0, 3.0, 2.5])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_poisson_is_torchs_and_tweedie_and_huber_their_formulas(reduction: str) -> None:
    expected = F.poisson_nll_loss(MEANS.log(), COUNTS, reduction=reduction)
    torch.testing.assert_close(get_loss("poisson")(MEANS, COUNTS, reduction=reduction), expected)
    for name, delta in (("huber", 1.0), ("huber:0.25", 0.25)):
        expected = F.huber_loss(MEANS, COUNTS, reduction=reduction, delta=delta)
        torch.testing.assert_close(get_loss(name)(MEANS, COUNTS, reduction=reduction), expected)
    for name, p in (("tweedie", 1.5), ("Tweedie:1.2", 1.2)):
        rows = [
            m ** (2 - p) / (2 - p) - y * m ** (1 - p) / (1 - p)
            for m, y in zip(MEANS.tolist(), COUNTS.tolist(), strict=True)
        ]
        expected = {"none": torch.tensor(rows), "sum": torch.tensor(sum(rows)), "mean": torch.tensor(sum(rows) / 4)}
        torch.testing.assert_close(get_loss(name)(MEANS, COUNTS, reduction=reduction), expected[reduction])


def test_poisson_and_tweedie_are_half_the_deviance_up_to_what_labels_alone_give() -> None:
    other = torch.tensor([1.0, 0.3, 2.0, 7.0])
    deviances = {"poisson": mean_poisson_deviance, "tweedie:1.3": lambda y, m: mean_tweedie_deviance(y, m, power=1.3)}
    for name, deviance in deviances.items():
        ours = get_loss(name)(MEANS, COUNTS, "mean") - get_loss(name)(other, COUNTS, "mean")
        theirs = deviance(COUNTS.numpy(), MEANS.numpy()) - deviance(COUNTS.numpy(), other.numpy())
        assert ours.item() == pytest.approx(theirs / 2, rel=1e-5)


@pytest.mark.parametrize("wrong", ["tweedie:2", "tweedie:1", "tweedie:x", "huber:0", "huber:inf", "mse:2"])
def test_wrong_numbers_of_losses(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"losses with a number are tweedie:POWER .* got '{wrong}'"):
        get_loss(wrong)


def test_the_link_follows_from_the_loss() -> None:
    logs: list[Any] = ["poisson", "tweedie", "tweedie:1.9", poisson, functools.partial(tweedie, power=1.2)]
    assert {link_of(get_loss(loss)) for loss in logs} == {"log"}
    assert {link_of(get_loss(loss)) for loss in ("mse", "huber:2", plain, nn.MSELoss())} == {"identity"}


@pytest.mark.parametrize("name", ["binary_crossentropy", "focal", "huber", "mae", "mse", "poisson", "tweedie"])
def test_default_is_the_sum_and_labels_take_the_predictions_shape(name: str) -> None:
    loss = get_loss(name)
    torch.testing.assert_close(loss(P, Y), loss(P, Y, reduction="none").sum())
    torch.testing.assert_close(loss(P[:, None], Y), loss(P, Y))
    torch.testing.assert_close(loss(P, Y[:, None].long()), loss(P, Y))
    assert loss(P[:, None], Y, reduction="none").shape == (4, 1)


@pytest.mark.parametrize("name", ["binary_crossentropy", "focal", "mae", "mse"])
def test_half_precision_is_computed_in_float32_also_under_autocast(name: str) -> None:
    loss = get_loss(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(P.bfloat16(), Y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(P.bfloat16().float(), Y))
    assert loss(P.double(), Y).dtype == torch.float64


def test_binary_crossentropy_of_saturated_probabilities_is_finite_with_finite_gradient() -> None:
    logits = torch.tensor([200.0, -200.0, 200.0], requires_grad=True)
    value = get_loss("binary_crossentropy")(torch.sigmoid(logits), torch.tensor([0.0, 1.0, 1.0]))
    value.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(value.detach(), torch.tensor(200.0))
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_focal_by_hand() -> None:
    expected = torch.tensor([0.1**2 * -math.log(0.9), 0.2**2 * -math.log(0.8), 0.5**2 * math.log(2)])
    torch.testing.assert_close(focal(P[:3], Y[:3], "none"), expected)
    weights = torch.tensor([0.25, 0.75, 0.75])
    torch.testing.assert_close(focal(P[:3], Y[:3], "none", alpha=0.25), expected * weights)
    expected = torch.tensor([0.1 * -math.log(0.9), 0.2 * -math.log(0.8), 0.5 * math.log(2)])
    torch.testing.assert_close(get_loss(functools.partial(focal, gamma=1.0))(P[:3], Y[:3], "none"), expected)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0, 1)), min_size=1, max_size=8))
def test_focal_without_discount_is_the_cross_entropy(rows: list[tuple[float, float]]) -> None:
    pred, y = torch.tensor(rows, dtype=torch.float64).unbind(dim=1)
    torch.testing.assert_close(focal(pred, y, "none", gamma=0.0), get_loss("binary_crossentropy")(pred, y, "none"))


@pytest.mark.parametrize("name", ["cross_entropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_probabilities(name: str, reduction: str) -> None:
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]])
    y = torch.tensor([[1.0], [0.0]])  # labels come as floats, and as a column
    expected = F.cross_entropy(logits, torch.tensor([1, 0]), reduction=reduction)
    torch.testing.assert_close(get_loss(name)(logits.softmax(dim=1), y, reduction=reduction), expected)


def test_cross_entropy_of_an_impossible_class_is_finite() -> None:
    torch.testing.assert_close(
        get_loss("cross_entropy")(torch.tensor([[1.0, 0.0]]), torch.tensor([1])), torch.tensor(-math.log(1e-12))
    )


@pytest.mark.parametrize("name", [name for name in LOSSES if "cross_entropy" not in name and "sparse" not in name])
def test_gradients(name: str) -> None:
    pred = P.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: get_loss(name)(p, Y.double()), (pred,))


def test_gradient_of_cross_entropy() -> None:
    pred = torch.tensor([[0.2, 0.8], [0.6, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: get_loss("cross_entropy")(p, torch.tensor([1, 0])), (pred,))


# ------------------------------------------------------------------------------------------ users' callables


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (plain, F.mse_loss),
        (lambda pred, y: (pred - y).abs(), F.l1_loss),
        (F.mse_loss, F.mse_loss),
        (F.binary_cross_entropy, F.binary_cross_entropy),
        (lambda pred, y, **more: F.l1_loss(pred, y, **more), F.l1_loss),
        (lambda pred, y, **ignored: (pred - y).abs(), F.l1_loss),
        (functools.partial(F.mse_loss, reduction="mean"), F.mse_loss),
        (functools.partial(F.huber_loss, delta=0.1), functools.partial(F.huber_loss, delta=0.1)),
        (nn.BCELoss(), F.binary_cross_entropy),
        (nn.MSELoss(reduction="sum"), F.mse_loss),
        (nn.BCELoss(reduction="none"), F.binary_cross_entropy),
        (Hinge(), None),
        (Reduced(), F.mse_loss),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_callables_with_a_value_for_each_row(loss: Any, reference: Any, reduction: str) -> None:
    value = get_loss(loss)(P, Y, reduction=reduction)
    if reference is None:
        each = torch.relu(1 - P * (2 * Y - 1))
        expected = {"sum": each.sum(), "mean": each.mean(), "none": each}[reduction]
    else:
        expected = reference(P, Y, reduction=reduction)
    torch.testing.assert_close(value, expected)


def test_modules_keep_their_reduction_and_their_weights() -> None:
    module = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
    loss = get_loss(module)
    logits, y = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([0, 1])
    torch.testing.assert_close(loss(logits, y), F.cross_entropy(logits, y, module.weight, reduction="sum"))
    assert module.reduction == "mean"
    module.double()  # the copy of each call sees what happens to the module
    assert loss(logits.double(), y).dtype == torch.float64


def test_one_number_counts_as_the_mean() -> None:
    loss = get_loss(average)
    torch.testing.assert_close(loss(P, Y, reduction="mean"), average(P, Y))
    torch.testing.assert_close(loss(P, Y, reduction="sum"), 4 * average(P, Y))
    torch.testing.assert_close(get_loss(lambda p, y: average(p, y).reshape(1))(P, Y), 4 * average(P, Y))
    with pytest.raises(ValueError, match="loss 'average' must return one value for each row where rows are weighted"):
        loss(P, Y, reduction="none")


def test_one_number_from_a_callable_that_is_told_the_reduction_is_taken_as_it_is() -> None:
    def own(pred: Tensor, y: Tensor, reduction: str) -> Tensor:
        return torch.tensor({"sum": 5.0, "mean": 7.0, "none": 9.0}[reduction])

    assert get_loss(own)(P, Y) == 5.0
    assert get_loss(own)(P, Y, reduction="mean") == 7.0
    with pytest.raises(ValueError, match="parameter `reduction` that knows 'none'"):
        get_loss(own)(P, Y, reduction="none")


def test_batch_of_one_row() -> None:
    for loss in (plain, average, F.mse_loss, nn.MSELoss()):
        for reduction in REDUCTIONS:
            value = get_loss(loss)(P[:1], Y[:1], reduction=reduction)
            assert value.shape == ((1,) if reduction == "none" else ())
            torch.testing.assert_close(value.reshape(()), torch.tensor(0.01))


def test_builtin_without_a_signature() -> None:
    torch.testing.assert_close(get_loss(torch.dist)(P, Y, reduction="mean"), torch.dist(P, Y))
    assert get_loss(torch.dist).__name__ == "dist"  # type: ignore[attr-defined]


def test_names_instances_and_copies() -> None:
    assert get_loss(focal) is get_loss("focal")
    wrapped = get_loss(plain)
    assert get_loss(wrapped) is wrapped
    assert isinstance(wrapped, UserLoss)
    assert [get_loss(f).__name__ for f in (plain, Hinge(), functools.partial(plain))] == ["plain", "Hinge", "plain"]  # type: ignore[attr-defined]
    for again in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(get_loss(nn.MSELoss())))):
        torch.testing.assert_close(again(P, Y), F.mse_loss(P, Y, reduction="sum"))


# ------------------------------------------------------------------------------------------ weights


@given(st.lists(st.floats(0, 4, width=32), min_size=4, max_size=4))
def test_weights(weights: list[float]) -> None:
    w = torch.tensor(weights)
    each = (P - Y).square() * w
    for loss in (get_loss("mse"), get_loss(plain), get_loss(nn.MSELoss())):
        for pred, weight in ((P, w), (P[:, None], w), (P, w[:, None].double())):
            y = Y.reshape(pred.shape)
            torch.testing.assert_close(weighted_loss(loss, pred, y, weight), each.sum())
            torch.testing.assert_close(weighted_loss(loss, pred, y, weight, "mean"), each.sum() / 4)
            none = weighted_loss(loss, pred, y, weight, "none")
            torch.testing.assert_close(none, each.reshape(pred.shape))


def test_weights_of_many_classes() -> None:
    pred, y, w = torch.tensor([[0.25, 0.75], [0.5, 0.5]]), torch.tensor([1, 0]), torch.tensor([2.0, 0.0])
    torch.testing.assert_close(weighted_loss(get_loss("cross_entropy"), pred, y, w), torch.tensor(-2 * math.log(0.75)))


def test_no_weights() -> None:
    for reduction in REDUCTIONS:
        torch.testing.assert_close(
            weighted_loss(get_loss("mse"), P, Y, None, reduction), F.mse_loss(P, Y, reduction=reduction)
        )
    torch.testing.assert_close(weighted_loss(get_loss(average), P, Y, None), 4 * average(P, Y))


def test_weights_need_a_value_for_each_row() -> None:
    with pytest.raises(ValueError, match="loss 'average' must return one value for each row where rows are weighted"):
        weighted_loss(get_loss(average), P, Y, torch.ones(4))
    with pytest.raises(ValueError, match=r"weights must be one number for each of the 4 rows, got \(3,\)"):
        weighted_loss(get_loss("mse"), P, Y, torch.ones(3))


# ------------------------------------------------------------------------------------------ wrong arguments


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="unknown loss 'binary_cross_entropy': did you mean 'binary_crossentropy'"):
        get_loss("binary_cross_entropy")
    with pytest.raises(TypeError, match="loss must be a name or a callable, got NoneType"):
        get_loss(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got the class BCELoss: make an instance of it"):
        get_loss(nn.BCELoss)
    with pytest.raises(ValueError, match=r"labels must have the shape of the predictions \(4,\), got \(3,\)"):
        get_loss("mse")(P, Y[:3])
    with pytest.raises(ValueError, match=r"cross_entropy must be given \[B, C\] probabilities and B labels"):
        get_loss("cross_entropy")(P, Y)
    for loss in ("mse", plain):
        with pytest.raises(ValueError, match="unknown reduction 'avg'"):
            get_loss(loss)(P, Y, reduction="avg")
    with pytest.raises(TypeError, match="loss '<lambda>' must return a tensor, got float"):
        get_loss(lambda pred, y: 0.5)(P, Y)
    with pytest.raises(ValueError, match=r"one number or one value for each of the 4 rows, got the shape \(3,\)"):
        get_loss(lambda pred, y: pred[:3])(P, Y)


@pytest.mark.parametrize("name", ["binary_crossentropy", "focal", "mse"])
def test_the_loss_of_a_nan_is_nan(name: str) -> None:
    pred = torch.tensor([0.25, math.nan], requires_grad=True)
    losses = get_loss(name)(pred, torch.tensor([1.0, 1.0]), reduction="none")
    assert torch.isnan(losses).tolist() == [False, True]
    losses.sum().backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad[0])


def test_case_of_a_name_does_not_matter() -> None:
    assert get_loss("Binary_CrossEntropy") is get_loss("binary_crossentropy")
