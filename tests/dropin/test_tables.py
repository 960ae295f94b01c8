"""What user code does to tables that it finds by name and by class: each takes effect, in lookups and in training."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import MLR, DeepFM
from tests.support.all_models import every_model
from tests.support.cases import Case, inputs, labels

COLUMNS = [SparseFeat("a", 6, 4), SparseFeat("b", 5, 4), DenseFeat("x", 1)]
RNG = np.random.default_rng(0)
X = {"a": RNG.integers(0, 6, 32), "b": RNG.integers(0, 5, 32), "x": RNG.random(32)}
Y = (X["a"] % 2).astype("float32")
MATRIX = torch.tensor(np.stack([X["a"], X["b"], X["x"]], axis=1), dtype=torch.float32)


def make(**options: Any) -> Any:
    return DeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(4,), init_std=0.3, device="cpu", **options)


def fit(model: Any) -> None:
    model.compile("adam", "binary_crossentropy")
    model.fit(X, Y, batch_size=8, verbose=0)


class Plain(nn.Module):
    """DeepFM's formula over plain `nn.Embedding`s, with the names of the original's state dict."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.names = list(state)
        self.weights = nn.ParameterList(nn.Parameter(v.clone()) for v in state.values())

    def forward(self, matrix: torch.Tensor) -> torch.Tensor:
        w: dict[str, Any] = dict(zip(self.names, self.weights, strict=True))
        a, b, x = matrix[:, 0].long(), matrix[:, 1].long(), matrix[:, 2:]
        linear = w["linear_model.embedding_dict.a.weight"][a] + w["linear_model.embedding_dict.b.weight"][b]
        left, right = w["embedding_dict.a.weight"][a], w["embedding_dict.b.weight"][b]
        deep = torch.cat([left, right, x.to(left.dtype)], dim=1)
        hidden = torch.relu(deep @ w["dnn.linears.0.weight"].T + w["dnn.linears.0.bias"])
        logit = linear + x.to(left.dtype) @ w["linear_model.weight"] + hidden @ w["dnn_linear.weight"].T
        return torch.sigmoid(logit + (left * right).sum(dim=1, keepdim=True) + w["out.bias"])


def agrees(model: Any) -> None:
    """The lookups of `model`, in `predict` and in `model(X)`, read what its tables hold."""
    state = model.state_dict()
    for name in ("a", "b"):
        key = f"embedding_dict.{name}.weight"
        assert torch.equal(model.embedding_dict[name].weight, state[key])
        assert torch.equal(dict(model.named_parameters())[key], state[key])
    with torch.no_grad():
        expected = Plain(state)(MATRIX)
    np.testing.assert_allclose(model.predict(X), expected.numpy(), atol=1e-6)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            np.testing.assert_allclose(model(MATRIX).detach().numpy(), expected.numpy(), atol=1e-6)


def changed(model: Any, before: Any) -> None:
    agrees(model)
    assert not np.allclose(model.predict(X), before, atol=1e-4)


def test_tables_are_found_by_name() -> None:
    model = make()
    before = model.predict(X)
    found = dict(model.named_parameters())
    assert found["linear_model.embedding_dict.a.weight"].shape == (6, 1)
    with torch.no_grad():
        found["linear_model.embedding_dict.a.weight"].fill_(2.0)
        found["embedding_dict.b.weight"].fill_(0.5)
    changed(model, before)
    assert model.embedding_dict.a.weight is model.embedding_dict["a"].weight is found["embedding_dict.a.weight"]
    assert [p is found["embedding_dict.a.weight"] for p in model.embedding_dict["a"].parameters()] == [True]


def test_apply_finds_tables_by_class() -> None:
    model = make()
    before = model.predict(X)
    model.apply(lambda t: nn.init.xavier_uniform_(t.weight) if isinstance(t, nn.Embedding) else None)
    changed(model, before)


def test_the_state_dict_is_the_models() -> None:
    model = make()
    before = model.predict(X)
    state = model.state_dict()
    state["embedding_dict.a.weight"] += 1
    changed(model, before)


def test_freezing_a_module() -> None:
    model = make()
    model.embedding_dict["a"].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    fit(model)
    after = model.state_dict()
    assert torch.equal(after["embedding_dict.a.weight"], before["embedding_dict.a.weight"])
    assert not torch.equal(after["embedding_dict.b.weight"], before["embedding_dict.b.weight"])
    agrees(model)


def test_moving_one_table() -> None:
    model = make()
    assert model.embedding_dict["a"].to("cpu") is model.embedding_dict["a"]
    agrees(model)
    fit(model)
    agrees(model)


def test_weights_in_modules_of_ones_own() -> None:
    model = make()
    weight = model.embedding_dict["a"].weight
    assert nn.Parameter(weight).data_ptr() == weight.data_ptr()
    other = nn.Embedding.from_pretrained(weight)
    assert torch.equal(other(torch.tensor([3])), weight[3:4])
    with torch.no_grad():
        other.weight.fill_(0.7)  # one memory, as with any nn.Embedding
    assert (model.embedding_dict["a"].weight == 0.7).all()
    agrees(model)


