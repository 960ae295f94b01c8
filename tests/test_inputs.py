"""The facade `deepctr_torch.inputs`: upstream's helpers for user code, against naive references."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from deepctr_torch import features, inputs
from deepctr_torch.hashing import hash_rows
from deepctr_torch.inputs import (
    DenseFeat,
    SparseFeat,
    VarLenSparseFeat,
    build_input_features,
    combined_dnn_input,
    create_embedding_matrix,
    embedding_lookup,
    get_dense_input,
    get_feature_names,
    get_varlen_pooling_list,
    maxlen_lookup,
    varlen_embedding_lookup,
)
from deepctr_torch.models.basemodel import BaseModel

COLUMNS: list[Any] = [
    SparseFeat("user", 5, 2, group_name="people"),
    DenseFeat("price", 2),
    SparseFeat("item", 6, 2),
    VarLenSparseFeat(SparseFeat("hist", 6, 2, embedding_name="item"), 3, "sum", length_name="n"),
    VarLenSparseFeat(SparseFeat("tags", 4, 2), 2, "mean", weight_name="w"),
    SparseFeat("friend", 5, 2, embedding_name="user", group_name="people"),
]
SPARSE = [c for c in COLUMNS if isinstance(c, SparseFeat)]
VARLEN = [c for c in COLUMNS if isinstance(c, VarLenSparseFeat)]
INDEX = build_input_features(COLUMNS)
# user, price, item, hist, n, tags, w, friend
X = torch.tensor(
    [
        [1, 0.5, 2.5, 5, 5, 0, 3, 2, 3, 0, 0.5, 9.0, 4],
        [0, 1.5, 3.5, 0, 2, 1, 0, 1, 1, 2, 1.0, 3.0, 0],
    ]
)


@pytest.fixture
def tables() -> nn.ModuleDict:
    return create_embedding_matrix(COLUMNS, init_std=1.0)


def test_all_names_are_upstreams() -> None:
    assert inputs.__all__ == sorted(inputs.__all__)
    assert inputs.SparseFeat is features.SparseFeat
    assert SparseFeat.__name__ == "SparseFeat"
    assert get_feature_names(COLUMNS) == ["user", "price", "item", "hist", "n", "tags", "w", "friend"]


def test_create_embedding_matrix() -> None:
    tables = create_embedding_matrix(COLUMNS, init_std=0.5)
    assert isinstance(tables, nn.ModuleDict)
    assert {k: tuple(v.shape) for k, v in tables.state_dict().items()} == {
        "user.weight": (5, 2),
        "item.weight": (6, 2),
        "tags.weight": (4, 2),
    }
    linear = create_embedding_matrix(COLUMNS, linear=True, sparse=True)
    for table in linear.values():
        assert isinstance(table, nn.Embedding)
        assert table.embedding_dim == 1
        assert table.sparse
        assert table.weight.abs().max() < 0.001
    large = create_embedding_matrix([SparseFeat("a", 5000)], init_std=0.5)["a"]
    assert abs(float(large.weight.detach().std()) - 0.5) < 0.02
    assert create_embedding_matrix(COLUMNS, device="meta")["user"].weight.device.type == "meta"
    with pytest.raises(
        ValueError, match="'a' and 'b' share the table 'a' and must agree on its vocabulary_size, got 5 and 6"
    ):
        create_embedding_matrix([SparseFeat("a", 5), SparseFeat("b", 6, embedding_name="a")])


def test_embedding_lookup(tables: nn.ModuleDict) -> None:
    expected = {
        c.name: torch.stack([tables[c.embedding_name].weight[int(row[INDEX[c.name][0]])] for row in X]).unsqueeze(1)
        for c in SPARSE
    }
    groups = embedding_lookup(X, tables, INDEX, SPARSE)
    assert list(groups) == ["people", "default_group"]
    assert_close(groups["people"], [expected["user"], expected["friend"]])
    assert_close(groups["default_group"], [expected["item"]])
    assert_close(
        embedding_lookup(X, tables, INDEX, SPARSE, to_list=True),
        [expected["user"], expected["friend"], expected["item"]],
    )
    some = embedding_lookup(X, tables, INDEX, SPARSE, return_feat_list=["item", "user"], to_list=True)
    assert_close(some, [expected["user"], expected["item"]])
    masked = embedding_lookup(X, tables, INDEX, SPARSE, ["friend"], mask_feat_list=["friend"], to_list=True)
    assert_close(masked, [torch.stack([expected["friend"][0], torch.zeros(1, 2)])])


def test_varlen_lookup_and_pooling(tables: nn.ModuleDict) -> None:
    sequences = varlen_embedding_lookup(X, tables, INDEX, VARLEN)
    assert {n: tuple(v.shape) for n, v in sequences.items()} == {"hist": (2, 3, 2), "tags": (2, 2, 2)}
    item, tags = tables["item"].weight, tables["tags"].weight
    assert_close(sequences["hist"], item[X[:, 4:7].long()])
    hist, pooled_tags = get_varlen_pooling_list(sequences, X, INDEX, VARLEN, "cpu")
    assert_close(hist, torch.stack([item[5] + item[0], item[2]]).unsqueeze(1))  # by length: id 0 counts
    assert_close(pooled_tags, torch.stack([tags[3], (1 * tags[1] + 3 * tags[2]) / 4]).unsqueeze(1))


def test_max_pooling_with_lengths(tables: nn.ModuleDict) -> None:
    columns = [VARLEN[0]._replace(combiner="max")]
    (pooled,) = get_varlen_pooling_list(varlen_embedding_lookup(X, tables, INDEX, columns), X, INDEX, columns, "cpu")
    item = tables["item"].weight
    assert_close(pooled[:, 0], torch.stack([torch.maximum(item[5], item[0]), item[2]]))


def test_dense_input() -> None:
    (price,) = get_dense_input(X.double(), INDEX, COLUMNS)
    assert price.dtype == torch.float32
    assert price.tolist() == [[0.5, 2.5], [1.5, 3.5]]
    assert get_dense_input(X, INDEX, SPARSE) == []


def test_maxlen_lookup() -> None:
    assert maxlen_lookup(X, INDEX, ["n", "other"]).tolist() == [[2], [1]]
    with pytest.raises(ValueError, match="a VarLenSparseFeat needs a length_name"):
        maxlen_lookup(X, INDEX, [])


def test_combined_dnn_input() -> None:
    a, b = torch.arange(4.0).reshape(2, 1, 2), torch.arange(4.0, 8).reshape(2, 1, 2)
    d = torch.tensor([[10.0, 11], [12, 13]])
    assert combined_dnn_input([a, b], [d]).tolist() == [[0, 1, 4, 5, 10, 11], [2, 3, 6, 7, 12, 13]]
    assert combined_dnn_input([a], []).tolist() == [[0, 1], [2, 3]]
    assert combined_dnn_input([], [d, d[:, :1]]).tolist() == [[10, 11, 10], [12, 13, 12]]
    with pytest.raises(NotImplementedError, match="got two empty lists"):
        combined_dnn_input([], [])


class Upstream(BaseModel):
    """As user code for the original is written: one packed matrix, helpers, the linear side."""

    def __init__(self, columns: list[Any]) -> None:
        super().__init__(columns, columns, init_std=1.0)
        self.dense = nn.Linear(self.compute_input_dim(columns), 1, bias=False)

    def forward(self, X: Tensor) -> Tensor:  # type: ignore[override]
        vectors, numbers = self.input_from_feature_columns(X, self.dnn_feature_columns, self.embedding_dict)
        out: Tensor = self.out(self.linear_model(X) + self.dense(combined_dnn_input(vectors, numbers)))
        return out


def test_input_from_feature_columns() -> None:
    model = Upstream(COLUMNS)
    vectors, numbers = model.input_from_feature_columns(X, COLUMNS, model.embedding_dict)
    assert [tuple(v.shape) for v in vectors] == [(2, 1, 2)] * 5
    item = model.embedding_dict["item"].weight
    assert_close(vectors[3][:, 0], torch.stack([item[5] + item[0], item[2]]))
    assert [n.tolist() for n in numbers] == [[[0.5, 2.5], [1.5, 3.5]]]
    with pytest.raises(ValueError, match="dense features are not supported here"):
        model.input_from_feature_columns(X, COLUMNS, model.embedding_dict, support_dense=False)
    assert_close(
        combined_dnn_input(vectors, numbers),
        model.fields(batch := model.schema.unpack(X), model.embedding.lookup(batch)).flat,
    )


def test_hashed_columns_in_user_code() -> None:
    """`fit` and `predict` pass table rows to `forward`, a matrix of one's own holds raw values: both mean the same."""
    columns: list[Any] = [
        SparseFeat("a", 7, 2, use_hash=True),
        VarLenSparseFeat(SparseFeat("s", 9, 2, use_hash=True), 2),
        DenseFeat("d"),
    ]
    model = Upstream(columns)
    raw = torch.tensor([[-3, 2**60, 0, 1], [12, 5, 6, 2]])
    x = {"a": raw[:, 0], "s": raw[:, 1:3], "d": raw[:, 3]}
    assert_close(model(raw).detach().double().numpy(), model.predict(x))
    rows = hash_rows([-3, 12], 7)
    assert_close(
        embedding_lookup(raw, model.embedding_dict, model.feature_index, columns[:1], to_list=True)[0][:, 0],
        model.embedding_dict["a"].weight[rows],
    )
    model.compile("sgd", "binary_crossentropy")
    model.fit(x, [0, 1], verbose=0)
    assert_close(model(raw).detach().double().numpy(), model.predict(x))
    model.predict({"a": ["x", "y"], "s": [["p", "q"], ["r"]], "d": [1.0, 2.0]})


def test_a_model_in_double_precision() -> None:
    model = Upstream(COLUMNS).double()
    fields = model.fields(batch := model.schema.unpack(X.double()), model.embedding.lookup(batch))
    assert fields.flat.dtype == torch.float64
    assert fields.linear.dtype == torch.float64
