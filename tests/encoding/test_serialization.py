from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepctr_torch.encoding import (
    Categorical,
    Cross,
    Dense,
    FeatureEncoder,
    FeatureSpec,
    MultiValue,
    Numeric,
    Sequence,
    Timestamp,
)

from ..support.artefacts import overwritten

DATA: dict[str, Any] = {
    "i": [1, 2, None],
    "s/name": ["a", "b", "é"],
    "n": [0.1, None, 1e300],
    "h": [["a"], ["a", "b"], None],
    "t": [0, 1, None],
    "d": [[0.1, 0.2], None, None],
}
ENCODER = FeatureEncoder(
    {
        "i": Categorical(min_count=1, dropout=0.5),
        "s/name": Categorical(min_count=2),
        "b": Categorical(column="i", hash_buckets=5),
        "n": Numeric(),
        "q": Numeric("quantile", column="n"),
        "h": Sequence(3, vocabulary_of="s/name"),
        "m": MultiValue(column="h"),
        "x": Cross(columns=("i", "n")),
        "t": Timestamp(("hour",)),
        "d": Dense(),
    }
).fit(DATA)


def test_what_was_saved_encodes_describes_and_goes_on_alike(tmp_path: Path) -> None:
    ENCODER.save(tmp_path / "a" / "b")
    loaded = FeatureEncoder.load(tmp_path / "a" / "b")
    for training in (False, True):
        found, expected = loaded.transform(DATA, training=training), ENCODER.transform(DATA, training=training)
        assert list(found) == list(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype == values.dtype
    assert loaded.features == ENCODER.features
    assert loaded.describe() == ENCODER.describe()
    assert loaded.feature_columns("auto") == ENCODER.feature_columns("auto")
    loaded.update({**DATA, "s/name": ["c", "é", "b"]})
    assert loaded.vocabulary("h").values.to_pylist() == ["a", "b", "é"]
    assert ENCODER.vocabulary("h").values.to_pylist() == ["a", "b"]


def test_the_folder_holds_json_and_arrow(tmp_path: Path) -> None:
    ENCODER.save(tmp_path)
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert files == [
        "checksums.json",
        "encoder.json",
        *(f"vocab/{n}.arrow" for n in ("000_i", "001_s_name", "003_m", "004_x")),
    ]
    again = tmp_path / "again"
    FeatureEncoder.load(tmp_path).save(again)
    for file in files:
        assert (again / file).read_bytes() == (tmp_path / file).read_bytes()


def test_other_folders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"must hold a saved encoder, but lacks encoder\.json"):
        FeatureEncoder.load(tmp_path)
    (tmp_path / "encoder.json").write_text("{")
    with pytest.raises(ValueError, match=r"encoder\.json must be JSON"):
        FeatureEncoder.load(tmp_path)
    (tmp_path / "encoder.json").write_text("[]")
    with pytest.raises(ValueError, match=r"encoder.json must be a JSON object, got list"):
        FeatureEncoder.load(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (["format"], "deepctr_torch.encoder/2", "got 'deepctr_torch.encoder/2': it was saved by another version"),
        (["hash_version"], 2, "must use hash version 1, got 2"),
        (["features", 0, "kind"], "Category", "unknown kind 'Category' of feature 'i'"),
        (["features", 0, "minimum"], 2, "unknown option 'minimum' of feature 'i'"),
        (["tables", "i", "type"], "object", "of 'i' must be of type int or string, got 'object'"),
        (["tables", "i", "file"], "../secret.arrow", "must lie in vocab/, got '../secret.arrow'"),
        (["tables", "i", "file"], "vocab/none.arrow", "must be the Arrow file of a vocabulary"),
        (["tables", "i", "size"], 99, "must hold at least the 99 values"),
        (["tables"], {}, "must hold the table of 'i'"),
        (["features", 0, "learned"], {}, "lacks 'rows'"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, path: list[Any], value: Any, match: str) -> None:
    ENCODER.save(tmp_path)
    description = json.loads((tmp_path / "encoder.json").read_text())
    inside = description
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    overwritten(tmp_path / "encoder.json", json.dumps(description))
    with pytest.raises(ValueError, match=match):
        FeatureEncoder.load(tmp_path)


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    kinds: dict[str, FeatureSpec] = {
        "item": Categorical(min_count=np.int64(1), embedding_dim=np.int32(8), dropout=np.float64(0.5)),  # type: ignore[arg-type]
        "past": Sequence(maxlen=np.int64(5)),  # type: ignore[arg-type]
        "price": Numeric("quantile", bins=np.int16(4)),  # type: ignore[arg-type]
    }
    assert kinds["past"] == Sequence(maxlen=5)
    data = {"item": [1, 2], "past": [[1], [2, 3]], "price": [0.5, 1.0]}
    FeatureEncoder(kinds).fit(data).save(tmp_path)
    assert FeatureEncoder.load(tmp_path).features == kinds


def test_reasons_are_saved_and_copied(tmp_path: Path) -> None:
    data = {"city": ["a", "b", "a"], "same": [1, 1, 1], "click": [0, 1, 0]}
    encoder = FeatureEncoder.infer(data, label="click").fit(data)
    encoder.save(tmp_path)
    assert FeatureEncoder.load(tmp_path).explain() == encoder.copy().explain() == encoder.explain()
    assert [row["kind"] for row in encoder.explain()] == ["Categorical", "left out", "left out"]
