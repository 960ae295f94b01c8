"""Lines of text files that cannot be read: named, or left out and counted; broken files of any kind are named."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch import CTRClassifier
from deepctr_torch.data import Files
from deepctr_torch.encoding import Categorical, Numeric
from deepctr_torch.tables import bad_rows, read_chunks
from deepctr_torch.tables.bad_rows import WithoutLines, bad_lines
from tests.support.cli_tables import as_json, call

BAD: dict[str, tuple[bytes, str]] = {
    "short": (b"u1", "Expected 3 columns, got 1"),
    "long": (b"u1,2,1,9", "Expected 3 columns, got 4"),
    "encoding": ("u\xe9,2,1".encode("latin-1"), "invalid UTF8 data"),
    "zeros": (b"\0\0\0\0", "Expected 3 columns, got 1"),
    "mixed": (b"u1,much,1", "invalid value 'much'"),
    "label": (b"u1,2,yes", "invalid value 'yes'"),
}


def good_lines(rows: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [f"u{rng.integers(9)},{rng.normal():.3f},{rng.integers(2)}".encode() for _ in range(rows)]


def write(path: Path, lines: list[bytes]) -> Path:
    text = b"\n".join([b"user,price,click", *lines]) + b"\n"
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def rows_of(data: Any, **options: Any) -> list[dict[str, Any]]:
    return [row for chunk in read_chunks(data, **options) for row in chunk.table.to_pylist()]


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types are those of the first rows, and blocks are small."""
    from deepctr_torch.tables import text

    monkeypatch.setattr(text, "_SAMPLE", 256)
    monkeypatch.setattr(text, "_BLOCK", 2048)
    monkeypatch.setattr(bad_rows, "_BLOCK", 1000)


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("place", [40, 700, 1000])
def test_a_bad_line_is_named_or_skipped(kind: str, ending: str, place: int, sample: None, tmp_path: Path) -> None:
    lines = good_lines(1000)
    line, reason = BAD[kind]
    path = write(tmp_path / f"x.{ending}", [*lines[:place], line, *lines[place:]])
    with pytest.raises(ValueError, match=rf"x\.{ending}, line {place + 2}, must be a text table .*{reason}"):
        rows_of(path)
    message = rf"^1 bad rows are skipped, of .*x\.{ending}; the first is line {place + 2}: .*{reason}"
    with pytest.warns(UserWarning, match=message):
        left = rows_of(path, on_bad_rows="skip")
    assert left == rows_of(write(tmp_path / "good.csv", lines))


