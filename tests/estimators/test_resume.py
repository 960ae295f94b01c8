"""Estimators that go on with a training that was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepctr_torch import CTRClassifier
from tests.support.estimators import classifier, frame, inputs, regressor
from tests.support.resume import CutOff, CutOffError, assert_same_end, resumed_until_done

TABLE = frame()


@pytest.fixture(autouse=True)
def _unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)


def assert_same_estimators(one: CTRClassifier, other: CTRClassifier, X: Any) -> None:
    assert_same_end(one.model_, other.model_, one.encoder_.transform(X))
    assert one.history_ == other.history_
    assert {**one.training_, "seconds": 0} == {**other.training_, "seconds": 0}
    assert one.validation_metrics_ == other.validation_metrics_
    assert one.encoder_.explain() == other.encoder_.explain()


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_rows_in_memory(tmp_path: Path, update: str) -> None:
    def train(**how: Any) -> Any:
        members = 2 if update == "sparse" else 1
        made = classifier(embedding_update=update, epochs=6, early_stopping=2, learning_rate=0.02, ensemble=members)
        return made.fit(inputs(TABLE), TABLE["click"], metrics="default", **how)

    whole = train()
    assert len(whole.history_["val_loss"]) < 24  # stopped early; the best weights are those of an evaluation before
    assert_same_estimators(resumed_until_done(train, tmp_path / "c", every=5, after=17), whole, inputs(TABLE))


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_rows_in_files(tmp_path: Path, parquet: Path, update: str) -> None:
    def train(**how: Any) -> Any:
        made = classifier(embedding_update=update, epochs=3, skip=["buy", "stars"])
        return made.fit(str(parquet), "click", time="day", **how)

    assert_same_estimators(resumed_until_done(train, tmp_path / "c", every=4, after=9), train(), TABLE)


def test_a_seed_that_was_drawn_and_an_older_model(tmp_path: Path) -> None:
    old = regressor(epochs=1).fit(inputs(TABLE)[:300], TABLE["stars"][:300])

    def train(seed: Any = None, **how: Any) -> Any:
        return regressor(random_state=seed).fit(inputs(TABLE), TABLE["stars"], init_from=old, **how)

    cut = resumed_until_done(train, tmp_path / "c", every=4, after=7)
    assert_same_estimators(cut, train(seed=cut.training_["seed"]), inputs(TABLE))


def test_what_is_refused(tmp_path: Path) -> None:
    def train(folder: Path = tmp_path / "c", **how: Any) -> Any:
        own = {"checkpoint_dir": folder, "checkpoint_every": 2, "callbacks": [CutOff(5)]}
        return classifier(**how.pop("own", {})).fit(inputs(TABLE), TABLE["click"], **{**own, **how})

    with pytest.raises(CutOffError):
        train()
    with pytest.raises(ValueError, match="must hold no checkpoints"):
        train()
    with pytest.raises(ValueError, match="must be of a training with embedding_dim=4, as this one, got 'auto'"):
        train(own={"embedding_dim": 4}, resume=True)
    (next((tmp_path / "c" / "encoder" / "vocab").glob("*"))).unlink()
    with pytest.raises(FileNotFoundError, match=r"encoder must be whole, but lacks vocab"):
        train(resume=True)
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        train(None, resume=True)


def test_before_the_first_checkpoint_it_begins_anew(tmp_path: Path) -> None:
    def train(rows: int, **how: Any) -> Any:
        return classifier().fit(inputs(TABLE)[:rows], TABLE["click"][:rows], **how)

    with pytest.raises(CutOffError):
        train(300, checkpoint_dir=tmp_path, callbacks=[CutOff(2)])
    again = train(600, checkpoint_dir=tmp_path, resume=True)
    assert np.array_equal(again.predict_proba(inputs(TABLE)), train(600).predict_proba(inputs(TABLE)))
