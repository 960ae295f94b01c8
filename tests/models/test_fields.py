"""`Fields`: the batch by name, against a loop over samples and features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from deepctr_torch import load_model
from deepctr_torch.data.checks import to_arrays
from deepctr_torch.embedding import EmbeddingCollection, EmbeddingLookup, LookupSpec, embedding_configs
from deepctr_torch.features import Batch, DenseFeat, FeatureColumn, FeatureSchema, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM
from deepctr_torch.models.basemodel import BaseModel
from deepctr_torch.models.fields import Fields


class Reader(BaseModel):
    """A model that only reads."""

    def logits(self, fields: Fields) -> Tensor:
        return fields.linear


def fields_of(
    linear: list[FeatureColumn], deep: list[FeatureColumn], x: dict[str, Any], **kwargs: Any
) -> tuple[Reader, Fields]:
    model = Reader(linear, deep, init_std=1.0, **kwargs)
    arrays = to_arrays(x, model.schema)
    batch = Batch(torch.from_numpy(arrays.ids), torch.from_numpy(arrays.dense), model.schema.widths)
    return model, model.fields(batch, model.embedding.lookup(batch))


USER, ITEM = SparseFeat("user", 5, 2), SparseFeat("item", 6, 2)
HIST = VarLenSparseFeat(SparseFeat("hist", 6, 2, embedding_name="item"), 3, "sum", length_name="n")
TAGS = VarLenSparseFeat(SparseFeat("tags", 4, 2), 2, "max")
X: dict[str, Any] = {
    "user": [1, 4],
    "item": [5, 0],
    "hist": [[5, 0, 1], [2, 2, 2]],
    "n": [2, 0],
    "tags": [[3, 0], [0, 0]],
    "price": [0.5, 1.5],
    "vec": [[1.0, 2.0], [3.0, 4.0]],
}
COLUMNS: list[FeatureColumn] = [DenseFeat("price"), TAGS, USER, HIST, DenseFeat("vec", 2), ITEM]


def test_vectors_in_order_single_ids_then_sequences() -> None:
    model, fields = fields_of([], COLUMNS, X)
    table = {n: v.weight for n, v in model.embedding_dict.items()}
    user, item = table["user"][[1, 4]], table["item"][[5, 0]]
    hist = torch.stack([table["item"][5] + table["item"][0], torch.zeros(2)])
    tags = torch.stack([table["tags"][3], torch.zeros(2)])
    expected = [user, item, tags, hist]
    for got, want in zip(fields.vectors(), expected, strict=True):
        assert_close(got, want)
    assert_close(fields.stacked, torch.stack(expected, dim=1))
    assert_close(fields.flat_vectors, torch.cat(expected, dim=1))
    assert_close(fields.dense, torch.tensor([[0.5, 1, 2], [1.5, 3, 4]]))
    assert_close(fields.flat, torch.cat([*expected, fields.dense], dim=1))
    assert_close(fields.vector("hist"), hist)
    assert_close(fields.pick(["hist", "user"]), torch.cat([hist, user], dim=1))
    assert fields.pick([]).shape == (2, 0)


def test_sequences_and_masks() -> None:
    model, fields = fields_of([], COLUMNS, X)
    assert_close(fields.sequence("hist"), model.embedding_dict["item"].weight[torch.tensor(X["hist"])])
    assert fields.mask("hist").tolist() == [[True, True, False], [False, False, False]]  # by length: id 0 is an id
    assert fields.mask("tags").tolist() == [[True, False], [False, False]]  # by id 0
    assert fields.mask("hist") is fields.mask("hist")
    with pytest.raises(KeyError):
        fields.sequence("user2")


def test_dense_numbers_in_the_order_of_the_columns() -> None:
    columns: list[FeatureColumn] = [DenseFeat("a"), DenseFeat("b", 2), DenseFeat("c")]
    _, fields = fields_of([columns[2], columns[0]], columns, {"a": [1.0], "b": [[2.0, 3.0]], "c": [4.0]})
    assert fields.numbers(columns).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert fields.numbers(columns[::-1]).tolist() == [[4.0, 2.0, 3.0, 1.0]]
    assert fields.numbers([columns[0], columns[2]]).tolist() == [[1.0, 4.0]]
    assert fields.numbers([]).shape == (1, 0)


def test_without_deep_columns() -> None:
    _, fields = fields_of([USER], [], {"user": [1, 2]})
    assert fields.stacked.shape == (2, 0, 0)
    assert fields.flat.shape == (2, 0)
    assert fields.dense.shape == (2, 0)
    assert fields.vectors() == []


def test_without_linear_columns() -> None:
    for classes in (None, 3):
        _, fields = fields_of(
            [], [USER], {"user": [1, 2]}, task="binary" if classes is None else "multiclass", num_classes=classes
        )
        assert fields.linear.tolist() == [[0.0], [0.0]]
        assert fields.linear_weighted(torch.ones(2, 0)).tolist() == [[0.0], [0.0]]


def test_mixed_dimensions() -> None:
    day, week = SparseFeat("day", 3, 4), VarLenSparseFeat(SparseFeat("week", 3, 4), 2)
    model, fields = fields_of([], [day, USER, week, TAGS], {**X, "day": [1, 2], "week": [[1, 2], [1, 0]]})
    week_table = model.embedding_dict["week"].weight
    expected = [
        model.embedding_dict["day"].weight[[1, 2]],
        model.embedding_dict["user"].weight[[1, 4]],
        torch.stack([week_table[[1, 2]].mean(dim=0), week_table[1]]),
        torch.stack([model.embedding_dict["tags"].weight[3], torch.zeros(2)]),
    ]
    assert_close(fields.flat_vectors, torch.cat(expected, dim=1))
    with pytest.raises(ValueError, match=r"all columns must have one embedding_dim, got \{'day': 4, 'user': 2"):
        _ = fields.stacked


def test_a_column_may_be_pooled_differently_on_each_side() -> None:
    summed = TAGS._replace(combiner="sum")
    model, fields = fields_of([summed], [TAGS], {"tags": [[3, 2], [1, 0]]})
    deep = model.embedding_dict["tags"].weight
    assert_close(fields.vector("tags"), torch.stack([torch.maximum(deep[3], deep[2]), deep[1]]))
    linear = model.linear_model.embedding_dict["tags"].weight
    assert_close(fields.linear, torch.stack([linear[3] + linear[2], linear[1]]))


@st.composite
def weighted(draw: st.DrawFn) -> dict[str, Any]:
    rows, width = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    numbers = st.sampled_from([0.0, 0.25, 1.0, 3.0])
    return {
        "ids": draw(
            st.lists(st.lists(st.integers(0, 5), min_size=width, max_size=width), min_size=rows, max_size=rows)
        ),
        "weights": draw(st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=rows, max_size=rows)),
        "lengths": draw(st.one_of(st.none(), st.lists(st.integers(0, width), min_size=rows, max_size=rows))),
        "trim": draw(st.integers(1, width)),
    }


@pytest.mark.parametrize("combiner", ["sum", "mean", "max"])
@pytest.mark.parametrize("use_weights", [False, True])
@given(case=weighted())
def test_pooling_against_a_loop(combiner: str, use_weights: bool, case: dict[str, Any]) -> None:
    width = len(case["ids"][0])
    column = VarLenSparseFeat(
        SparseFeat("s", 6, 2),
        width,
        combiner,
        "n" if case["lengths"] is not None else None,
        "w" if use_weights else None,
    )
    x = {"s": case["ids"], "n": case["lengths"], "w": case["weights"]}
    model, fields = fields_of(
        [column], [column], {k: v for k, v in x.items() if k in ("s", column.length_name, column.weight_name)}
    )
    for part, table in (
        ("deep", model.embedding_dict["s"].weight),
        ("linear", model.linear_model.embedding_dict["s"].weight),
    ):
        expected = []
        for b, row in enumerate(case["ids"]):
            valid = [
                t for t in range(width) if (t < case["lengths"][b] if case["lengths"] is not None else row[t] != 0)
            ]
            weights = [case["weights"][b][t] if use_weights else 1.0 for t in valid]
            values = [w * table[row[t]] for w, t in zip(weights, valid, strict=True)]
            total = sum(values, torch.zeros(table.shape[1]))
            if combiner == "max":
                pooled = torch.stack(values).amax(dim=0) if values else torch.zeros(table.shape[1])
            else:
                pooled = total / sum(weights) if combiner == "mean" and sum(weights) else total
            expected.append(pooled)
        assert_close(fields.vector("s", part), torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_trimmed_batches_give_the_same_vectors() -> None:
    column = VarLenSparseFeat(SparseFeat("s", 6, 2), 4, "mean", weight_name="w")
    model = Reader([column], [column], init_std=1.0)
    full = Batch(torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]]), torch.rand(2, 4), (4,))
    cut = Batch(full.ids[:, :2], full.dense, (2,))
    for batch in (full, cut):
        fields = model.fields(batch, model.embedding.lookup(batch))
        assert fields.sequence("s").shape == (2, batch.widths[0], 2)
        if batch is full:
            expected = fields.flat, fields.linear
    assert_close((fields.flat, fields.linear), expected)


def test_a_part_of_ones_own() -> None:
    schema = FeatureSchema([USER, TAGS])
    tables = EmbeddingCollection(embedding_configs([USER, TAGS], 1.0))
    embedding = EmbeddingLookup(schema, {"mine": LookupSpec((USER, TAGS), tables)})
    batch = Batch(torch.tensor([[1, 3, 0]]), torch.zeros(1, 0), (2,))
    fields = Fields(embedding, [], batch, embedding.lookup(batch), None)
    assert_close(fields.stack("mine"), torch.stack([tables["user"].weight[1], tables["tags"].weight[3]]).unsqueeze(0))
    assert fields.schema is schema


MISSING = SparseFeat("city", 5, 2, mask_zero=True)
SHARED = SparseFeat("town", 5, 2, embedding_name="city")
CITIES: dict[str, Any] = {"city": [0, 1, 0, 3] * 8, "town": [2, 2, 4, 1] * 8, "user": [0, 1, 2, 3] * 8}


def masked_deepfm(**kwargs: Any) -> DeepFM:
    columns = [USER, MISSING]
    return DeepFM(columns, columns, dnn_hidden_units=(4,), init_std=1.0, l2_reg_linear=0, l2_reg_embedding=0, **kwargs)


def test_id_0_of_a_masked_column_counts_as_zeros_on_both_sides() -> None:
    model, fields = fields_of([MISSING], [MISSING, SHARED, HIST], {**CITIES, "hist": [[1, 0, 2]] * 32, "n": [2] * 32})
    table = model.embedding_dict["city"].weight
    city = torch.tensor(CITIES["city"])
    expected = table[city] * (city != 0).unsqueeze(1)
    assert_close(fields.vector("city"), expected)
    assert_close(fields.stacked[:, 0], expected)
    assert_close(fields.flat[:, :2], expected)
    assert_close(fields.vector("town"), table[torch.tensor(CITIES["town"])])
    linear = model.linear_model.embedding_dict["city"].weight
    assert_close(fields.linear, linear[city] * (city != 0).unsqueeze(1))


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_id_0_of_a_masked_column_is_not_trained_by_fit(update: str) -> None:
    model = masked_deepfm()
    tables = [model.embedding_dict["city"].weight, model.linear_model.embedding_dict["city"].weight]
    before = [table.detach().clone() for table in tables]
    other = model.embedding_dict["user"].weight.detach().clone()
    model.compile("adagrad", "binary_crossentropy", embedding_update=update, learning_rate=0.1)
    model.fit(CITIES, [0, 1, 1, 0] * 8, epochs=2, verbose=0)
    for table, old in zip(tables, before, strict=True):
        assert torch.equal(table[0], old[0])
        assert not torch.equal(table[1], old[1])
    assert not torch.equal(model.embedding_dict["user"].weight[0], other[0])


def test_id_0_of_a_masked_column_has_no_effect_and_no_gradient_in_a_loop_of_ones_own() -> None:
    model = masked_deepfm()
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    model(x).sum().backward()
    table = model.embedding_dict["city"].weight
    assert table.grad is not None
    assert not table.grad[0].any()
    assert table.grad[2].any()
    before = model.eval()(x).detach()
    with torch.no_grad():
        table[0] += 7.0
        model.linear_model.embedding_dict["city"].weight[0] += 7.0
    assert torch.equal(model(x), before)
    exported = torch.export.export(model, (x,)).module()
    assert_close(exported(x), before)
    vectors, _ = model.input_from_feature_columns(x, [MISSING], model.embedding_dict)
    assert not vectors[0][0].any()
    assert vectors[0][1].any()


def test_models_of_masked_columns_are_saved_and_sequences_are_refused(tmp_path: Any) -> None:
    model = masked_deepfm()
    model.save(tmp_path / "saved")
    loaded = load_model(tmp_path / "saved")
    assert loaded.dnn_feature_columns == [USER, MISSING]
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert torch.equal(loaded(x), model.eval()(x))
    assert SparseFeat(*USER[:7]) == USER
    with pytest.raises(ValueError, match="mask_zero belongs to columns of one id"):
        VarLenSparseFeat(MISSING, 3)


def test_the_ids_of_a_step_are_pooled() -> None:
    hist = HIST._replace(step_width=2)
    item = SparseFeat("tags", 6, 2, embedding_name="item")
    tags = VarLenSparseFeat(item, 2, "max", weight_name="w", step_width=3, step_combiner="sum")
    x = {
        "item": [5, 1],
        "hist": [[[5, 3], [4, 0], [0, 0]], [[0, 2], [0, 0], [3, 3]]],
        "n": [2, 3],
        "tags": [[[1, 2, 3], [4, 0, 0]], [[0, 0, 0], [5, 5, 1]]],
        "w": [[1.0, 2.0], [9.0, 0.5]],
    }
    model, fields = fields_of([hist, tags], [ITEM, tags._replace(step_combiner="mean"), hist], x)
    v, weight = model.embedding_dict["item"].weight, model.linear_model.embedding_dict["item"].weight
    zero = torch.zeros(2)
    steps = torch.stack([torch.stack([(v[5] + v[3]) / 2, v[4], zero]), torch.stack([v[2], zero, v[3]])])
    assert_close(fields.sequence("hist"), steps)
    assert fields.mask("hist").tolist() == [[True, True, False], [True, True, True]]  # by length: an empty step too
    assert_close(fields.vector("hist"), torch.stack([steps[0, 0] + v[4], v[2] + v[3]]))
    first = torch.stack([(v[1] + v[2] + v[3]) / 3, 2 * v[4]]).amax(dim=0)
    assert_close(fields.vector("tags"), torch.stack([first, 0.5 * (2 * v[5] + v[1]) / 3]))
    assert fields.mask("tags").tolist() == [[True, True], [False, True]]
    linear = torch.maximum(weight[1] + weight[2] + weight[3], 2 * weight[4]), 0.5 * (2 * weight[5] + weight[1])
    assert_close(fields.vector("tags", "linear"), torch.stack(linear))
    assert fields.stacked.shape == (2, 3, 2)


def test_two_columns_of_one_name_must_agree_on_the_width_of_a_step() -> None:
    with pytest.raises(ValueError, match="two different columns are named 'hist'"):
        Reader([HIST], [HIST._replace(step_width=2)])
