"""Tracers, which take every size of a tensor for a value that the batch decides, and whether one looks on."""

from __future__ import annotations

import torch


def tracing() -> bool:
    """Return whether `torch.jit.trace`, or the ONNX exporter that uses it, records: comparing sizes then warns."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
