"""`encode`: what it writes is read back exactly, and trains to the same weights as encoding on the fly."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from deepctr_torch.data import Files, encode
from deepctr_torch.data.batch import LabelSpec
from deepctr_torch.data.loader import make_source
from deepctr_torch.data.parquet_cache import identity
from deepctr_torch.encoding import Categorical, FeatureEncoder, Numeric, Sequence
from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat, VarLenSparseFeat
from deepctr_torch.models.deepfm import DeepFM
from deepctr_torch.tables import Chunk, read_chunks

COLUMNS = [SparseFeat("city", 5, 4), VarLenSparseFeat(SparseFeat("tags", 9, 4), 2, "mean"), DenseFeat("price")]


class Letters:
    """Encodes letters by their place in the alphabet; in training, some become row 1 by the number of their row."""

    inputs = serving_inputs = ("city", "tags", "price")

    def schema(self) -> dict[str, str]:
        return {}

    def save(self, directory: str) -> None:
        Path(directory, "letters.json").write_text("1")

    def encode_chunk(self, chunk: Chunk, *, training: bool = False, seed: int = 0) -> dict[str, Any]:
        table = chunk.table
        place = {"a": 2, "b": 3, "c": 4}
        city = np.array([place.get(v, 1) for v in table.column("city").to_pylist()], dtype=np.int32)
        if training:
            city[(np.arange(chunk.first_row, chunk.first_row + len(city)) + seed) % 3 == 0] = 1
        tags = np.zeros((table.num_rows, 2), dtype=np.int32)
        for row, values in enumerate(table.column("tags").to_pylist()):
            tags[row, : len(values or ())] = values or ()
        return {"city": city, "tags": tags, "price": table.column("price").to_numpy().astype(np.float32)}


def raw(rows: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "city": rng.choice(["a", "b", "c", "?"], rows),
            "tags": [rng.integers(1, 9, rng.integers(0, 3)).tolist() for _ in range(rows)],
            "price": rng.normal(size=rows),
            "click": rng.integers(0, 2, rows),
            "weight": rng.random(rows),
        }
    )


def expected(data: pd.DataFrame, **options: Any) -> dict[str, Any]:
    (chunk,) = read_chunks(data)
    return Letters().encode_chunk(chunk, **options)


def test_encoded_files_hold_what_the_encoder_returns(tmp_path: Path) -> None:
    data = raw()
    files = encode(data, Letters(), tmp_path / "out", label="click", keep=["weight"], rows_per_group=7)
    assert [f.name for f in files] == ["part-00000.parquet"]
    table = pq.read_table(files[0])
    assert pq.ParquetFile(files[0]).num_row_groups == 8
    assert [str(t) for t in table.schema.types] == [
        "int32",
        "fixed_size_list<element: int32>[2]",
        "float",
        "int64",
        "double",
    ]
    arrays = expected(data)
    np.testing.assert_array_equal(table.column("city").to_numpy(), arrays["city"])
    np.testing.assert_array_equal(np.array(table.column("tags").to_pylist()), arrays["tags"])
    np.testing.assert_array_equal(table.column("price").to_numpy(), arrays["price"])
    np.testing.assert_array_equal(table.column("click").to_numpy(), data["click"])
    np.testing.assert_array_equal(table.column("weight").to_numpy(), data["weight"])
    assert json.loads((tmp_path / "out" / "_encoding.json").read_text()) == {
        "format": 1,
        "encoder": hashlib.sha256(b"letters.json1").hexdigest(),
        "label": ["click"],
        "keep": ["weight"],
        "training": False,
        "seed": 0,
        "rows": 50,
        "files": ["part-00000.parquet"],
    }


def test_many_groups_make_several_files(tmp_path: Path) -> None:
    files = encode(raw(), Letters(), tmp_path, label="click", rows_per_group=2)
    assert [pq.ParquetFile(f).metadata.num_rows for f in files] == [32, 18]
    source = make_source(FeatureSchema(COLUMNS), tmp_path, "click", LabelSpec([("", "binary")]))
    (example,) = source.batches(100)
    assert example.batch.ids[:, 0].tolist() == expected(raw())["city"].tolist()


def test_rows_to_train_on_are_encoded_as_such(tmp_path: Path) -> None:
    (file,) = encode(raw(), Letters(), tmp_path, training=True, seed=1)
    city = pq.read_table(file).column("city").to_numpy()
    np.testing.assert_array_equal(city, expected(raw(), training=True, seed=1)["city"])
    assert (city != expected(raw())["city"]).any()


def trained(x: Any, y: Any = "click", **options: Any) -> Any:
    model = DeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(8,))
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, **options)
    return model


class Plain(Letters):
    """Without what is drawn in training."""

    def encode_chunk(self, chunk: Chunk, *, training: bool = False, seed: int = 0) -> dict[str, Any]:
        return super().encode_chunk(chunk)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_encoding_on_the_fly_before_and_in_memory_give_the_same_weights(tmp_path: Path, threads: int) -> None:
    data = raw()
    data.to_parquet(tmp_path / "raw.parquet", row_group_size=8)
    encode(tmp_path / "raw.parquet", Plain(), tmp_path / "out", label="click", rows_per_group=8)
    memory = trained(expected(data), data["click"])
    flying = Files(tmp_path / "raw.parquet", label="click", encoder=Plain(), threads=threads)
    for other in (trained(tmp_path / "out"), trained(flying, None)):
        for a, b in zip(memory.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    np.testing.assert_array_equal(memory.predict(expected(data)), memory.predict(flying))


def test_what_is_drawn_in_training_changes_with_the_epoch_and_is_left_out_elsewhere(tmp_path: Path) -> None:
    raw().to_parquet(tmp_path / "raw.parquet", row_group_size=8)
    files = Files(tmp_path / "raw.parquet", label="click", encoder=Letters())
    schema, labels = FeatureSchema(COLUMNS), LabelSpec([("", "binary")])

    def cities(training: bool, seed: Any) -> list[int]:
        source = make_source(schema, files, None, labels, training=training)
        (example,) = source.batches(100, seed)
        ids = example.batch.ids[:, 0]
        order = torch.arange(50) if seed is None else torch.from_numpy(np.random.default_rng(seed).permutation(50))
        return ids[torch.argsort(order)].tolist()

    assert cities(False, None) == expected(raw())["city"].tolist()
    epochs = [cities(True, [0, epoch]) for epoch in range(6)]
    assert cities(True, [0, 0]) == epochs[0]
    assert len({tuple(e) for e in epochs}) > 1


def fitted(data: Any, separator: str | None = None, **options: Any) -> FeatureEncoder:
    kinds = {
        "city": Categorical(min_count=2, **options),
        "tags": Sequence(maxlen=2, separator=separator),
        "price": Numeric("quantile"),
        "place": Numeric(train_only=True),
    }
    return FeatureEncoder(kinds).fit(data)


def text(data: pd.DataFrame, path: Path) -> Path:
    """The rows as a CSV file, lists separated by |."""
    lists = data["tags"].map(lambda tags: "|".join(map(str, tags)))
    data.assign(tags=lists).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_feature_encoder_in_memory_on_the_fly_and_before(tmp_path: Path, ending: str) -> None:
    data = raw().assign(place=np.arange(50.0))
    path = tmp_path / f"raw{ending}"
    if ending == ".csv":
        text(data, path)
    else:
        data.to_parquet(path, row_group_size=8)
    encoder = fitted(path, "|" if ending == ".csv" else None)
    files = Files(path, label="click", encoder=encoder)
    encode(path, encoder, tmp_path / "out", label="click", training=True, rows_per_group=8)
    columns = encoder.feature_columns()
    arrays = encoder.transform(path, training=True)
    models = []
    for x, y in ((arrays, data["click"]), (files, None), (tmp_path / "out", "click")):
        model = DeepFM(columns, columns, dnn_hidden_units=(8,))
        model.compile("adam", "binary_crossentropy", ["auc"])
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        models.append(model)
    for other in models[1:]:
        for a, b in zip(models[0].state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    model = models[0]
    serving = encoder.transform(path)
    np.testing.assert_array_equal(model.predict(files), model.predict(serving))
    assert model.evaluate(files) == model.evaluate(serving, data["click"])
    for name, values in serving.items():
        encode(path, encoder, tmp_path / name)
        read = pq.read_table(tmp_path / name).column(name)
        np.testing.assert_array_equal(np.array(read.to_pylist(), dtype=values.dtype), values)


def test_predict_needs_no_column_that_only_training_has(tmp_path: Path) -> None:
    data = raw().assign(place=np.arange(50.0))
    encoder = fitted(data)
    columns = encoder.feature_columns()
    model = DeepFM(columns, columns, dnn_hidden_units=(8,))
    data.drop(columns=["place", "click", "weight"]).to_parquet(tmp_path / "serve.parquet")
    files = Files(tmp_path / "serve.parquet", encoder=encoder)
    np.testing.assert_array_equal(model.predict(files), model.predict(encoder.transform(data)))
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match=r"serve\.parquet lacks the column\(s\) \['place', 'click'\]"):
        model.fit(files, "click", verbose=0)


def test_ids_are_dropped_out_by_row_and_epoch(tmp_path: Path) -> None:
    data = raw().assign(place=np.arange(50.0))
    data.to_parquet(tmp_path / "raw.parquet", row_group_size=8)
    encoder = fitted(data, dropout=0.3)
    schema = FeatureSchema(encoder.feature_columns())
    files = Files(tmp_path / "raw.parquet", label="click", encoder=encoder, negative_rate=0.5)
    source = make_source(schema, files, None, LabelSpec([("", "binary")]), training=True)

    def rows(seed: Any) -> list[Any]:
        return [(e.batch.ids.tolist(), e.batch.dense.tolist()) for e in source.batches(5, seed)]

    first = rows([0, 0])
    assert rows([0, 0]) == first != rows([0, 1])


def test_errors_of_the_encoder_name_file_row_group_and_row(tmp_path: Path) -> None:
    data = raw().assign(place=np.arange(50.0))
    encoder = fitted(data)
    data["price"] = data["price"].astype(str)
    data.loc[21, "price"] = "dear"
    data.to_parquet(tmp_path / "raw.parquet", row_group_size=8)
    model = DeepFM(encoder.feature_columns(), encoder.feature_columns())
    with pytest.raises(ValueError, match=r"raw\.parquet, row group 2: .*'price'.* row 21"):
        model.predict(Files(tmp_path / "raw.parquet", encoder=encoder))


def test_the_identity_of_an_encoder_is_what_it_learned() -> None:
    data = raw().assign(place=np.arange(50.0))
    assert identity(fitted(data)) == identity(fitted(data.iloc[::-1]))
    assert identity(fitted(data)) != identity(fitted(data.iloc[:20]))


def test_what_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ValueError, match="out must be a folder that is empty or not there yet"):
        encode(raw(), Letters(), tmp_path / "full")
    with pytest.raises(ValueError, match=r"must not have the name of an encoded one, got \['price'\]"):
        encode(raw(), Letters(), tmp_path / "a", keep=["price"])
    with pytest.raises(ValueError, match=r"the table lacks \['clack'\]"):
        encode(raw(), Letters(), tmp_path / "b", label="clack")

    class Late(Letters):
        def encode_chunk(self, chunk: Chunk, *, training: bool = False, seed: int = 0) -> dict[str, Any]:
            if chunk.first_row:
                raise ValueError(f"bad value in {chunk.where(0)}")
            return super().encode_chunk(chunk)

    raw().to_parquet(tmp_path / "raw.parquet", row_group_size=8)
    with pytest.raises(ValueError, match=r"bad value in row 8 of .*raw\.parquet"):
        encode(tmp_path / "raw.parquet", Late(), tmp_path / "d", rows_per_group=4)
    assert not list((tmp_path / "d").iterdir())
    with pytest.raises(ValueError, match="the table to encode has no rows"):
        encode(raw(0), Letters(), tmp_path / "c")
