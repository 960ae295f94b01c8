"""Activations by name, Dice, and batch normalisation with masks and single rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.layers.activation import BatchNorm, Dice, Identity, activation_layer

POINTS = torch.tensor([-2.0, 0.0, 3.0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0.0, 0.0, 3.0]),
        ("sigmoid", [0.1192029, 0.5, 0.9525741]),
        ("tanh", [-0.9640276, 0.0, 0.9950548]),
        ("gelu", [-0.0455003, 0.0, 2.9959502]),
        ("silu", [-0.2384058, 0.0, 2.8577224]),
        ("leaky_relu", [-0.02, 0.0, 3.0]),
        ("prelu", [-0.5, 0.0, 3.0]),
        ("linear", [-2.0, 0.0, 3.0]),
        ("LINEAR", [-2.0, 0.0, 3.0]),
        ("ReLU", [0.0, 0.0, 3.0]),
        (None, [-2.0, 0.0, 3.0]),
        (nn.Hardtanh, [-1.0, 0.0, 1.0]),
        (nn.LeakyReLU(0.5), [-1.0, 0.0, 3.0]),
    ],
)
def test_activation_layer(name: object, expected: list[float]) -> None:
    assert_close(activation_layer(name)(POINTS), torch.tensor(expected))


@pytest.mark.parametrize("name", ["dice", "Dice", Dice])
def test_dice_by_name(name: object) -> None:
    dice = activation_layer(name, 4, dice_dim=3)
    assert isinstance(dice, Dice)
    assert dice.alpha.shape == (4, 1)


def test_instances_are_copied() -> None:
    given_one = nn.PReLU()
    made = activation_layer(given_one)
    assert made is not given_one
    with torch.no_grad():
        made.weight.fill_(7.0)
    assert given_one.weight.item() == 0.25


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("rely", ValueError, "unknown activation 'rely': did you mean 'relu'"),
        ("dice", ValueError, "hidden_size must be given"),
        (7, TypeError, "activation must be a name, an nn.Module or its class, got 7"),
        (int, TypeError, "activation must be a name"),
    ],
)
def test_activation_layer_refuses(name: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        activation_layer(name)


def test_identity_takes_the_arguments_of_others() -> None:
    assert Identity(inplace=True)(POINTS) is POINTS


def naive_dice(dice: Dice, x: Tensor, valid: Tensor) -> Tensor:
    """The paper's formula, unit by unit and row by row, with the statistics of the valid rows."""
    alpha, out = dice.alpha.flatten(), torch.empty_like(x)
    for i in range(x.shape[1]):
        column = [x[r, i].item() for r in range(len(x)) if valid[r]]
        mean = sum(column) / len(column)
        var = sum((v - mean) ** 2 for v in column) / len(column)
        for r in range(len(x)):
            normal = (x[r, i] - mean) / (var + dice.bn.eps) ** 0.5 * dice.bn.weight[i] + dice.bn.bias[i]
            p = 1 / (1 + torch.exp(-normal))
            out[r, i] = p * x[r, i] + (1 - p) * alpha[i] * x[r, i]
    return out


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_dice_follows_the_paper(dim: int, masked: bool) -> None:
    dice = Dice(3, dim)
    for parameter in dice.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 5, 3)  # [B, T, H]
    mask = torch.rand(4, 5) < 0.6
    out = dice(x, mask if masked else None)
    expected = naive_dice(dice, x.reshape(-1, 3), mask.reshape(-1) if masked else torch.ones(20, dtype=torch.bool))
    assert_close(out.reshape(-1, 3), expected, rtol=1e-4, atol=1e-5)


def test_dice_exact_numbers() -> None:
    dice = Dice(1)
    nn.init.constant_(dice.alpha, 0.5)
    out = dice(torch.tensor([[1.0], [3.0]]))  # normalised: -1 and 1
    assert_close(out, torch.tensor([[0.6344707], [2.5965879]]))


@pytest.mark.parametrize(("dim", "shape"), [(2, (4,)), (3, (4, 1))])
def test_dice_state(dim: int, shape: tuple[int, ...]) -> None:
    state = Dice(4, dim).state_dict()
    bn = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert set(state) == {"alpha", *(f"bn.{key}" for key in bn)}
    assert state["alpha"].shape == shape
    assert state["alpha"].abs().sum() == 0


