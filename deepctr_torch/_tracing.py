"""Whether a tracer looks on, which takes every size of a tensor for a value that the batch decides."""

from __future__ import annotations

import torch


def tracing() -> bool:
    """Return whether `torch.jit.trace`, or the ONNX exporter that uses it, records: comparing sizes then warns."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
