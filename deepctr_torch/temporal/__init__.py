"""Point-in-time features and splits: what was known of a user, an item, any key, before an event happened.

Needs the extra `tables`.
"""

from __future__ import annotations

from .._optional import needs

with needs("tables"):
    import pyarrow as _  # noqa: F401  # every module here does

from .history import add_history
from .leave_last import leave_last_out
from .rates import add_rates
from .split import time_masks, time_split

__all__ = ["add_history", "add_rates", "leave_last_out", "time_masks", "time_split"]
