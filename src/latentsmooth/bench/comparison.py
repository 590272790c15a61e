"""Contenders in turns, A B C A B C, and what follows from their times."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import torch
from torch import Tensor

from latentsmooth.bench.contender import Contender, Outcome, Unavailable
from latentsmooth.bench.engine import Engine
from latentsmooth.bench.lineup import KINDS, make_contenders
from latentsmooth.bench.macs import matmul_rates
from latentsmooth.bench.noise_cost import noise_nanoseconds
from latentsmooth.bench.result import Comparison, ModelFacts, Standing
from latentsmooth.bench.subjects import Subject
from latentsmooth.certification import EngineOptions, FixedRule
from latentsmooth.certification.rules import check_rule_certifies_anything
from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.machine import describe_machine
from latentsmooth.records import package_versions

__all__ = ["compare", "take_turns"]

_BASELINES: Final = ("textbook", "art")

Report = Callable[[str], None]


def compare(
    subjects: Sequence[Subject],
    images: Tensor,
    *,
    n_select: int = 100,
    n_estimate: int = 1000,
    alpha: float = 1e-3,
    rounds: int = 3,
    kinds: Sequence[str] = KINDS,
    goal: str | None = None,
    goal_images: Tensor | None = None,
    options: EngineOptions | None = None,
    command: str = "",
    data: str = "random",
    report: Report | None = None,
) -> Comparison:
    """Time contenders side by side, in one process, interleaved.

    Args:
        subjects: classifiers of one image shape; the first ISRS one is what the textbook loop
            and the toolbox run.
        images: ``(batch, channels, height, width)`` float, pixels in [0, 1]; a turn's work.
        n_select: samples that choose the candidate class.
        n_estimate: samples that bound its probability; the most of them towards a goal.
        alpha: probability that one certificate is wrong.
        rounds: turns of each contender.
        kinds: of contenders, out of ``textbook``, ``art``, ``isrs``, ``lsrs``, ``ceiling``.
        goal: every engine also runs a sequential rule towards it, see `parse_goal`.
        goal_images: a turn's work towards the goal; the same images by default. Since each wants
            few samples at a time, batches are full only with many of them.
        options: how the engine runs, see `Certifier`.
        command: to be noted in the result.
        data: to be noted in the result.
        report: called with a line on what goes on.

    Returns:
        The turns of each, and the figures.

    Raises:
        ConfigurationError: for an unknown kind, a count below one, too few samples for any
            certificate, or a goal for random weights.
        ShapeError: for images of another shape than the classifiers'.
    """
    tell = report or (lambda line: None)
    many = images if goal_images is None else goal_images
    _check(subjects, images, rounds=rounds, n_estimate=n_estimate, goal=goal)
    check_rule_certifies_anything(FixedRule(n_select=n_select, n_estimate=n_estimate, alpha=alpha))
    contenders, skipped = make_contenders(
        subjects, kinds=kinds, n_select=n_select, alpha=alpha, goal=goal, options=options
    )
    for contender in contenders:
        if isinstance(contender, Engine):
            contender.refuse_hopeless(n_estimate)
    ready = _prepare(contenders, images, skipped, tell)
    contenders = [each for each in contenders if each.name in ready]
    rates = matmul_rates(_device(subjects))
    turns, order = take_turns(
        contenders, images, goal_images=many, n=n_estimate, rounds=rounds, report=tell
    )
    tell("one more turn of every engine, stage by stage")
    standings = tuple(
        dataclasses.replace(
            _standing(contender, turns, ready[contender.name], rates, contenders),
            **_inside(contender, many if contender.wants_many else images, n_estimate),
        )
        for contender in contenders
    )
    return Comparison(
        command=command,
        machine=describe_machine(_device(subjects)),
        versions=_versions(contenders),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        data=data,
        images=len(images),
        n_select=n_select,
        n_estimate=n_estimate,
        rounds=rounds,
        order=order,
        models=tuple(_facts(subject) for subject in subjects),
        matmul_rates=rates,
        standings=standings,
        skipped=skipped,
    )


def take_turns(
    contenders: Sequence[Contender],
    images: Tensor,
    *,
    n: int,
    rounds: int,
    goal_images: Tensor | None = None,
    report: Report | None = None,
) -> tuple[dict[str, list[Outcome]], tuple[str, ...]]:
    """Let each contender have one turn a round, always in the same order.

    Args:
        contenders: prepared.
        images: a turn's work.
        n: estimation samples an image.
        rounds: turns of each.
        goal_images: the work of those that want many images.
        report: called with a line before each turn.

    Returns:
        The turns by name, and the names in the order in which they went.
    """
    turns: dict[str, list[Outcome]] = {contender.name: [] for contender in contenders}
    order = []
    for number in range(rounds):
        for contender in contenders:
            if report is not None:
                report(f"round {number + 1} of {rounds}: {contender.name}")
            work = images if goal_images is None or not contender.wants_many else goal_images
            turns[contender.name].append(contender.run(work, n))
            order.append(contender.name)
    return turns, tuple(order)


def _prepare(
    contenders: Sequence[Contender], images: Tensor, skipped: dict[str, str], report: Report
) -> dict[str, float]:
    """Seconds that each took to get ready, by name; why some could not goes to ``skipped``."""
    ready = {}
    for contender in contenders:
        report(f"preparing {contender.name}")
        start = time.perf_counter()
        try:
            contender.prepare(images)
        except Unavailable as reason:
            skipped[contender.name] = str(reason)
        else:
            ready[contender.name] = time.perf_counter() - start
    return ready


def _inside(contender: Contender, images: Tensor, n: int) -> dict[str, Any]:
    """Where an engine's time goes; of other contenders nothing is known."""
    if not isinstance(contender, Engine):
        return {}
    return {
        "stages": contender.breakdown(images, n),
        "noise_ns": noise_nanoseconds(contender),
    }


