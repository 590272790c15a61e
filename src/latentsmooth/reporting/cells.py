"""The columns of every table: one header and one text a log, rounded towards safety."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from latentsmooth.errors import ConfigurationError
from latentsmooth.records.reach import largest_provable_radius
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.records.settled import lowers_radii
from latentsmooth.reporting.summary import LogSummary

__all__ = [
    "MISSING",
    "Column",
    "ceil_percent",
    "columns",
    "figures_named",
    "floor_percent",
    "notes",
    "number",
    "plain",
    "radius_text",
    "shared_radii",
    "without_labels",
]

MISSING = "–"
_ACR_PLACES = 6  # floored: with four, a published .5251 (exactly .525053) would read .5250


@dataclass(frozen=True, slots=True)
class Column:
    """One figure: its name with the unit, a short header for wide tables, and a text a log."""

    title: str
    short: str
    text: Callable[[LogSummary], str]


def columns(summaries: Sequence[LogSummary]) -> list[Column]:
    """Return the figures that tables show, in order.

    Where no image of any log has a label, shares of images certified, be the class right or wrong,
    stand in place of accuracies, and what is about correct images is left out.

    Raises:
        ConfigurationError: the summaries are at different radii.
    """
    radii = shared_radii(summaries)
    unlabelled = without_labels(summaries)
    of_correct = [
        Column("standard error of clean (%)", "± clean", _standard_error),
        Column("average certified radius", "ACR", _average_radius),
    ]
    clean = Column("clean, smoothed (%)", "clean", lambda s: floor_percent(s.clean_accuracy))
    column = _answered_column if unlabelled else _certified_column
    return [
        *([] if 0.0 in radii or unlabelled else [clean]),
        *(column(place, radius) for place, radius in enumerate(radii)),
        *([] if unlabelled else of_correct),
        Column("abstained (%)", "abstain", lambda s: ceil_percent(s.abstention)),
        Column("seconds per image", "s/image", lambda s: number(s.seconds_per_image)),
        Column("samples per image", "samples/image", lambda s: number(s.samples_per_image)),
        Column("images", "images", lambda s: f"{s.n_images:,}"),
        Column("latent sigma", "sigma", _sigma),
        Column("n (estimation samples)", "n", _n_estimate),
        Column("alpha", "alpha", lambda s: _of(s.alpha)),
    ]


def without_labels(summaries: Sequence[LogSummary]) -> bool:
    """Whether there are images, and none in any log has a label."""
    return any(each.n_images for each in summaries) and not any(
        each.n_labelled for each in summaries
    )


def figures_named(summaries: Sequence[LogSummary]) -> str:
    """What the figures at radii are."""
    if without_labels(summaries):
        return "Images certified, be the class right or wrong"
    return "Certified accuracy"


def shared_radii(summaries: Sequence[LogSummary]) -> tuple[float, ...]:
    """Return the radii that all summaries are at.

    Raises:
        ConfigurationError: they are at different radii.
    """
    found = list(dict.fromkeys(summary.input_radii for summary in summaries))
    if len(found) > 1:
        raise ConfigurationError(f"expected summaries at the same radii, got {found}")
    return found[0] if found else ()


def radius_text(radius: float) -> str:
    """Write a chosen radius in full, without a needless ``.0``.

    >>> radius_text(1.0), radius_text(0.25)
    ('1', '0.25')
    """
    return repr(float(radius)).removesuffix(".0")


def notes(summaries: Sequence[LogSummary]) -> list[str]:
    """Return what a reader must know beside the figures: one sentence or two a log."""
    kinds = (_label_note, _reach_note, _note, _rule_note)
    said = [kind(summary) for summary in summaries for kind in kinds]
    return list(dict.fromkeys(note for note in said if note))


def plain(name: str) -> str:
    r"""Return a name on one line, everything that is not printable replaced.

    >>> plain("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(letter if letter.isprintable() else "�" for letter in name)


def floor_percent(share: Fraction | None) -> str:
    """Write a share as a percentage with two decimals, rounded down."""
    return MISSING if share is None else floor_text(share * 100, 2)


def ceil_percent(share: Fraction | None) -> str:
    """Write a share as a percentage with two decimals, rounded up."""
    return MISSING if share is None else ceil_text(share * 100, 2)


def number(value: float | None) -> str:
    """Write a measured number with three significant digits, or as an integer from 100 on.

    >>> number(0.012345), number(14.04), number(10100.0)
    ('0.0123', '14.0', '10,100')
    """
    if value is None:
        return MISSING
    if value >= 100:
        return f"{value:,.0f}"
    return format(Decimal(f"{value:#.3g}"), "f")


def _certified_column(place: int, radius: float) -> Column:
    title = f"certified at {radius_text(radius)}{'' if radius else ': clean'} (%)"
    return Column(
        title,
        radius_text(radius),
        lambda summary: floor_percent(summary.certified_accuracy[place]),
    )


def _answered_column(place: int, radius: float) -> Column:
    def share(summary: LogSummary) -> str:
        answered, images = summary.n_answered[place], summary.n_images
        return floor_percent(Fraction(answered, images) if images else None)

    return Column(f"of any class, radius ≥ {radius_text(radius)} (%)", radius_text(radius), share)


def _note(summary: LogSummary) -> str:
    name = plain(summary.name)
    if summary.false_at_most is None or summary.false_expected is None:
        if summary.manifest is None and summary.n_images:
            return (
                f"{name}: the file doesn't say sigma, n or alpha, and its radii are as printed "
                "there (the field's files round to three digits, sometimes up)."
            )
        return ""
    lost = ceil_percent(Fraction(summary.false_at_most, summary.n_labelled))
    return (
        f"{name}: each certificate is false with probability at most {summary.alpha:g}, so among "
        f"{summary.n_labelled:,} at most {ceil_text(summary.false_expected, 2)} are expected to "
        f"be; with confidence {_confidence(summary.delta)} at most {summary.false_at_most} are: "
        f"at every radius the true certified accuracy on these images is at least the one shown "
        f"minus {lost} points."
    )


def _label_note(summary: LogSummary) -> str:
    """What figures are of where images have no label."""
    missing, name = summary.n_images - summary.n_labelled, plain(summary.name)
    if not missing:
        return ""
    if summary.n_labelled:
        return (
            f"{name}: {missing:,} of {summary.n_images:,} images have no label; accuracies are "
            "over the others."
        )
    shares = ", ".join(
        f"{floor_percent(Fraction(count, summary.n_images))} % at {radius_text(radius)}"
        for radius, count in zip(summary.input_radii, summary.n_answered, strict=True)
    )
    return (
        f"{name}: no image has a label, so there is no accuracy. Certified, be the class right or "
        f"wrong: {shares}."
    )


def _reach_note(summary: LogSummary) -> str:
    """At which radii no image could have been certified, whatever the classifier."""
    if summary.manifest is None:
        return ""
    most = largest_provable_radius(summary.manifest)
    beyond = [radius_text(radius) for radius in summary.input_radii if radius > most]
    if not beyond:
        return ""
    if summary.manifest.rule.get("goal") == "decide":
        return f"{plain(summary.name)}: the goal decide proves classes and no radius above 0."
    return (
        f"{plain(summary.name)}: no image could be certified at {', '.join(beyond)}: "
        f"{summary.manifest.n_estimate:,} samples prove a radius of at most "
        f"{floor_text(most, 4)} with this noise."
    )


def _rule_note(summary: LogSummary) -> str:
    rule, name = _rule(summary), plain(summary.name)
    if not lowers_radii(rule):
        return ""
    lower = "its ACR is a lower value than a fixed number of samples would give."
    if "goal" not in rule:
        return f"{name}: the rule {plain(str(rule['rule']))} stops early, so {lower}"
    return (
        f"{name}: samples were drawn until {plain(str(rule['goal']))} was decided for an image, no "
        f"longer; other radii are what those samples happen to prove, and {lower}"
    )


def _rule(summary: LogSummary) -> Mapping[str, Any]:
    return summary.manifest.rule if summary.manifest is not None else {}


def _confidence(delta: float) -> str:
    return f"{(1 - Decimal(repr(delta))) * 100:f}".rstrip("0").rstrip(".") + " %"


def _standard_error(summary: LogSummary) -> str:
    error = summary.clean_standard_error
    return MISSING if error is None else ceil_text(error * 100, 2)


def _average_radius(summary: LogSummary) -> str:
    radius = summary.average_certified_radius
    if radius is None:
        return MISSING
    return ("≥ " if lowers_radii(_rule(summary)) else "") + floor_text(radius, _ACR_PLACES)


def _sigma(summary: LogSummary) -> str:
    return _of(None if summary.manifest is None else summary.manifest.latent_sigma)


def _n_estimate(summary: LogSummary) -> str:
    return _of(None if summary.manifest is None else summary.manifest.n_estimate)


def _of(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,}" if isinstance(value, int) else repr(value)
