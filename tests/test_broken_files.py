"""Saved folders that are broken, or made by somebody who means harm: refused by name, nothing executed or written."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from pyarrow import ipc

from deepctr_torch import CTRClassifier, load_model
from deepctr_torch.cli.run_config import load_run, run_of
from deepctr_torch.encoding import FeatureEncoder
from deepctr_torch.estimators import load_artefact
from tests.support.artefacts import edited, overwritten
from tests.support.cli_tables import ran
from tests.support.estimators import classifier, frame, inputs
from tests.support.training import deepfm
from tests.support.training import inputs as matrix
from tests.support.training import labels as matrix_labels

ROOT = Path(__file__).resolve().parents[1]
TABLE = frame(200)


def read_run(folder: Path) -> Any:
    return load_run(folder), run_of(folder), load_artefact(folder, training=True)


READERS: dict[str, Callable[[Path], Any]] = {
    "model": load_model,
    "encoder": FeatureEncoder.load,
    "estimator": lambda folder: load_artefact(folder, training=True),
    "run": read_run,
}
FILES = {
    "model": {"checksums.json", "config.json", "training.json", "weights.safetensors"},
    "encoder": {"checksums.json", "encoder.json", "vocab/000_user.arrow", "vocab/001_movie.arrow"},
}
FILES["estimator"] = FILES["model"] | FILES["encoder"] | {"optimizer.safetensors"}
FILES["run"] = FILES["estimator"] | {"run.toml"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind."""
    folder = tmp_path_factory.mktemp("saved")
    model = deepfm()
    model.compile("adam", "binary_crossentropy", ["auc"])
    model.fit(matrix(), matrix_labels(), 10, 1, 0)
    model.save(folder / "model")
    fitted = classifier(epochs=1).fit(inputs(TABLE), TABLE["click"])
    fitted.save(folder / "estimator")
    fitted.encoder_.save(folder / "encoder")
    columns = TABLE.select("user", "movie", "price", "click")
    columns.write_csv(folder / "rows.csv")
    small = ["--set", "epochs=1", "--set", "model_args.dnn_hidden_units=[8]"]
    ran("fit", "--data", folder / "rows.csv", "--label", "click", "--out", folder / "run", *small)
    return folder


def copied(folders: Path, kind: str, to: Path) -> Path:
    return Path(shutil.copytree(folders / kind, to / kind, dirs_exist_ok=True))


def mutations(content: bytes, rng: np.random.Generator) -> dict[str, bytes]:
    """What can become of a file: name -> content."""
    size = len(content)
    cut, at, bit = int(rng.integers(1, size)), int(rng.integers(size)), int(rng.integers(8))
    flipped = bytearray(content)
    flipped[at] ^= 1 << bit
    return {
        "emptied": b"",
        f"truncated to {cut} bytes": content[:cut],
        f"bit {bit} of byte {at} flipped": bytes(flipped),
        f"half written, zeros from {cut}": content[:cut].ljust(size, b"\0"),
        "one byte more": content + b"\n",
        f"another block from {cut}": content[:cut] + rng.bytes(size - cut),
    }


@pytest.mark.parametrize("kind", READERS)
def test_a_broken_file_is_named(kind: str, folders: Path, tmp_path: Path) -> None:
    folder, rng = copied(folders, kind, tmp_path), np.random.default_rng(list(READERS).index(kind))
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert names == FILES[kind]
    READERS[kind](folder)
    for name in sorted(names):
        path = folder / name
        content = path.read_bytes()
        for _ in range(3):
            for how, broken in mutations(content, rng).items():
                if broken == content or (name == "checksums.json" and same_json(broken, content)):
                    continue
                path.write_bytes(broken)
                with pytest.raises((ValueError, OSError)) as caught:
                    READERS[kind](folder)
                assert type(caught.value).__module__.startswith(("builtins", "deepctr_torch")), (name, how)
                assert path.name in str(caught.value), (name, how)
        path.unlink()
        if name not in ("checksums.json", "run.toml"):  # a folder without them is of a model, or of an older version
            with pytest.raises(FileNotFoundError, match=re.escape(name)):
                READERS[kind](folder)
        path.write_bytes(content)
    READERS[kind](folder)


def same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_there_are_enough_mutations() -> None:
    assert sum(map(len, FILES.values())) * 3 * 6 > 400


# ------------------------------------------------------------------ a full disk, a place that cannot be written

FULL = """
import resource, sys
from deepctr_torch import CTRClassifier, load_model
kind, folder, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
saved = load_model(folder) if kind == "model" else CTRClassifier.load(folder, training=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    saved.save(folder)
except OSError as error:
    print(type(error).__name__, error.errno, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits of processes are of POSIX systems")
@pytest.mark.parametrize(("kind", "limit"), [("model", 400), ("model", 1200), ("estimator", 700), ("estimator", 3000)])
def test_a_full_disk_leaves_the_old_folder_whole(kind: str, limit: int, folders: Path, tmp_path: Path) -> None:
    folder = copied(folders, kind, tmp_path)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    command = [sys.executable, "-c", FULL, kind, str(folder), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert re.match(r"OSError (27|None) .*cannot be saved, and is as it was before: .*too large", done.stdout), done
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    READERS[kind](folder)


def test_a_place_that_cannot_be_written_is_said(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        load_model(folders / "model").save(tmp_path / "file" / "model")
    folder = copied(folders, "model", tmp_path)
    mkdir = Path.mkdir

    def read_only(self: Path, *args: Any, **kwargs: Any) -> None:  # root may write everywhere
        if self.name == ".saving":
            raise OSError(30, "Read-only file system", str(self))
        mkdir(self, *args, **kwargs)

    model = load_model(folder)
    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(OSError, match="cannot be saved, and is as it was before: Read-only file system"):
        model.save(folder)
    monkeypatch.undo()
    load_model(folder)


# ------------------------------------------------------------------ no code from files


class Harm:
    """What a pickle of it does shows in a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", READERS)
def test_a_pickle_is_not_executed(kind: str, folders: Path, tmp_path: Path) -> None:
    harm = pickle.dumps(Harm(tmp_path / "harm"))
    for name in sorted(FILES[kind] - {"checksums.json"}):
        folder = copied(folders, kind, tmp_path / name.replace("/", "_"))
        (folder / name).write_bytes(harm)
        (folder / "checksums.json").unlink()
        with pytest.raises((ValueError, OSError)):
            READERS[kind](folder)
    for name in ("weights.pt", "pytorch_model.bin", "config.pkl", "vocab.pkl"):  # others are not looked at
        (copied(folders, kind, tmp_path) / name).write_bytes(harm)
        READERS[kind](tmp_path / kind)
    assert not (tmp_path / "harm").exists()
    pickle.loads(harm).close()
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("kind", READERS)
def test_a_link_is_not_followed(kind: str, folders: Path, tmp_path: Path) -> None:
    for name in sorted(FILES[kind]):
        for checked in (True, False):
            folder = copied(folders, kind, tmp_path / f"{name.replace('/', '_')}_{checked}")
            elsewhere = folder.parent / "elsewhere"
            shutil.copy(folder / name, elsewhere)
            (folder / name).unlink()
            (folder / name).symlink_to(elsewhere)
            if not checked:
                (folder / "checksums.json").unlink()
            if name != "checksums.json" or checked:
                with pytest.raises(ValueError, match=rf"{Path(name).name} must be a file, got a symbolic link"):
                    READERS[kind](folder)


def test_a_folder_of_vocabularies_elsewhere_is_not_read(folders: Path, tmp_path: Path) -> None:
    for checked in (True, False):
        folder = copied(folders, "estimator", tmp_path / str(checked))
        (folder / "vocab").rename(folder.parent / "elsewhere")
        (folder / "vocab").symlink_to(folder.parent / "elsewhere")
        if not checked:
            (folder / "checksums.json").unlink()
        with pytest.raises(ValueError, match="vocab must be a folder, got a symbolic link"):
            load_artefact(folder)


@pytest.mark.parametrize("place", ["../outside.arrow", "/etc/passwd", "vocab/../../outside.arrow", "vocab//x.arrow"])
def test_a_path_that_leaves_the_folder_is_refused(place: str, folders: Path, tmp_path: Path) -> None:
    folder = copied(folders, "encoder", tmp_path)
    edited(folder / "encoder.json", lambda c: c["tables"]["user"].update(file=place))
    with pytest.raises(ValueError, match=r"the vocabulary of 'user' must lie in vocab/, got"):
        FeatureEncoder.load(folder)


HUGE: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("rows", lambda a: a["dnn_feature_columns"][0]["sparse"].__setitem__(1, 10**12)),
    ("dimension", lambda a: a["dnn_feature_columns"][0]["sparse"].__setitem__(2, 10**12)),
    ("both", lambda a: [c["sparse"].__setitem__(slice(1, 3), [10**6, 10**6]) for c in a["dnn_feature_columns"][:1]]),
    ("layers", lambda a: a.update(dnn_hidden_units={"tuple": [10**9, 10**9]})),
    ("products", lambda a: a.update(dnn_hidden_units={"tuple": [10**6, 10**6]})),
]


