"""What Linux is told about memory: large tables on large pages, freed tensors kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepctr_torch import _memory
from deepctr_torch._memory import new_filled, on_large_pages
from deepctr_torch.embedding import EmbeddingCollection, embedding_configs
from deepctr_torch.features import SparseFeat
from deepctr_torch.optim.sparse import make_sparse_optimizer

ON_LINUX = sys.platform.startswith("linux") and Path("/sys/kernel/mm/transparent_hugepage").exists()
TAKE_AND_FREE = """
import resource, torch
from deepctr_torch._memory import keep_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(6_000_000)  # 24 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(keep_freed(), keep_freed(), faults() and faults())
"""


def advised(tensor: torch.Tensor) -> bool:
    """Whether the kernel was asked for large pages in the middle of the tensor's memory."""
    at, inside = tensor.data_ptr() + tensor.numel() * tensor.element_size() // 2, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()[0]
        if "-" in head and not head.endswith(":"):
            begin, end = (int(part, 16) for part in head.split("-"))
            inside = begin <= at < end
        elif inside and head == "VmFlags:":
            return "hg" in line.split()
    raise AssertionError("no mapping has this address")


def test_large_tables_and_their_states_are_on_large_pages() -> None:
    tables = EmbeddingCollection(embedding_configs([SparseFeat("user", 300_000, embedding_dim=8)], init_std=0.01))
    weight = tables["user"].weight
    optimizer = make_sparse_optimizer("adam", [weight])
    optimizer.update(weight, torch.tensor([1]), torch.ones(1, 8))
    assert float(weight.detach().std()) == pytest.approx(0.01, rel=0.01)
    states = [optimizer.state[weight][name] for name in optimizer.state_names]
    assert [int(s.count_nonzero()) for s in states] == [8, 8]
    if ON_LINUX:
        assert all(advised(tensor) for tensor in (weight, *states))


def test_new_filled_is_like_the_given_tensor() -> None:
    like = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    made = new_filled(like, (3, 2), 5.0)
    assert torch.equal(made, torch.full((3, 2), 5.0, dtype=torch.float64))
    assert not made.requires_grad


def test_small_tensors_and_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = torch.zeros(8), torch.zeros(1 << 21)
    monkeypatch.setattr(_memory, "_libc", lambda: pytest.fail("asked for a small tensor"))
    assert on_large_pages(small) is small
    monkeypatch.setattr(_memory, "_libc", lambda: None)
    assert on_large_pages(large) is large
    assert not _memory.keep_freed.__wrapped__()


@pytest.mark.skipif(not ON_LINUX, reason="glibc's malloc")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "100000"}])
def test_freed_memory_stays_unless_the_environment_says_otherwise(own: dict[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in _memory.OF_THE_USER}
    run = [sys.executable, "-c", TAKE_AND_FREE]
    done = subprocess.run(run, env={**clean, **own}, capture_output=True, text=True, check=True)
    first, second, faults = done.stdout.split()
    assert first == second == str(not own)
    assert (int(faults) < 500) == (not own)  # 24 MB are 5,860 pages
