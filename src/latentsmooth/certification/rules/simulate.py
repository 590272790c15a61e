"""Certifications in simulation: a rule's own steps on votes drawn from known probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentsmooth.certification.rules.base import More, Rule, Setting
from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["SimulationResult", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """What a rule made of many simulated images.

    Attributes:
        claimed_radius: ``(runs,)`` float64, latent radii; 0 when abstaining.
        abstained: ``(runs,)`` bool.
        n_used: ``(runs,)`` int64, draws of both phases.
        candidate: ``(runs,)`` int64, classes chosen by selection.
    """

    claimed_radius: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    n_used: NDArray[np.int64]
    candidate: NDArray[np.int64]


def simulate(
    rule: Rule,
    setting: Setting,
    probabilities: NDArray[np.float64],
    runs: int,
    rng: np.random.Generator,
) -> SimulationResult:
    """Run a rule on votes drawn with known probabilities.

    Every decision is one of the rule's own steps. Runs whose votes are equal share it, which is
    what makes tens of thousands of runs cheap.

    Args:
        rule: the rule.
        setting: of the classifier that is imagined.
        probabilities: ``(classes,)``, or ``(runs, classes)`` for another image each run.
        runs: how many certifications.
        rng: draws the votes.

    Raises:
        ShapeError: where the probabilities have another shape.
        ConfigurationError: where they are not probabilities.

    Example:
        >>> from latentsmooth.certification.rules import FixedRule
        >>> setting = Setting(latent_sigma=1.0, lipschitz_bound=1.0, num_classes=2)
        >>> rng = np.random.default_rng(0)
        >>> result = simulate(FixedRule(), setting, np.array([0.9, 0.1]), 50, rng)
        >>> bool((result.claimed_radius <= 1.2816).all())
        True
    """
    classes = setting.num_classes
    chances = _checked(probabilities, runs, classes)
    prepared = rule.prepare(setting)
    votes = np.zeros((runs, 2 * classes), dtype=np.int64)
    verdicts = np.zeros((runs, 3))
    active = np.arange(runs)
    while len(active):
        states, members = _distinct(votes[active])
        asked = np.zeros((len(states), 2), dtype=np.int64)
        reached = np.zeros((len(states), 3))
        for number, state in enumerate(states.tolist()):
            answer = prepared.step(state[:classes], state[classes:])
            if isinstance(answer, More):
                asked[number] = answer.select, answer.estimate
            else:
                reached[number] = (
                    answer.latent_radius,
                    answer.prediction is None,
                    answer.candidate,
                )
        wanted = asked[members]
        going_on = wanted.sum(axis=1) > 0
        verdicts[active[~going_on]] = reached[members[~going_on]]
        active, wanted = active[going_on], wanted[going_on]
        for phase in (0, 1):
            drawn = rng.multinomial(wanted[:, phase], chances[active])
            votes[active, phase * classes : (phase + 1) * classes] += drawn
    return SimulationResult(
        claimed_radius=verdicts[:, 0],
        abstained=verdicts[:, 1] > 0,
        n_used=votes.sum(axis=1),
        candidate=verdicts[:, 2].astype(np.int64),
    )


def _distinct(
    votes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows, and for each row which of them it is."""
    spans = (votes.max(axis=0) + 1).tolist()
    if math.prod(spans) >= 2**62:
        states, group = np.unique(votes, axis=0, return_inverse=True)
        return states, group.reshape(-1)
    # Rows as digits of one number: an order of magnitude faster than sorting rows.
    strides = np.array([math.prod(spans[place + 1 :]) for place in range(len(spans))])
    _, first, group = np.unique(votes @ strides, return_index=True, return_inverse=True)
    return votes[first], group.reshape(-1)


def _checked(probabilities: NDArray[np.float64], runs: int, classes: int) -> NDArray[np.float64]:
    chances = np.asarray(probabilities, dtype=np.float64)
    if chances.shape not in ((classes,), (runs, classes)):
        raise ShapeError(
            f"expected probabilities of shape ({classes},) or ({runs}, {classes}), "
            f"got {chances.shape}"
        )
    if chances.min() < 0 or abs(chances.sum(axis=-1) - 1).max() > 1e-9:
        raise ConfigurationError("wanted probabilities >= 0 that add up to 1")
    return np.broadcast_to(chances, (runs, classes))
