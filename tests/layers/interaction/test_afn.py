"""LogTransformLayer against AFN's layer: products of powers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deepctr_torch.layers.interaction import LogTransformLayer


def without_normalization(fields: int, width: int, neurons: int) -> LogTransformLayer:
    layer = LogTransformLayer(fields, width, neurons).double().eval()
    for bn in layer.bn:
        bn.running_var.fill_(1 - bn.eps)
    return layer


def test_exact() -> None:
    layer = without_normalization(2, 2, 1)
    layer.ltl_weights.data = torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    layer.ltl_biases.data = torch.zeros(1, 1, 1, dtype=torch.float64)
    x = torch.tensor([[[3.0, -4.0], [2.0, 8.0]]], dtype=torch.float64)  # 3^2 / 2, 4^2 / 8
    torch.testing.assert_close(layer(x), torch.tensor([[4.5, 2.0]], dtype=torch.float64))


def test_equals_naive() -> None:
    torch.manual_seed(0)
    layer = without_normalization(3, 4, 5)
    nn.init.normal_(layer.ltl_biases)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    for sample, result in zip(x, layer(x), strict=True):
        for e in range(4):
            for j in range(5):
                product = layer.ltl_biases[0, 0, j].exp()
                for i in range(3):
                    product = product * sample[i, e].abs() ** layer.ltl_weights[i, j]
                torch.testing.assert_close(result[e * 5 + j], product)  # by dimension, then neuron


def reference(layer: LogTransformLayer, norms: list[nn.BatchNorm1d], x: Tensor) -> Tensor:
    logs = norms[0](x.abs().clamp(min=1e-7).log().transpose(1, 2))
    return norms[1]((logs @ layer.ltl_weights + layer.ltl_biases).exp()).flatten(1)


@pytest.mark.parametrize("training", [True, False])
def test_normalizes_as_batch_norm_over_samples_and_fields(training: bool) -> None:
    torch.manual_seed(0)
    layer = LogTransformLayer(3, 4, 5).double()
    norms = [nn.BatchNorm1d(4).double(), nn.BatchNorm1d(4).double()]
    for bn in layer.bn:
        nn.init.normal_(bn.weight)
        nn.init.normal_(bn.running_mean)
    for norm, bn in zip(norms, layer.bn, strict=True):
        norm.load_state_dict(bn.state_dict())
        norm.train(training)
    layer.train(training)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), reference(layer, norms, x))
    for norm, bn in zip(norms, layer.bn, strict=True):
        torch.testing.assert_close(bn.running_mean, norm.running_mean)
        torch.testing.assert_close(bn.running_var, norm.running_var)


def test_zero_is_clamped() -> None:
    layer = LogTransformLayer(3, 4, 5)
    x = torch.zeros(2, 3, 4, requires_grad=True)
    output = layer(x)
    output.sum().backward()
    assert output.isfinite().all()
    assert x.grad.isfinite().all()


def test_one_training_row_uses_the_running_statistics() -> None:
    torch.manual_seed(0)
    layer = LogTransformLayer(3, 4, 5)
    layer(torch.randn(8, 3, 4))
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    row = torch.randn(1, 3, 4)
    training = layer(row)
    torch.testing.assert_close(training, layer.eval()(row))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


def test_autocast_does_not_round_what_the_powers_are_normalized_by() -> None:
    torch.manual_seed(0)
    layer, twin = LogTransformLayer(3, 4, 50), LogTransformLayer(3, 4, 50)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(512, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    torch.testing.assert_close(out, twin(x), rtol=0.05, atol=0.05)
    assert out.dtype == torch.float32
    norm, exact = layer.bn[1], twin.bn[1]
    torch.testing.assert_close(norm.running_mean, exact.running_mean, rtol=1e-4, atol=0)
    torch.testing.assert_close(norm.running_var, exact.running_var, rtol=1e-3, atol=0)


def test_keys_and_shapes() -> None:
    state = {key: tuple(value.shape) for key, value in LogTransformLayer(3, 4, 5).state_dict().items()}
    assert (state.pop("ltl_weights"), state.pop("ltl_biases")) == ((3, 5), (1, 1, 5))
    assert state == {
        f"bn.{i}.{name}": () if name == "num_batches_tracked" else (4,)
        for i in range(2)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


def test_start() -> None:
    torch.manual_seed(0)
    layer = LogTransformLayer(100, 4, 200)
    assert layer.ltl_weights.std().item() == pytest.approx(0.1, rel=0.02)
    assert layer.ltl_biases.count_nonzero() == 0


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="ltl_hidden_size must be an integer of at least 1, got 0"):
        LogTransformLayer(3, 4, 0)
