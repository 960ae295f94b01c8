"""Training from files: the order of rows, equality with training from memory, positions, sampled negatives, errors."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch import load_model
from deepctr_torch.data import Files
from deepctr_torch.data import file_source as streaming
from deepctr_torch.data.arrays import ArraySource
from deepctr_torch.data.batch import DataSource, LabeledBatch, LabelSpec
from deepctr_torch.data.file_source import FileSource, Position
from deepctr_torch.data.loader import make_source
from deepctr_torch.data.negative_sampling import correct_probability, keep_rows
from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat, VarLenSparseFeat
from deepctr_torch.models.deepfm import DeepFM
from deepctr_torch.models.multitask.esmm import ESMM
from deepctr_torch.models.multitask.sharedbottom import SharedBottom
from deepctr_torch.models.wdl import WDL

COLUMNS = [
    SparseFeat("a", 50, 4),
    VarLenSparseFeat(SparseFeat("s", 20, 4), 3, "mean"),
    DenseFeat("d"),
    DenseFeat("v", 2),
]
SCHEMA = FeatureSchema(COLUMNS)
LABELS = LabelSpec([("", "binary")])
ROWS = 103


def frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    lists = [rng.integers(1, 20, rng.integers(0, 4)).tolist() for _ in range(rows)]
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "a": rng.integers(0, 50, rows),
            "s": lists,
            "d": rng.normal(size=rows),
            "v": list(rng.normal(size=(rows, 2)).astype(np.float32)),
            "click": rng.integers(0, 2, rows),
            "buy": 0,
            "weight": rng.random(rows),
            "user": rng.integers(0, 5, rows),
        }
    )


def write(folder: Path, data: pd.DataFrame, files: int = 3, group: int = 10) -> Path:
    """The rows in several Parquet files of row groups of 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(data)), files)):
        table = pa.Table.from_pandas(data.iloc[part], preserve_index=False)
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=group)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("files") / "train", frame())


NUMBERED = FeatureSchema([SparseFeat("row", 10_000)])


def rows_of(source: DataSource, size: int, seed: Any = None) -> list[list[int]]:
    """The numbers of the rows in each batch."""
    return [e.batch.ids[:, 0].tolist() for e in source.batches(size, seed)]


def numbered(files: Any, **options: Any) -> FileSource:
    source = make_source(NUMBERED, Files(files, **options), "click", LABELS, training=True)
    assert isinstance(source, FileSource)
    return source


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def same(first: LabeledBatch, second: LabeledBatch) -> None:
    assert first.batch.widths == second.batch.widths
    for one, other in (
        (first.batch.ids, second.batch.ids),
        (first.batch.dense, second.batch.dense),
        (first.y, second.y),
        (first.weight, second.weight),
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
    assert first.groups.keys() == second.groups.keys()
    for name in first.groups:
        np.testing.assert_array_equal(first.groups[name], second.groups[name])


# ----------------------------------------------------------------------------------------------- the order of rows


def test_batches_cross_row_groups_and_files_in_the_order_of_the_files(folder: Path) -> None:
    source = numbered(folder)
    assert (source.rows, source.steps(16), source.steps(103)) == (103, 7, 1)
    batches = rows_of(source, 16)
    assert [len(b) for b in batches] == [16] * 6 + [7]
    assert flat(batches) == list(range(ROWS))


@pytest.mark.parametrize("seed", [None, [1, 0], [1, 1]])
@pytest.mark.parametrize("size", [1, 7, 10, 64, 200])
def test_a_stream_whose_buffer_holds_everything_equals_arrays_in_memory(
    folder: Path, seed: list[int] | None, size: int
) -> None:
    labels = LABELS._replace(group_columns=["user"], class_weight={1: 3.0})
    streamed = make_source(SCHEMA, Files(folder, buffer_rows=ROWS), "click", labels, "weight")
    memory = make_source(SCHEMA, frame(), "click", labels, frame()["weight"])
    first, second = list(streamed.batches(size, seed)), list(memory.batches(size, seed))
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        same(one, other)


def test_a_smaller_buffer_mixes_row_groups_in_a_random_order(folder: Path) -> None:
    source = numbered(folder, buffer_rows=20)
    first, again, other = (flat(rows_of(source, 16, seed)) for seed in ([3, 0], [3, 0], [3, 1]))
    assert first == again != other
    assert sorted(first) == sorted(other) == list(range(ROWS))
    groups = np.random.default_rng([3, 0, 0]).permutation(len(source.shards)).tolist()
    in_groups = [r for g in groups for u in [source.shards[g]] for r in numbers_of(u)]
    expected = []
    for block in range(6):
        rows = in_groups[20 * block : 20 * (block + 1)]
        expected += [rows[i] for i in np.random.default_rng([3, 0, 1, block]).permutation(len(rows))]
    assert first == expected


def numbers_of(shard: Any) -> list[int]:
    """Numbers of the rows in a shard of `folder`, whose files have 35, 34 and 34 rows."""
    begin = [0, 35, 69][int(shard.path.stem[-1])] + shard.first_row
    return list(range(begin, begin + shard.rows))


@pytest.mark.parametrize("seed", [None, [5, 2]])
@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("chunk", [4, 65_536])
def test_neither_threads_nor_chunks_change_the_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: Any, threads: int, chunk: int
) -> None:
    expected = rows_of(numbered(folder, buffer_rows=25), 8, seed)
    monkeypatch.setattr(streaming, "CHUNK_ROWS", chunk)
    assert rows_of(numbered(folder, buffer_rows=25, threads=threads), 8, seed) == expected