def _standing(
    contender: Contender,
    turns: Mapping[str, Sequence[Outcome]],
    ready: float,
    rates: Mapping[str, float],
    contenders: Sequence[Contender],
) -> Standing:
    mine = turns[contender.name]
    baselines = [each.name for each in contenders if each.kind in _BASELINES]
    peak = rates.get(str(contender.settings.get("precision")))
    above = turns.get(contender.ceiling or "")
    return Standing(
        name=contender.name,
        kind=contender.kind,
        description=contender.description,
        model=contender.model,
        settings=dict(contender.settings),
        prepare_seconds=ready,
        images=mine[0].images,
        seconds=tuple(turn.seconds for turn in mine),
        samples=tuple(turn.samples for turn in mine),
        macs=contender.macs,
        peak_share=2 * contender.macs * statistics.median(map(_rate, mine)) / peak
        if peak
        else None,
        ceiling_share=_ratio(mine, above, _rate) if above else None,
        speedup={
            name: _ratio(turns[name], mine, _pace)
            for name in baselines
            if name != contender.name and contender.kind != "ceiling"
        },
    )


def _rate(turn: Outcome) -> float:
    return turn.samples / turn.seconds


def _pace(turn: Outcome) -> float:
    return turn.seconds / turn.images


def _ratio(
    upper: Sequence[Outcome], lower: Sequence[Outcome], figure: Callable[[Outcome], float]
) -> float:
    """Median over the rounds of the ratio within a round: the machine's moods cancel."""
    return statistics.median(figure(a) / figure(b) for a, b in zip(upper, lower, strict=True))


def _check(
    subjects: Sequence[Subject], images: Tensor, *, rounds: int, n_estimate: int, goal: str | None
) -> None:
    if not subjects:
        raise ConfigurationError("wanted at least 1 model, got none")
    if rounds < 1 or n_estimate < 1 or len(images) < 1:
        raise ConfigurationError(
            f"wanted at least 1 round, estimation sample and image, got {rounds}, {n_estimate} "
            f"and {len(images)}"
        )
    for subject in subjects:
        if tuple(images.shape[1:]) != subject.model.image_shape:
            raise ShapeError(
                f"expected images of shape {subject.model.image_shape} for {subject.label}, got "
                f"{tuple(images.shape[1:])}"
            )
    random = [subject.label for subject in subjects if not subject.trained]
    if goal is not None and random:
        raise ConfigurationError(
            f"{random[0]} has random weights, so that the samples it needs to {goal!r} say "
            "nothing; a goal wants trained models"
        )


def _versions(contenders: Sequence[Contender]) -> dict[str, str]:
    found = {c.kind: str(c.settings["version"]) for c in contenders if "version" in c.settings}
    return {**package_versions(), **found}


def _facts(subject: Subject) -> ModelFacts:
    model = subject.model
    return ModelFacts(
        label=subject.label,
        kind="isrs" if subject.is_input_space else "lsrs",
        trained=subject.trained,
        fingerprint=model.fingerprint,
        image_shape=model.image_shape,
        latent_shape=model.latent_shape,
        latent_sigma=model.latent_sigma,
    )


def _device(subjects: Sequence[Subject]) -> torch.device:
    return subjects[0].device
