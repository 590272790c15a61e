"""What is committed of trained and certified classifiers: logs, training summaries, costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from latentsmooth.certification import Certificate
from latentsmooth.records import LogView, Manifest, read_log
from latentsmooth.records.run import engine_options
from latentsmooth.records.settled import lowers_radii, settled_radii
from latentsmooth.reporting import LogSummary, summarize
from latentsmooth.sweep import Cost, FrontierPoint, Kind, points_from_json
from latentsmooth.sweep.cost import Arithmetic

__all__ = ["RADII", "Group", "Run", "groups", "read_runs"]

RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_LOG, _FACTS = ".jsonl.gz", ".training.json"
_SAME_ENGINE = ("precision", "executor", "encoder_precision", "noise")
_SAME_SAMPLES = 0.01
"""Relative difference of samples an image up to which a cost is of the same certification."""


@dataclass(frozen=True)
class Run:
    """One classifier's certificates, how it was trained, and what certifying with it costs.

    Attributes:
        name: of its files.
        manifest: of its log.
        certificates: one an image.
        facts: what `scripts/collect_result.py` wrote of it, or a training summary, or nothing.
        measured: its point on a frontier that was measured, where there is one.
        sweep: the file of that frontier: seconds compare only within one.
    """

    name: str
    manifest: Manifest
    certificates: tuple[Certificate, ...]
    facts: Mapping[str, Any]
    measured: FrontierPoint | None = None
    sweep: str = ""

    @property
    def kind(self) -> Kind:
        """LSRS or ISRS: as measured, as collected, or by the build's name."""
        if self.measured is not None:
            return self.measured.kind
        stated = self.facts.get("kind")
        if stated in ("LSRS", "ISRS"):
            return "LSRS" if stated == "LSRS" else "ISRS"
        return "LSRS" if self.manifest.model_build.startswith("lsrs") else "ISRS"

    @property
    def training(self) -> Mapping[str, Any]:
        """The training's summary, whole or what a sweep kept of it; empty where neither is."""
        found = self.facts.get("training", self.facts if "settings" in self.facts else {})
        if found or self.measured is None:
            return found if isinstance(found, dict) else {}
        details = self.measured.details
        return {
            "epochs": details.get("epochs"),
            "seconds": details.get("training_seconds"),
            "images_per_second": details.get("training_images_per_second"),
            "settings": details.get("training_settings") or {},
        }

    @property
    def build(self) -> Mapping[str, Any]:
        """Name, width and options of the network, as far as they are known."""
        stated = self.facts.get("build")
        if isinstance(stated, dict):
            return stated
        if self.measured is None:
            return {"name": self.manifest.model_build}
        options = self.measured.details.get("build_options")
        return {"name": self.measured.build, "width": self.measured.width, "options": options}

    @property
    def objective(self) -> str:
        """Name and options of what was minimised.

        Empty where it is not known.
        """
        settings = self.training.get("settings", {})
        options = settings.get("objective_options") or {}
        listed = ", ".join(
            f"{name} {value if isinstance(value, str) else format(value, 'g')}"
            for name, value in sorted(options.items())
        )
        name = self.objective_name
        return f"{name} ({listed})" if listed else name

    @property
    def objective_name(self) -> str:
        """What was minimised, without its options; empty where it is not known."""
        return str(self.training.get("settings", {}).get("objective", ""))

    @cached_property
    def summary(self) -> LogSummary:
        """The log's figures at `radii`."""
        view = LogView(name=self.name, manifest=self.manifest, certificates=self.certificates)
        return summarize(view, input_radii=self.radii)

    @property
    def radii(self) -> tuple[float, ...]:
        """Where the log says how many are certified: everywhere, or where its rule settles it."""
        return settled_radii(self.manifest.rule) or RADII

    @property
    def lowered(self) -> bool:
        """Whether the rule stops early, so that the average certified radius is a lower value."""
        return lowers_radii(self.manifest.rule)

    @property
    def mean_accuracy(self) -> Fraction:
        """The mean of the certified accuracies at `radii`."""
        summary = self.summary
        return Fraction(sum(summary.n_certified), max(1, summary.n_labelled) * len(self.radii))

    @property
    def merit(self) -> Fraction:
        """What runs of one group are ranked by: the average radius, where the rule gives it."""
        if self.lowered:
            return self.mean_accuracy
        return self.summary.average_certified_radius or Fraction(0)

    @property
    def arithmetic(self) -> Arithmetic | None:
        """Work of an image and of a sample, where it was counted."""
        measured = {} if self.measured is None else self.measured.details
        counts = self.facts.get("arithmetic") or measured
        names = [field.name for field in fields(Arithmetic)]
        if not all(isinstance(counts.get(name), int) for name in names):
            return None
        return Arithmetic(**{name: counts[name] for name in names})

    def cost(self, which: Cost) -> float | None:
        """What certifying an image costs: seconds as measured, the others as counted."""
        if which == "samples":
            return self.summary.samples_per_image
        if which == "seconds":
            # Without turns of its own a sweep gives the log's seconds, which compare nothing.
            known = self.measured is not None and self.measured.details.get("seconds_measured")
            return self.measured.seconds if known and self.measured is not None else None
        samples, work = self.summary.samples_per_image, self.arithmetic
        return None if samples is None or work is None else work.flops(samples)

    def point(self, radii: Sequence[float]) -> FrontierPoint:
        """The run as a point of the frontier, its accuracies counted from the log."""
        at = dict(zip(self.radii, self.summary.n_certified, strict=True))
        return FrontierPoint(
            name=self.name,
            kind=self.kind,
            images=self.summary.n_labelled,
            input_radii=tuple(radii),
            n_certified=tuple(at[radius] for radius in radii),
            seconds=self.cost("seconds"),
            flops=self.cost("flops"),
            samples=self.cost("samples"),
            build=str(self.build.get("name", "")),
            width=self.build.get("width"),
            latent_sigma=self.manifest.latent_sigma,
            artifact_hash=self.manifest.artifact_hash,
        )