def test_text_files_stream_too(folder: Path, tmp_path: Path) -> None:
    data = frame()[["row", "click"]]
    data.iloc[:60].to_csv(tmp_path / "a.csv", index=False)
    data.iloc[60:].to_csv(tmp_path / "b.tsv.gz", index=False, sep="\t")
    source = numbered([tmp_path / "a.csv", tmp_path / "b.tsv.gz"], buffer_rows=30)
    assert (source.rows, source.steps(10)) == (None, None)
    assert flat(rows_of(source, 16)) == list(range(ROWS))
    assert sorted(flat(rows_of(source, 16, [0, 0]))) == list(range(ROWS))
    whole = numbered(str(tmp_path), buffer_rows=1000)
    expected = np.random.default_rng([0, 7]).permutation(ROWS).tolist()
    assert flat(rows_of(whole, 16, [0, 7])) == expected


def test_text_files_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("1\t5\n0\t6\n")
    source = numbered(tmp_path / "a.tsv", header=["click", "row"], schema={"row": "int64"})
    assert [e.batch.ids.tolist() for e in source.batches(2)] == [[[5], [6]]]


def test_parts_of_several_processes_are_disjoint_and_complete(folder: Path) -> None:
    parts = [numbered(folder, rank=rank, world_size=3, buffer_rows=20) for rank in range(3)]
    for seed in (None, [0, 0]):
        rows = [flat(rows_of(part, 8, seed)) for part in parts]
        assert [len(r) for r in rows] == [part.rows for part in parts]
        assert sorted(r for each in rows for r in each) == list(range(ROWS))


# ------------------------------------------------------------------------------------------------------- positions


@given(st.integers(0, 20), st.integers(1, 40), st.sampled_from([None, [2, 9]]), st.sampled_from([1.0, 0.4]))
def test_a_saved_position_goes_on_with_the_same_batches(
    tmp_path_factory: pytest.TempPathFactory, after: int, buffer: int, seed: Any, rate: float
) -> None:
    where = tmp_path_factory.getbasetemp() / "positions"
    if not where.exists():
        write(where, frame())
    options: dict[str, Any] = {"buffer_rows": buffer, "negative_rate": rate, "threads": 0}
    source = numbered(where, **options)
    whole = list(source.batches(8, seed))
    first = numbered(where, **options)
    stream = first.batches(8, seed)
    assert len(list(islice(stream, after))) == min(after, len(whole))
    resumed = numbered(where, **options)
    resumed.load_state_dict(first.state_dict())
    rest = list(resumed.batches(8, seed))
    assert len(rest) == len(whole[after:])
    for one, other in zip(rest, whole[after:], strict=True):
        same(one, other)
    assert rows_of(resumed, 8, [7, 7]) == rows_of(source, 8, [7, 7])  # the next pass is a whole one


def test_the_position_counts_row_groups_and_rows(folder: Path) -> None:
    source = numbered(folder)
    assert source.position == Position(0, 0)
    stream = source.batches(8)
    seen = [source.position for _ in islice(stream, 5)]
    assert seen == [Position(0, 8), Position(1, 16), Position(2, 24), Position(3, 32), Position(4, 40)]
    list(stream)
    assert source.position.rows == ROWS


