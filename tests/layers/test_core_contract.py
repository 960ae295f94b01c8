"""What every layer of core, activation, sequence and parallel promises, checked for each in the same way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.layers import (
    DNN,
    AGRUCell,
    AttentionSequencePoolingLayer,
    AUGRUCell,
    BatchNorm,
    Conv2dSame,
    Dice,
    DynamicGRU,
    Identity,
    KMaxPooling,
    LocalActivationUnit,
    ParallelDNN,
    ParallelLinear,
    PredictionLayer,
    SequencePoolingLayer,
)

T, E = 3, 4


class Case(NamedTuple):
    """How to build a layer, and its inputs for a batch of `B` rows."""

    build: Callable[[], nn.Module]
    inputs: Callable[[int], tuple[Any, ...]]


def mask(batch: int) -> Tensor:
    lengths = torch.arange(batch) % (T + 1)
    return torch.arange(T) < lengths.unsqueeze(1)


def lengths(batch: int) -> Tensor:
    return (torch.arange(batch) % (T + 1)).unsqueeze(1)


def rows(batch: int) -> tuple[Tensor]:
    return (torch.randn(batch, E),)


def attention(batch: int) -> tuple[Tensor, ...]:
    return torch.randn(batch, 1, E), torch.randn(batch, T, E), lengths(batch)


def pooling(batch: int) -> tuple[list[Tensor]]:
    return ([torch.randn(batch, T, E), lengths(batch)],)


def step(batch: int) -> tuple[Tensor, ...]:
    return torch.randn(batch, E), torch.randn(batch, 2), torch.rand(batch, 1)


def sweep(batch: int) -> tuple[Tensor, ...]:
    return torch.randn(batch, T, E), torch.rand(batch, T)


def per_network(batch: int) -> tuple[Tensor]:
    return (torch.randn(batch, 2, E),)


ATTENTION = {"att_hidden_units": (3,), "embedding_dim": E, "init_std": 0.5}
CASES = {
    "BatchNorm": Case(lambda: BatchNorm(E), rows),
    "BatchNorm masked": Case(lambda: BatchNorm(E), lambda b: (torch.randn(b, T, E), mask(b))),
    "Dice": Case(lambda: Dice(E), rows),
    "Dice masked": Case(lambda: Dice(E, dim=3), lambda b: (torch.randn(b, T, E), mask(b))),
    "Identity": Case(Identity, rows),
    "DNN": Case(lambda: DNN(E, (3, 2), "tanh", init_std=0.5), rows),
    "DNN bn prelu": Case(lambda: DNN(E, (3, 2), "prelu", use_bn=True, init_std=0.5), rows),
    "DNN dice masked": Case(lambda: DNN(E, (3, 2), "dice", init_std=0.5), lambda b: (torch.randn(b, T, E), mask(b))),
    "DNN identity": Case(lambda: DNN(E, ()), rows),
    "PredictionLayer binary": Case(PredictionLayer, lambda b: (torch.randn(b, 1),)),
    "PredictionLayer regression": Case(lambda: PredictionLayer("regression"), lambda b: (torch.randn(b, 1),)),
    "PredictionLayer multiclass": Case(lambda: PredictionLayer("multiclass", num_classes=E), rows),
    "LocalActivationUnit": Case(
        lambda: LocalActivationUnit((3,), E, init_std=0.5), lambda b: (torch.randn(b, 1, E), torch.randn(b, T, E))
    ),
    "Conv2dSame": Case(lambda: Conv2dSame(1, 2, (3, 2), stride=2), lambda b: (torch.randn(b, 1, 5, E),)),
    "SequencePoolingLayer sum": Case(lambda: SequencePoolingLayer("sum"), pooling),
    "SequencePoolingLayer mean": Case(lambda: SequencePoolingLayer("mean"), pooling),
    "SequencePoolingLayer max": Case(lambda: SequencePoolingLayer("max"), pooling),
    "Attention": Case(lambda: AttentionSequencePoolingLayer(**ATTENTION), attention),
    "Attention normalised dice": Case(
        lambda: AttentionSequencePoolingLayer(att_activation="dice", weight_normalization=True, **ATTENTION), attention
    ),
    "KMaxPooling": Case(lambda: KMaxPooling(2, 1), rows),
    "AGRUCell": Case(lambda: AGRUCell(E, 2), step),
    "AUGRUCell": Case(lambda: AUGRUCell(E, 2), step),
    "AUGRUCell no bias": Case(lambda: AUGRUCell(E, 2, bias=False), step),
    "DynamicGRU AGRU": Case(lambda: DynamicGRU(E, 2), sweep),
    "DynamicGRU AUGRU": Case(lambda: DynamicGRU(E, 2, gru_type="AUGRU"), sweep),
    "ParallelLinear": Case(lambda: ParallelLinear(E, 3, ["a", "b"]), per_network),
    "ParallelDNN": Case(lambda: ParallelDNN(E, (3, 2), ["a", "b"], "tanh", init_std=0.5), rows),
    "ParallelDNN bn prelu": Case(
        lambda: ParallelDNN(E, (3, 2), ["a", "b"], "prelu", use_bn=True, init_std=0.5), per_network
    ),
    "ParallelDNN dice": Case(lambda: ParallelDNN(E, (3, 2), ["a", "b"], "dice", init_std=0.5), rows),
    "ParallelDNN identity": Case(lambda: ParallelDNN(E, (), ["a", "b"]), rows),
}


def convert(inputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to each floating tensor inside nested inputs."""
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(convert(each, change) for each in inputs)
    return change(inputs) if inputs.is_floating_point() else inputs


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_gradient_reaches_every_parameter_and_is_finite(case: Case) -> None:
    layer, inputs = case.build(), convert(case.inputs(7), Tensor.requires_grad_)
    (layer(*inputs) ** 2).sum().backward()
    first = inputs[0][0] if isinstance(inputs[0], list) else inputs[0]
    assert first.grad is not None
    assert first.grad.isfinite().all()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_number_of_rows_trains(case: Case, batch: int) -> None:
    out = case.build()(*case.inputs(batch))
    assert out.shape[0] == batch
    assert out.isfinite().all()


