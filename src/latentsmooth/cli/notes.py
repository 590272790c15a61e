"""What the package has to say of data and rules, on standard error, once."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from latentsmooth.certification.rules.reach import LOGGER as CERTIFICATION
from latentsmooth.images.saying import LOGGER as IMAGES
from latentsmooth.reporting import plain

__all__ = ["notes_on_stderr"]

_LOGGERS = (IMAGES, CERTIFICATION)


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
    """Print notes inside; the program's own handlers are back afterwards."""
    handler = _Notes()
    propagated = [logger.propagate for logger in _LOGGERS]
    for logger in _LOGGERS:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagates in zip(_LOGGERS, propagated, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagates
