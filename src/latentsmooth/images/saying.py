"""Telling the user what a result may depend on and no error stops."""

from __future__ import annotations

import logging
from collections.abc import Iterable

__all__ = ["LOGGER", "say"]

LOGGER = logging.getLogger("latentsmooth.images")
"""Where notes on data go, at level WARNING; on standard error unless logging is set up."""


def say(source: str, notes: Iterable[str]) -> None:
    """Say what the user should know of how a data set was read."""
    for note in notes:
        LOGGER.warning("%s: %s", source, note)
