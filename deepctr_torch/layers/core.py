"""The layers that nearly every model is made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as _modules

from .._checks import check_at_least, check_choice, check_fraction, check_non_negative, check_positive_units
from .activation import ActivationLike, BatchNorm, Dice, activation_layer
from .kernels.linear import linear_of_parts
from .utils import hooks_of

__all__ = ["DNN", "Conv2dSame", "LocalActivationUnit", "PredictionLayer"]

_EVERY_MODULES = (  # the hooks of all modules, which torch fills in place
    _modules._global_forward_pre_hooks,
    _modules._global_forward_hooks,
    _modules._global_backward_pre_hooks,
    _modules._global_backward_hooks,
)


class DNN(nn.Module):
    """Fully connected layers, each linear -> batch normalisation -> activation -> dropout: `[..., D] -> [..., H]`.

    Args:
        inputs_dim: D.
        hidden_units: layer sizes, the last one is H; empty for the identity.
        activation: whatever `activation_layer` takes.
        l2_reg: accepted for compatibility; the model declares the penalty.
        dropout_rate: share of units set to zero in training.
        use_bn: batch normalisation before each activation.
        init_std: standard deviation of the initial kernels.
        dice_dim: `dim` of Dice; only the shape of its `alpha` depends on it.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.

    >>> DNN(8, (16, 4))(torch.rand(2, 8)).shape
    torch.Size([2, 4])
    >>> DNN(8, ()).output_dim
    8
    """

    def __init__(
        self, inputs_dim: int, hidden_units: Sequence[int], activation: ActivationLike = "relu", l2_reg: float = 0,
        dropout_rate: float = 0, use_bn: bool = False, init_std: float = 0.0001, dice_dim: int = 3, seed: int = 1024,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_at_least("inputs_dim", inputs_dim, 0 if len(hidden_units) == 0 else 1)
        check_positive_units("hidden_units", hidden_units)
        check_fraction("dropout_rate", dropout_rate)
        check_non_negative("init_std", init_std)
        sizes = [inputs_dim, *hidden_units]
        self.inputs_dim = inputs_dim
        self.output_dim = sizes[-1]
        self.use_bn = use_bn
        self.l2_reg = l2_reg
        self.dropout_rate = dropout_rate
        self.seed = seed
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        if use_bn:
            self.bn = nn.ModuleList(BatchNorm(size) for size in hidden_units)
        self.activation_layers = nn.ModuleList(activation_layer(activation, size, dice_dim) for size in hidden_units)
        self.dropout = nn.Dropout(dropout_rate)
        for linear in self.linears:
            nn.init.normal_(linear.get_parameter("weight"), mean=0.0, std=init_std)
        self.to(device)

    def forward(self, inputs: Tensor | Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Apply the layers.

        Args:
            inputs: [..., D]; or several [B, D1], [B, D2], ... that lie side by side, of which those that need no
                gradient then cost none.
            mask: [...], True where a row counts in the statistics of batch normalisation and Dice; None for all.
        """
        if isinstance(inputs, Tensor) or not self.linears:
            out = inputs if isinstance(inputs, Tensor) else torch.cat(list(inputs), dim=-1)
            parts: Sequence[Tensor] = ()
        else:
            out, parts = inputs[0], inputs
        for i, (linear, activation) in enumerate(zip(self.linears, self.activation_layers, strict=True)):
            out = _first(linear, parts) if parts and i == 0 else linear(out)
            if self.use_bn:
                out = self.bn[i](out, mask)
            out = activation(out, mask) if isinstance(activation, Dice) else activation(out)
            out = self.dropout(out) if self.dropout.p else out
        return out


def _first(linear: nn.Module, parts: Sequence[Tensor]) -> Tensor:
    """The first layer over parts side by side; a replaced or hooked one is called as a module."""
    if type(linear) is nn.Linear and not any((*hooks_of(linear), *_EVERY_MODULES)):
        return linear_of_parts(parts, linear.weight, linear.bias)
    out: Tensor = linear(torch.cat(list(parts), dim=-1))
    return out


