"""`inspect`."""

from __future__ import annotations

from pathlib import Path

from deepctr_torch import load_model

from ..support.cli_tables import as_json, ran


def test_inspect_says_what_is_there(criteo_like: Path) -> None:
    done = as_json("inspect", criteo_like)
    assert (done["estimator"], done["model"], done["labels"]) == ("CTRClassifier", "DeepFM", ["label"])
    assert (
        done["weights"] == sum(p.numel() for p in load_model(criteo_like).parameters()) == sum(done["tables"].values())
    )
    assert next(feature["feature"] for feature in done["features"]) == "I1"
    assert set(done["validation"]) == {"loss", "auc"}
    out = ran("inspect", criteo_like)
    assert "Features" in out
    assert "Categorical" in out
