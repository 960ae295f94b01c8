"""Optimizers by name, and the row-sparse ones against torch's dense ones."""

from __future__ import annotations

import copy
import functools
import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from deepctr_torch.embedding.sparse_grad import CoalescedIndex
from deepctr_torch.optim.combined import OPTIMIZERS, DenseRowWiseAdagrad, make_optimizer, takes_sparse_gradients
from deepctr_torch.optim.fused import step_fused
from deepctr_torch.optim.sparse import (
    SPARSE_OPTIMIZERS,
    DecayedLazyAdam,
    LazyAdam,
    LazyAdamW,
    RowWiseAdagrad,
    SparseAdagrad,
    SparseOptimizer,
    SparseRMSprop,
    SparseSGD,
    default_lr,
    make_sparse_optimizer,
    scatter_rows,
)

NAMES = ("adagrad", "adam", "adamw", "rmsprop", "rowwise_adagrad", "sgd")
CLASSES = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "rowwise_adagrad": DenseRowWiseAdagrad,
    "sgd": torch.optim.SGD,
}
ROWS = {
    "adagrad": SparseAdagrad,
    "adam": LazyAdam,
    "adamw": LazyAdamW,
    "rmsprop": SparseRMSprop,
    "rowwise_adagrad": RowWiseAdagrad,
    "sgd": SparseSGD,
}


def table(rows: int = 6, width: int = 3, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    generator = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(rows, width, generator=generator, dtype=dtype))


LEARNING_RATES = {"adagrad": 0.01, "adam": 0.001, "adamw": 0.001, "rmsprop": 0.01, "rowwise_adagrad": 0.01, "sgd": 0.01}


def gradients(steps: int, rows: int = 6, width: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(steps, rows, width, generator=torch.Generator().manual_seed(1), dtype=dtype)


# ------------------------------------------------------------------------------------------ by name


def test_names_and_learning_rates() -> None:
    assert tuple(OPTIMIZERS) == tuple(SPARSE_OPTIMIZERS) == tuple(sorted(LEARNING_RATES)) == NAMES
    assert {name: default_lr(name) for name in NAMES} == LEARNING_RATES


@pytest.mark.parametrize("name", NAMES)
def test_named_optimizers(name: str) -> None:
    made = make_optimizer(name.upper(), [table()])
    assert type(made) is CLASSES[name]
    assert made.param_groups[0]["lr"] == default_lr(name) == LEARNING_RATES[name]
    assert made.param_groups[0]["weight_decay"] == 0
    assert make_optimizer(name, [table()], lr=0.25).param_groups[0]["lr"] == 0.25
    row = make_sparse_optimizer(name.title(), [table()])
    assert type(row) is ROWS[name]
    assert row.param_groups[0]["lr"] == LEARNING_RATES[name]
    assert make_sparse_optimizer(name, [table()], lr=0.25).param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_torchs_plain_implementation(name: str) -> None:
    fused, reference = table(), table()
    extra = {"weight_decay": 0.0} if name == "adamw" else {}
    extra |= {} if name == "rowwise_adagrad" else {"foreach": False}
    ours = make_optimizer(name, [fused])
    theirs = CLASSES[name]([reference], lr=LEARNING_RATES[name], **extra)
    for grad in gradients(4):
        fused.grad, reference.grad = grad.clone(), grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(fused, reference)


@pytest.mark.parametrize("name", ["adagrad", "adam", "adamw"])
def test_one_kernel_where_torch_has_one(name: str) -> None:
    assert make_optimizer(name, [table()]).defaults["fused"]
    meta = nn.Parameter(torch.zeros(2, device="meta"))
    assert not make_optimizer(name, [meta]).defaults["fused"]


@pytest.mark.parametrize("name", NAMES)
def test_groups_and_generators(name: str) -> None:
    a, b = table(), table()
    groups = make_optimizer(name, [{"params": (p for p in [a]), "lr": 0.5}, {"params": b}]).param_groups
    assert [group["lr"] for group in groups] == [0.5, LEARNING_RATES[name]]
    assert groups[0]["params"][0] is a
    assert groups[1]["params"][0] is b
    assert len(make_optimizer(name, (p for p in [a, b])).param_groups[0]["params"]) == 2


def test_instances_classes_and_functions() -> None:
    weight = table()
    instance = torch.optim.Adam([weight], lr=0.3)
    assert make_optimizer(instance, [weight]) is instance
    assert make_optimizer(torch.optim.Adam, [weight]).param_groups[0]["lr"] == 0.001
    assert make_optimizer(torch.optim.SGD, [weight], lr=0.2).param_groups[0]["lr"] == 0.2
    momentum = make_optimizer(functools.partial(torch.optim.SGD, momentum=0.9), [weight], lr=0.2)
    assert momentum.param_groups[0]["momentum"] == 0.9


def test_wrong_arguments() -> None:
    weight = table()
    with pytest.raises(ValueError, match="unknown optimizer 'adamm': did you mean 'adam'"):
        make_optimizer("Adamm", [weight])
    with pytest.raises(ValueError, match="unknown row-sparse optimizer 'lamb'"):
        make_sparse_optimizer("lamb", [weight])
    with pytest.raises(ValueError, match="unknown optimizer 'lamb'"):
        default_lr("lamb")
    with pytest.raises(ValueError, match=r"learning_rate must be None beside an optimizer instance.* got 0.1"):
        make_optimizer(torch.optim.Adam([weight]), [weight], lr=0.1)
    with pytest.raises(TypeError, match="optimizer must be a name, an optimizer or its class, got NoneType"):
        make_optimizer(None, [weight])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="optimizer must build a torch optimizer, got list"):
        make_optimizer(lambda params: list(params), [weight])  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="lr must be a number >= 0, got -1"):
        SparseSGD([weight], lr=-1)
    with pytest.raises(ValueError, match=r"weight must be one the optimizer was made with, got one of shape \(2, 3\)"):
        SparseSGD([weight]).update(table(2), torch.tensor([0]), torch.ones(1, 3))


