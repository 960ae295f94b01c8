"""`encode`."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from deepctr_torch.encoding import FeatureEncoder

from ..support.cli_tables import as_json, failed, ran, raw_tables


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    frame = raw_tables.criteo_like(300, 400)
    raw_tables.write(folder, frame)
    return folder


def test_encode_learns_an_encoder_or_takes_one(raw: Path, tmp_path: Path) -> None:
    arguments = ["--label", "label", "--set", "features.I1=quantile", "--set", "features.C5=skip"]
    done = as_json("encode", raw / "train.csv", "--out", tmp_path / "train", *arguments, "--training")
    assert (done["rows"], len(done["files"])) == (270, 1)
    assert "C5" not in [feature["feature"] for feature in done["features"]]
    out = ran("encode", raw / "test.csv", "--out", tmp_path / "test", "--encoder", tmp_path / "train" / "encoder",
              "--keep", "C5", "--label", "label")  # fmt: skip
    assert "Features" in out
    assert "rows" in out
    encoder = FeatureEncoder.load(tmp_path / "train" / "encoder")
    encoded = encoder.transform(raw / "test.csv")
    table = pl.read_parquet(tmp_path / "test/*.parquet")
    assert table.columns[-2:] == ["label", "C5"]
    for name, values in encoded.items():
        assert (table[name].to_numpy() == values).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "epochs=3"], 2, "--set of encode knows features.COLUMN=KIND alone"),
        (["--set", "features.C99=skip"], 1, "has no column 'C99'"),
        (["--encoder", ".", "--set", "features.C1=skip"], 2, "--encoder knows its features"),
        (["--label", "clicked"], 1, "has no column 'clicked'"),
        (["--encoder", "."], 1, "lacks encoder.json"),
    ],
)
def test_encode_refuses(raw: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    assert message in failed("encode", raw / "train.csv", "--out", tmp_path / "new", *arguments, code=code)
    assert not (tmp_path / "new").exists()


def test_encode_writes_into_no_folder_with_files(raw: Path) -> None:
    assert "empty or not there yet" in failed("encode", raw / "train.csv", "--out", raw)
