"""Signals that end a program, caught so that it ends where nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = [
    "SIGNALS",
    "Interrupt",
    "Terminated",
    "deferred_interrupts",
    "graceful_interrupts",
    "prompt_interrupts",
]

SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C, the polite kill of schedulers and service managers, and a terminal that was closed."""

_Handler = Callable[[int, FrameType | None], object] | int | None


class Terminated(SystemExit):
    """SIGTERM or SIGHUP came: the program ends with 128 and the signal's number.

    >>> Terminated(15).code
    143
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = number


class Interrupt:
    """Remembers the first signal that came.

    Attributes:
        signal: its number, ``None`` before.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._earlier: dict[int, _Handler] = {}

    def check(self) -> None:
        """Raise if a signal came: `KeyboardInterrupt` after Ctrl-C, else `Terminated`."""
        if self.signal is not None:
            _raise(self.signal)

    @contextmanager
    def _catching(self, receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
        # Only the main thread can; and what the user had ignored (nohup) stays ignored.
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in SIGNALS}
            unwanted = (signal.SIG_IGN, None)
            self._earlier = {n: handler for n, handler in found.items() if handler not in unwanted}
        for number in self._earlier:
            signal.signal(number, receive)
        try:
            yield
        finally:
            for number, handler in self._earlier.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Do what would have been done without us, a process killed outright excepted."""
        handler = self._earlier.get(number)
        if callable(handler):
            handler(number, frame)
        _raise(number)


@contextmanager
def graceful_interrupts(*, enabled: bool = True) -> Iterator[Interrupt]:
    """Catch signals while inside, so that the caller can finish a step and then `Interrupt.check`.

    A second signal acts at once. One that came and was not raised is raised at the end. Only the
    main thread can catch signals; elsewhere, and when not ``enabled``, they act as usual.
    """
    interrupt = Interrupt()
    if not enabled:
        yield interrupt
        return

    def receive(number: int, frame: FrameType | None) -> None:
        if interrupt.signal is not None:
            interrupt._pass_on(number, frame)
        interrupt.signal = number

    with interrupt._catching(receive):
        yield interrupt
    interrupt.check()


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Hold a signal back while inside, and let it act as it would have at the end.

    For writes, which take a moment; a second signal acts at once.
    """
    interrupt = Interrupt()

    def receive(number: int, frame: FrameType | None) -> None:
        if interrupt.signal is not None:
            interrupt._pass_on(number, frame)
        interrupt.signal = number

    try:
        with interrupt._catching(receive):
            yield
    finally:
        if interrupt.signal is not None:
            signal.raise_signal(interrupt.signal)


@contextmanager
def prompt_interrupts() -> Iterator[Interrupt]:
    """Turn the first signal into an exception where it comes; leave a second to the kernel.

    Code that is called back by C loses exceptions, so work that goes on for long should
    `Interrupt.check` now and then. The kernel ends the process whatever it is doing. For programs,
    not for libraries: a notebook would be killed by an impatient second Ctrl-C.
    """
    interrupt = Interrupt()

    def receive(number: int, frame: FrameType | None) -> None:
        again = interrupt.signal is not None
        interrupt.signal = interrupt.signal or number
        for each in interrupt._earlier:
            signal.signal(each, signal.SIG_DFL)
        if again:
            signal.raise_signal(number)
        interrupt._pass_on(number, frame)

    with interrupt._catching(receive):
        yield interrupt


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)
