"""The linear side: weighted sums, exactly."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch.features import DenseFeat, FeatureColumn, SparseFeat, VarLenSparseFeat, build_input_features
from deepctr_torch.models.basemodel import BaseModel, Linear
from deepctr_torch.models.fields import Fields

COLUMNS: list[FeatureColumn] = [
    SparseFeat("a", 3, 8),
    DenseFeat("d"),
    VarLenSparseFeat(SparseFeat("s", 4, 2), 2, "mean", weight_name="w"),
    DenseFeat("v", 2),
]
X = torch.tensor([[1, 10.0, 1, 2, 1.0, 3.0, 1.0, 2.0], [2, 0.0, 3, 0, 0.5, 9.0, 0.0, 1.0]])


class Logistic(BaseModel):
    def logits(self, fields: Fields) -> Tensor:
        return fields.linear


def fill(linear: Linear) -> None:
    with torch.no_grad():
        linear.embedding_dict["a"].weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
        linear.embedding_dict["s"].weight.copy_(torch.tensor([[0.0], [4.0], [8.0], [5.0]]))
        linear.weight.copy_(torch.tensor([[0.1], [1.0], [-1.0]]))


EXPECTED = [[2 + (4 * 1 + 8 * 3) / 4 + 1.0 + 1 - 2], [3 + 5 + 0 + 0 - 1]]


def test_exact_numbers() -> None:
    linear = Linear(COLUMNS, build_input_features(COLUMNS))
    fill(linear)
    assert_close(linear(X), torch.tensor(EXPECTED))


def test_inside_a_model() -> None:
    model = Logistic(COLUMNS, [])
    fill(model.linear_model)
    assert_close(model(X), torch.sigmoid(torch.tensor(EXPECTED)))
    assert_close(model.linear_model(X), torch.tensor(EXPECTED))


def test_reads_the_layout_of_a_larger_matrix() -> None:
    before: list[FeatureColumn] = [SparseFeat("other", 9), *COLUMNS[::-1]]
    linear = Linear(COLUMNS, build_input_features(before))
    fill(linear)
    wide = torch.cat([torch.full((2, 1), 7.0), X[:, 6:8], X[:, 2:6], X[:, 1:2], X[:, 0:1]], dim=1)
    assert_close(linear(wide), torch.tensor(EXPECTED))
    model = Logistic(COLUMNS, [SparseFeat("other", 9)])
    fill(model.linear_model)
    assert_close(model.linear_model(torch.cat([X, torch.zeros(2, 1)], dim=1)), torch.tensor(EXPECTED))


def test_keys_and_shapes() -> None:
    assert {k: tuple(v.shape) for k, v in Linear(COLUMNS).state_dict().items()} == {
        "weight": (3, 1),
        "embedding_dict.a.weight": (3, 1),
        "embedding_dict.s.weight": (4, 1),
    }
    assert "weight" not in Linear(COLUMNS[:1]).state_dict()
    assert Linear([]).state_dict() == OrderedDict()


def test_refined_weights() -> None:
    linear = Linear(COLUMNS)
    fill(linear)
    refine = torch.tensor([[2.0, 0.5], [0.0, 1.0]])
    expected = torch.tensor([[2 * 2 + 7 / 2 + 1 - 1], [0 + 5 - 1]])
    assert_close(linear(X, refine), expected)


def test_only_numbers_and_nothing() -> None:
    linear = Linear([DenseFeat("d")])
    with torch.no_grad():
        linear.weight.fill_(3.0)
    assert linear(torch.tensor([[2.0]])).tolist() == [[6.0]]
    model = Logistic([], [SparseFeat("a", 3)])
    assert model(torch.tensor([[1], [2]])).tolist() == [[0.5], [0.5]]


def test_one_output_a_class() -> None:
    linear = Linear(COLUMNS, outputs=3)
    assert linear(X).shape == (2, 3)
    for c in range(3):
        single = Linear(COLUMNS)
        with torch.no_grad():
            single.weight.copy_(linear.weight[:, c : c + 1])
            for name, view in single.embedding_dict.items():
                view.weight.copy_(linear.embedding_dict[name].weight[:, c : c + 1])
        assert_close(single(X)[:, 0], linear(X)[:, c])
    assert Linear(COLUMNS[:1], outputs=3)(torch.tensor([[1.0]])).shape == (1, 3)


def test_initial_scale_and_device() -> None:
    column = SparseFeat("a", 5000)
    for std in (0.0001, 0.5):
        weight = Linear([column], init_std=std).embedding_dict["a"].weight
        assert abs(float(weight.detach().std()) / std - 1) < 0.05
    assert Linear(COLUMNS, device="meta").weight.device.type == "meta"


def test_double_precision() -> None:
    linear = Linear(COLUMNS).double()
    fill(linear)
    out = linear(X.double())
    assert out.dtype == torch.float64
    assert_close(out, torch.tensor(EXPECTED, dtype=torch.float64))


def test_gradients_reach_every_weight() -> None:
    linear = Linear(COLUMNS)
    linear(X).sum().backward()
    assert all(p.grad is not None for p in linear.parameters())
    assert isinstance(linear.weight, nn.Parameter)
    assert linear.weight.grad is not None
    assert linear.weight.grad.flatten().tolist() == [10.0, 1.0, 3.0]


def test_pieces() -> None:
    linear = Linear(COLUMNS)
    assert [c.name for c in linear.sparse_feature_columns] == ["a"]
    assert [c.name for c in linear.varlen_sparse_feature_columns] == ["s"]
    assert [c.name for c in linear.dense_feature_columns] == ["d", "v"]
    with pytest.raises(ValueError, match=r"the packed input must have shape \[B, 8\]"):
        linear(X[:, :3])
