"""One parameter under many keys: what `load_state_dict` and `state_dict` promise still holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepctr_torch.layers.stacked import StackedWeights


def plain(items: int = 3) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(2, 4, bias=False) for _ in range(items))


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps = StackedWeights(3, 2, 4)


def test_keys_of_a_module_list_both_ways() -> None:
    stacked, listed = StackedWeights(3, 2, 4), plain()
    assert list(stacked.state_dict()) == list(listed.state_dict())
    stacked.load_state_dict(listed.state_dict())
    torch.testing.assert_close(stacked.weight, torch.stack([linear.weight for linear in listed]))
    listed.load_state_dict(StackedWeights(3, 2, 4).state_dict())


def test_state_is_a_view_of_the_parameter() -> None:
    stacked = StackedWeights(2, 2, 2)
    state = stacked.state_dict()
    assert not state["0.weight"].requires_grad
    state["1.weight"].fill_(7.0)
    assert (stacked.weight[1] == 7).all()
    assert stacked.state_dict(keep_vars=True)["0.weight"].requires_grad


def test_missing_key_is_named() -> None:
    state = Parent().state_dict()
    del state["maps.1.weight"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "maps.1.weight"'):
        Parent().load_state_dict(state)


def test_unexpected_key_is_named() -> None:
    for key in ("maps.3.weight", "maps.weight", "maps.0.bias"):
        with pytest.raises(RuntimeError, match=rf'Unexpected key\(s\) in state_dict: "{key}"'):
            Parent().load_state_dict({**Parent().state_dict(), key: torch.zeros(4, 2)})


def test_wrong_shape_is_named() -> None:
    state = {**Parent().state_dict(), "maps.2.weight": torch.zeros(2, 4)}
    with pytest.raises(RuntimeError, match=r"size mismatch for maps.2.weight: .* \(2, 4\), the model needs \(4, 2\)"):
        Parent().load_state_dict(state)


def test_not_strict_reads_what_fits() -> None:
    parent = Parent()
    before = parent.maps.weight.detach().clone()
    result = parent.load_state_dict({"maps.1.weight": torch.ones(4, 2), "maps.9.weight": torch.ones(1)}, strict=False)
    assert result.missing_keys == ["maps.0.weight", "maps.2.weight"]
    assert result.unexpected_keys == ["maps.9.weight"]
    torch.testing.assert_close(parent.maps.weight.detach(), torch.stack([before[0], torch.ones(4, 2), before[2]]))


def test_obsolete_key_is_dropped() -> None:
    stacked = StackedWeights(1, 2, 2, obsolete=[1])
    stacked.load_state_dict({"0.weight": torch.ones(2, 2), "1.weight": torch.zeros(2, 2)})
    assert list(stacked.state_dict()) == ["0.weight"]


def test_load_keeps_the_parameter_that_an_optimizer_holds() -> None:
    stacked = StackedWeights(2, 2, 2)
    parameter = stacked.weight
    stacked.load_state_dict({"0.weight": torch.ones(2, 2), "1.weight": torch.ones(2, 2)})
    assert stacked.weight is parameter
    assert (parameter == 1).all()


def test_assign_replaces_the_parameter() -> None:
    stacked = StackedWeights(2, 2, 2).requires_grad_(False)
    stacked.load_state_dict({f"{i}.weight": torch.ones(2, 2, dtype=torch.float64) for i in range(2)}, assign=True)
    assert isinstance(stacked.weight, nn.Parameter)
    assert stacked.weight.dtype == torch.float64
    assert not stacked.weight.requires_grad


def test_starts_as_linear_layers_do() -> None:
    torch.manual_seed(0)
    stacked, linear = StackedWeights(50, 64, 32).weight, nn.Linear(64, 1600, bias=False).weight
    assert stacked.abs().max() <= 0.125
    assert stacked.std().item() == pytest.approx(linear.std().item(), rel=0.02)