@pytest.mark.parametrize(("what", "change"), HUGE, ids=[name for name, _ in HUGE])
def test_a_huge_size_is_refused_before_memory_is_taken(
    what: str, change: Callable[[dict[str, Any]], object], folders: Path, tmp_path: Path
) -> None:
    folder = copied(folders, "model", tmp_path)
    edited(folder / "config.json", lambda c: change(c["arguments"]))
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"must be at most 1,048,576|must fit config\.json|as it was saved|must agree"):
        load_model(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_file_of_tensors_that_declares_more_than_it_holds_is_refused(folders: Path, tmp_path: Path) -> None:
    folder = copied(folders, "model", tmp_path)
    for shape, offsets in (([1 << 40, 4], [0, 1 << 44]), ([1 << 40, 4], [0, 16]), ([1 << 62, 1 << 62], [0, 16])):
        header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
        content = len(header).to_bytes(8, "little") + header + b"\0" * 16
        overwritten(folder / "weights.safetensors", content)
        with pytest.raises(ValueError, match=r"weights\.safetensors must be a safetensors file, got"):
            load_model(folder)
    overwritten(folder / "weights.safetensors", (1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match=r"weights\.safetensors must be a safetensors file, got"):
        load_model(folder)


def test_an_arrow_file_that_points_outside_of_itself_is_refused(folders: Path, tmp_path: Path) -> None:
    folder = copied(folders, "encoder", tmp_path)
    path = folder / "vocab" / "001_movie.arrow"
    content = path.read_bytes()
    offsets = ipc.open_file(pa.BufferReader(content)).read_all()["value"].chunk(0).buffers()[1].to_pybytes()
    assert content.count(offsets) == 1
    wrong = (np.frombuffer(offsets, np.int64) * (1 << 40)).tobytes()
    path.write_bytes(content.replace(offsets, wrong))
    (folder / "checksums.json").unlink()
    with pytest.raises(ValueError, match=r"001_movie\.arrow must be the Arrow file of a vocabulary, got"):
        FeatureEncoder.load(folder)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("model", "config.json"), ("model", "training.json"), ("estimator", "encoder.json"), ("run", "config.json")],
)
@pytest.mark.parametrize("depth", [65, 100_000])
def test_deep_nesting_is_refused(kind: str, name: str, depth: int, folders: Path, tmp_path: Path) -> None:
    folder = copied(folders, kind, tmp_path)
    path = overwritten(folder / name, '{"a":' * depth + "1" + "}" * depth) / name
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} must be JSON"):
        READERS[kind](folder)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": "system", "module": "os"}, "is a class of your own"),
        ({"class": "Sequential", "module": "torch.nn"}, "is a class of your own"),
        ({"class": "main", "module": "deepctr_torch.cli"}, "must be of a model class"),
        ({"class": "DNN", "module": "deepctr_torch.layers.core"}, "must hold a model as it was saved|model class"),
        ({"class": 3}, "must hold a model as it was saved|model class"),
        ({"arguments": 3}, "must hold a model as it was saved"),
        ({"arguments": {"linear_feature_columns": {"sparse": [1], "dense": [2]}}}, "must hold a model as it was saved"),
        ({"arguments": {"linear_feature_columns": {"os.system": ["true"]}}}, "must hold a model as it was saved"),
        ({"arguments": {"linear_feature_columns": [3], "dnn_feature_columns": []}}, "must "),
    ],
)
def test_only_models_are_built(change: dict[str, Any], message: str, folders: Path, tmp_path: Path) -> None:
    folder = copied(folders, "model", tmp_path)
    edited(folder / "config.json", lambda c: c.update(change))
    with pytest.raises(ValueError, match=message):
        load_model(folder)


@pytest.mark.parametrize("name", ["lr_scheduler", "swa_utils", "__name__", "os"])
def test_only_optimizers_are_made(name: str, tmp_path: Path) -> None:
    model = deepfm()
    model.compile(torch.optim.SGD(model.parameters(), lr=0.1), "binary_crossentropy")
    model.fit(matrix(), matrix_labels(), 10, 1, 0)
    torch.save(model, tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    assert b"SGD" in content
    function, (description, state, saved, training) = model.__reduce_ex__(2)
    saved["training"]["compile"]["optimizer"]["torch"] = name
    with pytest.raises((ValueError, TypeError), match=r"must be one of torch\.optim"):
        function(description, state, saved, training)


def test_the_old_predictions_hold(folders: Path) -> None:
    """What is refused here loads where it is not broken."""
    loaded = CTRClassifier.load(folders / "estimator")
    assert np.isfinite(loaded.predict_proba(inputs(TABLE))).all()
    assert isinstance(pl.read_csv(folders / "rows.csv"), pl.DataFrame)
