"""The training of the deep models of the demo."""

from __future__ import annotations

import torch

from deepctr_torch.demo import deep


def test_one_thread_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    with deep.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
