"""Many DNNs of one shape, computed together and saved one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_at_least, check_fraction, check_non_negative, check_positive, check_positive_units
from .._tracing import tracing
from .activation import ActivationLike, BatchNorm, Dice, Identity, activation_layer

__all__ = ["ParallelDNN", "ParallelLinear"]

_ELEMENTWISE = (nn.GELU, nn.LeakyReLU, nn.ReLU, nn.SiLU, nn.Sigmoid, nn.Tanh, Identity)


class _Part(NamedTuple):
    """The share of one network in the tensor `inner` of all: `item` of [K, *shape]; None: the whole of it."""

    inner: str
    item: int | None = None
    shape: tuple[int, ...] = ()

    def of(self, tensor: Tensor) -> Tensor:
        return tensor if self.item is None else tensor.view(-1, *self.shape)[self.item]


class _Named(nn.Module):
    """A module of K networks whose state_dict has the keys of K modules, `<name>.<key>`; its values are views.

    Args:
        names: of the networks.
        obsolete: keys that an old checkpoint may hold and that are dropped on loading.
    """

    def __init__(self, names: Sequence[str], obsolete: Sequence[str] = ()) -> None:
        super().__init__()
        if not names or isinstance(names, str) or len(set(names)) < len(names):
            raise ValueError(f"names must be at least one name, each another one, got {names!r}")
        self.names = tuple(names)
        self._obsolete = tuple(obsolete)

    def _parts(self) -> dict[str, _Part]:
        """Key in the state_dict, without prefix -> where its numbers are."""
        raise NotImplementedError

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        if torch.onnx.is_in_onnx_export():  # the exporter looks for parameters, not for their items
            return super().state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
        inner = super().state_dict(keep_vars=True)
        out = type(inner)() if destination is None else destination
        whole: set[str] = set()
        for key, part in self._parts().items():
            tensor = part.of(inner[part.inner])
            if part.item is None and part.inner in whole:
                tensor = tensor.clone()  # one counter for all: two keys must not share memory
            whole.add(part.inner)
            out[prefix + key] = tensor if keep_vars else tensor.detach()
        return out

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Join the networks' tensors under the module's own keys, then load as every module does."""
        _, strict, missing_keys, unexpected_keys, error_msgs = args
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        given = {key: state_dict.pop(key) for key in list(state_dict) if key.startswith(prefix)}
        pieces: dict[str, list[Tensor]] = {}
        for key, part in self._parts().items():
            current = part.of(own[part.inner].detach())
            value = given.pop(prefix + key, None)
            fits = value is not None and value.shape == current.shape
            if value is None:
                missing_keys.append(prefix + key)
            elif not fits:
                error_msgs.append(
                    f"size mismatch for {prefix + key}: copying a param with shape {value.shape} from checkpoint, "
                    f"the shape in current model is {current.shape}."
                )
            pieces.setdefault(part.inner, []).append(value.detach() if fits else current)
        if strict:
            unexpected_keys.extend(key for key in given if key.removeprefix(prefix) not in self._obsolete)
        whole = {part.inner for part in self._parts().values() if part.item is None}
        for inner, values in pieces.items():
            joined = values[0] if inner in whole else torch.stack([v.to(values[0]) for v in values])
            state_dict[prefix + inner] = joined if inner in whole else joined.reshape(own[inner].shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


class ParallelLinear(_Named):
    """K linear layers without bias, computed together: `[B, K, D] or [B, D] -> [B, K, H]`.

    Saved and loaded as K layers: `<name>.weight` (H, D).

    Args:
        inputs_dim: D.
        outputs_dim: H.
        names: the K names.
        obsolete: keys that an old checkpoint may hold and that are dropped on loading.

    >>> gates = ParallelLinear(4, 2, names=["ctr", "cvr"])
    >>> gates(torch.rand(3, 4)).shape, list(gates.state_dict())
    (torch.Size([3, 2, 2]), ['ctr.weight', 'cvr.weight'])
    """

    def __init__(self, inputs_dim: int, outputs_dim: int, names: Sequence[str], obsolete: Sequence[str] = ()) -> None:
        super().__init__(names, obsolete)
        check_positive(inputs_dim=inputs_dim, outputs_dim=outputs_dim)
        self.inputs_dim = inputs_dim
        self.output_dim = outputs_dim
        self.weight = nn.Parameter(_uniform((len(names), outputs_dim, inputs_dim), inputs_dim))

    def forward(self, x: Tensor) -> Tensor:
        return _linear(x, self.weight, None)

    def _parts(self) -> dict[str, _Part]:
        shape = tuple(self.weight.shape[1:])
        return {f"{name}.weight": _Part("weight", k, shape) for k, name in enumerate(self.names)}


class ParallelDNN(_Named):
    """K independent DNNs of one shape, computed together: `[B, K, D] or [B, D] -> [B, K, H]`.

    The same as K `DNN`s, in one matrix product a layer; saved and loaded as K of them: `<name>.linears.<i>.weight` and
    so on.

    Args:
        inputs_dim: D.
        hidden_units: layer sizes, the last one is H; empty for the identity.
        names: the K names.
        activation: whatever `activation_layer` takes; each network has its own.
        dropout_rate: share of units set to zero in training.
        use_bn: batch normalisation before each activation.
        init_std: standard deviation of the initial kernels.

    >>> experts = ParallelDNN(4, (8, 2), names=["0", "1", "2"])
    >>> experts(torch.rand(5, 4)).shape
    torch.Size([5, 3, 2])
    >>> list(experts.state_dict())[:2]
    ['0.linears.0.weight', '0.linears.0.bias']
    """

    def __init__(
        self, inputs_dim: int, hidden_units: Sequence[int], names: Sequence[str], activation: ActivationLike = "relu",
        dropout_rate: float = 0, use_bn: bool = False, init_std: float = 0.0001,
    ) -> None:  # fmt: skip
        super().__init__(names)
        check_positive_units("hidden_units", hidden_units)
        check_at_least("inputs_dim", inputs_dim, 1 if hidden_units else 0)
        check_fraction("dropout_rate", dropout_rate)
        check_non_negative("init_std", init_std)
        sizes, count = [inputs_dim, *hidden_units], len(self.names)
        self.inputs_dim = inputs_dim
        self.output_dim = sizes[-1]
        self.use_bn = use_bn
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(torch.randn(count, b, a) * init_std for a, b in pairs)
        self.biases = nn.ParameterList(_uniform((count, b), a) for a, b in pairs)
        if use_bn:
            self.bn = nn.ModuleList(BatchNorm(count * size) for size in hidden_units)
        self.activation_layers = nn.ModuleList(_activations(activation, count, size) for size in hidden_units)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, inputs: Tensor) -> Tensor:
        out = inputs if inputs.ndim == 3 else inputs.unsqueeze(1).expand(-1, len(self.names), -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = _linear(inputs if i == 0 else out, weight, bias)  # [B, K, H]
            if self.use_bn:
                out = self.bn[i](out.flatten(1)).view_as(out)
            out = self.dropout(_activate(self.activation_layers[i], out))
        return out

    def _parts(self) -> dict[str, _Part]:
        out: dict[str, _Part] = {}
        for k, name in enumerate(self.names):
            for i, weight in enumerate(self.weights):
                out[f"{name}.linears.{i}.weight"] = _Part(f"weights.{i}", k, tuple(weight.shape[1:]))
                out[f"{name}.linears.{i}.bias"] = _Part(f"biases.{i}", k, tuple(weight.shape[1:2]))
            for part in ("bn", "activation_layers") if self.use_bn else ("activation_layers",):
                for i, module in enumerate(self.get_submodule(part).children()):
                    for key, where in _module_parts(f"{part}.{i}", module, k, len(self.names)).items():
                        out[f"{name}.{part}.{i}.{key}"] = where
        return out


def _uniform(shape: tuple[int, ...], fan_in: int) -> Tensor:
    """The initial numbers of `nn.Linear`."""
    bound = 1.0 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """K linear maps: `[B, K, D] or [B, D], [K, H, D], [K, H] -> [B, K, H]`."""
    if x.ndim == 2:  # one input for all: one ordinary matrix product
        flat = functional.linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return flat.reshape(-1, *weight.shape[:2])
    if x.ndim != 3 or (not tracing() and x.shape[1] != weight.shape[0]):
        raise ValueError(f"inputs must be [B, D] or [B, {weight.shape[0]}, D], got shape {list(x.shape)}")
    left, right = x.transpose(0, 1), weight.transpose(1, 2)  # [K, B, D], [K, D, H]
    out = torch.bmm(left, right) if bias is None else torch.baddbmm(bias.unsqueeze(1), left, right)
    return out.transpose(0, 1)


def _activations(activation: ActivationLike, count: int, size: int) -> nn.Module:
    """The activations of K networks: in one module where that is the same, else one each."""
    first = activation_layer(activation, size, dice_dim=3)
    if type(first) in _ELEMENTWISE:
        return first
    if not isinstance(activation, nn.Module):
        if type(first) is nn.PReLU:
            return nn.PReLU(count)  # channels are dimension 1 of [B, K, H]
        if type(first) is Dice:
            return Dice(count * size, dim=3)
    return nn.ModuleList([first, *(activation_layer(activation, size, dice_dim=3) for _ in range(count - 1))])


def _activate(module: nn.Module, x: Tensor) -> Tensor:
    """Apply what `_activations` built: `[B, K, H] -> [B, K, H]`."""
    if isinstance(module, nn.ModuleList):
        return torch.stack([each(x[:, k]) for k, each in enumerate(module)], dim=1)
    out: Tensor = module(x.flatten(1)).view_as(x) if isinstance(module, Dice) else module(x)
    return out


def _module_parts(where: str, module: nn.Module, k: int, count: int) -> dict[str, _Part]:
    """Network k's keys in a module that `_activations` or `BatchNorm` built, which sits at `where`."""
    if isinstance(module, nn.ModuleList):
        return {key: _Part(f"{where}.{k}.{key}") for key in module[k].state_dict()}
    out = {}
    for key, tensor in module.state_dict(keep_vars=True).items():
        item, shape = (None, ()) if tensor.ndim == 0 else (k, (tensor.shape[0] // count, *tensor.shape[1:]))
        out[key] = _Part(f"{where}.{key}", item, shape)
    return out
