"""What every model inherits."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepctr_torch.features import Batch, DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM
from deepctr_torch.models.basemodel import BaseModel, Linear
from deepctr_torch.models.fields import Fields
from tests.support.training import COLUMNS, deepfm, inputs, labels, mmoe, source_of


class Dot(BaseModel):
    """The scalar product of two vectors, and a number: the new way to write a model."""

    def __init__(self, columns: list[Any], scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__([], columns, **kwargs)
        self.scale = nn.Parameter(torch.tensor(scale))

    def logits(self, fields: Fields) -> Tensor:
        user, item = fields.vector("user"), fields.vector("item")
        return self.scale * (user * item).sum(dim=1, keepdim=True) + fields.dense


PAIR: list[Any] = [SparseFeat("user", 5, 3), SparseFeat("item", 4, 3), DenseFeat("age")]


def test_a_model_by_hand() -> None:
    model = Dot(PAIR, scale=2.0, init_std=0.5)
    x = {"user": [1, 4], "item": [0, 3], "age": [0.5, -1.0]}
    user, item = (model.embedding_dict[n].weight.detach().double().numpy() for n in ("user", "item"))
    logit = 2 * (user[[1, 4]] * item[[0, 3]]).sum(axis=1) + np.array([0.5, -1.0])
    np.testing.assert_allclose(model.predict(x)[:, 0], 1 / (1 + np.exp(-logit)), rtol=1e-5)
    model.out.bias.data.fill_(0.25)
    np.testing.assert_allclose(model.predict(x)[:, 0], 1 / (1 + np.exp(-logit - 0.25)), rtol=1e-5)
    model.compile("adam", "binary_crossentropy", ["auc"])
    model.fit(x, [0, 1], verbose=0)
    assert float(model.scale.detach()) != 2.0


def test_attributes_that_users_touch() -> None:
    model = deepfm()
    assert list(model.feature_index.items()) == [
        ("user", (0, 1)),
        ("item", (1, 2)),
        ("tags", (2, 5)),
        ("price", (5, 7)),
    ]
    assert model.dnn_feature_columns == model.linear_feature_columns == COLUMNS
    assert model.embedding_size == 4
    assert list(model.embedding_dict) == ["user", "item", "tags"]
    assert isinstance(model.linear_model, Linear)
    assert model.reg_loss.tolist() == model.aux_loss.tolist() == [0.0]
    assert (model.device, model.gpus) == ("cpu", None)
    assert model._is_graph_network is True
    assert model._ckpt_saved_epoch is False
    assert model._in_multi_worker_mode() is False
    assert [(l1, l2) for _, l1, l2 in model.regularization_weight] == [(0.0, 1e-5), (0.0, 1e-5), (0.0, 0), (0.0, 0)]
    assert model.history.epoch == []


def test_embedding_size() -> None:
    with pytest.raises(ValueError, match=r"needs one embedding_dim.*'a': 2, 'b': 4"):
        _ = BaseModel([], [SparseFeat("a", 3, 2), SparseFeat("b", 3, 4)]).embedding_size
    with pytest.raises(IndexError, match="no sparse column"):
        _ = BaseModel([], [DenseFeat("a")]).embedding_size


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"task": "binari"}, ValueError, "did you mean 'binary'"),
        ({"task": "multiclass"}, ValueError, "num_classes of a multiclass task"),
        ({"num_classes": 3}, ValueError, "num_classes belongs to task='multiclass'"),
        ({"gpus": [0, 1], "device": "cuda:0"}, ValueError, "torchrun"),
        ({"gpus": ["cuda:1"]}, ValueError, r"gpus\[0\] must be the device of the model, 'cpu', got 'cuda:1'"),
    ],
)
def test_wrong_arguments(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BaseModel(PAIR, PAIR, **wrong)


def test_one_column_with_two_meanings() -> None:
    with pytest.raises(ValueError, match="two different columns are named 'user'"):
        BaseModel([SparseFeat("user", 5)], [SparseFeat("user", 6)])
    model = BaseModel([SparseFeat("user", 5, 8)], [SparseFeat("user", 5, 4)])  # only the embedding differs
    assert model.embedding_dict["user"].embedding_dim == 4


def test_a_model_without_a_formula() -> None:
    with pytest.raises(NotImplementedError, match="BaseModel must define logits"):
        BaseModel(PAIR, PAIR).predict({"user": [0], "item": [0], "age": [0.0]})


def test_forward_takes_a_matrix_or_a_batch() -> None:
    model, x = deepfm().eval(), inputs()
    batch = next(iter(source_of(model, x, labels()).batches(40))).batch
    assert isinstance(batch, Batch)
    matrix = model.schema.pack(batch)
    for kind in (torch.float32, torch.float64):
        torch.testing.assert_close(model(matrix.to(kind)), model(batch))
    with pytest.raises(ValueError, match=r"must have shape \[B, 7\]"):
        model(matrix[:, :-1])


def test_large_ids_keep_their_neighbours() -> None:
    columns = [SparseFeat("user", 2**24 + 2, 1)]

    class Lookup(BaseModel):
        def logits(self, fields: Fields) -> Tensor:
            return fields.linear

    model = Lookup(columns, [], init_std=0.0)
    with torch.no_grad():
        model.linear_model.embedding_dict["user"].weight[2**24 + 1] = 5.0
    ids = np.array([2**24, 2**24 + 1])
    expected = [0.5, 1 / (1 + np.exp(-5.0))]
    for x in ({"user": ids}, ids[:, None], ids[:, None].astype(np.float64)):
        np.testing.assert_allclose(model.predict(x)[:, 0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"rounds ids above 16777216"):
        model(torch.zeros(1, 1))


# ------------------------------------------------------------------ seeds


def test_the_constructor_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other = deepfm(seed=1), deepfm(seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    third = deepfm(seed=2)
    assert not torch.equal(one.dnn_linear.weight, third.dnn_linear.weight)


def test_init_std_reaches_the_linear_side() -> None:
    columns = [SparseFeat("user", 5000, 4)]
    model = DeepFM(columns, columns, init_std=0.3)
    for tables in (model.embedding_dict, model.linear_model.embedding_dict):
        assert float(tables["user"].weight.detach().std()) == pytest.approx(0.3, rel=0.05)


# ------------------------------------------------------------------ tables


def test_pretrained_vectors() -> None:
    model = deepfm()
    vectors = np.arange(28, dtype=np.float64).reshape(7, 4)
    model.set_embedding("user", vectors)
    np.testing.assert_array_equal(model.embedding_dict["user"].weight.detach(), vectors)
    assert model.embedding_dict.frozen == set()
    model.set_embedding("user", torch.ones(7, 4), trainable=False)
    assert model.embedding_dict.frozen == {"user"}
    with pytest.raises(ValueError, match=r"'user' must have shape \[7, 4\], got \[7, 3\]"):
        model.set_embedding("user", np.ones((7, 3)))
    with pytest.raises(ValueError, match="no embedding of 'usr': did you mean 'user'"):
        model.set_embedding("usr", vectors)
    columns = [SparseFeat("user", 3, 2), VarLenSparseFeat(SparseFeat("friends", 3, 2, embedding_name="user"), 2)]
    shared = BaseModel([], columns)
    shared.set_embedding("friends", np.eye(3)[:, :2])
    np.testing.assert_array_equal(shared.embedding_dict["user"].weight.detach(), np.eye(3)[:, :2])


def test_tables_are_written_as_embeddings_are() -> None:
    model = deepfm()
    table = model.embedding_dict["user"]
    table.weight.data.copy_(torch.full((7, 4), 2.0))
    with torch.no_grad():
        table.weight[3] = 5.0
    assert model.state_dict()["embedding_dict.user.weight"][2:4, 0].tolist() == [2.0, 5.0]
    assert table(torch.tensor([[3]])).tolist() == [[[5.0] * 4]]
    model.embedding_dict["user"] = nn.Embedding.from_pretrained(torch.ones(7, 4))  # frozen, as from_pretrained is
    assert model.embedding_dict.frozen == {"user"}
    nn.init.zeros_(model.linear_model.embedding_dict["item"].weight)
    assert model.linear_model.embedding_dict["item"].weight.abs().sum() == 0


# ------------------------------------------------------------------ penalties


def test_kinds_of_penalised_weights() -> None:
    model = BaseModel([], PAIR, l2_reg_embedding=0.0, l2_reg_linear=0.0)
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(3.0)
    model.add_regularization_weight(layer.weight, l2=0.5)
    assert model.get_regularization_loss().tolist() == [4.0]
    model.add_regularization_weight((p for n, p in layer.named_parameters() if "bias" in n), l1=1.0)
    assert model.get_regularization_loss().tolist() == [7.0]
    model.add_regularization_weight(layer.named_parameters(), l2=1.0)
    assert model.get_regularization_loss().tolist() == [24.0]
    model.add_regularization_weight([], l2=1.0)
    assert model.get_regularization_loss().shape == (1,)


def test_biases_slopes_and_normalisations_are_not_penalised() -> None:
    model = deepfm(dnn_activation="prelu", dnn_use_bn=True, l2_reg_dnn=1.0, l2_reg_linear=0, l2_reg_embedding=0)
    names = {id(p): n for n, p in model.named_parameters()}
    penalised = {names[id(p)] for weights, _, l2 in model.regularization_weight if l2 for p in weights}
    assert penalised == {"dnn.linears.0.weight", "dnn.linears.1.weight", "dnn_linear.weight"}


# ------------------------------------------------------------------ state dicts


def test_keys_are_upstreams_in_their_order() -> None:
    # DeepFM of the sparse columns a and b, the sequence s and dense columns of width 3, dnn_hidden_units (3, 2)
    sparse = [SparseFeat("a", 5, 4), SparseFeat("b", 6, 4), VarLenSparseFeat(SparseFeat("s", 7, 4), 3)]
    columns = [*sparse, DenseFeat("d", 3)]
    model = DeepFM(columns, columns, dnn_hidden_units=(3, 2))
    assert [(key, tuple(value.shape)) for key, value in model.state_dict().items()] == [
        ("embedding_dict.a.weight", (5, 4)),
        ("embedding_dict.b.weight", (6, 4)),
        ("embedding_dict.s.weight", (7, 4)),
        ("linear_model.weight", (3, 1)),
        ("linear_model.embedding_dict.a.weight", (5, 1)),
        ("linear_model.embedding_dict.b.weight", (6, 1)),
        ("linear_model.embedding_dict.s.weight", (7, 1)),
        ("out.bias", (1,)),
        ("dnn.linears.0.weight", (3, 15)),
        ("dnn.linears.0.bias", (3,)),
        ("dnn.linears.1.weight", (2, 3)),
        ("dnn.linears.1.bias", (2,)),
        ("dnn_linear.weight", (1, 2)),
    ]


def test_state_dict_both_ways_and_its_errors() -> None:
    one, other = deepfm(seed=1), deepfm(seed=2)
    x = inputs()
    state = copy.deepcopy(one.state_dict())
    assert other.load_state_dict(state).missing_keys == []
    np.testing.assert_array_equal(one.predict(x), other.predict(x))
    key = "embedding_dict.user.weight"
    with pytest.raises(RuntimeError, match=f"Missing key.*{key}"):
        other.load_state_dict({k: v for k, v in state.items() if k != key})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*embedding_dict.usr.weight"):
        other.load_state_dict({**state, "embedding_dict.usr.weight": state[key]})
    with pytest.raises(RuntimeError, match=f"size mismatch for {key}"):
        other.load_state_dict({**state, key: torch.zeros(8, 4)})
    result = other.load_state_dict({key: torch.zeros(7, 4), "more": torch.zeros(1)}, strict=False)
    assert "more" in result.unexpected_keys
    assert other.embedding_dict["user"].weight.abs().sum() == 0


def test_a_copy_is_independent_and_keeps_the_optimizer() -> None:
    x, y = inputs(), labels()
    for optimizer in ("adam", "instance"):
        model = deepfm()
        given = torch.optim.Adam(model.parameters()) if optimizer == "instance" else optimizer
        model.compile(given, "binary_crossentropy", ["auc"])
        model.embedding_dict["item"].weight.requires_grad_(False)
        model.fit(x, y, 10, verbose=0)
        twin = copy.deepcopy(model)
        assert twin.embedding_dict.frozen == {"item"}
        own = {id(p) for p in twin.parameters()}
        assert {id(p) for group in twin.optim.param_groups for p in group["params"]} == own
        assert twin.history.history == model.history.history
        before = copy.deepcopy(model.state_dict())
        twin.fit(x, y, 10, 2, 0, initial_epoch=1)
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key])
        model.fit(x, y, 10, 2, 0, initial_epoch=1)
        for key, value in model.state_dict().items():
            assert torch.equal(value, twin.state_dict()[key])


def test_multi_task_heads_have_a_bias_each() -> None:
    model = mmoe()
    assert [key for key in model.state_dict() if key.startswith("out.")] == ["out.0.bias", "out.1.bias"]
    assert isinstance(model.out, nn.ModuleList)


# ------------------------------------------------------------------ Linear


def test_linear_by_hand_with_sequences_and_refined_weights() -> None:
    columns: list[Any] = [SparseFeat("user", 3), VarLenSparseFeat(SparseFeat("tags", 4), 2), DenseFeat("age", 2)]
    linear = Linear(columns, init_std=0.5)
    user, tags = (linear.embedding_dict[n].weight.detach()[:, 0] for n in ("user", "tags"))
    matrix = torch.tensor([[2.0, 1, 3, 0.5, -1.0], [0, 0, 2, 1.0, 1.0]])
    ids = torch.stack([user[2] + (tags[1] + tags[3]) / 2, user[0] + tags[2]])
    numbers = (matrix[:, 3:] @ linear.weight.detach())[:, 0]
    torch.testing.assert_close(linear(matrix).detach()[:, 0], ids + numbers)
    refined = torch.stack([2 * user[2] + 3 * (tags[1] + tags[3]) / 2, 2 * user[0] + 3 * tags[2]])
    weights = torch.tensor([[2.0, 3.0], [2.0, 3.0]])
    torch.testing.assert_close(linear(matrix, weights).detach()[:, 0], refined + numbers)
    assert list(linear.state_dict()) == ["weight", "embedding_dict.user.weight", "embedding_dict.tags.weight"]


def test_linear_without_columns_is_zero() -> None:
    assert Linear([], deepfm().feature_index)(torch.ones(2, 7)).tolist() == [[0.0], [0.0]]