# ------------------------------------------------------------------------------------------ rows


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_with_all_rows_the_steps_are_those_of_the_dense_optimizer(name: str, dtype: torch.dtype, l2: float) -> None:
    sparse, dense = table(dtype=dtype), table(dtype=dtype)
    rows = torch.tensor([3, 0, 5, 1, 2, 4])
    ours, theirs = make_sparse_optimizer(name, [sparse]), make_optimizer(name, [dense])
    for grad in gradients(6, dtype=dtype):
        ours.update(sparse, rows, grad[rows], l2=l2)
        dense.grad = grad + 2 * l2 * dense.detach()
        theirs.step()
    torch.testing.assert_close(sparse, dense)


@pytest.mark.parametrize("name", NAMES)
def test_rows_outside_the_batch_keep_weight_and_state_bit_for_bit(name: str) -> None:
    weight = table()
    optimizer = make_sparse_optimizer(name, [weight])
    optimizer.update(weight, torch.arange(6), gradients(1)[0])
    before, state = weight.detach().clone(), copy.deepcopy(optimizer.state_dict()["state"][0])
    rows, rest = torch.tensor([1, 4]), torch.tensor([0, 2, 3, 5])
    grad = gradients(2)[1][rows]
    given_grad = grad.clone()
    optimizer.update(weight, rows, grad, l2=0.5)
    assert torch.equal(weight[rest], before[rest])
    assert (weight[rows] != before[rows]).all()
    assert torch.equal(grad, given_grad)
    now = optimizer.state_dict()["state"][0]
    assert now["step"] == state["step"] + 1 == 2
    for key in optimizer.state_names:
        assert torch.equal(now[key][rest], state[key][rest])
        assert (now[key][rows] != state[key][rows]).all()


