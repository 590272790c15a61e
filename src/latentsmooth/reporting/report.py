"""Read logs and write everything a report consists of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from latentsmooth.errors import ConfigurationError
from latentsmooth.files import write_whole
from latentsmooth.records.reading import log_name, read_any_log
from latentsmooth.records.view import LogView
from latentsmooth.reporting.cells import figures_named
from latentsmooth.reporting.curve import save_curves
from latentsmooth.reporting.formats import TableFormat, render
from latentsmooth.reporting.page import html_page
from latentsmooth.reporting.summary import DEFAULT_RADII, summarize

__all__ = ["ReportFormat", "read_logs", "report"]

ReportFormat = Literal["table", "md", "csv", "json", "latex", "html"]

_INTRO = (
    "A certificate at a radius says that no change of the image smaller than it in l2 changes the "
    "answer of the smoothed classifier. Accuracies and radii are rounded down."
)


def report(
    paths: Sequence[str | Path],
    *,
    radii: Sequence[float] = DEFAULT_RADII,
    format: ReportFormat = "table",  # noqa: A002 - the name of the flag
    output: str | Path | None = None,
    figure: str | Path | None = None,
    delta: float = 1e-3,
    width: int = 100,
) -> str:
    """Report on logs side by side and return the text, which ``output`` gets too.

    Args:
        paths: certificate logs or published TSV files, mixed at will.
        radii: l2 radii over pixels in [0, 1] to give certified accuracy at.
        format: a :data:`TableFormat` or ``html``.
        output: file to write the text to.
        figure: file to draw the certified-accuracy curves into (.png, .svg or .pdf).
        delta: probability that the dataset-level statement fails.
        width: characters a line of the terminal table holds.

    Raises:
        LogError: a file cannot be read.
        ConfigurationError: no paths, an unknown format, radii that are negative or not finite, or
            a file that cannot be written.
    """
    if not paths:
        raise ConfigurationError("expected at least one log to report on, got none")
    if format not in get_args(ReportFormat):
        raise ConfigurationError(f"expected a format of {get_args(ReportFormat)}, got {format!r}")
    views = read_logs(paths)
    summaries = [summarize(view, input_radii=radii, delta=delta) for view in views]
    if format == "html":
        text = html_page(
            summaries, views, title=f"{figures_named(summaries)}: report", intro=_INTRO
        )
    else:
        chosen: TableFormat = format
        text = render(summaries, chosen, width=width)
    if figure is not None:
        save_curves(views, figure)
    if output is not None:
        _write(Path(output), text)
    return text


def read_logs(paths: Sequence[str | Path]) -> list[LogView]:
    """Read logs of either format; files of one name are told apart by their folders.

    Raises:
        LogError: a file cannot be read.
    """
    names = _names([Path(path) for path in paths])
    return [read_any_log(path, name=name) for path, name in zip(paths, names, strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    names = [log_name(path) for path in paths]
    for depth in range(1, max((len(path.parts) for path in paths), default=1)):
        count = Counter(names)
        names = [
            name if count[name] == 1 else str(Path(*path.parts[:-1][-depth:], log_name(path)))
            for name, path in zip(names, paths, strict=True)
        ]
    seen: Counter[str] = Counter()
    told_apart = []
    for name in names:
        seen[name] += 1
        told_apart.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told_apart


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
