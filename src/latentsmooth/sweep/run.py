"""The sweep: train, certify, measure, draw; resumed wherever it was left."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from latentsmooth.certification import Certifier, LabelledTensor, Rule, prepare_classifier
from latentsmooth.certification.rules import Setting
from latentsmooth.errors import ConfigurationError
from latentsmooth.files import hold, make_folder
from latentsmooth.images import ImageSet
from latentsmooth.machine import describe_machine
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import fitted_images, package_versions
from latentsmooth.records.run import OnCertificate, engine_options
from latentsmooth.records.settled import check_settled
from latentsmooth.sweep.certifying import (
    certify_run,
    device_of,
    found_certificates,
    place,
)
from latentsmooth.sweep.cost import (
    TURNS_FILE,
    arithmetic,
    measured_seconds,
)
from latentsmooth.sweep.gathering import Done, at_radii, engine_identity, kind_of, point_of
from latentsmooth.sweep.output import write_result
from latentsmooth.sweep.plan import CertifySettings, SweepPlan, SweepRun
from latentsmooth.sweep.points import Cost, points_from_json, read_frontier
from latentsmooth.sweep.reach import unreachable
from latentsmooth.sweep.result import FRONTIER_FILE, SweepResult, mapping
from latentsmooth.sweep.training import Shelf, check_goal, obtain

__all__ = ["redraw", "sweep"]

Progress = Callable[[str], AbstractContextManager[OnCertificate]]


def sweep(
    plan: SweepPlan,
    output: str | Path,
    *,
    only: Sequence[str] = (),
    may_train: bool = True,
    command: str = "",
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> SweepResult:
    """Train, certify and time every run of a plan, and draw accuracy against cost.

    Whatever an earlier call with the same folder finished is taken up: training from its last
    checkpoint, certificates from the last whole line, timing from the last turn.

    Args:
        plan: the runs and what they have in common.
        output: folder for everything: one folder a run, and the frontier's files.
        only: names of runs to work on; of the others, what is there already is shown.
        may_train: whether to train; otherwise runs that are not trained yet are left out.
        command: the command line, for the records.
        say: told what happens.
        progress: makes the bar of one certification; ``None`` shows none, nor of trainings.

    Returns:
        The points and what they were made from, as ``frontier.json`` has them.

    Raises:
        ConfigurationError: another sweep works in the folder, a run's folder holds another run, or
            nothing is there to show.
        LogError: a run's log is of other images, another classifier or other settings.
    """
    unknown = sorted(set(only) - {run.name for run in plan.runs})
    if unknown:
        known = ", ".join(run.name for run in plan.runs)
        raise ConfigurationError(f"no run is called {unknown[0]!r}; the sweep has {known}")
    folder = Path(output)
    sweeper = _Sweeper(plan, folder, only, may_train, command, say, progress)
    return _alone(folder, sweeper.run)


def redraw(
    output: str | Path, *, radii: Sequence[float] | None = None, cost: Cost | None = None
) -> SweepResult:
    """Write a finished sweep's tables and pictures anew, from its ``frontier.json``.

    Args:
        output: the sweep's folder.
        radii: to compare at, in place of the ones before; others than those are counted in the
            runs' logs.
        cost: to compare by, in place of the one before.

    Raises:
        CorruptArtifact: there is no ``frontier.json``, or it is damaged.
        LogError: a log that a radius is wanted from is gone or is another classifier's.
        ConfigurationError: a radius that the logs' rule does not settle.
    """
    folder = Path(output)
    content = read_frontier(folder / FRONTIER_FILE)
    result = SweepResult.from_json(content, where=str(folder / FRONTIER_FILE))
    chosen = result.input_radii if radii is None else tuple(dict.fromkeys(map(float, radii)))
    check_settled(chosen, mapping(content.get("rule")))
    points = tuple(at_radii(point, chosen, folder) for point in points_from_json(content))
    result = result.at(points, input_radii=chosen, cost=cost or result.cost)

    def write() -> SweepResult:
        write_result(result, folder)
        return result

    return _alone(folder, write)


def _alone(folder: Path, work: Callable[[], SweepResult]) -> SweepResult:
    """Do it with the folder for this process alone."""
    try:
        make_folder(folder)
        with hold(folder / ".lock"):
            return work()
    except BlockingIOError as error:
        raise ConfigurationError(f"{folder}: another sweep works there") from error
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot go on there: {error}") from error


class _Sweeper:
    """One call of `sweep`."""

    def __init__(
        self,
        plan: SweepPlan,
        folder: Path,
        only: Sequence[str],
        may_train: bool,
        command: str,
        say: Callable[[str], None],
        progress: Progress | None,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.only = set(only)
        self.may_train = may_train
        self.command = command
        self.say = say
        self.progress = progress
        self.shelf = Shelf(plan.image_size)
        self.left_out: dict[str, str] = {}

    def run(self) -> SweepResult:
        settings = self.plan.certify
        images = self.shelf.take(
            settings.data or self.plan.data,
            settings.split,
            stride=settings.stride,
            limit=settings.limit,
        )
        if not bool((images.labels >= 0).any()):  # before anything is trained
            raise ConfigurationError(
                f"a sweep compares accuracies: wanted images with labels, {images.source} (split "
                f"{images.split}) has none; latentsmooth certify takes such"
            )
        for run in self.plan.runs:
            if self.may_train and (not self.only or run.name in self.only):
                check_goal(run, self.plan, shelf=self.shelf)
        done = [made for run in self.plan.runs if (made := self._work(run, images)) is not None]
        if not done:
            why = "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
            raise ConfigurationError(f"nothing to show: {why}")
        seconds = self._seconds(done, images)
        points = tuple(
            point_of(each, self.plan.input_radii, seconds.get(each.run.name, [])) for each in done
        )
        result = SweepResult(
            points=points,
            input_radii=self.plan.input_radii,
            cost=self.plan.cost,
            left_out=dict(self.left_out),
            about=self._about(done[0], images),
        )
        write_result(result, self.folder)
        return result

    def _work(self, run: SweepRun, images: ImageSet) -> Done | None:
        """One run from nothing to its last certificate, as far as it is asked for."""
        asked = not self.only or run.name in self.only
        own = self.folder / run.name
        model = obtain(
            run,
            self.plan,
            own,
            shelf=self.shelf,
            may_train=self.may_train and asked,
            command=self.command,
            say=self.say,
            progress=self.progress is not None,
        )
        if model is None:
            self._leave(run, "not trained")
            return None
        settings = self.plan.certify
        certified = None if asked else found_certificates(model, images, own, settings)
        if asked:
            self._tell_reach(run, model)
            self.say(f"{run.name}: certifying {len(images):,} images ({kind_of(model)})")
            certified = certify_run(
                model,
                images,
                own,
                name=run.name,
                settings=settings,
                command=self.command,
                bar=nullcontext(None) if self.progress is None else self.progress(run.name),
            )
        if certified is None:
            self._leave(run, "not certified")
            return None
        model = model.cpu()
        engine = engine_options(certified.manifest)
        prepared = prepare_classifier(
            model,
            folds=engine["folds"],
            encoder_precision=engine["encoder_precision"],
            noise=engine["noise"],
        )
        return Done(run=run, model=model, certified=certified, arithmetic=arithmetic(prepared))

    def _tell_reach(self, run: SweepRun, model: LatentSmoothedClassifier) -> None:
        """Say at which radii no image can be certified, whatever the classifier answers."""
        setting = Setting(
            latent_sigma=model.latent_sigma,
            lipschitz_bound=model.lipschitz_bound,
            num_classes=len(model.class_names),
        )
        rule = self.plan.certify.stopping_rule()
        if text := unreachable(self.plan.input_radii, rule, setting):
            self.say(f"{run.name}: {text}")

    def _leave(self, run: SweepRun, reason: str) -> None:
        self.say(f"{run.name}: left out, {reason}")
        self.left_out[run.name] = reason

    def _seconds(self, done: Sequence[Done], images: ImageSet) -> dict[str, list[float]]:
        """Seconds a sample by round of every run, all taken in turns; none where not asked for."""
        measure, settings = self.plan.measure, self.plan.certify
        if not measure.images:
            return {}
        rule = settings.stopping_rule()
        means = [
            statistics.fmean(made.n_used for made in each.certified.certificates) for each in done
        ]
        count = images_a_turn(measure.images, rule, means, at_most=len(images))
        fitted = fitted_images(done[0].model, images)
        chosen = fitted.subset(stride=len(images) // count, limit=count)
        items = [
            LabelledTensor(image=item.image, index=item.index, label=item.label) for item in chosen
        ]
        first = done[0].certified.manifest
        return measured_seconds(
            {
                each.run.name: partial(_certifier, each, settings, tune=measure.tune)
                for each in done
            },
            items,
            rule=rule,
            rounds=measure.rounds,
            path=self.folder / TURNS_FILE,
            identity={
                "runs": {each.run.name: engine_identity(each.certified.manifest) for each in done},
                **({"tune": True} if measure.tune else {}),
                "rule": dict(first.rule),
                "images": list(chosen.indices),
                "data": first.data_hash,
                "machine": self._machine(),
                "versions": package_versions(),
            },
            say=self.say,
        )

    def _machine(self) -> dict[str, Any]:
        return describe_machine(device_of(self.plan.certify.device))

    def _about(self, done: Done, images: ImageSet) -> dict[str, Any]:
        manifest = done.certified.manifest
        return {
            "command": self.command,
            "plan": self.plan.to_json(),
            "data": {
                "source": manifest.data_source,
                "split": manifest.data_split,
                "sha256": manifest.data_hash,
                "images": len(images),
                "labelled": int((images.labels >= 0).sum()),
            },
            "rule": dict(manifest.rule),
            "versions": package_versions(),
            # Of the seconds: the logs may have been made elsewhere, or with other threads.
            "machine": self._machine() if self.plan.measure.images else dict(manifest.machine),
        }


def images_a_turn(wanted: int, rule: Rule, samples: Sequence[float], *, at_most: int) -> int:
    """Return as many more images as a rule that stops early saves samples.

    A few images that stop early leave head batches half empty, large ones the more: seconds a
    sample would say more of the turn's end than of the classifier.

    Args:
        wanted: images where each takes all of the rule's samples.
        rule: by which they are certified.
        samples: each classifier's an image, in its log.
        at_most: images there are.
    """
    return min(at_most, math.ceil(wanted * (rule.n_select + rule.n_max) / min(samples)))


def _certifier(done: Done, settings: CertifySettings, *, tune: bool) -> Certifier:
    """The engine as it made the run's log, its batch size chosen anew where that is asked for."""
    engine = engine_options(done.certified.manifest)
    engine["seed"] = settings.seed
    if tune:
        engine.pop("batch_size", None)
    return Certifier(place(done.model, settings.device), **engine)