@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_without_memory_of_absence_a_row_takes_the_dense_steps_of_its_own_batches(name: str) -> None:
    """Adagrad and SGD do nothing on a zero gradient: lazy and dense are one for any pattern of rows."""
    sparse, dense = table(), table()
    ours, theirs = make_sparse_optimizer(name, [sparse]), make_optimizer(name, [dense])
    for step, grad in enumerate(gradients(5)):
        rows = torch.tensor([[0, 1], [1, 3], [5, 2], [0, 5], [1, 2]][step])
        ours.update(sparse, rows, grad[rows])
        dense.grad = torch.zeros_like(dense).index_copy(0, rows, grad[rows])
        theirs.step()
    torch.testing.assert_close(sparse, dense)


def test_adam_corrects_by_all_updates_of_the_table() -> None:
    weight = nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))
    optimizer = LazyAdam([weight], lr=1.0, betas=(0.5, 0.75), eps=0.0)
    optimizer.update(weight, torch.tensor([0]), torch.tensor([[3.0]]))
    torch.testing.assert_close(weight.detach(), torch.tensor([[-1.0], [0.0]], dtype=torch.float64))
    optimizer.update(weight, torch.tensor([1]), torch.tensor([[2.0]]))  # first gradient of the row, second update
    mean, square = 0.5 * 2 / (1 - 0.5**2), 0.25 * 4 / (1 - 0.75**2)
    torch.testing.assert_close(weight[1].item(), -mean / square**0.5)


def test_rowwise_adagrad_by_hand() -> None:
    start = torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
    by_row, dense = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer, whole = make_sparse_optimizer("rowwise_adagrad", [by_row], lr=0.5), DenseRowWiseAdagrad([dense], lr=0.5)
    optimizer.update(by_row, torch.tensor([0]), torch.tensor([[1.0, 7.0]], dtype=torch.float64))
    expected = torch.tensor([[1 - 0.5 * 1 / 5, 1 - 0.5 * 7 / 5], [2.0, 2.0]], dtype=torch.float64)  # 5^2 = (1 + 49) / 2
    torch.testing.assert_close(by_row.detach(), expected)
    assert optimizer.state[by_row]["sum"].shape == (2, 1)
    dense.grad = torch.tensor([[1.0, 7.0], [0.0, 0.0]], dtype=torch.float64)
    whole.step()
    torch.testing.assert_close(dense, by_row)


def test_decayed_adam_has_the_averages_of_the_dense_one() -> None:
    weight, dense = table(), table()
    lazy = make_sparse_optimizer({"name": "adam", "decay_unseen": True, "betas": (0.8, 0.9)}, [weight])
    assert isinstance(lazy, DecayedLazyAdam)
    whole = make_optimizer({"name": "adam", "decay_unseen": True, "betas": (0.8, 0.9)}, [dense])
    for step, grad in enumerate(gradients(6)):
        rows = torch.tensor([[0, 1], [1, 3], [5, 2], [0, 5], [1, 2], [0, 1]][step])
        lazy.update(weight, rows, grad[rows])
        dense.grad = torch.zeros_like(dense).index_copy(0, rows, grad[rows])
        whole.step()
    seen = torch.tensor([0, 1])  # the rows of the last step are up to date
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(lazy.state[weight][name][seen], whole.state[dense][name][seen])


def test_options_of_named_optimizers() -> None:
    weight = table()
    assert make_optimizer({"name": "Adam", "eps": 0.5}, [weight]).param_groups[0]["eps"] == 0.5
    with pytest.raises(ValueError, match=r"must have a 'name', such as \{'name': 'adam'\}, got"):
        make_sparse_optimizer({"eps": 1.0}, [weight])
    with pytest.raises(ValueError, match=r"optimizer 'sgd' takes the options \[\], got 'eps'"):
        make_sparse_optimizer({"name": "sgd", "eps": 1.0}, [weight])


def test_which_optimizers_take_sparse_gradients() -> None:
    weight = table()
    assert takes_sparse_gradients(torch.optim.SparseAdam([weight]))
    assert takes_sparse_gradients(torch.optim.SGD([weight], lr=0.1))
    assert takes_sparse_gradients(torch.optim.Adagrad([weight]))
    assert not takes_sparse_gradients(torch.optim.SGD([weight], lr=0.1, momentum=0.9))
    assert not takes_sparse_gradients(torch.optim.Adagrad([weight], weight_decay=0.1))
    assert not takes_sparse_gradients(torch.optim.Adam([weight]))


