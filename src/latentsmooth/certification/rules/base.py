"""What a stopping rule is: votes so far in, "more" or a verdict out."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from latentsmooth.certification.bounds import (
    check_alpha,
    input_radius,
    latent_radius,
    two_sided_latent_radius,
    whole,
)
from latentsmooth.certification.deductions import NOTHING_DEDUCTED, Deductions
from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["More", "PreparedRule", "Rule", "Setting", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a rule must know of the classifier.

    Attributes:
        latent_sigma: standard deviation of the noise.
        lipschitz_bound: the encoder's verified bound; it divides every radius.
        num_classes: how many classes are voted for.
        deductions: what the radii are shortened by.

    Raises:
        ConfigurationError: unless sigma and the bound are positive and finite, with two classes
            or more.
    """

    latent_sigma: float
    lipschitz_bound: float
    num_classes: int
    deductions: Deductions = NOTHING_DEDUCTED

    def __post_init__(self) -> None:
        for name in ("latent_sigma", "lipschitz_bound"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"wanted a positive finite {name}, got {value}")
        if self.num_classes < 2:
            raise ConfigurationError(f"wanted 2 classes or more, got {self.num_classes}")

    def latent_radius(self, p_lower: float, rival_upper: float | None = None) -> float:
        """Latent radius of bounds on the probabilities that the program's votes have.

        Under Gaussian noise each probability may differ by the total variation.
        """
        apart = self.deductions.total_variation
        lowest = math.nextafter(p_lower - apart, -math.inf) if apart else p_lower
        if rival_upper is None:
            return latent_radius(lowest, self.latent_sigma)
        highest = math.nextafter(rival_upper + apart, math.inf) if apart else rival_upper
        if lowest <= 0 or highest >= 1:
            return 0.0
        return two_sided_latent_radius(lowest, highest, self.latent_sigma)

    def input_radius(self, radius_in_latent: float) -> float:
        """What is left of a latent radius over pixels."""
        slack = self.deductions.latent_slack
        return input_radius(radius_in_latent, self.lipschitz_bound, slack=slack)


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """The rule asks for this many additional draws of each phase.

    Attributes:
        select: additional selection draws.
        estimate: additional estimation draws.

    Raises:
        ConfigurationError: for a negative number, or none at all.
    """

    select: int = 0
    estimate: int = 0

    def __post_init__(self) -> None:
        if self.select < 0 or self.estimate < 0 or self.select + self.estimate == 0:
            raise ConfigurationError(
                f"wanted some more draws, got select={self.select}, estimate={self.estimate}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The rule has stopped: this is what the votes prove.

    Attributes:
        candidate: the class chosen by the selection draws.
        prediction: the candidate where it is certified, ``None`` where the rule abstains.
        p_lower: lower bound on the candidate's probability under noise.
        rival_upper: upper bound on every other class's probability where the rule has a better
            one than ``1 - p_lower``, else ``None``.
        latent_radius: l2 radius proven in the latent; 0 when abstaining.
        reason: why the rule stopped, in a few words.
    """

    candidate: int
    prediction: int | None
    p_lower: float
    rival_upper: float | None
    latent_radius: float
    reason: str


class Rule(ABC):
    """When to stop drawing votes, and what the votes then prove with error ``alpha``.

    Concrete rules are frozen dataclasses. A rule is a pure function of the votes: no clock, no
    random numbers, no state. So a certificate does not depend on how draws were scheduled.

    Attributes:
        name: what the rule is called on the command line and in the manifest.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def alpha(self) -> float:
        """Probability that a verdict's class or radius is wrong."""

    @property
    @abstractmethod
    def n_select(self) -> int:
        """Draws that choose the candidate."""

    @property
    @abstractmethod
    def n_max(self) -> int:
        """The most estimation draws the rule ever asks for."""

    @abstractmethod
    def prepare(self, setting: Setting) -> PreparedRule:
        """Compute, once a run, whatever makes steps fast."""

    def settings(self) -> dict[str, str | int | float]:
        """Everything that defines the rule, as JSON values; see `rule_from_settings`.

        The rule's name, and every field: numbers as they are, the rest as text.
        """
        found: dict[str, str | int | float] = {"rule": self.name}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # rules are dataclasses
            value = getattr(self, field.name)
            found[field.name] = value if isinstance(value, int | float) else str(value)
        return found


class PreparedRule(ABC):
    """A rule made ready for one setting.

    Args:
        setting: of the classifier.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        """Say, from the votes so far, how many more draws are wanted, or what they prove.

        Called first with zeros, then whenever all draws asked for are in.

        Args:
            select: selection votes, one count a class.
            estimate: estimation votes, one count a class.

        Raises:
            ShapeError: unless both are ``num_classes`` long.
        """

    def totals(self, select: Sequence[int], estimate: Sequence[int]) -> tuple[int, int]:
        """Draws so far of each phase, the lengths checked."""
        wanted = self.setting.num_classes
        if len(select) != wanted or len(estimate) != wanted:
            raise ShapeError(f"expected {wanted} counts, got {len(select)} and {len(estimate)}")
        return sum(select), sum(estimate)

    def in_input(self, probability: float) -> float:
        """Input radius that a candidate of this probability has; 0 up to one half."""
        return self.setting.input_radius(self.setting.latent_radius(probability))

    def one_sided(self, candidate: int, p_lower: float, reason: str) -> Verdict:
        """The verdict of a lower bound alone: every other class has at most ``1 - p_lower``."""
        radius = self.setting.latent_radius(p_lower)
        certified = radius > 0
        return Verdict(
            candidate=candidate,
            prediction=candidate if certified else None,
            p_lower=p_lower,
            rival_upper=None,
            latent_radius=radius,
            reason=reason,
        )


def most_voted(votes: Sequence[int]) -> int:
    """The class with the most votes; of equals the first."""
    return max(range(len(votes)), key=votes.__getitem__)


def check_draws(rule: Rule, *counts: str) -> None:
    """Make a rule's counts and alpha plain numbers, which manifests can hold.

    Args:
        rule: a frozen dataclass.
        counts: fields that are numbers of draws.

    Raises:
        ConfigurationError: unless alpha is in (0, 1) and the counts are whole and at least 1.
    """
    check_alpha(rule.alpha)
    object.__setattr__(rule, "alpha", float(rule.alpha))
    for name in counts:
        object.__setattr__(rule, name, whole(name, getattr(rule, name), at_least=1))