def test_a_position_of_other_files_is_refused(folder: Path) -> None:
    state = numbered(folder).state_dict()
    with pytest.raises(ValueError, match="the position is of a source with buffer_rows=500000, this one has 7"):
        numbered(folder, buffer_rows=7).load_state_dict(state)
    with pytest.raises(ValueError, match="part=0 of 1, this one has 1 of 2"):
        numbered(folder, rank=1, world_size=2).load_state_dict({**state, "units": 6})


def test_the_reading_thread_ends_with_the_pass(folder: Path) -> None:
    source = numbered(folder, buffer_rows=10)
    stream = source.batches(8, [0, 0])
    next(stream)
    assert any(t.name == "deepctr_torch-reader" for t in threading.enumerate())
    stream.close()  # type: ignore[attr-defined]
    assert not any(t.name == "deepctr_torch-reader" for t in threading.enumerate())


# ---------------------------------------------------------------------------------- training, evaluation, prediction


def model(cls: Any = DeepFM, **options: Any) -> Any:
    out = cls(COLUMNS, COLUMNS, dnn_hidden_units=(8,), **options)
    out.compile("adam", "binary_crossentropy", ["auc", "gauc:user"])
    return out


def weights(trained: Any) -> list[torch.Tensor]:
    return list(trained.state_dict().values())


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_frame_and_files_train_to_the_same_weights(folder: Path, shuffle: bool) -> None:
    data = frame()
    arrays = {
        "a": data["a"].to_numpy(),
        "s": data["s"].tolist(),
        "d": data["d"].to_numpy(),
        "v": np.stack(data["v"].to_list()),
        "user": data["user"].to_numpy(),
    }
    inputs = [
        (arrays, data["click"].to_numpy()),
        (data, "click"),
        (pl.from_pandas(data), "click"),
        (str(folder), "click"),
        (folder, ["click"]),
        (f"{folder}/*.parquet", "click"),
        ([folder / f"part-{i}.parquet" for i in range(3)], "click"),
        (Files(folder, label="click", threads=2), None),
    ]
    trained = []
    for x, y in inputs:
        each = model()
        each.fit(x, y, batch_size=16, epochs=3, shuffle=shuffle, verbose=0)
        trained.append(each)
    for each in trained[1:]:
        assert equal(trained[0], each)
        assert each.history.history == trained[0].history.history


def test_evaluate_predict_and_validation_data(folder: Path, tmp_path: Path) -> None:
    data = frame()
    each = model()
    history = each.fit(folder, "click", 16, validation_data=(f"{folder}/*.parquet", "click"), verbose=0).history
    other = model()
    memory = other.fit(data, "click", 16, validation_data=(data, "click"), verbose=0).history
    assert history == memory
    assert "val_auc" in history
    assert each.evaluate(folder, "click") == other.evaluate(data, "click")
    weighted = each.evaluate(Files(folder, label="click", weight="weight"))
    assert weighted == each.evaluate(folder, "click", sample_weight="weight")
    assert weighted == other.evaluate(data, "click", sample_weight=data["weight"])
    np.testing.assert_array_equal(each.predict(folder), other.predict(data))
    unlabelled = write(tmp_path / "serve", data.drop(columns=["click"]))
    np.testing.assert_array_equal(each.predict(str(unlabelled)), other.predict(data))
    again = model()
    assert again.fit(folder, "click", 16, validation_data=Files(folder, label="click"), verbose=0).history == history


def test_groups_by_another_column(folder: Path) -> None:
    each = model()
    each.compile("adam", "binary_crossentropy", ["gauc", "gauc:member"])
    data = frame()
    named = each.evaluate(folder, "click", groups={"groups": "user", "member": "user"})
    assert named == each.evaluate(data, "click", groups={"groups": data["user"], "member": data["user"]})
    each.compile("adam", "binary_crossentropy", ["gauc"])
    assert each.evaluate(folder, "click", groups="user") == {"gauc": named["gauc"]}


def test_several_tasks(folder: Path) -> None:
    trained = []
    for x in (frame(), folder):
        each = SharedBottom(COLUMNS, task_types=["binary", "binary"], task_names=["click", "buy"])
        each.compile("adam", "binary_crossentropy")
        each.fit(x, ["click", "buy"], batch_size=16, verbose=0)
        trained.append(each)
    assert equal(*trained)


# ------------------------------------------------------------------------------------------------ sampled negatives