@pytest.mark.parametrize(
    ("width", "dtype"),
    [
        (1, torch.float32),
        (2, torch.float32),
        (4, torch.float32),
        (3, torch.float64),
        (6, torch.float32),
        (2, torch.bfloat16),
    ],
)
def test_rows_are_put_whatever_their_width(width: int, dtype: torch.dtype) -> None:
    target, values = torch.zeros(5, width, dtype=dtype), torch.arange(1, 2 * width + 1).reshape(2, width).to(dtype)
    scatter_rows(target, torch.tensor([3, 1]), values)
    assert torch.equal(target[[3, 1]], values)
    assert not target[[0, 2, 4]].any()
    strided = torch.zeros(5, 2 * width, dtype=dtype)
    scatter_rows(strided[:, :width], torch.tensor([0]), values[:1])
    assert torch.equal(strided[0, :width], values[0])
    assert not strided[:, width:].any()


@pytest.mark.parametrize("start", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [2, 4, 6])
@pytest.mark.parametrize("rows", [1, 5])
def test_rows_are_put_into_a_slice_of_a_vector(start: int, width: int, rows: int) -> None:
    vector, values = torch.zeros(start + 5 * width + 1), torch.arange(1.0, 1 + start + rows * width)
    target, values = vector[start:-1].view(5, width), values[start:].view(rows, width)
    scatter_rows(target, torch.arange(rows), values)
    scatter_rows(target, torch.arange(rows), values.clone())
    assert torch.equal(target[:rows], values)
    assert vector.count_nonzero() == values.numel()
    wide = torch.zeros(1, width + 1)[:, :width]  # one row, and further than a row to the next
    scatter_rows(wide, torch.tensor([0]), values[:1])
    assert torch.equal(wide, values[:1])


def test_parameters_that_are_slices_of_a_vector_are_updated() -> None:
    tables = [table(3, 1, torch.float32), table(5, 4, torch.float32)]
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(tables), tables)
    alone = nn.Parameter(tables[1].detach().clone())
    for weight in (tables[1], alone):
        LazyAdam([weight], lr=0.1).update(weight, torch.tensor([1, 4]), torch.ones(2, 4))
    assert torch.equal(tables[1], alone)


def test_penalty_by_hand_and_learning_rates() -> None:
    weight = nn.Parameter(torch.tensor([[1.0], [2.0]]))
    optimizer = SparseSGD([weight], lr=0.5)
    optimizer.update(weight, torch.tensor([1]), torch.tensor([[1.0]]), l2=0.25)
    torch.testing.assert_close(weight.detach(), torch.tensor([[1.0], [1.0]]))  # 2 - 0.5 * (1 + 2 * 0.25 * 2)
    optimizer.param_groups[0]["lr"] = 0.25  # as callbacks set it
    optimizer.update(weight, torch.tensor([1]), torch.tensor([[2.0]]))
    torch.testing.assert_close(weight.detach(), torch.tensor([[1.0], [0.5]]))
    optimizer.update(weight, torch.tensor([0]), torch.tensor([[2.0]]), lr=1.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([[-1.0], [0.5]]))


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_other_gradient_types(name: str) -> None:
    weight = table(dtype=torch.float32)
    optimizer = make_sparse_optimizer(name, [weight])
    before = weight.detach().clone()
    optimizer.update(weight, torch.empty(0, dtype=torch.int64), torch.empty(0, 3))
    assert torch.equal(weight, before)
    optimizer.update(weight, torch.tensor([2]), torch.ones(1, 3, dtype=torch.bfloat16))
    assert weight.dtype == torch.float32
    assert (weight[2] != before[2]).all()


