"""What the package has to say of the data, on standard error, once."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from latentsmooth.images.saying import LOGGER
from latentsmooth.reporting import plain

__all__ = ["notes_on_stderr"]


class _Notes(logging.Handler):
    """Prints each note once, however often the data are read, and nothing a terminal obeys."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        text = plain(record.getMessage())
        if text not in self._said:
            self._said.add(text)
            print(f"note: {text}", file=sys.stderr, flush=True)


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Print notes on data inside; the program's own handlers are back afterwards."""
    handler = _Notes()
    propagates = LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = propagates
