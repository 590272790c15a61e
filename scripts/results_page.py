"""Write docs/results.md and its pictures from the committed results, or say that it is stale.

    python scripts/results_page.py [--check]

Read are, in each folder DATASET of benchmarks/results/training: RUN.jsonl.gz (certificate logs) and
RUN.training.json, both by `scripts/collect_result.py`; *frontier*.json, by `latentsmooth sweep`,
for the seconds; and benchmarks/results/training/notes.json, for titles and what was not run. The
same files give the same page. --check writes nothing and fails where the page is another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results_runs import Group, Run, groups, read_runs
from results_tables import (
    certified_table,
    cost_table,
    dominance,
    headline,
    objectives_table,
    samples_text,
)

from latentsmooth.files import write_whole
from latentsmooth.records import LogView
from latentsmooth.records.settled import settled_radii
from latentsmooth.reporting import plain, save_curves
from latentsmooth.reporting.cells import radius_text
from latentsmooth.sweep import draw_frontier

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python scripts/results_page.py"
ASSETS = "assets/results"
MOST_CURVES = 5
"""Of each kind, in one picture."""

INTRO = """\
Every figure here is counted from certificate logs that are kept in the repository, in
`benchmarks/results/training/`, by `{command}`. How each run was made stands in
the files beside its log.

- **Certified accuracy** at an l2 radius over pixels in [0, 1]: the share of test images, in %,
  whose class is right and proven not to change within that radius. An abstention counts as wrong.
  Accuracies, radii and differences are rounded down, abstentions up. Small print: the 95 % interval
  of Clopper and Pearson over the choice of images.
- **ACR** is the mean certified radius, wrong and abstained images counting 0. Where a rule stops
  sampling early it is a lower value than a fixed number of samples would give, headed *ACR ≥*: it
  compares with no ACR of another table, and runs are ranked by their mean accuracy instead.
- **Cost.** Seconds a certificate are measured by `latentsmooth sweep`, all runs in turn on one
  machine, and left out where that was not done. GFLOP counts the encoder once, and for every sample
  the head and eight multiply-accumulates a normal drawn, as the engine runs them: what is folded
  into the encoder counts there. Training seconds are wall time, often beside other work.
- **LSRS** adds the noise to the latent of an orthogonal encoder, **ISRS** to the pixels."""


@dataclass(frozen=True)
class Page:
    """The page's text, and the pictures that it shows by where they are under docs/."""

    text: str
    pictures: dict[str, Picture]


@dataclass(frozen=True)
class Picture:
    """What to draw: curves, or the frontier where ``frontier`` is set."""

    group: Group
    frontier: bool

    def draw(self, path: Path) -> None:
        """Draw it into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        group = self.group
        if not self.frontier:
            save_curves([_view(run) for run in _drawn(group)], path)
        elif group.cost is not None:
            every = [run.point(group.radii) for run in group.runs]
            draw_frontier(every, path, radii=group.radii, cost=group.cost)


def results_page(results: Path) -> Page:
    """Make the page of a results folder."""
    notes = json.loads((results / "notes.json").read_text("utf-8"))
    stated = notes.get("datasets", {})
    folders = {path.name for path in results.iterdir() if path.is_dir()}
    pictures: dict[str, Picture] = {}
    parts = ["# Results", f"<!-- Written by `{COMMAND}`: do not edit. -->"]
    parts.append(INTRO.format(command=COMMAND))
    for name in [*(each for each in stated if each in folders), *sorted(folders - set(stated))]:
        runs = read_runs(results / name)
        if runs:
            parts += _dataset(name, stated.get(name, {}), runs, pictures)
    parts += _not_run(notes.get("not_run", []))
    parts.append(f"<!-- Made from: {_digest(results)} -->")
    return Page(text="\n\n".join(part for part in parts if part) + "\n", pictures=pictures)


def stale(page: Page, docs: Path) -> list[str]:
    """What of a page is not in the documentation's folder as it should be."""
    file = docs / "results.md"
    old = [] if file.exists() and file.read_text("utf-8") == page.text else [str(file)]
    return old + [str(docs / name) for name in page.pictures if not (docs / name).exists()]


def write(page: Page, docs: Path) -> None:
    """Write the page and its pictures; pictures of earlier pages are deleted."""
    for name, picture in page.pictures.items():
        picture.draw(docs / name)
    for path in (docs / ASSETS).glob("*.png"):
        if f"{ASSETS}/{path.name}" not in page.pictures:
            path.unlink()
    write_whole(docs / "results.md", page.text)


def _dataset(
    name: str, stated: dict[str, Any], runs: Sequence[Run], pictures: dict[str, Picture]
) -> Iterator[str]:
    title = plain(stated.get("title", name))
    _check_title(title, name, runs)
    yield f"## {title}"
    yield stated.get("note", "")
    found = groups(runs)
    for group, setting in zip(found, _settings(found), strict=True):
        yield f"### {title}, {setting}"
        yield from _group(group, title, setting, _stem(name, group, pictures), pictures)
    if reading := stated.get("reading"):
        yield f"### What {title} shows"
        yield from reading


