"""Parallel networks against separate ones: numbers, gradients, training, and files in both directions."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.layers.activation import Dice
from deepctr_torch.layers.core import DNN
from deepctr_torch.layers.parallel import ParallelDNN, ParallelLinear

NAMES = ["0.0", "0.1", "shared"]
B, D, UNITS = 6, 4, (5, 3)


class Scale(nn.Module):
    """An activation of the user's own, with a parameter per unit-less network and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1) + 0.5)
        self.register_buffer("shift", torch.rand(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x * self.scale + self.shift)


ACTIVATIONS = {
    "relu": "relu",
    "linear": None,
    "prelu": "prelu",
    "dice": "dice",
    "class": Scale,
    "instance": nn.PReLU(init=0.1),
    "softmax": nn.Softmax(dim=1),
}


def pair(activation: object, use_bn: bool, units: tuple[int, ...] = UNITS) -> tuple[ParallelDNN, nn.ModuleDict]:
    """A ParallelDNN and separate DNNs under the names' keys, with the same random state."""
    parallel = ParallelDNN(D, units, NAMES, activation, use_bn=use_bn, init_std=1.0)
    with torch.no_grad():
        for tensor in parallel.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.3)
    separate = nn.ModuleList(DNN(D, units, activation, use_bn=use_bn) for _ in NAMES)
    for name, dnn in zip(NAMES, separate, strict=True):
        dnn.load_state_dict(
            {k[len(name) + 1 :]: v for k, v in parallel.state_dict().items() if k.startswith(f"{name}.")}
        )
    return parallel, separate


def gradients(parallel: ParallelDNN) -> dict[str, Tensor]:
    """Gradient of every parameter by its key in the state_dict."""
    twin = copy.deepcopy(parallel)
    with torch.no_grad():
        for mine, hers in zip(twin.parameters(), parallel.parameters(), strict=True):
            mine.copy_(hers.grad)
    return twin.state_dict()


@pytest.mark.parametrize("use_bn", [False, True])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_equal_to_separate_networks(activation: object, shared: bool, use_bn: bool) -> None:
    parallel, separate = pair(activation, use_bn)
    x = torch.randn(B, D) if shared else torch.randn(B, len(NAMES), D)
    weights = torch.randn(B, len(NAMES), UNITS[-1])
    out = parallel(x)
    expected = torch.stack([dnn(x if shared else x[:, k]) for k, dnn in enumerate(separate)], dim=1)
    assert out.shape == (B, len(NAMES), UNITS[-1])
    assert_close(out, expected, rtol=1e-4, atol=1e-5)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    found, state = gradients(parallel), parallel.state_dict()
    for name, dnn in zip(NAMES, separate, strict=True):
        for key, parameter in dnn.named_parameters():
            assert_close(found[f"{name}.{key}"], parameter.grad, rtol=1e-4, atol=1e-4)
        for key, buffer in dnn.named_buffers():
            assert_close(state[f"{name}.{key}"], buffer)
    outputs = [dnn.eval()(x if shared else x[:, k]) for k, dnn in enumerate(separate)]
    assert_close(parallel.eval()(x), torch.stack(outputs, dim=1))


def test_dnn_exact_numbers() -> None:
    parallel = ParallelDNN(2, (1,), ["a", "b"])
    parallel.load_state_dict(
        {
            "a.linears.0.weight": torch.tensor([[1.0, 2.0]]),
            "a.linears.0.bias": torch.tensor([0.5]),
            "b.linears.0.weight": torch.tensor([[-1.0, 1.0]]),
            "b.linears.0.bias": torch.tensor([0.0]),
        }
    )
    assert parallel(torch.tensor([[3.0, 1.0]])).tolist() == [[[5.5], [0.0]]]
    assert parallel(torch.tensor([[[3.0, 1.0], [1.0, 4.0]]])).tolist() == [[[5.5], [3.0]]]


def test_state_dict_is_that_of_a_module_dict_of_dnns() -> None:
    parallel, separate = pair("dice", True)
    expected = [f"{name}.{key}" for name, dnn in zip(NAMES, separate, strict=True) for key in dnn.state_dict()]
    assert list(parallel.state_dict()) == expected
    holder = nn.Module()
    holder.experts = parallel
    assert list(holder.state_dict()) == [f"experts.{key}" for key in expected]
    assert list(holder.state_dict(prefix="model.")) == [f"model.experts.{key}" for key in expected]


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
@pytest.mark.parametrize("assign", [False, True])
def test_state_dict_round_trip_below_other_modules(activation: object, assign: bool) -> None:
    first, second = nn.Sequential(pair(activation, True)[0]), nn.Sequential(pair(activation, True)[0])
    x = torch.randn(B, D)
    first(x)
    result = second.load_state_dict(first.state_dict(), assign=assign)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert_close(second.eval()(x), first.eval()(x), rtol=0, atol=0)
    assert all(p.requires_grad and p.is_leaf for p in second.parameters())