def test_negatives_are_sampled_by_a_hash_of_the_row() -> None:
    positive = np.zeros(100_000, bool)
    positive[::10] = True
    kept = keep_rows(positive, "a.parquet", 0, 0.1)
    assert kept[::10].all()
    assert abs(kept[~positive].mean() - 0.1) < 0.004
    parts = [keep_rows(positive[i : i + 999], "a.parquet", i, 0.1) for i in range(0, len(positive), 999)]
    np.testing.assert_array_equal(np.concatenate(parts), kept)
    assert (keep_rows(positive, "b.parquet", 0, 0.1) != kept).any()
    assert (keep_rows(positive, "a.parquet", 0, 0.1, seed=1) != kept).any()
    assert (keep_rows(positive, "a.parquet", 0, 0.3) >= kept).all()
    assert keep_rows(positive, "a.parquet", 0, 1.0).all()


@pytest.mark.parametrize("seed", [None, [0, 1]])
def test_the_same_rows_are_kept_in_any_order_and_part(folder: Path, seed: Any) -> None:
    data = frame()
    kept = []
    for number, part in enumerate(np.array_split(np.arange(ROWS), 3)):
        mask = keep_rows(data["click"].to_numpy()[part] > 0, f"part-{number}.parquet", 0, 0.3, seed=4)
        kept += part[mask].tolist()
    source = numbered(folder, negative_rate=0.3, seed=4, buffer_rows=16)
    assert (source.rows, source.steps(8)) == (None, None)
    batches = rows_of(source, 8, seed)
    assert sorted(flat(batches)) == kept
    assert {len(b) for b in batches[:-1]} == {8}
    parts = [numbered(folder, negative_rate=0.3, seed=4, rank=r, world_size=2) for r in range(2)]
    assert sorted(flat(rows_of(parts[0], 8, seed)) + flat(rows_of(parts[1], 8, seed))) == kept
    whole = numbered(folder, negative_rate=0.3, seed=4, buffer_rows=1000)
    if seed is not None:
        expected = np.array(kept)[np.random.default_rng(seed).permutation(len(kept))]
        assert flat(rows_of(whole, 8, seed)) == expected.tolist()


def test_a_positive_row_is_kept_though_its_other_label_was_not_observed(tmp_path: Path) -> None:
    row = np.arange(200)
    missing = [None if i % 2 else i % 4 == 0 for i in row.tolist()]
    labels = {"click": [float(i % 5 == 0) for i in row.tolist()], "buy": missing}
    pq.write_table(pa.table({"row": row, **labels}), tmp_path / "a.parquet")
    both = LabelSpec([("click", "binary"), ("buy", "binary")])
    files = Files(tmp_path, negative_rate=0.1)
    source = make_source(NUMBERED, files, ["click", "buy"], both, training=True)
    kept = set(flat(rows_of(source, 64)))
    positive = {i for i in row.tolist() if i % 5 == 0 or i % 4 == 0}
    assert positive <= kept
    assert len(kept - positive) < 40


def test_files_without_a_row_to_read_are_named(tmp_path: Path) -> None:
    columns = [SparseFeat("a", 50, 4)]
    each = WDL(columns, columns, dnn_hidden_units=())
    each.compile("adam", "binary_crossentropy")
    (tmp_path / "empty.csv").write_text("a,click\n")
    (tmp_path / "rows.csv").write_text("a,click\n1,0\n2,0\n")
    for call in (each.fit, each.evaluate):
        with pytest.raises(ValueError, match=r"must hold at least one row, got none in .*empty\.csv"):
            call(tmp_path / "empty.csv", "click")
    with pytest.raises(ValueError, match=r"at least one row that negative_rate=1e-09 keeps, got none in .*rows\.csv"):
        each.fit(Files(tmp_path / "rows.csv", negative_rate=1e-9), "click", verbose=0)


@given(st.floats(0.01, 0.99), st.floats(0.01, 1.0))
def test_the_correction_of_one_task_adds_log_r_to_the_logit(p: float, rate: float) -> None:
    corrected = correct_probability(torch.tensor([[p]], dtype=torch.float64), rate)
    logit = torch.logit(torch.tensor([[p]], dtype=torch.float32)) + np.log(rate)
    torch.testing.assert_close(corrected.float(), torch.sigmoid(logit), rtol=1e-4, atol=1e-7)