def test_rows_do_not_depend_on_each_other_in_evaluation(case: Case) -> None:
    layer, inputs = case.build().eval(), case.inputs(5)
    whole = layer(*inputs)

    def row(x: Any) -> Any:
        return [each[2:3] for each in x] if isinstance(x, list) else x[2:3]

    assert_close(layer(*map(row, inputs)), whole[2:3])


def test_inputs_are_not_changed(case: Case) -> None:
    layer, inputs = case.build(), case.inputs(5)
    before = copy.deepcopy(inputs)
    layer(*inputs)
    assert_close(inputs, before, rtol=0, atol=0)


def test_builds_and_runs_on_meta(case: Case) -> None:
    layer = case.build().to("meta")
    with torch.device("meta"):
        inputs = case.inputs(5)
    assert layer(*inputs).is_meta
    assert layer.eval()(*inputs).shape == case.build().eval()(*case.inputs(5)).shape


@pytest.mark.parametrize(
    "build",
    [
        lambda: Dice(E, device="meta"),
        lambda: DNN(E, (3,), "dice", use_bn=True, device="meta"),
        lambda: AttentionSequencePoolingLayer(device="meta"),
    ],
)
def test_device_argument(build: Callable[[], nn.Module]) -> None:
    layer = build()
    assert all(tensor.is_meta for tensor in [*layer.parameters(), *layer.buffers()])


def test_export_with_any_batch_size_equals_eager(case: Case) -> None:
    layer, inputs = case.build().eval(), case.inputs(4)
    # Older versions of torch.export look parameters up in the state_dict by their own names.
    layer.state_dict = lambda *args, **kwargs: dict(layer.named_parameters()) | dict(layer.named_buffers())
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = tuple([{0: batch}] * len(x) if isinstance(x, list) else {0: batch} for x in inputs)
    exported = torch.export.export(layer, inputs, dynamic_shapes=shapes if len(inputs) > 1 else (shapes[0],))
    other = case.inputs(6)
    assert_close(exported.module()(*other), layer(*other))


@pytest.mark.parametrize("training", [True, False])
def test_compiles_into_one_graph(case: Case, training: bool) -> None:
    layer, inputs = case.build().train(training), case.inputs(5)
    same = copy.deepcopy(layer)
    compiled = torch.compile(same, fullgraph=True, backend="eager")
    assert_close(compiled(*inputs), layer(*inputs))
    assert_close(dict(same.named_buffers()), dict(layer.named_buffers()))


def test_float64_is_kept_and_agrees(case: Case) -> None:
    layer, inputs = case.build(), case.inputs(5)
    out = copy.deepcopy(layer).double()(*convert(inputs, Tensor.double))
    assert out.dtype == torch.float64
    assert_close(out.float(), layer(*inputs), rtol=1e-4, atol=1e-5)


def test_bf16_autocast_trains(case: Case) -> None:
    layer, inputs = case.build(), case.inputs(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(*inputs)
    if out.requires_grad:
        out.float().sum().backward()
    assert_close(out.float(), layer(*inputs), rtol=0.1, atol=0.1)
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


def test_state_dict_round_trip(case: Case) -> None:
    layer, other, inputs = case.build(), case.build(), case.inputs(5)
    layer(*inputs)
    other.load_state_dict(layer.state_dict())
    assert_close(other.eval()(*inputs), layer.eval()(*inputs), rtol=0, atol=0)
    assert_close(copy.deepcopy(layer)(*inputs), layer(*inputs), rtol=0, atol=0)
