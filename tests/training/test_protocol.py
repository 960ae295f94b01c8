"""Every model is what the loop asks for."""

from __future__ import annotations

import pytest

from deepctr_torch.training.protocol import Trainable
from tests.support.training import deepfm, mmoe


@pytest.mark.parametrize("make", [deepfm, mmoe])
def test_a_model_has_all_that_the_loop_uses(make: type) -> None:
    asked = {name for name in (*vars(Trainable), *Trainable.__annotations__) if not name.startswith("_")}
    assert asked >= {"predict_rows", "overrides_forward", "history", "train"}
    assert [name for name in asked if not hasattr(make(), name)] == []