@given(st.floats(0.01, 0.9), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_the_correction_of_nested_tasks_is_bayes(click: float, order: float, rate: float) -> None:
    """A table of P(click), P(buy | click), sampled at a rate: the corrected probabilities are those before sampling."""
    kept = click + (1 - click) * rate
    sampled = torch.tensor([[click / kept, click * order / kept]], dtype=torch.float64)
    expected = torch.tensor([[click, click * order]])
    torch.testing.assert_close(correct_probability(sampled, rate).float(), expected, rtol=1e-4, atol=1e-6)


def test_a_model_trained_on_sampled_negatives_predicts_the_rate_of_all_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 30_000)
    click = rng.random(30_000) < np.array([0.02, 0.1, 0.3])[a]
    buy = click & (rng.random(30_000) < 0.4)
    data = pd.DataFrame({"a": a, "click": click * 1, "buy": buy * 1})
    write(tmp_path, data, files=2, group=5000)
    columns = [SparseFeat("a", 3, 2)]
    each = WDL(columns, columns, dnn_hidden_units=())
    each.compile("adam", "binary_crossentropy", ["logloss", "calibration"], learning_rate=0.05)
    files = Files(tmp_path, label="click", negative_rate=0.1)
    history = each.fit(files, batch_size=256, epochs=10, verbose=0, validation_data=(data, "click")).history
    assert each.negative_rate == 0.1
    predicted = each.predict({"a": np.arange(3)})[:, 0]
    observed = data.groupby("a")["click"].mean().to_numpy()
    np.testing.assert_allclose(predicted, observed, rtol=0.2)
    assert abs(history["val_calibration"][-1] - 1) < 0.1
    assert history["val_loss"][-1] == pytest.approx(each.evaluate(data, "click")["logloss"], rel=1e-4)
    raw = each.eval()(torch.tensor([[0], [1], [2]]))[:, 0].detach().numpy()
    np.testing.assert_allclose(raw / (1 - raw) * 0.1, predicted / (1 - predicted), rtol=1e-4)

    both = ESMM(columns, task_types=["binary", "binary"], task_names=["click", "buy"], tower_dnn_hidden_units=(8,))
    both.compile("adam", "binary_crossentropy", learning_rate=0.02)
    both.fit(Files(tmp_path, negative_rate=0.2), ["click", "buy"], batch_size=256, epochs=4, verbose=0)
    rates = data.groupby("a")[["click", "buy"]].mean().to_numpy()
    np.testing.assert_allclose(both.predict({"a": np.arange(3)}), rates, rtol=0.3, atol=0.01)


def test_the_rate_is_saved_with_the_model(folder: Path, tmp_path: Path) -> None:
    import copy
    import pickle

    each = model()
    each.fit(Files(folder, negative_rate=0.5), "click", batch_size=16, verbose=0)
    expected = each.predict(folder)
    each.save(tmp_path)
    for other in (load_model(tmp_path), pickle.loads(pickle.dumps(each)), copy.deepcopy(each)):
        assert other.negative_rate == 0.5
        np.testing.assert_array_equal(other.predict(folder), expected)
    each.fit(folder, "click", verbose=0)
    assert each.negative_rate == 1.0


@pytest.mark.parametrize("streamed", [False, True])
def test_the_rate_is_that_of_the_last_steps(folder: Path, streamed: bool) -> None:
    each, table = model(), frame()
    x, y = ([(table, table["click"].to_numpy())], None) if streamed else (table, "click")
    sampled = Files(folder, label="click", negative_rate=0.5)
    each.fit(sampled, batch_size=16, verbose=0)
    each.fit(x, y, epochs=0, verbose=0)
    assert each.negative_rate == 0.5
    each.fit(x, y, verbose=0)
    assert each.negative_rate == 1.0
    each.fit(sampled, epochs=0, verbose=0)
    assert each.negative_rate == 1.0


def test_sampling_is_for_training_binary_tasks(folder: Path) -> None:
    files = Files(folder, label="click", negative_rate=0.5)
    each = model()
    for call in (each.evaluate, each.predict):
        with pytest.raises(ValueError, match=r"negative_rate=0\.5 is for training: .* leave it out of these files"):
            call(files)
    with pytest.raises(ValueError, match=r"negative_rate=0\.5 is for training"):
        each.fit(folder, "click", validation_data=files, verbose=0)
    regression = DeepFM(COLUMNS, COLUMNS, task="regression")
    regression.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"negative_rate=0\.5 needs binary tasks, got a regression task"):
        regression.fit(files, verbose=0)
    assert each.negative_rate == 1.0


# ---------------------------------------------------------------------------------------------------------- errors


