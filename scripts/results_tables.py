"""The results page's tables, as Markdown; accuracies and radii rounded down, costs measured."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from results_runs import Group, Run

from latentsmooth.certification.bounds import two_sided_p_value
from latentsmooth.records import Manifest
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.records.settled import settled_radii
from latentsmooth.reporting.cells import MISSING, ceil_percent, floor_percent, number, radius_text
from latentsmooth.sweep import Cost, FrontierPoint, leads, rivalries
from latentsmooth.sweep.pareto import Rivalry

__all__ = [
    "certified_table",
    "cost_table",
    "dominance",
    "headline",
    "objectives_table",
    "samples_text",
    "table",
]

UNITS: dict[Cost, str] = {
    "seconds": "s a certificate",
    "flops": "GFLOP a certificate",
    "samples": "samples",
}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    r"""A Markdown table; the columns after the first ``texts`` are flush right.

    >>> print(table(["a", "b"], [["x|y", "1"]]))
    | a | b |
    | --- | --: |
    | x\|y | 1 |
    """
    rule = ["---"] * texts + ["--:"] * (len(headings) - texts)
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *escaped])


def certified_table(group: Group) -> str:
    """Certified accuracy of each run at each radius, with its interval."""
    rows = []
    for run in group.runs:
        point, summary = run.point(group.radii), run.summary
        radius = summary.average_certified_radius
        rows.append(
            [
                f"`{run.name}`",
                run.kind,
                run.objective or MISSING,
                *(accuracy(point, radius) for radius in group.radii),
                MISSING if radius is None else floor_text(radius, 4),
                abstained(run),
            ]
        )
    at = [f"at {radius_text(radius)}" for radius in group.radii]
    average = "ACR ≥" if group.runs[0].lowered else "ACR"
    return table(["run", "kind", "objective", *at, average, "abstain"], rows, texts=3)


def abstained(run: Run) -> str:
    """Abstentions in percent, withheld where the rule does not settle which images those are."""
    return ceil_percent(run.summary.abstention) if 0.0 in run.radii else MISSING


def accuracy(point: FrontierPoint, radius: float) -> str:
    """A certified accuracy in percent, rounded down, and its interval, rounded outwards."""
    low, high = point.interval(radius)
    interval = f"{floor_text(100 * low, 1)}–{ceil_text(100 * high, 1)}"
    return f"{floor_percent(point.accuracy(radius))} <small>{interval}</small>"


def cost_table(group: Group) -> str:
    """What each network is, what training it took and what a certificate costs."""
    headings = ["run", "network", "epochs", "training, s", "images/s", "weights, thousands"]
    headings += ["head, MMAC", "encoder, MMAC", "samples", "s", "GFLOP"]
    return table(headings, [_costs(run) for run in group.runs], texts=2)


def samples_text(manifest: Manifest) -> str:
    """How many samples bound an image's probability: always, or at most and by which rule."""
    rule, count = manifest.rule, f"{manifest.n_estimate:,}"
    name = rule.get("rule", "fixed")
    if name in ("fixed", "two-sided"):
        return f"n = {count}" + ("" if name == "fixed" else f", rule {name}")
    settled = settled_radii(rule)
    asked = rule.get("goal") or f"tolerance {rule.get('tolerance')}"
    if settled is not None and len(settled) > 1:
        asked = "radii " + ", ".join(map(radius_text, settled))
    return f"at most {count} samples an image (rule {name}, {asked})"


def network(run: Run) -> str:
    """Build, width and options in one cell."""
    width, options = run.build.get("width"), run.build.get("options") or {}
    named = [f"`{run.build.get('name', '')}`"]
    named += [] if width is None else [f"width {width:g}"]
    return ", ".join([*named, *(f"{name} {value}" for name, value in sorted(options.items()))])


def _costs(run: Run) -> list[str]:
    trained = run.training
    weights = run.facts.get("parameters")
    flops, work = run.cost("flops"), run.arithmetic
    return [
        f"`{run.name}`",
        network(run),
        str(trained.get("epochs") or MISSING),
        number(trained.get("seconds")),
        number(trained.get("images_per_second")),
        number(sum(weights.values()) / 1000) if weights else MISSING,
        MISSING if work is None else f"{work.head_macs / 1e6:.2f}",
        MISSING if work is None else f"{work.encoder_macs / 1e6:.2f}",
        number(run.cost("samples")),
        number(run.cost("seconds")),
        number(None if flops is None else flops / 1e9),
    ]


def headline(group: Group) -> str:
    """The ISRS run of the largest average radius beside the best LSRS run of no greater cost."""
    cost, rivals, ours = group.cost, group.of_kind("ISRS"), group.of_kind("LSRS")
    if cost is None or not rivals or not ours:
        return ""
    rival = rivals[0]
    budget = _cost(rival, cost)
    within = [run for run in ours if _cost(run, cost) <= budget]
    best = within[0] if within else min(ours, key=lambda run: _cost(run, cost))
    times = budget / _cost(best, cost)
    ratio = (
        f"{floor_text(times, 2)} times cheaper"
        if within
        else (f"{ceil_text(1 / times, 2)} times the cost")
    )
    merit = "mean certified accuracy at these radii" if best.lowered else "average certified radius"
    said = (
        f"The best ISRS run by {merit} is `{rival.name}`, at {_spent(rival, cost)}"
        f"; `{best.name}`, {'the best' if within else 'the cheapest'} LSRS run"
        f"{' that costs no more' if within else ', though it costs more'}, takes "
        f"{_spent(best, cost)}: **{ratio}**. *Only ISRS* and *only "
        "LSRS* count the images that one certifies and the other does not; p is the probability "
        "of counts at least as uneven between equals."
    )
    headings = ["radius", rival.name, best.name, "difference", "only ISRS", "only LSRS", "p"]
    rows = [_compared(rival, best, radius) for radius in group.radii]
    return f"{said}\n\n" + table(headings, rows)


