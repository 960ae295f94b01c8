"""One stacked parameter that a state_dict spells item by item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["StackedWeights", "load_stack", "save_stack"]


def save_stack(stack: Tensor, keys: Sequence[str], destination: dict[str, Any], keep_vars: bool = False) -> None:
    """Write `stack[i]` under `keys[i]` into `destination`, as views of the one tensor.

    >>> state = {}
    >>> save_stack(torch.tensor([[1.0], [2.0]]), ["a", "b"], state)
    >>> state
    {'a': tensor([1.]), 'b': tensor([2.])}
    """
    for key, item in zip(keys, stack.unbind(dim=0), strict=True):
        destination[key] = item if keep_vars else item.detach()


def load_stack(
    stack: nn.Parameter,
    keys: Sequence[str],
    state_dict: dict[str, Any],
    missing_keys: list[str],
    error_msgs: list[str],
    assign: bool = False,
) -> nn.Parameter:
    """Read `stack[i]` from `keys[i]` of `state_dict`; the parameter to use from now on (a new one only with `assign`).

    Keys that are not there go to `missing_keys`, wrong shapes to `error_msgs`: what does fit is read, as torch does it.

    >>> missing, errors = [], []
    >>> weight = nn.Parameter(torch.zeros(2, 1))
    >>> load_stack(weight, ["a", "b"], {"a": torch.ones(1)}, missing, errors), missing
    (Parameter containing:
    tensor([[1.],
            [0.]], requires_grad=True), ['b'])
    """
    found: dict[int, Tensor] = {}
    for i, key in enumerate(keys):
        if key not in state_dict:
            missing_keys.append(key)
        elif state_dict[key].shape != stack.shape[1:]:
            got, want = tuple(state_dict[key].shape), tuple(stack.shape[1:])
            error_msgs.append(f"size mismatch for {key}: the checkpoint has shape {got}, the model needs {want}")
        else:
            found[i] = state_dict[key]
    if assign and len(found) == len(keys):
        return nn.Parameter(torch.stack(list(found.values())).detach(), requires_grad=stack.requires_grad)
    with torch.no_grad():
        for i, value in found.items():
            stack[i].copy_(value)
    return stack


class StackedWeights(nn.Module):
    """`items` bias-free linear maps in one parameter `weight [items, out, in]`, for einsum and bmm.

    A state_dict spells it as a `ModuleList` of `nn.Linear` would: `0.weight`, `1.weight`, ..., each `[out, in]`, and
    each item starts as `nn.Linear` does.

    Args:
        items: number of maps.
        in_features: width of the input of each.
        out_features: width of the output of each.
        obsolete: item numbers that an old checkpoint may hold and that are dropped on loading.

    >>> list(StackedWeights(2, 3, 4).state_dict())
    ['0.weight', '1.weight']
    """

    def __init__(self, items: int, in_features: int, out_features: int, obsolete: Iterable[int] = ()) -> None:
        super().__init__()
        bound = in_features**-0.5  # what nn.Linear draws from: U(-1 / sqrt(in), 1 / sqrt(in))
        self.weight = nn.Parameter(torch.empty(items, out_features, in_features).uniform_(-bound, bound))
        self._obsolete = frozenset(f"{i}.weight" for i in obsolete)

    def _keys(self, prefix: str) -> list[str]:
        return [f"{prefix}{i}.weight" for i in range(len(self.weight))]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if torch.onnx.is_in_onnx_export():  # the exporter looks for parameters, not for their items
            super()._save_to_state_dict(destination, prefix, keep_vars)
        else:
            save_stack(self.weight, self._keys(prefix), destination, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        keys = self._keys(prefix)
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        self.weight = load_stack(self.weight, keys, state_dict, missing_keys, error_msgs, assign)
        if strict:
            known = {*keys, *(prefix + name for name in self._obsolete)}
            unexpected_keys.extend(key for key in state_dict if key.startswith(prefix) and key not in known)

    def extra_repr(self) -> str:
        items, out_features, in_features = self.weight.shape
        return f"items={items}, in_features={in_features}, out_features={out_features}"
