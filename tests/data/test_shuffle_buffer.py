"""The shuffle buffer: row groups in a random order, rows mixed, whatever threads and chunks there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepctr_torch.data import file_source as streaming
from tests.support.click_files import (
    ROWS,
    flat,
    numbered,
    rows_of,
)


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
