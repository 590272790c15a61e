"""Stopping between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "graceful_interrupts"]


class Interrupt:
    """Remembers that Ctrl-C or SIGTERM came; a second signal stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def raise_it(self) -> None:
        """Raise `KeyboardInterrupt` after Ctrl-C, `SystemExit` 143 after SIGTERM."""
        if self.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.signal is not None:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, number
        if again:
            self.raise_it()


@contextmanager
def graceful_interrupts(*, enabled: bool) -> Iterator[Interrupt]:
    """Catch Ctrl-C and SIGTERM while inside, so that the loop can finish its step.

    Only the main thread can catch signals; elsewhere, and when not ``enabled``, they act as usual.
    """
    interrupt = Interrupt()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.signal(number, interrupt._receive) for number in numbers}
    try:
        yield interrupt
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
