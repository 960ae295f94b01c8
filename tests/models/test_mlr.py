"""MLR against equation 2 of its paper, and what the original gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models.mlr import MLR
from tests.support import reference
from tests.support.cases import CITY, FIELDS, GENRES, ITEM, PRICE, STATS, TAGS, USER, inputs

BASE = [TAGS, ITEM, PRICE, STATS]
POSITION = SparseFeat("position", 3)


def scores(
    state: reference.State, columns: list[Any], x: dict[str, Any], row: int, module: str, count: int
) -> reference.Array:
    return np.array([reference.linear(state, columns, x, row, prefix=f"{module}.{r}.") for r in range(count)])  # [R, C]


def packed(model: MLR, x: dict[str, Any]) -> torch.Tensor:
    parts = [np.asarray(x[name], dtype=np.float64).reshape(len(x[name]), -1) for name in model.feature_index]
    return torch.from_numpy(np.concatenate(parts, axis=1))


@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_equals_the_papers_formula(task: str) -> None:
    """W2 in `docs/differences.md`."""
    classes = 3 if task == "multiclass" else None
    model = reference.randomized(MLR(FIELDS, BASE, region_num=3, task=task, num_classes=classes))
    x, state, expected = inputs(FIELDS, 6), reference.state_of(model), []
    for row in range(6):
        gate = reference.softmax(scores(state, FIELDS, x, row, "region_linear_model", 3)[:, 0])
        learners = scores(state, BASE, x, row, "base_linear_model", 3)
        if task == "binary":
            learners = reference.sigmoid(learners)
        elif task == "multiclass":
            learners = np.array([reference.softmax(one) for one in learners])
        expected.append(sum(g * one for g, one in zip(gate, learners, strict=True)))
    np.testing.assert_allclose(model.predict(x), np.array(expected), rtol=1e-5, atol=1e-6)


def test_the_bias_model_multiplies() -> None:
    x = {**inputs(FIELDS, 4), "position": np.array([0, 1, 2, 1])}
    model = reference.randomized(MLR([USER, PRICE], None, [POSITION, STATS], region_num=2))
    plain = reference.randomized(MLR([USER, PRICE], region_num=2))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("bias_model")})
    state = reference.state_of(model)
    factor = [
        reference.sigmoid(reference.linear(state, [POSITION, STATS], x, row, prefix="bias_model.0."))
        for row in range(4)
    ]
    np.testing.assert_allclose(model.predict(x), plain.predict(x) * np.array(factor), atol=1e-6)
    assert list(model.feature_index) == ["user", "price", "position", "stats"]


def test_scores_of_regions_and_of_their_learners() -> None:
    model = reference.randomized(MLR(FIELDS, BASE, region_num=3))
    x, state = inputs(FIELDS, 5), reference.state_of(model)
    matrix = packed(model, x)
    for count in (2, 3):
        gate = [
            reference.softmax(scores(state, FIELDS, x, row, "region_linear_model", count)[:, 0]) for row in range(5)
        ]
        learners = [
            reference.sigmoid(scores(state, BASE, x, row, "base_linear_model", count)[:, 0]) for row in range(5)
        ]
        np.testing.assert_allclose(model.get_region_score(matrix, count).detach(), np.array(gate), atol=1e-6)
        np.testing.assert_allclose(model.get_learner_score(matrix, count).detach(), np.array(learners), atol=1e-6)
    mixed = (model.get_region_score(matrix, 3) * model.get_learner_score(matrix, 3)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(mixed, model(matrix))
    torch.testing.assert_close(
        model.get_region_score(model.schema.unpack(matrix), 3), model.get_region_score(matrix, 3)
    )
    with pytest.raises(ValueError, match="region_number must be at most region_num = 3, got 4"):
        model.get_learner_score(matrix, 4)


def test_learners_of_several_classes_have_one_score_a_class() -> None:
    model = reference.randomized(MLR(FIELDS, region_num=2, task="multiclass", num_classes=3))
    learners = model.get_learner_score(packed(model, inputs(FIELDS, 4)), 2)
    assert learners.shape == (4, 2, 3)
    torch.testing.assert_close(learners.sum(dim=2), torch.ones(4, 2))


def test_keys_and_shapes_are_the_originals() -> None:
    state = MLR([USER, PRICE, STATS], [CITY], [POSITION], region_num=2).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "region_linear_model.0.weight": (4, 1),
        "region_linear_model.0.embedding_dict.user.weight": (13, 1),
        "region_linear_model.1.weight": (4, 1),
        "region_linear_model.1.embedding_dict.user.weight": (13, 1),
        "base_linear_model.0.embedding_dict.city.weight": (5, 1),
        "base_linear_model.1.embedding_dict.city.weight": (5, 1),
        "bias_model.0.embedding_dict.position.weight": (3, 1),
    }


def test_an_old_checkpoint_is_loaded_and_its_unused_parts_are_dropped() -> None:
    model = MLR([USER, PRICE], region_num=2)
    state = {key: torch.randn_like(value) for key, value in model.state_dict().items()}
    unused = {"embedding_dict.user.weight": torch.zeros(13, 4), "linear_model.weight": torch.zeros(1, 1)}
    unused |= {"linear_model.embedding_dict.user.weight": torch.zeros(13, 1), "out.bias": torch.zeros(1)}
    model.load_state_dict({**unused, **state})
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, state[key])
    assert set(unused) & set(model.state_dict()) == set()


def test_a_checkpoint_that_does_not_fit_is_refused_by_key() -> None:
    model = MLR([USER, PRICE], region_num=2)
    state = model.state_dict()
    with pytest.raises(RuntimeError, match=r"region_linear_model\.2\.weight"):
        model.load_state_dict({**state, "region_linear_model.2.weight": torch.zeros(1, 1)})
    with pytest.raises(RuntimeError, match=r"size mismatch for base_linear_model.1.weight"):
        model.load_state_dict({**state, "base_linear_model.1.weight": torch.zeros(2, 1)})
    missing = {key: value for key, value in state.items() if key != "region_linear_model.0.weight"}
    with pytest.raises(RuntimeError, match=r"Missing key.*region_linear_model.0.weight"):
        model.load_state_dict(missing)


def test_the_penalty_reaches_all_linear_models() -> None:
    """W12 in `docs/differences.md`."""
    model = MLR(FIELDS, BASE, [POSITION], l2_reg_linear=0.5)
    expected = 0.5 * sum(p.detach().square().sum() for p in model.parameters())
    torch.testing.assert_close(model.get_regularization_loss().detach(), expected.reshape(1))


def test_the_seed_decides_the_weights() -> None:
    """W24 in `docs/differences.md`."""
    first, second, other = (MLR([USER], seed=seed).state_dict() for seed in (1, 1, 2))
    key = "base_linear_model.0.embedding_dict.user.weight"
    torch.testing.assert_close(first[key], second[key])
    assert not torch.equal(first[key], other[key])


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_training_moves_the_base_learners(update: str) -> None:
    """W2 in `docs/differences.md`."""
    model = MLR(FIELDS, region_num=2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.compile("adagrad", "binary_crossentropy", embedding_update=update)
    model.fit(inputs(FIELDS, 16), np.arange(16) % 2, batch_size=8, epochs=1, verbose=0)
    after = model.state_dict()
    assert [key for key in before if torch.equal(before[key], after[key])] == []


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="region_num must be an integer of at least 2, got 1"):
        MLR([USER], region_num=1)
    with pytest.raises(ValueError, match=r"bias_feature_columns must be None for task='multiclass', got \['city'\]"):
        MLR([USER], None, [CITY], task="multiclass", num_classes=3)
    assert MLR([USER], []).base_feature_columns == [USER]
    mixed = MLR([USER, SparseFeat("wide", 4, 8)])  # no vectors, hence no common width
    assert mixed.predict({"user": np.zeros(2), "wide": np.ones(2)}).shape == (2, 1)
    assert MLR([GENRES]).predict({"genres": np.zeros((2, 4))}) == pytest.approx(np.full((2, 1), 0.5))