def test_a_table_under_another_name_is_saved_and_trained() -> None:
    model = make()
    model.my_embedding = model.embedding_dict["a"]
    assert "my_embedding.weight" in model.state_dict()
    before = model.embedding_dict["a"].weight.detach().clone()
    fit(model)
    assert not torch.equal(model.my_embedding.weight, before)
    assert torch.equal(model.my_embedding.weight, model.embedding_dict["a"].weight)
    agrees(model)


def test_the_dict_of_tables_is_a_module_dict() -> None:
    model = make()
    assert isinstance(model.embedding_dict, nn.ModuleDict)
    before = model.predict(X)
    model.embedding_dict.update({"a": nn.Embedding.from_pretrained(torch.full((6, 4), 0.9), freeze=False)})
    changed(model, before)
    fit(model)
    assert not (model.embedding_dict["a"].weight == 0.9).all()
    agrees(model)
    del model.embedding_dict["b"]
    assert "embedding_dict.b.weight" not in model.state_dict()
    with pytest.raises(KeyError, match="the table 'b' was deleted, but a feature reads it"):
        model.predict(X)


def deep_copied(model: Any) -> Any:
    return copy.deepcopy(model)


def assigned(model: Any) -> Any:
    state = {k: v + 0.1 if "embedding_dict" in k else v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    return model


def there_and_back(model: Any) -> Any:
    return model.double().float()


def saved(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def averaged(model: Any) -> Any:
    state = model.state_dict()
    for key in state:
        state[key] *= 0.5
    return model


def new_weight(model: Any) -> Any:
    model.embedding_dict["a"].weight = nn.Parameter(torch.full((6, 4), 0.2))
    return model


def new_data(model: Any) -> Any:
    model.embedding_dict["a"].weight.data = torch.full((6, 4), 0.2)
    return model


WAYS: list[Callable[[Any], Any]] = [deep_copied, assigned, there_and_back, saved, averaged, new_weight, new_data]


@pytest.mark.parametrize("update", ["dense", "sparse"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_in_the_middle_of_training(way: Callable[[Any], Any], update: str) -> None:
    """Fit, change, fit: tables, state dict and lookups agree, and the second fit moves what is there now."""
    model = make()
    model.compile("adam", "binary_crossentropy", embedding_update=update)
    model.fit(X, Y, batch_size=8, verbose=0)
    model = way(model)
    agrees(model)
    before = copy.deepcopy(model.state_dict())
    model.compile("adam", "binary_crossentropy", embedding_update=update)
    model.fit(X, Y, batch_size=8, verbose=0)
    agrees(model)
    for key, value in model.state_dict().items():
        assert not torch.equal(value, before[key]), key
        assert torch.allclose(value, before[key], atol=0.1), key  # moved from there, not from older weights


def test_double_is_double() -> None:
    model = make().double()
    assert all(p.dtype == torch.float64 for p in model.parameters())
    agrees(model)


def test_a_loop_of_ones_own_gives_the_weights_of_plain_embeddings() -> None:
    model = make()
    plain = Plain(model.state_dict())
    losses = []
    for net in (model, plain):
        optim = torch.optim.Adam(net.parameters(), 0.01)
        for at in range(0, 32, 8):
            optim.zero_grad()
            loss = nn.functional.binary_cross_entropy(net(MATRIX[at : at + 8])[:, 0], torch.tensor(Y[at : at + 8]))
            loss.backward()
            optim.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for (name, value), expected in zip(model.state_dict().items(), plain.weights, strict=True):
        torch.testing.assert_close(value, expected.detach(), atol=1e-5, rtol=1e-4, msg=name)
    agrees(model)


@every_model
def test_saved_and_loaded_in_safe_mode(case: Case) -> None:
    model = case.make()
    losses = ["binary_crossentropy"] * len(model.tasks)
    model.compile("adam", losses if len(losses) > 1 else losses[0])
    x = inputs(case.all_columns, 8)
    model.fit(x, labels(model, 8), batch_size=4, verbose=0)
    np.testing.assert_array_equal(saved(model).predict(x), model.predict(x))


def test_a_torch_dtype_in_a_column_is_saved() -> None:
    columns = [SparseFeat("a", 6, 4, dtype=torch.int32), SparseFeat("b", 5, 4, dtype=torch.int64), DenseFeat("x", 1)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    fit(model)
    np.testing.assert_array_equal(saved(model).predict(X), model.predict(X))


def test_mlr_with_columns_of_dimension_zero() -> None:
    columns = [SparseFeat("a", 6, embedding_dim=0, dtype=torch.int32), DenseFeat("x", 1)]
    base = [SparseFeat("b", 5, embedding_dim=0, dtype=torch.int32)]
    model = MLR(columns, base, region_num=2)
    model.compile("adam", "binary_crossentropy")
    model.fit(X, Y, batch_size=8, verbose=0)
    np.testing.assert_array_equal(saved(model).predict(X), model.predict(X))
