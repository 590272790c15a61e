"""Figures into files: the format by the suffix, the same bytes for the same picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from latentsmooth.errors import ConfigurationError
from latentsmooth.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURE_FORMATS", "save_figure"]

FIGURE_FORMATS: Final = (".png", ".svg", ".pdf")
_METADATA: Final = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def save_figure(path: str | Path, draw: Callable[[], Figure]) -> None:
    """Draw a matplotlib figure into a file, whole or not at all; no date is stored.

    Args:
        path: the file; its suffix, .png, .svg or .pdf, is the format.
        draw: makes the figure, once the suffix is known to be one of those.

    Raises:
        ConfigurationError: another suffix, or the file cannot be written.
    """
    import matplotlib as mpl

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FIGURE_FORMATS:
        raise ConfigurationError(
            f"expected a figure file ending in {FIGURE_FORMATS}, got {path.name!r}"
        )
    figure, drawn = draw(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "latentsmooth"}):
        figure.savefig(drawn, format=suffix[1:], metadata=_METADATA[suffix])
    try:
        write_whole(path, drawn.getvalue())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
