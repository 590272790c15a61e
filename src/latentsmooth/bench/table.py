"""A comparison as a terminal table and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from latentsmooth.bench.result import Comparison, Standing
from latentsmooth.reporting import plain

__all__ = ["markdown", "notes", "tables"]

_MISSING: Final = "–"
_SPEED: Final = (
    "contender", "s/image", "samples/image", "samples/s", "of ceiling", "vs textbook", "vs its best"
)  # fmt: skip
_WAYS: Final = (
    "contender", "batch", "precision", "executor", "MMAC/sample", "of matmul", "prepared in s"
)  # fmt: skip
_STAGES: Final = ("encode", "noise", "head", "count", "statistics", "idle")


def tables(comparison: Comparison) -> list[Table]:
    """Terminal tables: speed, and where the engine's time went."""
    made = [
        _terminal("Certification side by side", _SPEED, _speed_rows(comparison)),
        _terminal("How each ran", _WAYS, _way_rows(comparison)),
    ]
    stages = _stage_rows(comparison)
    if stages:
        made.append(_terminal("Where the engine's time went", _stage_headings(), stages))
    return made


def markdown(comparison: Comparison) -> str:
    """The same as Markdown, with what a reader needs to judge it."""
    parts = ["# Certification side by side", "  \n".join(notes(comparison))]
    if comparison.command:
        parts.append(f"    {comparison.command}")
    parts.append(_pipe(_SPEED, _speed_rows(comparison)))
    parts += ["## How each ran", _pipe(_WAYS, _way_rows(comparison))]
    stages = _stage_rows(comparison)
    if stages:
        parts += ["## Where the engine's time went", _pipe(_stage_headings(), stages)]
    swept = _rate_rows(comparison)
    if swept:
        parts += ["## Samples a second by batch size", _pipe(("contender", "rates"), swept)]
    if comparison.memory:
        rows = [
            [use.model, f"{use.n_estimate:,}", f"{use.peak_mib:,.0f}"] for use in comparison.memory
        ]
        parts += ["## Peak memory of one certificate", _pipe(("model", "n", "peak MiB"), rows)]
    return "\n\n".join(parts) + "\n"


def notes(comparison: Comparison) -> list[str]:
    """Lines that say how the figures came about."""
    machine = comparison.machine
    where = machine.get("accelerator", machine["processor"])
    rates = ", ".join(
        f"{rate / 1e12:.3g} TFLOP/s {name}" for name, rate in comparison.matmul_rates.items()
    )
    lines = [
        f"{where}, {machine['cores']} cores, {machine['threads']} threads; 2048³ matmul: {rates}; "
        + ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
        + f"; {comparison.created}.",
        f"{comparison.images} images of {plain(comparison.data)} a turn, {comparison.n_select} + "
        f"{comparison.n_estimate:,} samples each, {comparison.rounds} rounds in turns; medians, "
        "ratios within a round.",
    ]
    many = {one.images for one in comparison.standings} - {comparison.images}
    lines += [f"Towards a goal {number} images a turn." for number in sorted(many)]
    random = [model.label for model in comparison.models if not model.trained]
    if random:
        lines.append(f"Random weights: {', '.join(random)}.")
    lines += [f"{name} skipped: {plain(reason)}" for name, reason in comparison.skipped.items()]
    lines += [
        f"{use.model}: peak {use.peak_mib:,.0f} MiB at n = {use.n_estimate:,}"
        for use in comparison.memory
    ]
    return lines


def _speed_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            plain(one.name),
            _number(one.seconds_an_image),
            _MISSING if one.kind == "ceiling" else f"{one.samples_an_image:,.0f}",
            f"{one.samples_a_second:,.0f}",
            _percent(one.ceiling_share),
            _times(one.speedup.get("textbook")),
            _times(one.speedup.get("textbook best")),
        ]
        for one in comparison.standings
    ]


def _way_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            plain(one.name),
            *(str(one.settings.get(key, _MISSING)) for key in ("batch_size", "precision")),
            str(one.settings.get("executor", _MISSING)),
            f"{one.macs / 1e6:,.2f}",
            _percent(one.peak_share),
            f"{one.prepare_seconds:.1f}",
        ]
        for one in comparison.standings
    ]


def _stage_headings() -> tuple[str, ...]:
    return ("contender", *_STAGES, "padded", "noise ns/element")


def _stage_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            plain(one.name),
            *(_percent(one.stages[stage] / one.stages["wall"]) for stage in _STAGES),
            _percent(one.stages["padded"]),
            _number(one.noise_ns),
        ]
        for one in comparison.standings
        if one.stages
    ]


def _rate_rows(comparison: Comparison) -> list[list[str]]:
    def rates(one: Standing) -> str:
        found = one.settings.get("rates")
        pairs = found.items() if isinstance(found, dict) else ()
        return ", ".join(f"{size}: {rate:,.0f}" for size, rate in pairs)

    return [[plain(one.name), rates(one)] for one in comparison.standings if rates(one)]


def _terminal(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, padding=(0, 0, 0, 1))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _pipe(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _number(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return _MISSING if share is None else f"{100 * share:.1f} %"


def _times(ratio: float | None) -> str:
    return _MISSING if ratio is None else f"{ratio:.2f}×"