def test_values_of_the_state_dict_are_views() -> None:
    parallel = ParallelDNN(D, UNITS, NAMES)
    state = parallel.state_dict()
    state["0.1.linears.0.bias"].fill_(3.0)
    assert parallel.biases[0][1].tolist() == [3.0] * 5
    assert not state["0.1.linears.0.bias"].requires_grad
    live = parallel.state_dict(keep_vars=True)
    (live["shared.linears.0.weight"] * 2.0).sum().backward()
    assert_close(parallel.weights[0].grad[2], torch.full((5, 4), 2.0))
    assert parallel.weights[0].grad[:2].abs().sum() == 0


def test_no_two_keys_share_memory() -> None:
    state = ParallelDNN(D, UNITS, NAMES, "dice", use_bn=True).state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


@pytest.mark.parametrize("nested", [False, True])
def test_strict_loading_names_what_is_wrong(nested: bool) -> None:
    parallel = ParallelDNN(D, UNITS, NAMES, use_bn=True)
    model, prefix = (nn.ModuleDict({"experts": parallel}), "experts.") if nested else (parallel, "")
    before, state = copy.deepcopy(parallel.state_dict()), model.state_dict()
    del state[f"{prefix}0.0.linears.1.bias"]
    state[f"{prefix}weights.0"] = torch.zeros(3, 5, 4)
    state[f"{prefix}other.linears.0.bias"] = torch.zeros(5)
    state[f"{prefix}shared.linears.0.weight"] = torch.zeros(5, 9)
    state[f"{prefix}0.1.linears.0.bias"] = torch.ones(5)
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(state)
    words = str(error.value)
    assert f'Missing key(s) in state_dict: "{prefix}0.0.linears.1.bias".' in words
    assert f'Unexpected key(s) in state_dict: "{prefix}weights.0", "{prefix}other.linears.0.bias".' in words
    assert f"size mismatch for {prefix}shared.linears.0.weight: copying a param with shape torch.Size([5, 9])" in words
    after = parallel.state_dict()
    assert after["0.1.linears.0.bias"].tolist() == [1.0] * 5
    for key in ("0.0.linears.1.bias", "shared.linears.0.weight", "0.1.bn.0.running_var"):
        assert_close(after[key], before[key], rtol=0, atol=0)


def test_loading_without_strict_reads_what_is_there() -> None:
    parallel = ParallelDNN(D, UNITS, NAMES)
    before = copy.deepcopy(parallel.state_dict())
    result = parallel.load_state_dict({"0.1.linears.0.bias": torch.ones(5), "foreign": torch.ones(1)}, strict=False)
    assert len(result.missing_keys) == 11
    assert result.unexpected_keys == ["foreign"]
    assert parallel.biases[0][1].tolist() == [1.0] * 5
    assert_close(parallel.biases[0][0], before["0.0.linears.0.bias"], rtol=0, atol=0)


def test_deepcopy_and_pickle() -> None:
    parallel, x = pair("prelu", True)[0], torch.randn(B, D)
    for twin in (copy.deepcopy(parallel), pickle.loads(pickle.dumps(parallel))):
        assert_close(twin(x), parallel(x), rtol=0, atol=0)
        assert list(twin.state_dict()) == list(parallel.state_dict())


def test_every_network_has_its_own_activation_parameters() -> None:
    prelu = ParallelDNN(D, (5,), NAMES, "prelu")
    assert prelu.state_dict()["0.0.activation_layers.0.weight"].tolist() == [0.25]
    dice = ParallelDNN(D, (5,), NAMES, "dice")
    assert isinstance(dice.activation_layers[0], Dice)
    assert dice.state_dict()["shared.activation_layers.0.alpha"].shape == (5, 1)


def test_dnn_initial_values() -> None:
    parallel = ParallelDNN(400, (300,), ["a", "b"], init_std=0.01)
    assert parallel.weights[0].shape == (2, 300, 400)
    assert parallel.weights[0].std(dim=(1, 2)).tolist() == pytest.approx([0.01, 0.01], rel=0.02)
    assert parallel.biases[0].abs().max().item() <= 1 / math.sqrt(400)
    assert parallel.biases[0].std().item() == pytest.approx(1 / math.sqrt(400 * 3), rel=0.1)


def test_without_layers_it_is_the_identity_for_each() -> None:
    parallel = ParallelDNN(D, (), NAMES)
    x, each = torch.randn(B, D), torch.randn(B, 3, D)
    assert_close(parallel(x), torch.stack([x, x, x], dim=1))
    assert parallel(each) is each
    assert parallel.output_dim == parallel.inputs_dim == D
    assert not parallel.state_dict()
    parallel.load_state_dict({})


