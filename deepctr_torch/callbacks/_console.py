"""The one way in which callbacks say something."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def write(text: str) -> None:
    """One line on stdout, above a progress bar if one is live."""
    progress = sys.modules.get("tqdm")  # not imported yet: then no bar can be live
    if progress is not None:
        progress.tqdm.write(text, file=sys.stdout)
    else:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def as_number(value: Any) -> Any:
    """`value` as a Python float where it is a number (of any library), else as it is.

    >>> import numpy as np
    >>> as_number(np.float32(0.5)), as_number("best")
    (0.5, 'best')
    """
    if isinstance(value, str):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # torch raises RuntimeError for several elements
        return value


def format_value(value: Any) -> str:
    """Four decimals, or the exponent if they would hide the number.

    >>> format_value(0.45671), format_value(0.00001)
    ('0.4567', '1.0000e-05')
    """
    number = as_number(value)
    if not isinstance(number, float):
        return str(number)
    return f"{number:.4e}" if 0 < abs(number) < 1e-3 else f"{number:.4f}"


def format_logs(logs: Mapping[str, Any]) -> str:
    """All of `logs` in one line.

    >>> format_logs({"loss": 0.5, "val_auc": 0.75})
    'loss: 0.5000 - val_auc: 0.7500'
    """
    return " - ".join(f"{name}: {format_value(value)}" for name, value in logs.items())
