"""Advice to Linux on memory: large tables go on large pages, memory of short-lived tensors stays in the process.

Neither changes a value. Where the C library has no such function, nothing happens.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from collections.abc import Sequence
from typing import Any

from torch import Tensor

LARGE_PAGE = 1 << 21  # bytes
ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc
KEPT, MAPPED = 1 << 30, 1 << 26  # bytes
OF_THE_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@functools.lru_cache(maxsize=1)
def _libc() -> Any:
    """The C library of this process, with the two functions; None where it is not that of Linux."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None)
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    except (OSError, AttributeError):
        return None
    return libc


def on_large_pages(tensor: Tensor) -> Tensor:
    """The tensor; if it is a large new one on the CPU, its memory will come in pages of 2 MiB where Linux has them.

    Rows read at random miss the cache of page addresses less: of a table of ten million rows, a scatter takes a quarter
    to two thirds of the time, a gather two thirds. For a million rows and fewer no difference was measured
    beyond the noise.
    """
    size = tensor.numel() * tensor.element_size()
    if tensor.device.type == "cpu" and size >= 2 * LARGE_PAGE and ADVICE is not None:
        libc = _libc()
        if libc is not None:
            begin = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
            end = (tensor.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
            libc.madvise(begin, end - begin, ADVICE)  # a refusal leaves ordinary pages
    return tensor


def new_filled(like: Tensor, shape: Sequence[int], value: float = 0.0) -> Tensor:
    """A new tensor of the type of `like`, on its device, on large pages if it is large."""
    return on_large_pages(like.detach().new_empty(tuple(shape))).fill_(value)


@functools.lru_cache(maxsize=1)
def keep_freed() -> bool:
    """From now on memory of freed tensors stays in the process, up to 1 GiB, for the next step to use.

    glibc gives blocks of over 128 KiB to 32 MiB back to the system when they are freed, to get them back, page by page
    and cleared, in the next step. Here only blocks of over 64 MiB, such as tables and data, are returned at once. A
    process whose environment sets glibc's limits (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_, GLIBC_TUNABLES) keeps
    them.

    Returns:
        Whether anything was set.
    """
    libc = _libc()
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "gnu_get_libc_version"):
        return False
    if any(name in os.environ for name in OF_THE_USER):
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, MAPPED) and libc.mallopt(M_TRIM_THRESHOLD, KEPT))