def _settings(found: Sequence[Group]) -> list[str]:
    """What tells each group from the others in a heading, in as few words as do."""
    sigmas = [f"sigma {group.manifest.latent_sigma:g}" for group in found]
    counts = [
        f"{sigma}, n {'up to' if group.runs[0].lowered else '='} {group.manifest.n_estimate:,}, "
        f"{len(group.runs[0].certificates):,} images"
        for sigma, group in zip(sigmas, found, strict=True)
    ]
    whole = [f"{sigma}, {_statistics(group)}" for sigma, group in zip(sigmas, found, strict=True)]
    told = zip(sigmas, counts, whole, strict=True)
    return [
        sigma if sigmas.count(sigma) == 1 else short if counts.count(short) == 1 else long
        for sigma, short, long in told
    ]


def _stem(name: str, group: Group, pictures: dict[str, Picture]) -> str:
    """How a group's pictures begin: the same name whatever other groups there are."""
    manifest = group.manifest
    images = len(group.runs[0].certificates)
    rule = manifest.rule.get("rule", "fixed")
    stem = f"{ASSETS}/{name}-sigma{manifest.latent_sigma:g}-n{manifest.n_estimate}-{images}"
    stem += "" if rule == "fixed" else f"-{rule}"
    while any(picture.startswith(stem + "-") for picture in pictures):
        stem += "x"
    return stem


def _group(
    group: Group, title: str, setting: str, stem: str, pictures: dict[str, Picture]
) -> Iterator[str]:
    yield f"{_statistics(group)[0].upper()}{_statistics(group)[1:]}."
    yield _stopping(group)
    yield certified_table(group)
    yield cost_table(group)
    if len(group.sweeps) > 1:
        yield (
            f"Seconds are of {len(group.sweeps)} sweeps, which did not take turns: they compare "
            "within each only, and costs are compared by operations below."
        )
    curves, picture = f"{stem}-curves.png", f"{stem}-frontier.png"
    if settled_radii(group.manifest.rule) is None:  # of others the log knows nothing in between
        pictures[curves] = Picture(group, frontier=False)
        yield f"![Certified accuracy against radius, {title}, {setting}]({curves})"
        if len(_drawn(group)) < len(group.runs):
            yield f"The curves are those of the best {MOST_CURVES} runs of a kind."
    if group.cost is not None and group.of_kind("LSRS") and group.of_kind("ISRS"):
        pictures[picture] = Picture(group, frontier=True)
        yield f"![Certified accuracy against cost, {title}, {setting}]({picture})"
    if found := headline(group):
        yield f"#### LSRS against ISRS, {title}, {setting}"
        yield found
        yield dominance(group)
    if found := objectives_table(group):
        yield f"#### Objectives, {title}, {setting}"
        yield found


def _statistics(group: Group) -> str:
    manifest = group.manifest
    return (
        f"{len(group.runs[0].certificates):,} {manifest.data_split} images, "
        f"{samples_text(manifest)}, alpha = {manifest.alpha:g}"
    )


def _stopping(group: Group) -> str:
    """What a rule that stops early leaves to say."""
    settled = settled_radii(group.manifest.rule)
    if not group.runs[0].lowered:
        return ""
    if settled is None:
        return (
            "The rule draws fewer samples where that costs little radius: radii are lower values."
        )
    listed = ", ".join(map(radius_text, settled))
    return (
        f"For each image samples were drawn until it was settled whether it is certified at "
        f"{listed}, and no longer: accuracies are given at no other radius, and no curve is drawn."
    )


def _not_run(entries: Sequence[dict[str, str]]) -> Iterator[str]:
    if entries:
        yield "## What was not run, and why"
        yield "\n".join(
            f"- **{entry['what']}** {entry['why']}"
            + (f" To run it: {entry['how']}" if "how" in entry else "")
            for entry in entries
        )


def _check_title(title: str, name: str, runs: Sequence[Run]) -> None:
    """Refuse to call a JPEG copy by the original's name."""
    sources = " ".join([name, *(run.manifest.data_source for run in runs)]).lower()
    if "jpeg" in sources and "JPEG" not in title:
        raise SystemExit(f"{name}: the data is a JPEG copy, the title {title!r} does not say so")


def _drawn(group: Group) -> list[Run]:
    return group.of_kind("LSRS")[:MOST_CURVES] + group.of_kind("ISRS")[:MOST_CURVES]


def _view(run: Run) -> LogView:
    return LogView(
        name=f"{run.kind} {run.name}", manifest=run.manifest, certificates=run.certificates
    )


def _digest(results: Path) -> str:
    """One hash over every file that the page is made from: the pictures are of these."""
    digest = hashlib.sha256()
    for path in sorted(
        each for each in results.rglob("*") if re.search(r"\.(json|gz)$", each.name)
    ):
        digest.update(path.relative_to(results).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where stale")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/training")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    page = results_page(arguments.results)
    if not arguments.check:
        write(page, arguments.docs)
    if old := stale(page, arguments.docs):
        sys.exit(f"not what the results give: {', '.join(old)}; run {COMMAND}")


if __name__ == "__main__":
    main()