def broken(folder: Path, column: str, row: int, value: Any) -> Path:
    data = frame()
    data[column] = data[column].astype(object)
    data.at[row, column] = value
    return write(folder, data.astype({column: float}))


@pytest.mark.parametrize("shuffle", [True, False])
def test_errors_name_file_row_group_and_row(tmp_path: Path, shuffle: bool) -> None:
    where = broken(tmp_path / "bad", "a", 35 + 13, 77)  # row 13 of the second file: in its second row group
    message = r"part-1\.parquet, row group 1: ids of 'a' must be in \[0, 50\) .* got 77.* in row 13"
    with pytest.raises(ValueError, match=message):
        model().fit(where, "click", shuffle=shuffle, verbose=0)
    where = broken(tmp_path / "label", "click", 3, 2)
    with pytest.raises(
        ValueError, match=r"part-0\.parquet, row group 0: labels must be in \[0, 1\].* got 2\.0 in row 3"
    ):
        model().fit(where, "click", shuffle=shuffle, verbose=0)


def test_a_bad_row_stops_before_the_step_that_would_use_it(tmp_path: Path) -> None:
    where = broken(tmp_path / "bad", "d", 60, np.inf)
    steps: list[int] = []

    class Count(torch.nn.Module):
        def __call__(self, p: Any, y: Any) -> Any:
            steps.append(len(y))
            return torch.nn.functional.binary_cross_entropy(p, y, reduction="sum")

    each = model()
    each.compile("adam", Count())
    with pytest.raises(ValueError, match=r"part-1\.parquet, row group 2: 'd' must hold finite numbers .* in row 25"):
        each.fit(where, "click", batch_size=11, shuffle=False, verbose=0)
    assert sum(steps) == 55


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ("{}", None, {}, "labels are missing: name their column"),
        ("{}", "clack", {}, r"part-0.parquet lacks the column\(s\) \['clack'\]; it has \['row', "),
        ("{}", ["click", "buy"], {}, r"one column for each of 1 task\(s\), got \['click', 'buy'\]"),
        ("{}", np.zeros(3), {}, "y must name the column.* got ndarray"),
        ("{}", "click", {"sample_weight": np.ones(3)}, "sample_weight must name a column, got ndarray"),
        ("{}", "click", {"groups": np.ones(3)}, "groups must name a column"),
        ("{}", "click", {"validation_split": 0.1}, "validation_split needs the data in memory"),
        ("{}/none.parquet", "click", {}, "there is no file, folder or glob match at"),
        ("{}/part-0.feather", "click", {}, "there is no file"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(
    folder: Path, x: str, y: Any, options: dict[str, Any], message: str
) -> None:
    each = model()
    before = [w.clone() for w in weights(each)]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        each.fit(x.format(folder), y, verbose=0, **options)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(each), strict=True))


def test_arguments_of_files(folder: Path) -> None:
    for options, message in [
        ({"buffer_rows": 0}, "buffer_rows must be an integer of at least 1, got 0"),
        ({"threads": -1}, "threads must be an integer of at least 0"),
        ({"rank": 2, "world_size": 2}, "rank must be below world_size=2, got 2"),
        ({"negative_rate": 0}, r"negative_rate must be a number in \(0, 1\], got 0"),
        ({"negative_rate": 1.5}, "negative_rate must be a number in"),
    ]:
        with pytest.raises(ValueError, match=message):
            Files(folder, **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="paths must be a path, a folder, a glob or a list of them, got 5"):
        Files(5)
    with pytest.raises(ValueError, match=r"y='buy' and Files\(label='click'\) must not differ"):
        model().fit(Files(folder, label="click"), "buy", verbose=0)
    with pytest.raises(ValueError, match="must hold at least 99 row groups"):
        numbered(folder, rank=0, world_size=99)


def test_a_file_that_is_no_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.parquet must be a Parquet file, got"):
        model().predict(tmp_path / "a.parquet")


def test_the_second_file_lacks_a_column(tmp_path: Path) -> None:
    write(tmp_path, frame(), files=1)
    write(tmp_path / "more", frame().drop(columns=["d"]), files=1)
    with pytest.raises(ValueError, match=r"more/part-0\.parquet lacks the column\(s\) \['d'\]"):
        model().predict([tmp_path / "part-0.parquet", tmp_path / "more"])


def test_in_memory_sources_are_as_before(folder: Path) -> None:
    assert isinstance(make_source(SCHEMA, frame(), "click", LABELS), ArraySource)
