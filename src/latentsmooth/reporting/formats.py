"""Summaries as text: a terminal table, Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final, Literal, get_args

from latentsmooth.errors import ConfigurationError
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.reporting.cells import (
    columns,
    figures_named,
    notes,
    plain,
    radius_text,
    shared_radii,
)
from latentsmooth.reporting.summary import LogSummary

__all__ = ["TableFormat", "render"]

TableFormat = Literal["table", "md", "csv", "json", "latex"]

_LOGS_ABREAST: Final = 3
_PLACES: Final = 6
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
    "≥": r"$\ge$",
} | {letter: "\\" + letter for letter in "&%$#_{}"}


def render(
    summaries: Sequence[LogSummary],
    format: TableFormat = "table",  # noqa: A002 - the name of the flag
    *,
    width: int = 100,
) -> str:
    """Write summaries side by side.

    Certified accuracies and radii are rounded down, standard errors and abstentions up. ``table``,
    ``md`` and ``latex`` give percentages; ``csv`` and ``json`` give shares of 1 with six decimals,
    and the counts they come from.

    Args:
        summaries: one a log, at the same radii.
        format: ``table`` (terminal, a log a column), ``md``, ``csv``, ``json`` or ``latex``
            (booktabs), a log a row.
        width: characters a terminal line holds.

    Raises:
        ConfigurationError: an unknown format, or summaries at different radii.
    """
    renderers: Mapping[str, Callable[[Sequence[LogSummary]], str]] = {
        "table": lambda logs: _terminal(logs, width),
        "md": _markdown,
        "csv": _csv,
        "json": _json,
        "latex": _latex,
    }
    if format not in renderers:
        raise ConfigurationError(f"expected a format of {get_args(TableFormat)}, got {format!r}")
    return renderers[format](summaries)


def _terminal(summaries: Sequence[LogSummary], width: int) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = columns(summaries)
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, highlight=False)
    for start in range(0, len(summaries), _LOGS_ABREAST):
        logs = summaries[start : start + _LOGS_ABREAST]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(Text("l2 radii over pixels in [0, 1]"), no_wrap=True)
        for log in logs:
            table.add_column(Text(plain(log.name)), justify="right", overflow="fold")
        for column in shown:
            table.add_row(column.title, *(Text(column.text(log)) for log in logs))
        console.print(table)
    for note in notes(summaries):
        console.print(Text(note))
    return re.sub(r"[ ]+$", "", target.getvalue(), flags=re.MULTILINE)


def _markdown(summaries: Sequence[LogSummary]) -> str:
    shown = columns(summaries)
    rows = [
        ["log", *(column.short for column in shown)],
        ["---", *("--:" for _ in shown)],
        *([_markdown_text(log.name), *(c.text(log) for c in shown)] for log in summaries),
    ]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    said = [
        f"{figures_named(summaries)}, in % at l2 radii {_listed(summaries)} over pixels in [0, 1].",
        *(_markdown_text(note) for note in notes(summaries)),
    ]
    return table + "\n\n" + "\n".join(f"- {note}" for note in said) + "\n"


def _latex(summaries: Sequence[LogSummary]) -> str:
    shown = columns(summaries)
    rows = [
        [_latex_text(log.name), *(_latex_text(c.text(log)) for c in shown)] for log in summaries
    ]
    lines = [
        f"% {figures_named(summaries)}, in percent at l2 radii {_listed(summaries)}, "
        "pixels in 0 to 1",
        *(f"% {note}" for note in notes(summaries)),
        rf"\begin{{tabular}}{{l{'r' * len(shown)}}}",
        r"\toprule",
        " & ".join(["log", *(_latex_text(column.short) for column in shown)]) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _csv(summaries: Sequence[LogSummary]) -> str:
    shared_radii(summaries)
    target = io.StringIO()
    records = [_flat(_record(summary)) for summary in summaries]
    names = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(target, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in record.items()} for record in records)
    return target.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula, kept a text by an apostrophe."""
    runs = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if runs else value


def _json(summaries: Sequence[LogSummary]) -> str:
    shared_radii(summaries)
    content = {
        "logs": [_record(summary) for summary in summaries],
        "notes": notes(summaries),
    }
    return json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _record(summary: LogSummary) -> dict[str, object]:
    manifest = summary.manifest
    accuracies = zip(
        summary.input_radii,
        summary.n_certified,
        summary.n_answered,
        summary.certified_accuracy,
        summary.standard_errors,
        summary.certified_accuracy_at_least,
        strict=True,
    )
    return {
        "name": plain(summary.name),
        "model": manifest and plain(manifest.model_name),
        "build": manifest and plain(manifest.model_build),
        "data": manifest and plain(manifest.data_source),
        "split": manifest and plain(manifest.data_split),
        "latent_sigma": manifest and manifest.latent_sigma,
        "n_select": manifest and manifest.n_select,
        "n_estimate": manifest and manifest.n_estimate,
        "alpha": summary.alpha,
        "lipschitz_bound": manifest and manifest.lipschitz_bound,
        "latent_slack": manifest and manifest.deductions.latent_slack,
        "total_variation": manifest and manifest.deductions.total_variation,
        "images": summary.n_images,
        "labelled": summary.n_labelled,
        "correct": summary.n_correct,
        "abstained": summary.n_abstained,
        "clean_accuracy": _floor(summary.clean_accuracy),
        "certified": [
            {
                "input_radius": radius,
                "count": count,
                "count_of_any_class": answered,
                "accuracy": _floor(accuracy),
                "standard_error": _ceil(error),
                "accuracy_at_least": _floor(least),
            }
            for radius, count, answered, accuracy, error, least in accuracies
        ],
        "average_certified_radius": _floor(summary.average_certified_radius),
        "abstention": _ceil(summary.abstention),
        "seconds_per_image": summary.seconds_per_image,
        "samples_per_image": summary.samples_per_image,
        "false_expected": _ceil(summary.false_expected),
        "false_at_most": summary.false_at_most,
        "delta": summary.delta,
    }


def _flat(record: Mapping[str, object]) -> dict[str, object]:
    """Give every figure at a radius a column of its own, e.g. ``accuracy@0.25``."""
    flat: dict[str, object] = {}
    for name, value in record.items():
        if isinstance(value, list):
            for entry in value:
                radius = radius_text(entry["input_radius"])
                flat |= {f"{k}@{radius}": v for k, v in entry.items() if k != "input_radius"}
        else:
            flat[name] = value
    return flat


def _floor(value: Fraction | None) -> float | None:
    return None if value is None else float(floor_text(value, _PLACES))


def _ceil(value: float | Fraction | None) -> float | None:
    return None if value is None else float(ceil_text(value, _PLACES))


def _listed(summaries: Sequence[LogSummary]) -> str:
    return ", ".join(radius_text(radius) for radius in shared_radii(summaries))


def _markdown_text(text: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$!])", r"\\\1", plain(text))
    return escaped.replace("&", "&amp;")


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in plain(text))
