"""`compile` resolves its arguments, or names the wrong one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from deepctr_torch.metrics.task_metrics import TaskMetrics
from deepctr_torch.training.compile_config import CompileConfig, compile_losses
from deepctr_torch.training.losses import get_loss

ONE = (("", "binary"),)
TWO = (("click", "binary"), ("spend", "regression"))
NAN = float("nan")


def compiled(**kwargs: Any) -> CompileConfig:
    losses = compile_losses(("binary_crossentropy", "mse"), TWO)[1]
    return CompileConfig(TWO, losses, TaskMetrics(TWO), **kwargs)


def test_one_loss_for_all_tasks_a_list_or_a_dict() -> None:
    both = (("a", "binary"), ("b", "binary"))
    shown, losses = compile_losses("binary_crossentropy", both)
    assert losses[0] is losses[1] is shown is get_loss("binary_crossentropy")
    shown, losses = compile_losses(["binary_crossentropy", "mse"], TWO)
    assert shown == losses == [get_loss("binary_crossentropy"), get_loss("mse")]
    assert compile_losses({"spend": "mae", "click": "focal"}, TWO)[1] == [get_loss("focal"), get_loss("mae")]


@pytest.mark.parametrize(
    ("loss", "tasks", "message"),
    [
        (None, ONE, "compile needs a loss"),
        ("binary_crossentropie", ONE, "did you mean 'binary_crossentropy'"),
        ("binary_crossentropy", TWO, "regression task 'spend' needs a loss such as 'mse'"),
        (["mse"], TWO, "one item for each of 2"),
        ({"click": "focal"}, TWO, r"lacks the task\(s\) \['spend'\]"),
        ({"click": "focal", "spent": "mse"}, TWO, "unknown task 'spent'.*did you mean 'spend'"),
        ("binary_crossentropy", (("", "multiclass"),), "a multiclass task needs the loss 'cross_entropy'"),
        ("poisson", ONE, "a binary task needs a loss such as 'binary_crossentropy' or 'focal', got 'poisson'"),
        ("tweedie:1.2", (("", "multiclass"),), "a multiclass task needs the loss 'cross_entropy', got 'tweedie:1.2'"),
        ("mse", (("", "multiclass"),), "a multiclass task needs the loss 'cross_entropy', got 'mse'"),
        ("cross_entropy", ONE, "a binary task needs a loss such as 'binary_crossentropy' or 'focal'"),
        ("sparse_categorical_crossentropy", (("", "regression"),), "a regression task needs a loss such as 'mse'"),
    ],
)
def test_wrong_losses(loss: Any, tasks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_losses(loss, tasks)


def test_loss_of_two_tasks_leaves_out_missing_labels() -> None:
    prediction = torch.tensor([[0.5, 1.0], [0.25, 3.0], [0.5, 2.0]])
    y = torch.tensor([[1.0, NAN], [NAN, 1.0], [0.0, 2.0]])
    expected = 2 * math.log(2) + 4.0
    torch.testing.assert_close(compiled().data_loss(prediction, y, None), torch.tensor(expected))
    torch.testing.assert_close(compiled(reduction="mean").data_loss(prediction, y, None), torch.tensor(expected / 3))
    weight = torch.tensor([3.0, 0.5, 0.0])
    weighted = 3 * math.log(2) + 0.5 * 4.0
    torch.testing.assert_close(compiled().data_loss(prediction, y, weight), torch.tensor(weighted))
    tasks = compiled(task_weights=[2.0, 0.5])
    torch.testing.assert_close(tasks.data_loss(prediction, y, None), torch.tensor(4 * math.log(2) + 2.0))


def test_a_missing_label_has_no_gradient() -> None:
    prediction = torch.tensor([[0.5, 1.0], [0.25, 3.0]], requires_grad=True)
    y = torch.tensor([[1.0, NAN], [NAN, 1.0]])
    compiled().data_loss(prediction, y, None).backward()
    assert prediction.grad is not None
    torch.testing.assert_close(prediction.grad, torch.tensor([[-2.0, 0.0], [0.0, 4.0]]))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weight", [None, torch.tensor([2.0, 1.0, 0.0])])
def test_learned_task_weights_follow_the_formula(reduction: str, weight: torch.Tensor | None) -> None:
    prediction = torch.tensor([[0.5, 1.0], [0.25, 3.0], [0.5, 5.0]])
    y = torch.tensor([[1.0, NAN], [0.0, 1.0], [0.0, 2.0]])
    s = torch.tensor([0.3, -0.7])
    w = [1.0, 1.0, 1.0] if weight is None else weight.tolist()
    total = 0.0
    for row in range(3):
        for t in range(2):
            if not math.isnan(y[row, t]):
                p, target = float(prediction[row, t]), float(y[row, t])
                loss = -math.log(p if target else 1 - p) if t == 0 else (p - target) ** 2
                total += w[row] * (math.exp(-float(s[t])) * loss + float(s[t]) / 2)
    expected = total if reduction == "sum" else total / 3
    value = compiled(reduction=reduction, task_weights=None).data_loss(prediction, y, weight, s)
    torch.testing.assert_close(value, torch.tensor(expected))