class PredictionLayer(nn.Module):
    """From logits to predictions, after a bias: `[B, C] -> [B, C]`.

    Probabilities are computed in float32 at least, whatever autocast makes of the logits.

    Args:
        task: "binary" (sigmoid), "multiclass" (softmax over the last dimension) or "regression" (as it is).
        use_bias: add a bias.
        num_classes: C of a multiclass task; each class then has its own bias.

    Attributes:
        link: of a regression, "identity", or "log" for predictions above 0: the exponential of the logit. `compile`
            sets it as the loss needs it.

    >>> PredictionLayer("binary")(torch.zeros(1, 1))
    tensor([[0.5000]], grad_fn=<SigmoidBackward0>)
    """

    link = "identity"

    def __init__(self, task: str = "binary", use_bias: bool = True, num_classes: int | None = None) -> None:
        super().__init__()
        check_choice("task", task, ("binary", "multiclass", "regression"))
        if num_classes is not None:
            check_at_least("num_classes", num_classes, 2)
            if task != "multiclass":
                raise ValueError(f"num_classes must be None for task {task!r}, got {num_classes!r}")
        self.task = task
        self.use_bias = use_bias
        if use_bias:
            self.bias = nn.Parameter(torch.zeros(num_classes or 1))

    def logits(self, X: Tensor) -> Tensor:
        """The input plus the bias, in float32 at least: `[B, C] -> [B, C]`."""
        X = X.float() if X.dtype in (torch.float16, torch.bfloat16) else X
        # NOTE[DIFF] W24: a new tensor; upstream adds the bias to its input in place.
        return X + self.bias if self.use_bias else X

    def forward(self, X: Tensor) -> Tensor:
        logits = self.logits(X)
        if self.task == "binary":
            return torch.sigmoid(logits)
        if self.task == "multiclass":
            return torch.softmax(logits, dim=-1)
        return torch.exp(logits) if self.link == "log" else logits


class LocalActivationUnit(nn.Module):
    """The weight of each past behaviour for the candidate: `[B, 1, E], [B, T, E] -> [B, T, 1]`.

    A DNN over query, key, their difference and their product, then one linear unit (Zhou et al., Deep Interest Network,
    2018, section 4.3 and figure 2; the difference and the product stand for the paper's outer product).

    Args:
        hidden_units: layer sizes of the DNN; empty for the linear unit alone.
        embedding_dim: E.
        activation: of the DNN; whatever `activation_layer` takes.
        dropout_rate: of the DNN.
        dice_dim: `dim` of Dice.
        l2_reg: accepted for compatibility; the model declares the penalty.
        use_bn: batch normalisation in the DNN.
        init_std: standard deviation of the DNN's initial kernels.

    >>> LocalActivationUnit(embedding_dim=4)(torch.rand(2, 1, 4), torch.rand(2, 5, 4)).shape
    torch.Size([2, 5, 1])
    """

    def __init__(
        self, hidden_units: Sequence[int] = (64, 32), embedding_dim: int = 4, activation: ActivationLike = "sigmoid",
        dropout_rate: float = 0, dice_dim: int = 3, l2_reg: float = 0, use_bn: bool = False, *,
        init_std: float = 0.0001,
    ) -> None:  # fmt: skip
        super().__init__()
        check_at_least("embedding_dim", embedding_dim, 1)
        self.dnn = DNN(
            4 * embedding_dim,
            hidden_units,
            activation,
            dropout_rate=dropout_rate,
            use_bn=use_bn,
            init_std=init_std,
            dice_dim=dice_dim,
        )
        self.dense = nn.Linear(self.dnn.output_dim, 1)

    def forward(self, query: Tensor, user_behavior: Tensor, mask: Tensor | None = None) -> Tensor:
        """Score every position.

        Args:
            query: [B, 1, E].
            user_behavior: [B, T, E].
            mask: [B, T], True where a position counts in the statistics of batch normalisation and Dice.
        """
        queries = query.expand_as(user_behavior)  # [B, T, E]
        pairs = [queries, user_behavior, queries - user_behavior, queries * user_behavior]
        score: Tensor = self.dense(self.dnn(torch.cat(pairs, dim=-1), mask))  # [B, T, 1]
        return score


class Conv2dSame(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: `[B, C, F, E] -> [B, C', F', E']`.

    The output has the input's height and width, divided by the stride and rounded up. Where the padding is odd, the
    extra row or column goes to the bottom or right. Kernels start Xavier-uniform.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel_size: one number, or (height, width).
        stride: one number, or (vertical, horizontal).
        padding: 0; "same" decides it.
        dilation: distance between the points of the kernel.
        groups: groups of channels that do not mix.
        bias: add a bias.

    >>> Conv2dSame(1, 2, (3, 1), stride=2)(torch.rand(1, 1, 5, 4)).shape
    torch.Size([1, 2, 3, 2])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1, padding: int = 0, dilation: int | tuple[int, int] = 1, groups: int = 1,
        bias: bool = True,
    ) -> None:  # fmt: skip
        if padding not in (0, (0, 0)):
            raise ValueError(f"padding must be 0 (it follows from the input size), got {padding!r}")
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = self._padding(x.shape[-2], axis=0)
        left, right = self._padding(x.shape[-1], axis=1)
        padded = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def _padding(self, size: int, axis: int) -> tuple[int, int]:
        """Zeros before and after one axis."""
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        steps = (size + stride - 1) // stride
        total = reach - 1 if stride == 1 else max((steps - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2
