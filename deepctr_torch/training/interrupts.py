"""Ctrl-C and SIGTERM during a training: they end it between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Holds SIGINT and SIGTERM back inside the block, and raises them again at its end.

    A second one of the same kind is not held back. Handlers are those of before again afterwards. In other threads than
    the main one, and for signals that are ignored, nothing is held back.

    Attributes:
        received: the number of the signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):
                    self._before[number] = handler
                    signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._before[number])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.received is None:
            return
        if isinstance(error, KeyboardInterrupt) and self._before[self.received] is signal.default_int_handler:
            return  # it is on its way
        signal.raise_signal(self.received)
