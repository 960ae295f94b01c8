"""Modules that have moved can be imported from where the documentation showed them."""

from __future__ import annotations

import importlib

import pytest

from deepctr_torch._moved import MOVED


@pytest.mark.parametrize("name", MOVED)
def test_a_moved_module_has_the_names_of_the_one_it_is_now(name: str) -> None:
    before, now = importlib.import_module(name), importlib.import_module(MOVED[name])
    assert before.__name__ == name
    assert all(getattr(before, each) is getattr(now, each) for each in now.__all__)


def test_old_names_of_classes() -> None:
    from deepctr_torch.layers.embedding import EmbeddingTables, tables_of
    from deepctr_torch.training.metrics import get_metric

    assert EmbeddingTables.__name__ == "EmbeddingCollection"
    assert tables_of([], 0.1) == []
    assert get_metric("auc")([0, 1], [0.1, 0.9]) == 1.0


def test_what_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"deepctr_torch\.layers\.never"):
        importlib.import_module("deepctr_torch.layers.never")
