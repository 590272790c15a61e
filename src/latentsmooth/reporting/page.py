"""A self-contained HTML page of a report: curve, table, and what each log was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from latentsmooth.records.manifest import Manifest
from latentsmooth.records.view import LogView
from latentsmooth.reporting.cells import columns, figures_named, notes, plain
from latentsmooth.reporting.summary import LogSummary
from latentsmooth.reporting.svg import inline_svg
from latentsmooth.reporting.walk import deducted, typical, walk

__all__ = ["html_page"]

_CLASSES_SHOWN = 12
_SERIES = 7
_LONGEST = 4000
"""Characters of a text: a log may come from anyone, a page must open."""


def html_page(
    summaries: Sequence[LogSummary], views: Sequence[LogView], *, title: str, intro: str
) -> str:
    """Return one HTML document that needs no other file, no script and no network.

    Every name is escaped, so hostile file, class or model names stay text.

    Args:
        summaries: one a log, at the same radii.
        views: the same logs, in the same order.
        title: the page's heading.
        intro: plain text under it; blank lines separate paragraphs.

    Raises:
        ConfigurationError: the summaries are at different radii.
    """
    style = files("latentsmooth.reporting").joinpath("page.css").read_text(encoding="utf-8")
    paragraphs = [part.strip() for part in intro.split("\n\n") if part.strip()]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_text(title)}</title>",
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>",
        f"<h1>{_text(title)}</h1>",
        *(f"<p>{_text(' '.join(paragraph.split()))}</p>" for paragraph in paragraphs),
        f"<h2>{_text(figures_named(summaries))}</h2>",
        '<figure class="curve">',
        inline_svg(views),
        _legend(views),
        "</figure>",
        _table(summaries),
        _notes(summaries),
        "<h2>How each log was made</h2>",
        *(
            _facts(place, summary, view)
            for place, (summary, view) in enumerate(zip(summaries, views, strict=True))
        ),
        "</main>\n</body>\n</html>",
    ]
    return "\n".join(parts) + "\n"


def _legend(views: Sequence[LogView]) -> str:
    return (
        '<figcaption><ul class="legend">'
        + "".join(f"<li>{_key(place)}{_text(view.name)}</li>" for place, view in enumerate(views))
        + "</ul></figcaption>"
    )


def _key(place: int) -> str:
    style = f"series s{place % _SERIES} d{place // _SERIES % 3}"
    return (
        f'<svg class="key" viewBox="0 0 28 10" aria-hidden="true"><path class="{style}" '
        'd="M0 5H28"/></svg>'
    )


def _table(summaries: Sequence[LogSummary]) -> str:
    head = "".join(f'<th scope="col">{_text(summary.name)}</th>' for summary in summaries)
    rows = [
        f'<tr><th scope="row">{_text(column.title)}</th>'
        + "".join(f"<td>{_text(column.text(summary))}</td>" for summary in summaries)
        + "</tr>"
        for column in columns(summaries)
    ]
    return (
        '<div class="wide"><table>\n<thead><tr><th scope="col">l2 radii over pixels in [0, 1]'
        f"</th>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _notes(summaries: Sequence[LogSummary]) -> str:
    said = "".join(f"<li>{_text(note)}</li>" for note in notes(summaries))
    return f'<ul class="notes">{said}</ul>' if said else ""


def _facts(place: int, summary: LogSummary, view: LogView) -> str:
    if summary.manifest is None:
        rows = [("manifest", "none: a published file, which doesn't say how it was made")]
    else:
        rows = _manifest_rows(summary.manifest)
    items = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in rows)
    opened = " open" if place == 0 else ""
    return (
        f"<details{opened}><summary>{_key(place)}{_text(summary.name)}</summary>"
        f"<dl>{items}</dl>{_walk(view)}</details>"
    )


def _walk(view: LogView) -> str:
    """How one image's votes became its radius."""
    certificate = typical(view)
    if certificate is None or view.manifest is None:
        return ""
    steps = "".join(
        f'<tr><th scope="row">{_text(what)}</th><td>{_text(much)}</td></tr>'
        for what, much in walk(certificate, view.manifest)
    )
    name = f" ({_text(certificate.name)})" if certificate.name else ""
    title = f"From votes to radius: image {certificate.index}{name}, of median radius"
    return (
        f'<div class="wide"><table><caption>{title}</caption><tbody>{steps}</tbody></table></div>'
    )


def _manifest_rows(manifest: Manifest) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    machine = ", ".join(f"{name}: {fact}" for name, fact in manifest.machine.items())
    return [
        ("model", f"{manifest.model_name} (build {manifest.model_build})"),
        ("model sha256", manifest.artifact_hash),
        ("data", f"{manifest.data_source}, split {manifest.data_split}"),
        ("images asked for", _settings(manifest.data_selection) or "not recorded"),
        ("said of the data", "; ".join(manifest.data_notes) or "nothing"),
        ("data sha256", manifest.data_hash),
        ("classes", _class_list(manifest.class_names)),
        ("latent sigma", repr(manifest.latent_sigma)),
        ("samples", f"{manifest.n_select:,} to select, {manifest.n_estimate:,} to estimate"),
        ("alpha, seed", f"{manifest.alpha!r}, {manifest.seed}"),
        ("Lipschitz bound", repr(manifest.lipschitz_bound)),
        ("deducted", deducted(manifest)),
        ("stopping rule", _settings(manifest.rule)),
        ("noise", f"{manifest.noise}, lattice of step {manifest.lattice_step:g}"),
        ("encoder runs in", manifest.encoder_precision),
        ("folded into the encoder", manifest.folding or "nothing"),
        (
            "head runs in",
            f"{manifest.precision}, {manifest.executor}, on {manifest.device_type}",
        ),
        ("versions", versions),
        ("machine", machine),
        ("command", manifest.command),
        ("begun", manifest.created),
    ]


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in settings.items())


def _class_list(names: Sequence[str]) -> str:
    if len(names) <= _CLASSES_SHOWN:
        return ", ".join(names) or "not named"
    return ", ".join(names[:_CLASSES_SHOWN]) + f", … ({len(names):,} in all)"


def _text(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return escape(plain(cut))
