"""Attack certificates: search inside and beyond, and let the program be the judge."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from latentsmooth.attacks.gradient import Pursuit, SmoothedGradient
from latentsmooth.attacks.program import FINAL_ANSWERS, Judge, Rules, nearest_flips
from latentsmooth.attacks.result import Answer, AttackedCertificate
from latentsmooth.attacks.search import attack_beyond, attack_inside
from latentsmooth.attacks.settings import AttackSettings, Target
from latentsmooth.certification import (
    Certifier,
    EngineOptions,
    SmoothedClassifier,
    TwoSidedRule,
    parse_rule,
)
from latentsmooth.certification.rules import check_rule_certifies
from latentsmooth.errors import ConfigurationError

__all__ = [
    "answer_alpha",
    "attack_certificates",
    "attack_program",
    "check_targets",
    "images_together",
]

_ROWS = 512
"""Noisy latents a gradient step: more are no faster. What memory allows is less where needed."""
_SELECT = 500
_SELECT_SHARE = 25
"""Draws that choose the class of an answer that counts, at least, and which part of all they are:
near a flip, a few mistake it."""
_BOX_SLACK = 1 + 1e-6


def images_together(settings: AttackSettings) -> int:
    """Images that are attacked at a time; their number changes nothing but the speed."""
    return max(1, _ROWS // settings.draws)


def answer_alpha(alpha: float, settings: AttackSettings, *, targets: int) -> float:
    """Return the error probability of each answer that counts.

    Over all of them together the program calls a point another class's, when it is not, with
    probability at most ``alpha``: the answers that count share it equally.
    """
    return alpha / max(1, targets * (settings.restarts + FINAL_ANSWERS))


def attack_certificates(
    classifier: SmoothedClassifier,
    targets: Sequence[Target],
    settings: AttackSettings,
    *,
    n_estimate: int = 100_000,
    alpha: float = 1e-3,
    total: int | None = None,
    **engine: Unpack[EngineOptions],
) -> Iterator[list[AttackedCertificate]]:
    """Try to falsify certificates, a few images at a time.

    Gradients only propose points. A flip is what the program itself, asked with fresh noise,
    answers with confidence; see `Certifier`.

    Args:
        classifier: the one that was certified.
        targets: certificates with positive radii.
        settings: how hard to try.
        n_estimate: the most estimation draws of an answer that counts; no fewer than
            ``search_draws`` are made.
        alpha: probability that any flip reported is none.
        total: certificates in the whole attack, where ``targets`` are what is left of it.
        engine: how the program runs; ``seed`` must not be that of the certificates.

    Returns:
        An iterator over batches, in order, each as soon as it is done.

    Raises:
        ConfigurationError: for a target that cannot be attacked, draws too few for any answer, or
            on a device without float64.
    """
    check_targets(targets, num_classes=len(classifier.class_names))
    engine.setdefault("seed", settings.seed)
    certifier = Certifier(classifier, **engine)
    return attack_program(
        certifier, targets, settings, n_estimate=n_estimate, alpha=alpha, total=total
    )


def attack_program(
    certifier: Certifier,
    targets: Sequence[Target],
    settings: AttackSettings,
    *,
    n_estimate: int,
    alpha: float,
    total: int | None = None,
) -> Iterator[list[AttackedCertificate]]:
    """As `attack_certificates`, of a program made ready before."""
    if certifier.device.type == "mps":
        raise ConfigurationError("distances are computed in float64, which mps does not have")
    gradient = SmoothedGradient(
        certifier.prepared, latent_sigma=certifier.latent_sigma, draws=settings.draws
    )
    each = answer_alpha(alpha, settings, targets=total or len(targets))
    rules = _rules(settings, n_estimate, alpha, each)
    for rule in (rules.screen, rules.search, rules.final):
        check_rule_certifies(rule, certifier.setting)  # before any search is made in vain
    run = _Attack(certifier, gradient, settings, rules)
    together = images_together(settings)
    return (run(targets[i : i + together]) for i in range(0, len(targets), together))


def check_targets(targets: Sequence[Target], *, num_classes: int) -> None:
    """Raise unless each is a certificate of one of the classes, with a radius.

    Raises:
        ConfigurationError: naming the image.
    """
    for target in targets:
        if target.image.dtype != torch.float32:
            raise ConfigurationError(f"wanted float32 images, got {target.image.dtype}")
        if not target.input_radius > 0 or not 0 <= target.prediction < num_classes:
            raise ConfigurationError(
                f"wanted certificates of a class with a radius above 0, got class "
                f"{target.prediction} and radius {target.input_radius} of image {target.index}"
            )


def _rules(settings: AttackSettings, n_estimate: int, alpha: float, each: float) -> Rules:
    few, many = settings.search_draws, max(settings.search_draws, n_estimate)
    return Rules(
        screen=TwoSidedRule(n_select=100, n_estimate=few, alpha=alpha),
        search=parse_rule("sequential", goal="decide", alpha=0.05, n_select=32, n_estimate=few),
        final=parse_rule(
            "sequential",
            goal="decide",
            alpha=each,
            n_select=max(_SELECT, many // _SELECT_SHARE),
            n_estimate=many,
        ),
    )


@dataclass(frozen=True)
class _Attack:
    certifier: Certifier
    gradient: SmoothedGradient
    settings: AttackSettings
    rules: Rules

    def __call__(self, targets: Sequence[Target]) -> list[AttackedCertificate]:
        start = time.perf_counter()
        device = self.certifier.device
        batch = _Batch(
            targets=targets,
            judge=Judge(self.certifier, targets),
            clean=torch.stack([target.image for target in targets]).float().to(device),
            classes=torch.tensor([target.prediction for target in targets], device=device),
            claimed=[_attacked_radius(target, self.settings.control) for target in targets],
            generators=[self._generator(target.index) for target in targets],
        )
        points, inside, flips = self._inside(batch)
        moved = points - batch.clean
        if self.settings.beyond:
            moved = attack_beyond(
                Pursuit(self.gradient),
                batch.clean,
                batch.classes,
                batch.radii,
                moved,
                batch.generators,
                steps=self.settings.steps,
            )
        among = [place for place, flip in enumerate(flips) if self.settings.beyond or flip]
        nearer = nearest_flips(batch.judge, batch.clean, moved, self.rules, among=among)
        flips = [_nearest(one, other) for one, other in zip(flips, nearer, strict=True)]
        return batch.rows(inside, flips, seconds=(time.perf_counter() - start) / len(targets))

    def _inside(self, batch: _Batch) -> tuple[Tensor, list[Answer], list[Answer | None]]:
        """Search inside; the points, the last answers there, and those that are flips."""
        kept = batch.clean.clone()
        last: list[Answer | None] = [None] * len(kept)
        flips: list[Answer | None] = [None] * len(kept)
        for _ in range(self.settings.restarts):
            points = attack_inside(
                Pursuit(self.gradient),
                batch.clean,
                batch.classes,
                batch.radii,
                batch.generators,
                steps=self.settings.steps,
            )
            places = [place for place, flip in enumerate(flips) if flip is None]
            kept[places] = points[places]
            screened = batch.judge.ask(places, points[places], self.rules.screen)
            doubtful = []
            for place, answer in zip(places, screened, strict=True):
                last[place] = answer
                if answer.votes[0][0] != batch.targets[place].prediction:
                    doubtful.append(place)
            settled = batch.judge.ask(doubtful, points[doubtful], self.rules.final)
            for place, answer in zip(doubtful, settled, strict=True):
                last[place] = answer
                flips[place] = answer if batch.judge.flips(place, answer) else None
        return kept, [answer for answer in last if answer is not None], flips

    def _generator(self, index: int) -> torch.Generator:
        state = np.random.SeedSequence([self.settings.seed, index]).generate_state(1, np.uint64)
        generator = torch.Generator(device=self.certifier.device)
        return generator.manual_seed(int(state[0]) >> 1)


@dataclass(frozen=True)
class _Batch:
    targets: Sequence[Target]
    judge: Judge
    clean: Tensor
    classes: Tensor
    claimed: Sequence[float]
    generators: Sequence[torch.Generator]

    @property
    def radii(self) -> Tensor:
        """What is searched: nothing lies outside the box."""
        radii = torch.tensor(self.claimed, dtype=torch.float64, device=self.clean.device)
        return radii.clamp(max=_diameter(self.clean[0]))

    def rows(
        self, inside: Sequence[Answer], flips: Sequence[Answer | None], *, seconds: float
    ) -> list[AttackedCertificate]:
        return [
            AttackedCertificate(
                index=target.index,
                label=target.label,
                prediction=target.prediction,
                input_radius=target.input_radius,
                attacked_radius=self.claimed[place],
                inside=inside[place],
                flip=flips[place],
                answers=self.judge.answers[place],
                abstentions=self.judge.abstentions[place],
                seconds=seconds,
                name=target.name,
            )
            for place, target in enumerate(self.targets)
        ]


def _attacked_radius(target: Target, control: float) -> float:
    """The radius times the control's factor, which need not lead out of the box."""
    farthest = max(target.input_radius, _diameter(target.image))
    return min(target.input_radius * control, farthest)


def _diameter(image: Tensor) -> float:
    return math.sqrt(image.numel()) * _BOX_SLACK


def _nearest(*answers: Answer | None) -> Answer | None:
    given = [answer for answer in answers if answer is not None]
    return min(given, key=lambda answer: answer.input_distance, default=None)