@pytest.mark.parametrize("name", NAMES)
def test_resuming_goes_on_as_if_nothing_had_happened(name: str) -> None:
    wide, narrow = table(), table(width=1)
    whole = make_sparse_optimizer(name, [wide, narrow])
    rows = torch.tensor([0, 2, 5])

    def step(optimizer: SparseOptimizer, a: nn.Parameter, b: nn.Parameter, grad: Tensor) -> None:
        optimizer.update(a, rows, grad[rows])
        optimizer.update(b, rows[:2], grad[:2, :1])

    for grad in gradients(2):
        step(whole, wide, narrow, grad)
    whole.param_groups[0]["lr"] = 0.125
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    again = [nn.Parameter(wide.detach().clone()), nn.Parameter(narrow.detach().clone())]
    resumed = make_sparse_optimizer(name, again)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.param_groups[0]["lr"] == 0.125
    assert resumed.param_groups[0]["params"][0] is again[0]
    for grad in gradients(4)[2:]:
        step(whole, wide, narrow, grad)
        step(resumed, again[0], again[1], grad)
    assert torch.equal(wide, again[0])
    assert torch.equal(narrow, again[1])


def test_state_that_does_not_fit() -> None:
    weight = table()
    optimizer = SparseAdagrad([weight])
    optimizer.update(weight, torch.tensor([0]), torch.ones(1, 3))
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="state must be of 2 weights, got 1"):
        SparseAdagrad([weight, table()]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"state 'sum' of a table must have shape \(2, 3\), got \(6, 3\)"):
        SparseAdagrad([table(2)]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"state 'exp_avg' of a table must have shape \(6, 3\), got none"):
        LazyAdam([weight]).load_state_dict(state)


def test_loaded_state_is_a_copy_and_copies_of_the_optimizer_work() -> None:
    weight = table()
    first = SparseAdagrad([weight])
    first.update(weight, torch.tensor([0]), torch.ones(1, 3))
    second = SparseAdagrad([weight])
    second.load_state_dict(first.state_dict())
    second.update(weight, torch.tensor([0]), torch.ones(1, 3))
    torch.testing.assert_close(first.state[weight]["sum"][0, 0].item(), 1.0)
    torch.testing.assert_close(second.state[weight]["sum"][0, 0].item(), 2.0)
    twin = copy.deepcopy(first)
    copied = twin.param_groups[0]["params"][0]
    twin.update(copied, torch.tensor([1]), torch.ones(1, 3))
    assert first.state[weight]["step"] == 1


def test_the_base_class_takes_no_step() -> None:
    weight = table()
    with pytest.raises(NotImplementedError):
        SparseOptimizer([weight], lr=0.1).update(weight, torch.tensor([0]), torch.ones(1, 3))


# ------------------------------------------------------------------------------------------ sum_rows


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_sums_without_waiting_repeat_rows_with_equal_sums(index: list[int]) -> None:
    """What runs on a GPU: nothing whose size depends on the values, and a repeated row has one sum."""
    plain, waiting = CoalescedIndex(torch.tensor(index)), CoalescedIndex.__new__(CoalescedIndex)
    waiting._sort_in_place(torch.tensor(index))
    grad = torch.arange(2.0 * len(index)).reshape(-1, 2)
    rows, sums, first = waiting.rows, waiting.sum(grad), waiting.first
    assert first is not None
    assert len(rows) == len(index)
    assert torch.equal(rows[first], plain.rows)
    torch.testing.assert_close(sums[first], plain.sum(grad))
    expected = dict(zip(plain.rows.tolist(), plain.sum(grad).tolist(), strict=True))
    assert sums.tolist() == [expected[r] for r in rows.tolist()]


