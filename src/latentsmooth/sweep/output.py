"""The files that a sweep's result is written into."""

from __future__ import annotations

import json
from pathlib import Path

from latentsmooth.files import write_whole
from latentsmooth.sweep.draw import draw_frontier
from latentsmooth.sweep.page import html_page
from latentsmooth.sweep.result import FIGURES, FRONTIER_FILE, SweepResult
from latentsmooth.sweep.table import markdown

__all__ = ["write_result"]


def write_result(result: SweepResult, folder: Path) -> None:
    """Write ``frontier.json``, ``.md``, ``.html``, ``.png`` and ``.svg``, each whole or not at all.

    Raises:
        OSError: the disk refuses.
        ConfigurationError: it refuses a figure.
    """
    text = json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n"
    write_whole(folder / FRONTIER_FILE, text)
    write_whole(folder / "frontier.md", markdown(result))
    write_whole(folder / "frontier.html", html_page(result))
    for name in FIGURES:
        draw_frontier(result.points, folder / name, radii=result.input_radii, cost=result.cost)