def _cost(run: Run, cost: Cost) -> float:
    return run.cost(cost) or 0.0


def _spent(run: Run, cost: Cost) -> str:
    value = _cost(run, cost)
    return f"{number(value / 1e9 if cost == 'flops' else value)} {UNITS[cost]}"


def _compared(rival: Run, best: Run, radius: float) -> list[str]:
    theirs = {made.index for made in rival.certificates if made.certified_at(radius)}
    ours = {made.index for made in best.certificates if made.certified_at(radius)}
    count = rival.summary.n_labelled
    lost, won = len(theirs - ours), len(ours - theirs)
    return [
        radius_text(radius),
        floor_percent(Fraction(len(theirs), count)),
        floor_percent(Fraction(len(ours), count)),
        points(Fraction(len(ours) - len(theirs), count)),
        str(lost),
        str(won),
        f"{two_sided_p_value(won, lost):.2g}",
    ]


def points(share: Fraction) -> str:
    """A difference of accuracies in percentage points, rounded down.

    >>> points(Fraction(1, 3)), points(Fraction(-1, 3))
    ('+33.33', '−33.34')
    """
    text = floor_text(share * 100, 2)
    return text.replace("-", "−") if share < 0 else "+" + text


def dominance(group: Group) -> str:
    """For every ISRS run, what LSRS reaches at no greater cost, and whose frontier is above."""
    cost = group.cost
    if cost is None or not group.of_kind("ISRS") or not group.of_kind("LSRS"):
        return ""
    every = [run.point(group.radii) for run in group.runs]
    at = {radius: rivalries(every, input_radius=radius, cost=cost) for radius in group.radii}
    rows = []
    for place, rivalry in enumerate(at[group.radii[0]]):
        spent = rivalry.isrs.cost(cost)
        shown = number(spent / 1e9 if cost == "flops" else spent)
        cells = [_gained(at[radius][place]) for radius in group.radii]
        rows.append([f"`{rivalry.isrs.name}`", shown, *cells])
    headings = ["ISRS run", UNITS[cost], *(f"at {radius_text(radius)}" for radius in group.radii)]
    above = [f"- At radius {radius_text(radius)}: {_above(every, radius, cost)}." for radius in at]
    said = (
        "Certified accuracy of the best LSRS run that costs no more than each ISRS run, less that "
        "of the ISRS run, in percentage points:"
    )
    return "\n\n".join([said, table(headings, rows), "Whose frontier is above:", "\n".join(above)])


def _gained(rivalry: Rivalry) -> str:
    if rivalry.gain is None or rivalry.lsrs is None:
        return "none as cheap"
    gain = points(rivalry.gain)
    return f"{f'**{gain}**' if rivalry.gain >= 0 else gain} `{rivalry.lsrs.name}`"


def _above(every: Sequence[FrontierPoint], radius: float, cost: Cost) -> str:
    said = []
    for lead in leads(every, input_radius=radius, cost=cost):
        start, end = (
            None if each is None else number(each / 1e9 if cost == "flops" else each)
            for each in (lead.start, lead.end)
        )
        until = f"to {end}" if end is not None else "on"
        said.append(f"{lead.leader or 'neither'} from {start} {until}")
    return "; ".join(said) + f" {UNITS[cost]}"


def objectives_table(group: Group) -> str:
    """Runs of one network that differ in their objective, against the Gaussian one."""
    found: dict[str, list[Run]] = {}
    for run in group.runs:
        if run.objective_name:
            found.setdefault(f"{run.kind} {network(run)}", []).append(run)
    rows = []
    for name, runs in found.items():
        base = next((run for run in runs if run.objective_name == "gaussian"), None)
        if base is not None and len({run.objective_name for run in runs}) > 1:
            rows += [_against(name, run, base, group.radii) for run in runs]
    at = [f"at {radius_text(radius)}" for radius in group.radii]
    merit = "mean accuracy" if group.runs[0].lowered else "ACR"
    headings = ["network", "objective", merit, "against Gaussian", *at, "training, s", "times"]
    return table(headings, rows, texts=2) if rows else ""


def _against(name: str, run: Run, base: Run, radii: Sequence[float]) -> list[str]:
    change = points(run.merit / base.merit - 1) + " %" if base.merit else MISSING
    seconds, before = run.training.get("seconds"), base.training.get("seconds")
    return [
        name,
        run.objective,
        floor_percent(run.merit) if run.lowered else floor_text(run.merit, 4),
        change,
        *(floor_percent(run.point(radii).accuracy(radius)) for radius in radii),
        number(seconds),
        number(seconds / before if seconds and before else None),
    ]
