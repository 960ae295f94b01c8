"""What every interaction layer promises, checked for each in every configuration."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from deepctr_torch.layers import interaction

FIELDS, EMBEDDING, WIDTH = 4, 6, 5


class Case(NamedTuple):
    build: Callable[..., nn.Module]  # takes `device` where the layer does
    shape: tuple[int, ...]  # of the input, without samples
    output: tuple[int, ...]  # of the output, without samples


STACKED = (FIELDS, EMBEDDING)
PAIRS = FIELDS * (FIELDS - 1) // 2
CASES = {
    "FM": Case(lambda device="cpu": interaction.FM(), STACKED, (1,)),
    "BiInteractionPooling": Case(lambda device="cpu": interaction.BiInteractionPooling(), STACKED, (1, EMBEDDING)),
    "SENETLayer": Case(lambda device="cpu": interaction.SENETLayer(FIELDS, 2, device=device), STACKED, STACKED),
    **{
        f"BilinearInteraction-{kind}": Case(
            lambda device="cpu", kind=kind: interaction.BilinearInteraction(FIELDS, EMBEDDING, kind, device=device),
            STACKED,
            (PAIRS, EMBEDDING),
        )
        for kind in ("all", "each", "interaction")
    },
    "CIN": Case(lambda device="cpu": interaction.CIN(FIELDS, (6, 4, 3), device=device), STACKED, (3 + 2 + 3,)),
    "CIN-whole": Case(
        lambda device="cpu": interaction.CIN(FIELDS, (5, 3), "prelu", split_half=False, device=device), STACKED, (8,)
    ),
    "AFMLayer": Case(lambda device="cpu": interaction.AFMLayer(EMBEDDING, 3, device=device), STACKED, (1,)),
    "AFMLayer-classes": Case(
        lambda device="cpu": interaction.AFMLayer(EMBEDDING, device=device, outputs=3), STACKED, (3,)
    ),
    "InteractingLayer": Case(
        lambda device="cpu": interaction.InteractingLayer(EMBEDDING, 2, device=device), STACKED, STACKED
    ),
    "InteractingLayer-plain": Case(
        lambda device="cpu": interaction.InteractingLayer(EMBEDDING, 3, use_res=False, scaling=True, device=device),
        STACKED,
        STACKED,
    ),
    "CrossNet-vector": Case(lambda device="cpu": interaction.CrossNet(WIDTH, 3, device=device), (WIDTH,), (WIDTH,)),
    "CrossNet-matrix": Case(
        lambda device="cpu": interaction.CrossNet(WIDTH, 2, "matrix", device=device), (WIDTH,), (WIDTH,)
    ),
    "CrossNetMix": Case(
        lambda device="cpu": interaction.CrossNetMix(WIDTH, 2, num_experts=3, device=device), (WIDTH,), (WIDTH,)
    ),
    "InnerProductLayer": Case(lambda device="cpu": interaction.InnerProductLayer(), STACKED, (PAIRS, 1)),
    "InnerProductLayer-elementwise": Case(
        lambda device="cpu": interaction.InnerProductLayer(reduce_sum=False), STACKED, (PAIRS, EMBEDDING)
    ),
    **{
        f"OutterProductLayer-{kind}": Case(
            lambda device="cpu", kind=kind: interaction.OutterProductLayer(FIELDS, EMBEDDING, kind, device=device),
            STACKED,
            (PAIRS,),
        )
        for kind in ("mat", "vec", "num")
    },
    "LogTransformLayer": Case(
        lambda device="cpu": interaction.LogTransformLayer(FIELDS, EMBEDDING, 3, device=device),
        STACKED,
        (3 * EMBEDDING,),
    ),
    "ConvLayer": Case(
        lambda device="cpu": interaction.ConvLayer(FIELDS, [3, 2], [4, 2], device=device),
        (1, *STACKED),
        (2, 2, EMBEDDING),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    return CASES[request.param]


def inputs_of(case: Case, rows: int = 7) -> Tensor:
    return torch.randn(rows, *case.shape)


def test_every_layer_has_a_case() -> None:
    here = interaction.__name__  # star imports bring names of elsewhere too
    own = {n for n in interaction.__all__ if getattr(getattr(interaction, n), "__module__", "").startswith(here)}
    assert {name.split("-")[0] for name in CASES} == own


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("training", [True, False])
def test_output_shape(case: Case, rows: int, training: bool) -> None:
    output = case.build().train(training)(inputs_of(case, rows))
    assert output.shape == (rows, *case.output)
    assert output.isfinite().all()


def test_no_sample_gives_no_result(case: Case) -> None:
    assert case.build().eval()(inputs_of(case, 0)).shape == (0, *case.output)


def test_every_parameter_and_the_input_get_a_gradient(case: Case) -> None:
    layer, inputs = case.build(), inputs_of(case).requires_grad_()
    output = layer(inputs)
    output.backward(torch.randn_like(output))
    assert inputs.grad is not None
    assert inputs.grad.count_nonzero() > 0
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero() > 0, name


def test_gradient_is_the_derivative(case: Case) -> None:
    layer, inputs = case.build().double().eval(), inputs_of(case, 2).double().requires_grad_()
    names, values = zip(*layer.named_parameters(), strict=True) if list(layer.parameters()) else ((), ())
    assert torch.autograd.gradcheck(
        lambda x, *weights: torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,)),
        (inputs, *values),
        fast_mode=True,
    )


def test_input_is_left_alone(case: Case) -> None:
    inputs = inputs_of(case)
    before = inputs.clone()
    case.build()(inputs)
    torch.testing.assert_close(inputs, before, rtol=0, atol=0)


def test_rows_are_independent(case: Case) -> None:
    layer, inputs = case.build().eval(), inputs_of(case)
    together = layer(inputs)
    torch.testing.assert_close(together, torch.cat([layer(row) for row in inputs.split(1)], dim=0))
    order = torch.randperm(len(inputs))
    torch.testing.assert_close(layer(inputs[order]), together[order])


def test_meta_device(case: Case) -> None:
    layer = case.build(device="meta")
    assert {p.device.type for p in layer.parameters()} <= {"meta"}
    inputs = torch.empty(3, *case.shape, device="meta")
    assert layer.to("meta")(inputs).shape == (3, *case.output)


def test_meta_layer_filled_from_a_checkpoint(case: Case) -> None:
    source, inputs = case.build().eval(), inputs_of(case)
    layer = case.build(device="meta").eval()
    layer.load_state_dict(source.state_dict(), assign=True)
    assert not any(value.is_meta for value in layer.state_dict().values())
    torch.testing.assert_close(layer(inputs), source(inputs), rtol=0, atol=0)


def test_export_with_dynamic_batch(case: Case) -> None:
    layer, inputs = case.build().eval(), inputs_of(case)
    # Older versions of torch.export look parameters up in the state_dict by their own names.
    layer.state_dict = lambda *args, **kwargs: dict(layer.named_parameters()) | dict(layer.named_buffers())
    program = torch.export.export(layer, (inputs,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for rows in (1, 2, 9):
        fresh = inputs_of(case, rows)
        torch.testing.assert_close(program.module()(fresh), layer(fresh))


@pytest.mark.parametrize("training", [True, False])
def test_compiles_without_graph_break(case: Case, training: bool) -> None:
    torch.compiler.reset()
    layer, inputs = case.build().train(training), inputs_of(case)
    compiled = torch.compile(copy.deepcopy(layer), fullgraph=True, backend="eager", dynamic=True)
    torch.testing.assert_close(compiled(inputs), layer(inputs))
    torch.testing.assert_close(compiled(inputs[:3]), layer(inputs[:3]))


def test_float64(case: Case) -> None:
    layer, inputs = case.build().eval(), inputs_of(case)
    single = layer(inputs)
    double = layer.double()(inputs.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)


def test_bfloat16_autocast(case: Case) -> None:
    layer, inputs = case.build().eval(), inputs_of(case)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(inputs)
    if output.requires_grad:
        output.float().sum().backward()
    torch.testing.assert_close(output.float(), layer(inputs), rtol=0.1, atol=0.1)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_gradients_of_each_sample(case: Case) -> None:
    layer, inputs = case.build().eval(), inputs_of(case)
    weights = dict(layer.named_parameters())

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(layer, parameters, (sample.unsqueeze(dim=0),))
        return out.square().sum()

    each = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(None, 0))(weights, inputs)
    inputs.requires_grad_()
    layer(inputs).square().sum().backward()
    torch.testing.assert_close(each[1], inputs.grad, rtol=1e-4, atol=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(each[0][name].sum(dim=0), weight.grad, rtol=1e-4, atol=1e-4)
    copy.deepcopy(layer)  # no tensor of the transform stays in it


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch, at the first jvp
def test_derivative_in_forward_mode(case: Case) -> None:
    layer, inputs = case.build().eval().double(), inputs_of(case).double()
    along = torch.randn_like(inputs)
    out, change = torch.func.jvp(layer, (inputs,), (along,))
    step = 1e-6
    torch.testing.assert_close(out, layer(inputs))
    slope = (layer(inputs + step * along) - layer(inputs - step * along)) / (2 * step)
    torch.testing.assert_close(change, slope, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_tracing(case: Case) -> None:
    layer, inputs = case.build().eval(), inputs_of(case)
    memory = io.BytesIO()
    torch.jit.save(torch.jit.trace(layer, (inputs,)), memory)
    memory.seek(0)
    for traced_with in (inputs, inputs_of(case, 5)):
        torch.testing.assert_close(torch.jit.load(memory)(traced_with), layer(traced_with))
        memory.seek(0)


def test_state_goes_through_a_checkpoint(case: Case) -> None:
    layer, other, inputs = case.build().eval(), case.build().eval(), inputs_of(case)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(inputs), layer(inputs), rtol=0, atol=0)


def test_copies_after_a_forward(case: Case) -> None:
    layer, inputs = case.build(), inputs_of(case)
    layer(inputs)
    layer.eval()
    expected = layer(inputs)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(inputs), expected, rtol=0, atol=0)


def test_seed_of_torch_decides_the_start(case: Case) -> None:
    torch.manual_seed(3)
    first = case.build().state_dict()
    torch.manual_seed(3)
    second = case.build().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


STACKED_LAYERS = ["AFMLayer", "BilinearInteraction-each", "InnerProductLayer", "OutterProductLayer-mat"]


@pytest.mark.parametrize("name", STACKED_LAYERS)
def test_list_and_stacked_input_agree(name: str) -> None:
    case = CASES[name]
    layer, inputs = case.build(), inputs_of(case)
    torch.testing.assert_close(layer(list(inputs.split(1, dim=1))), layer(inputs), rtol=0, atol=0)
    torch.testing.assert_close(layer(tuple(inputs.split(1, dim=1))), layer(inputs), rtol=0, atol=0)


@pytest.mark.parametrize("name", STACKED_LAYERS)
def test_wrong_form_of_fields(name: str) -> None:
    layer = CASES[name].build()
    with pytest.raises(ValueError, match=r"inputs must have three dimensions \[B, F, E\], got shape \(2, 4\)"):
        layer(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="at least one tensor"):
        layer([])


def test_says_what_it_is(case: Case) -> None:
    layer = case.build()
    assert repr(layer).startswith(type(layer).__name__)