@dataclass(frozen=True)
class Group:
    """Runs certified on the same images with the same noise and statistics: comparable ones.

    Attributes:
        runs: ISRS first, then by merit.
        radii: at which any of them certifies an image, among those that the rule settles.
    """

    runs: tuple[Run, ...]
    radii: tuple[float, ...]

    @property
    def manifest(self) -> Manifest:
        """One of the logs' manifests."""
        return self.runs[0].manifest

    @property
    def cost(self) -> Cost | None:
        """The cost that is known of every run: seconds, if taken in turns, before operations."""
        in_turns = len({run.sweep for run in self.runs}) == 1
        if in_turns and all(run.cost("seconds") for run in self.runs):
            return "seconds"
        return "flops" if all(run.cost("flops") for run in self.runs) else None

    @property
    def sweeps(self) -> list[str]:
        """The sweeps that measured seconds of these runs."""
        return sorted({run.sweep for run in self.runs if run.cost("seconds")})

    def of_kind(self, kind: Kind) -> list[Run]:
        """Runs of one kind, those of the largest merit first."""
        return [run for run in self.runs if run.kind == kind]


def read_runs(folder: Path) -> list[Run]:
    """Read every log of a data set's folder with what lies beside it."""
    files = sorted(folder.glob("*frontier*.json"))
    points = [(point, file.name) for file in files for point in points_from_json(file)]
    runs = []
    for path in sorted(folder.glob("*" + _LOG)):
        name = path.name.removesuffix(_LOG)
        manifest, certificates = read_log(path)
        beside = folder / (name + _FACTS)
        facts = json.loads(beside.read_text("utf-8")) if beside.exists() else {}
        stated = facts.get("artifact_hash", manifest.artifact_hash)
        if stated != manifest.artifact_hash:
            raise SystemExit(f"{beside} is of another classifier than {path}")
        run = Run(name, manifest, tuple(certificates), facts)
        runs.append(replace(run, **_measured(run, points)))
    return runs


def groups(runs: Sequence[Run]) -> list[Group]:
    """Comparable runs together, by noise, then by number of samples and images."""
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(_comparable(run), []).append(run)
    return [_group(found[key]) for key in sorted(found)]


def _measured(run: Run, points: Sequence[tuple[FrontierPoint, str]]) -> dict[str, Any]:
    """The run's point and whose it is: of its classifier, engine and samples."""
    samples = run.summary.samples_per_image or 0.0
    engine = dict(engine_options(run.manifest))
    for point, sweep in points:
        near = point.samples is None or abs(point.samples - samples) <= _SAME_SAMPLES * samples
        same = all(point.details.get(key, engine[key]) == engine[key] for key in _SAME_ENGINE)
        if point.artifact_hash == run.manifest.artifact_hash and near and same:
            return {"measured": point, "sweep": sweep}
    return {}


def _comparable(run: Run) -> tuple[Any, ...]:
    manifest = run.manifest
    which = " ".join(sorted(f"{made.index}:{made.label}" for made in run.certificates))
    images = hashlib.sha256(which.encode()).hexdigest()
    statistics = (manifest.n_estimate, manifest.n_select, manifest.alpha, str(manifest.rule))
    data = (manifest.data_hash, manifest.data_split, images)
    return (manifest.latent_sigma, len(run.certificates), *statistics, *data)


def _group(runs: Sequence[Run]) -> Group:
    def rank(run: Run) -> tuple[bool, Fraction, str]:
        return run.kind == "LSRS", -run.merit, run.name

    certified = [
        max(counts) for counts in zip(*(run.summary.n_certified for run in runs), strict=True)
    ]
    radii = runs[0].radii  # those of the group's rule
    shown = tuple(radius for radius, most in zip(radii, certified, strict=True) if most)
    return Group(runs=tuple(sorted(runs, key=rank)), radii=shown or radii[:1])