def test_dropout_is_drawn_for_each_network() -> None:
    parallel = ParallelDNN(50, (40,), NAMES, activation=None, dropout_rate=0.5)
    zero = parallel(torch.ones(20, 50)) == 0
    assert zero.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert not torch.equal(zero[:, 0], zero[:, 1])
    assert not (parallel.eval()(torch.ones(20, 50)) == 0).any()


@pytest.mark.parametrize("shared", [True, False])
def test_linear_is_separate_linears(shared: bool) -> None:
    parallel = ParallelLinear(D, 2, NAMES)
    separate = nn.ModuleList(nn.Linear(D, 2, bias=False) for _ in NAMES)
    state = parallel.state_dict()
    assert list(state) == [f"{name}.weight" for name in NAMES]
    for name, linear in zip(NAMES, separate, strict=True):
        linear.load_state_dict({"weight": state[f"{name}.weight"]})
    x = torch.randn(B, D) if shared else torch.randn(B, 3, D)
    weights = torch.randn(B, 3, 2)
    out = parallel(x)
    expected = torch.stack([linear(x if shared else x[:, k]) for k, linear in enumerate(separate)], dim=1)
    assert_close(out, expected)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_close(parallel.weight.grad, torch.stack([linear.weight.grad for linear in separate]))


def test_linear_exact_numbers_and_loading() -> None:
    parallel = ParallelLinear(2, 1, ["a", "b"])
    parallel.load_state_dict({"b.weight": torch.tensor([[0.0, 3.0]]), "a.weight": torch.tensor([[1.0, 2.0]])})
    assert parallel(torch.tensor([[1.0, 10.0]])).tolist() == [[[21.0], [30.0]]]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "a.weight"'):
        parallel.load_state_dict({"b.weight": torch.zeros(1, 2)})


def test_linear_reads_and_writes_the_keys_of_a_module_list() -> None:
    parallel, listed = ParallelLinear(2, 4, ["0", "1"]), nn.ModuleList(nn.Linear(2, 4, bias=False) for _ in range(2))
    parameter = parallel.weight
    parallel.load_state_dict(listed.state_dict())
    assert parallel.weight is parameter  # which an optimizer may hold
    assert_close(parameter, torch.stack([linear.weight for linear in listed]))
    listed.load_state_dict(ParallelLinear(2, 4, ["0", "1"]).state_dict())


def test_obsolete_key_is_dropped() -> None:
    parallel = ParallelLinear(2, 2, ["0"], obsolete=["1.weight"])
    parallel.load_state_dict({"0.weight": torch.ones(2, 2), "1.weight": torch.zeros(2, 2)})
    assert list(parallel.state_dict()) == ["0.weight"]


def test_assign_replaces_the_parameter() -> None:
    parallel = ParallelLinear(2, 2, ["0", "1"]).requires_grad_(False)
    parallel.load_state_dict({f"{i}.weight": torch.ones(2, 2, dtype=torch.float64) for i in range(2)}, assign=True)
    assert isinstance(parallel.weight, nn.Parameter)
    assert parallel.weight.dtype == torch.float64
    assert not parallel.weight.requires_grad


def test_linear_initial_values() -> None:
    weight = ParallelLinear(100, 200, ["a", "b"]).weight
    reference = nn.Linear(100, 200).weight
    assert weight.abs().max().item() <= 0.1
    assert weight.std().item() == pytest.approx(reference.std().item(), rel=0.03)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ParallelDNN(D, (1,), []), r"names must be at least one name, each another one, got \[\]"),
        (lambda: ParallelDNN(D, (1,), ["a", "a"]), "names must be at least one name"),
        (lambda: ParallelLinear(D, 1, "ab"), "names must be at least one name"),
        (lambda: ParallelDNN(0, (1,), ["a"]), "inputs_dim must be"),
        (lambda: ParallelLinear(0, 1, ["a"]), "inputs_dim must be"),
        (lambda: ParallelLinear(1, 0, ["a"]), "outputs_dim must be"),
        (lambda: ParallelDNN(D, (0,), ["a"]), r"hidden_units\[0\] must be"),
        (lambda: ParallelDNN(D, (1,), ["a"], "rely"), "did you mean 'relu'"),
        (lambda: ParallelDNN(D, (1,), ["a"], dropout_rate=1), "dropout_rate must be in"),
        (lambda: ParallelDNN(D, (1,), ["a"], init_std=-1), "init_std must be a number >= 0"),
        (
            lambda: ParallelDNN(D, (1,), ["a"])(torch.zeros(2, 3, D)),
            r"inputs must be \[B, D\] or \[B, 1, D\], got shape",
        ),
    ],
)
def test_refuses(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
