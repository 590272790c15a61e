"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from latentsmooth.training.settings import TrainingSettings

__all__ = ["learning_rate_factor"]

_ONECYCLE_START = 1 / 25
_ONECYCLE_END = _ONECYCLE_START * 1e-4


def learning_rate_factor(settings: TrainingSettings, step: int, total_steps: int) -> float:
    """Return the learning rate of a step as a share of its peak.

    The rate rises in the first ``warmup`` share of the steps, then follows ``schedule``.
    "onecycle" is L. Smith's and N. Topin's policy (arXiv 1708.07120) with cosine ramps, momentum
    left alone.

    Args:
        settings: names the schedule and its numbers.
        step: the step about to be taken, from 0.
        total_steps: steps of the whole run.

    >>> settings = TrainingSettings(schedule="step", warmup=0.0, milestones=(0.5,))
    >>> [learning_rate_factor(settings, step, 4) for step in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    rise = settings.warmup * total_steps
    if settings.schedule == "onecycle":
        return _onecycle(step, rise, total_steps)
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    if settings.schedule == "cosine":
        return _cosine(1.0, 0.0, (step - rise) / max(1.0, total_steps - rise))
    if settings.schedule == "step":
        passed = sum(step >= fraction * total_steps for fraction in settings.milestones)
        return settings.step_gamma**passed
    return 1.0


def _onecycle(step: int, rise: float, total_steps: int) -> float:
    peak = max(0.0, rise - 1)
    if step < peak:
        return _cosine(_ONECYCLE_START, 1.0, step / peak)
    return _cosine(1.0, _ONECYCLE_END, (step - peak) / max(1.0, total_steps - 1 - peak))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
