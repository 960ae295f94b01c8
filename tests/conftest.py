"""What every test stands on: fixed seeds, no network, and the two reasons for which a test does not run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # samples are tiny; threads that wait for each other make a busy machine slow

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # samples of the documented examples, when they lie beside the checkout
LOOPBACK = ("127.", "::1", "localhost")

hypothesis.settings.register_profile(  # nothing here goes by the clock: machines are noisy
    "project",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("project")


def _refuse_network(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: a test may talk to this machine only."""
    if event == "socket.connect" and isinstance(args[1], tuple) and not str(args[1][0]).startswith(LOOPBACK):
        raise RuntimeError(f"tests must not use the network, got a connection to {args[1]!r}")


sys.addaudithook(_refuse_network)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a GPU the tests marked `cuda` are skipped; without the shared samples their tests are left out."""
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="no CUDA device")
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(skip)
    if not SHARED.is_dir():
        absent = [item for item in items if "shared" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The global generators start equal in every test, in whatever order tests run."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def shared() -> Path:
    """The samples of the documented examples; a test that asks for them is left out where they are missing."""
    return SHARED