def test_all_bad_lines_are_found(sample: None, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(5):
        lines: list[tuple[bytes, bool]] = [(line, True) for line in good_lines(500)]
        lines += [(list(BAD.values())[i][0], False) for i in rng.integers(len(BAD), size=60)]
        lines[20:] = [lines[20:][i] for i in rng.permutation(len(lines) - 20)]
        path = write(tmp_path / f"{number}.csv", [line for line, _ in lines])
        path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n", 3).removesuffix(b"\n"))  # empty lines are no rows
        with pytest.warns(UserWarning, match="60 bad rows are skipped"):
            left = rows_of(path, on_bad_rows="skip")
        good = [line for line, is_good in lines if is_good]
        assert left == rows_of(write(tmp_path / "good.csv", good))


def test_bad_lines_know_their_place(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"name\na\nbad\r\n\nb\nbad")

    def convert(text: bytes) -> None:
        if b"bad" in text:
            raise pa.ArrowInvalid("no")

    found = list(bad_lines(path, convert, named=True))
    assert [(bad.line, path.read_bytes()[bad.start : bad.stop], bad.reason) for bad in found] == [
        (3, b"bad\r\n", "no"),
        (6, b"bad", "no"),
    ]
    for size in (1, 3, 100):
        stream, parts = WithoutLines(path, tuple(found)), []
        while part := stream.read(size):
            parts.append(part)
        assert b"".join(parts) == b"name\na\n\nb\n"
        stream.close()
    assert len(list(bad_lines(path, convert, named=False))) == 2


def test_several_files_are_counted_together(sample: None, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.csv", [*good_lines(50), *[b"short"] * number])
    with pytest.warns(UserWarning, match=r"^3 bad rows are skipped, of .*1\.csv, and of 1 more files; the first"):
        assert len(rows_of(tmp_path, on_bad_rows="skip")) == 150
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(rows_of(tmp_path / "0.csv", on_bad_rows="skip")) == 50


def test_what_to_do_is_one_of_two_words(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", good_lines(3))
    for call_ in (
        lambda: rows_of(path, on_bad_rows="drop"),
        lambda: Files(path, on_bad_rows="drop"),
        lambda: CTRClassifier().fit(path, "click", on_bad_rows="drop"),
    ):
        with pytest.raises(ValueError, match="unknown on_bad_rows 'drop': "):
            call_()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("user,click\nu1,1\n".encode("utf-16"), "it looks like UTF-16, and must be UTF-8"),
        (b"", "Empty CSV file"),
        ("us\xe9r,click\nu1,1\n".encode("latin-1"), "codec can't decode"),
    ],
)
def test_a_file_that_is_no_text_table_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    for how in ("raise", "skip"):
        with pytest.raises(ValueError, match=rf"x\.csv must be a text table separated by ',', got: .*{reason}"):
            rows_of(tmp_path / "x.csv", on_bad_rows=how)


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv.gz", good_lines(5000))
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    for broken in (content[: len(content) // 2], bytes(flipped), b"abc" * 100, content[:-6] + b"abcdef"):
        path.write_bytes(broken)
        for how in ("raise", "skip"):
            with pytest.raises(ValueError, match=r"x\.csv\.gz(, line \d+,)? must be a text table"):
                rows_of(path, on_bad_rows=how)


def test_a_broken_parquet_file_is_named_with_its_row_group(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.integers(0, 1 << 40, 4000), "b": rng.normal(size=4000)})
    pq.write_table(table, path, row_group_size=1000, write_page_checksum=True, use_dictionary=False)
    content = path.read_bytes()
    about = pq.read_metadata(path)
    heads = [about.row_group(g).column(c).data_page_offset for g in range(4) for c in (0, 1)]
    places = heads[::2]
    for _ in range(40):
        at = int(rng.integers(places[0] + 64, places[3] + 8000))
        if any(0 <= at - place < 64 for place in heads):
            continue
        broken = bytearray(content)
        broken[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        group = sum(at >= place for place in places) - 1
        with pytest.raises(ValueError, match=rf"x\.parquet, row group {group}: cannot be read as Parquet"):
            rows_of(path)
    for broken_file in (b"", content[: len(content) // 2], content[:-4]):
        path.write_bytes(broken_file)
        with pytest.raises(ValueError, match=r"x\.parquet must be a Parquet file, got"):
            rows_of(path)


# ------------------------------------------------------------------ training and prediction


SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 64, "model_args": {"dnn_hidden_units": (4,)}}


@pytest.mark.parametrize("features", ["infer", {"user": Categorical(), "price": Numeric()}])
def test_an_estimator_trains_and_predicts_as_without_the_bad_rows(features: Any, sample: None, tmp_path: Path) -> None:
    lines, rng = good_lines(600), np.random.default_rng(2)
    kinds = [line for kind, (line, _) in BAD.items() if kind != "label" and (kind != "mixed" or features != "infer")]
    bad = [kinds[i] for i in rng.integers(len(kinds), size=24)]  # a column with a word in it is inferred as text
    bad.insert(12, BAD["label"][0])  # which predicting does not read
    mixed = [*lines[:100], *bad[:10], *lines[100:300], *bad[10:], *lines[300:]]
    good, other = write(tmp_path / "good.csv", lines), write(tmp_path / "mixed.csv", mixed)
    expected = CTRClassifier(features=features, **SMALL).fit(good, "click")
    with pytest.raises(ValueError, match=r"mixed\.csv, line 10\d, must be a text table"):
        CTRClassifier(features=features, **SMALL).fit(other, "click")
    with pytest.warns(UserWarning, match="^25 bad rows are skipped") as said:
        fitted = CTRClassifier(features=features, **SMALL).fit(other, "click", on_bad_rows="skip")
    assert len(said) == 1
    assert fitted.training_["rows"] == expected.training_["rows"]
    probabilities = expected.predict_proba(good)
    with pytest.warns(UserWarning, match="24 bad rows are skipped"):
        assert len(fitted.predict_proba(other, on_bad_rows="skip")) == 601
    with pytest.warns(UserWarning, match="25 bad rows are skipped"):
        assert fitted.evaluate(other, on_bad_rows="skip") == expected.evaluate(good)
    np.testing.assert_array_equal(fitted.predict_proba(good), probabilities)
    with pytest.warns(UserWarning, match="25 bad rows are skipped"):
        again = CTRClassifier(features=features, **SMALL).fit(Files(other, on_bad_rows="skip"), "click")
    np.testing.assert_array_equal(again.predict_proba(good), probabilities)


def test_rows_to_validate_on_and_to_go_on_from_are_skipped_too(sample: None, tmp_path: Path) -> None:
    good, other = write(tmp_path / "good.csv", good_lines(300)), write(tmp_path / "bad.csv", [*good_lines(200), b"no"])
    good_200 = write(tmp_path / "good_200.csv", good_lines(200))
    with pytest.warns(UserWarning, match=r"1 bad rows are skipped, of .*bad\.csv"):
        first = CTRClassifier(**SMALL).fit(good, "click", validation=str(other), on_bad_rows="skip")
    assert first.training_["validation_rows"] == 200
    with pytest.warns(UserWarning, match=r"1 bad rows are skipped, of .*bad\.csv"):
        second = CTRClassifier(**SMALL).fit(other, "click", init_from=first, on_bad_rows="skip")
    assert second.training_["rows"] == CTRClassifier(**SMALL).fit(good_200, "click", init_from=first).training_["rows"]


def test_the_command_line_skips(sample: None, tmp_path: Path) -> None:
    lines = good_lines(300)
    good, other = write(tmp_path / "good.csv", lines), write(tmp_path / "bad.csv", [*lines, b"no", b"u1,much,1"])
    small = ["--set", "features.price=Numeric", "--set", "epochs=1", "--set", "model_args.dnn_hidden_units=[4]"]
    result = call("fit", "--data", other, "--label", "click", "--out", tmp_path / "run", *small)
    assert result.exit_code == 1
    assert "line 302, must be a text table" in result.stderr
    skip = ["--on-bad-rows", "skip"]
    with pytest.warns(UserWarning, match="2 bad rows are skipped"):
        fitted = as_json("fit", "--data", other, "--label", "click", "--out", tmp_path / "run", *small, *skip)
    assert fitted["rows"] + fitted["validation_rows"] == 300
    with pytest.warns(UserWarning, match="2 bad rows are skipped"):
        assert as_json("evaluate", tmp_path / "run", other, *skip)["rows"] == 300
    for path in (good, other):
        out = tmp_path / f"{path.stem}.scores.csv"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert as_json("predict", tmp_path / "run", path, "--out", out, *skip)["rows"] == 300
        assert ("2 bad rows are skipped" in str(said[0].message)) if path == other else not said
    assert (tmp_path / "good.scores.csv").read_text() == (tmp_path / "bad.scores.csv").read_text()
    skip += ["--set", "features.price=Numeric"]
    with pytest.warns(UserWarning, match="2 bad rows are skipped"):
        assert as_json("encode", other, "--label", "click", "--out", tmp_path / "encoded", *skip)["rows"] == 300
    result = call("predict", tmp_path / "run", good, "--out", tmp_path / "x.csv", "--on-bad-rows", "drop")
    assert result.exit_code == 2
    assert "unknown --on-bad-rows" in result.stderr