def sum_rows(index: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    sums = CoalescedIndex(index)
    return sums.rows, sums.sum(grad)


def naive_sum(index: list[int], grad: Tensor) -> tuple[list[int], Tensor]:
    sums: dict[int, Tensor] = {}
    for i, g in zip(index, grad, strict=True):
        sums[i] = sums.get(i, torch.zeros_like(g)) + g
    return sorted(sums), torch.stack([sums[i] for i in sorted(sums)])


IDS = st.one_of(st.integers(0, 5), st.integers(0, 2**40), st.sampled_from([2**31 - 1, 2**31, 2**62, 2**63 - 1]))


@given(st.lists(IDS, min_size=1, max_size=40), st.integers(1, 4))
def test_sum_rows_is_the_loop(index: list[int], width: int) -> None:
    grad = torch.from_numpy(np.random.default_rng(len(index)).standard_normal((len(index), width)))
    rows, sums = sum_rows(torch.tensor(index), grad)
    expected_rows, expected = naive_sum(index, grad)
    assert rows.tolist() == expected_rows
    torch.testing.assert_close(sums, expected)


@pytest.mark.parametrize("shift", [0, 2**62])
def test_sum_rows_adds_in_the_order_of_the_batch(shift: int) -> None:
    """Small ids take the packed sort, large ones torch's: both keep the order, so every run sums alike."""
    index = torch.from_numpy(np.random.default_rng(0).integers(0, 20, 500)) + shift
    grad = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e4, 1e-4])
    rows, sums = sum_rows(index, grad)
    assert rows.tolist() == [i + shift for i in range(20)]
    for row, total in zip(rows, sums, strict=True):
        expected = torch.zeros(3)
        for g in grad[index == row]:
            expected = expected + g
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-6)
    again = sum_rows(index.clone(), grad.clone())
    assert torch.equal(sums, again[1])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_an_index_of_either_type_has_rows_as_int64(dtype: torch.dtype) -> None:
    rows, sums = sum_rows(torch.tensor([4, 1, 4], dtype=dtype), torch.ones(3, 2))
    assert (rows.dtype, rows.tolist()) == (torch.int64, [1, 4])
    assert sums.tolist() == [[1, 1], [2, 2]]
    rows, sums = sum_rows(torch.empty(0, dtype=dtype), torch.empty(0, 2))
    assert (rows.shape, sums.shape) == ((0,), (0, 2))


@pytest.mark.parametrize("name", NAMES)
def test_lookup_to_update_is_the_dense_training_of_a_table(name: str) -> None:
    """Every row is in every batch, some several times: gradients of the lookups, summed, give the dense gradient."""
    ids: Any = torch.tensor([[0, 1, 2, 3, 4, 5, 5, 0], [5, 5, 5, 4, 3, 2, 1, 0]])
    sparse, dense = table(), table()
    ours, theirs = make_sparse_optimizer(name, [sparse]), make_optimizer(name, [dense])
    for batch in ids:
        leaf = sparse.detach()[batch].requires_grad_()
        leaf.tanh().sum().backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        ours.update(sparse, *sum_rows(batch, leaf.grad))
        theirs.zero_grad()
        dense[batch].tanh().sum().backward()  # type: ignore[no-untyped-call]
        theirs.step()
    torch.testing.assert_close(sparse, dense)


# ------------------------------------------------------------------------------------------ the kernel alone


@pytest.mark.parametrize("name", ["adam", "adagrad"])
def test_the_kernel_alone_makes_the_steps_of_the_optimizer(name: str) -> None:
    ours, theirs = [table(), table(2, 5)], [table(), table(2, 5)]
    lean, whole = make_optimizer(name, ours), make_optimizer(name, theirs)
    for step, grad in enumerate(gradients(5)):
        for params in (ours, theirs):
            params[0].grad = grad.clone()
            params[1].grad = None if step == 3 else torch.full((2, 5), float(step), dtype=torch.float64)
        for optimizer in (lean, whole):
            optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
            optimizer.param_groups[0]["weight_decay"] = 0.1 * step
        step_fused(lean)
        whole.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        assert {k: v.tolist() for k, v in lean.state[a].items()} == {k: v.tolist() for k, v in whole.state[b].items()}


def test_hooks_and_wrapped_steps_are_called() -> None:
    weight, called = table(), []
    optimizer = make_optimizer("adam", [weight])
    weight.grad = torch.ones_like(weight)
    step_fused(optimizer)  # makes the state
    handle = optimizer.register_step_post_hook(lambda *_: called.append("hook"))
    step_fused(optimizer)
    handle.remove()
    optimizer.step = lambda: called.append("wrapped")  # type: ignore[method-assign,assignment]
    step_fused(optimizer)
    assert called == ["hook", "wrapped"]
