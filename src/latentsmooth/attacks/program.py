"""The program itself as the judge: only what it answers counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.attacks.geometry import distances, on_ray
from latentsmooth.attacks.result import Answer
from latentsmooth.attacks.settings import Target
from latentsmooth.certification import Certifier, LabelledTensor, Rule

__all__ = ["FINAL_ANSWERS", "Judge", "Rules", "nearest_flips"]

_ASKED_APART = 2**40
"""Indices key the noise: one image's answers are so far apart, so that each has fresh noise."""
_OUTWARD = (1.15, 1.5, 3.0)
_INWARD = 0.85
_LEAST_LEAD = 1.6
"""Lead over the claimed class that counts in a search, in roots of the draws for either."""
_CLOSE = 0.01
"""Relative width of the bracket of a flip at which halving ends."""
_MOST_ASKED = 10
_STEPS_OUT = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5)
"""Scales, from where the vote flips, at which a confident answer is asked for in turn."""
FINAL_ANSWERS = len(_STEPS_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How many draws an answer takes.

    Attributes:
        screen: a first look at a point inside a radius.
        search: for finding where the vote flips.
        final: of answers that count, stopping once the top class is certain.
    """

    screen: Rule
    search: Rule
    final: Rule


class Judge:
    """Asks the program for its answers to points near images, and keeps count.

    Args:
        certifier: the program, with a seed that is not the log's.
        targets: the certificates that are attacked together.
    """

    def __init__(self, certifier: Certifier, targets: Sequence[Target]) -> None:
        self._certifier = certifier
        self._targets = targets
        self._clean = torch.stack([target.image for target in targets])
        self.answers = [0] * len(targets)
        self.abstentions = [0] * len(targets)

    def ask(self, places: Sequence[int], points: Tensor, rule: Rule) -> list[Answer]:
        """Ask for the class at points, each answer with noise of its own.

        Args:
            places: which targets the points are near.
            points: ``(len(places), channels, height, width)`` in [0, 1].
            rule: says how many draws.
        """
        if not places:
            return []
        points = points.to("cpu")
        far = distances(self._clean[list(places)], points).tolist()
        items = []
        for place, point in zip(places, points, strict=True):
            self.answers[place] += 1
            key = self.answers[place] * _ASKED_APART + self._targets[place].index
            items.append(LabelledTensor(image=point, index=key))
        answers = []
        made = self._certifier.certify(items, rule)
        for place, distance, certificate in zip(places, far, made, strict=True):
            self.abstentions[place] += certificate.abstained
            answers.append(
                Answer(
                    input_distance=distance,
                    prediction=certificate.prediction,
                    p_lower=certificate.p_lower,
                    votes=certificate.votes,
                    n_used=certificate.n_used,
                )
            )
        return answers

    def flips(self, place: int, answer: Answer) -> bool:
        """Whether an answer is another class for certain.

        A certificate claims the top class, and only that: where three classes share the draws,
        one is at the top with less than half of them.
        """
        return answer.prediction not in (None, self._targets[place].prediction)

    def leans(self, place: int, answer: Answer) -> bool:
        """Whether another class leads by what is hardly chance; for searching only.

        Unlike a certified answer's, that class may be another than the selection draws' leader.
        """
        leading, most = answer.votes[0]
        claimed = self._targets[place].prediction
        own = dict(answer.votes).get(claimed, 0)
        return leading != claimed and most - own > _LEAST_LEAD * math.sqrt(most + own)


def nearest_flips(
    judge: Judge, clean: Tensor, directions: Tensor, rules: Rules, *, among: Sequence[int]
) -> list[Answer | None]:
    """Find, on the ray from each image through a point, where the program flips.

    First answers of few draws bracket the flip, and halve the bracket; then the program is asked
    for one that counts there, or a little farther out.

    Args:
        judge: of the images.
        clean: ``(images, channels, height, width)`` float32 in [0, 1].
        directions: perturbations from each, flipping or near it.
        rules: how many draws.
        among: which images to look at.

    Returns:
        For each image, the nearest confirmed flip.
    """
    brackets = {place: _Bracket() for place in among}
    for _ in range(_MOST_ASKED):
        places = [place for place, bracket in brackets.items() if not bracket.done]
        scales = [brackets[place].next() for place in places]
        points = _points(clean, directions, places, scales)
        for place, scale, answer in zip(
            places, scales, judge.ask(places, points, rules.search), strict=True
        ):
            brackets[place].tell(scale, flips=judge.leans(place, answer))
    found: list[Answer | None] = [None] * len(clean)
    for step in _STEPS_OUT:
        places = [
            place
            for place, bracket in brackets.items()
            if bracket.high is not None and found[place] is None
        ]
        scales = [(brackets[place].high or 1.0) * step for place in places]
        points = _points(clean, directions, places, scales)
        for place, answer in zip(places, judge.ask(places, points, rules.final), strict=True):
            found[place] = answer if judge.flips(place, answer) else None
    return found


class _Bracket:
    """Scales of a direction between which the vote flips."""

    def __init__(self) -> None:
        self.low = 0.0
        self.high: float | None = None
        self._outward = 0

    @property
    def done(self) -> bool:
        if self.high is None:
            return self._outward > len(_OUTWARD)
        return self.high - self.low <= _CLOSE * self.high

    def next(self) -> float:
        if self.high is None:
            return _OUTWARD[self._outward - 1] if self._outward else 1.0
        if self.low == 0.0 and self.high > _INWARD**2 / 2:
            return self.high * _INWARD
        return (self.low + self.high) / 2

    def tell(self, scale: float, *, flips: bool) -> None:
        if flips:
            self.high = scale
        else:
            self.low = max(self.low, scale)
            self._outward += self.high is None


def _points(
    clean: Tensor, directions: Tensor, places: Sequence[int], scales: Sequence[float]
) -> Tensor:
    chosen = list(places)
    return on_ray(
        clean[chosen],
        directions[chosen],
        torch.tensor(scales, dtype=clean.dtype, device=clean.device),
    )