@pytest.mark.parametrize(("arguments", "words"), [((4, 1), "dim must be 2 or 3, got 1"), ((0,), "emb_size must be")])
def test_dice_refuses(arguments: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Dice(*arguments)


def trained(norm: nn.Module, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Output, state afterwards, and gradient of a weighted sum of the output by the first input."""
    x = inputs[0].clone().requires_grad_()
    out = norm(x, *inputs[1:])
    (out * torch.linspace(-1, 2, out.numel()).view_as(out)).sum().backward()
    return out.detach(), norm.state_dict(), x.grad


@given(rows=st.integers(2, 9), width=st.integers(1, 4), seed=st.integers(0, 99))
def test_without_mask_it_is_torchs(rows: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, ours, torchs = torch.randn(rows, width) * 3 + 1, BatchNorm(width), nn.BatchNorm1d(width)
    for got, want in zip(trained(ours, x), trained(torchs, x), strict=True):
        assert_close(got, want, rtol=0, atol=0)
    assert_close(ours.eval()(x), torchs.eval()(x), rtol=0, atol=0)


@given(rows=st.integers(2, 9), padding=st.integers(0, 9), seed=st.integers(0, 99))
def test_with_mask_it_is_torchs_over_the_valid_rows(rows: int, padding: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(rows + padding, 2) * 3 + 1
    mask = torch.arange(rows + padding) < rows
    x[~mask] = float("nan")  # padding takes no part, whatever it holds
    ours, torchs = BatchNorm(2), nn.BatchNorm1d(2)
    out = ours(x, mask)
    assert_close(out[:rows], torchs(x[:rows]), rtol=1e-4, atol=1e-5)
    for key, value in torchs.state_dict().items():
        assert_close(ours.state_dict()[key], value)


def test_gradient_with_mask() -> None:
    x, mask = torch.randn(6, 3, dtype=torch.float64), torch.tensor([True, True, False, True, True, False])
    norm = BatchNorm(3).double()
    assert torch.autograd.gradcheck(lambda rows: norm(rows, mask), (x.requires_grad_(),))
    norm(x, mask)[mask].sum().backward()
    assert x.grad[~mask].abs().sum() == 0


@pytest.mark.parametrize(
    ("x", "mask"),
    [
        (torch.tensor([[3.0, -1.0]]), None),
        (torch.tensor([[3.0, -1.0], [9.0, 9.0]]), torch.tensor([True, False])),
        (torch.tensor([[3.0, -1.0], [9.0, 9.0]]), torch.tensor([False, False])),
    ],
)
def test_fewer_than_two_rows_use_the_running_statistics(x: Tensor, mask: Tensor | None) -> None:
    norm = BatchNorm(2)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    out, state, gradient = trained(norm, x, *([] if mask is None else [mask]))
    assert_close(out[0], torch.tensor([1.0, -1.0]))
    assert gradient.isfinite().all()
    assert_close(state["running_mean"], torch.tensor([1.0, 1.0]), rtol=0, atol=0)
    assert_close(state["running_var"], torch.tensor([4.0, 4.0]), rtol=0, atol=0)
    assert state["num_batches_tracked"] == 0


def test_mask_has_no_effect_in_evaluation() -> None:
    norm, x = BatchNorm(2).eval(), torch.randn(4, 2)
    assert_close(norm(x, torch.tensor([True, False, True, False])), norm(x), rtol=0, atol=0)


def test_batch_norm_refuses() -> None:
    with pytest.raises(ValueError, match="num_features must be an integer of at least 1, got 0"):
        BatchNorm(0)


def test_masked_training_is_exported() -> None:
    dice = Dice(3, dim=3)
    x, mask = torch.randn(4, 5, 3), torch.rand(4, 5) < 0.6
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(dice, (x, mask), dynamic_shapes=({0: batch}, {0: batch})).module()
    x, mask = torch.randn(7, 5, 3), torch.rand(7, 5) < 0.6
    for marks in (mask, mask & False):
        assert_close(exported(x, marks), dice(x, marks))
    assert_close(dict(exported.named_buffers())["bn.running_var"], dice.bn.running_var)
