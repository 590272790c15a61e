"""What is attacked, and how hard."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from latentsmooth.certification.bounds import whole
from latentsmooth.errors import ConfigurationError

__all__ = ["AttackSettings", "Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A certificate to falsify, with its image.

    Attributes:
        image: ``(channels, height, width)`` float32, pixels in [0, 1].
        index: its position in the data set.
        label: its true class, where known.
        prediction: the class that the certificate claims.
        input_radius: the l2 radius over pixels that it claims the class on.
        name: what its data set calls the image, where the log says.
    """

    image: Tensor
    index: int
    label: int | None
    prediction: int
    input_radius: float
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSettings:
    """How hard to try.

    Attributes:
        steps: gradient steps of each search.
        draws: noise draws a step and image, fresh ones each.
        restarts: searches inside each radius, each from another random start.
        seed: of the attack's noise and of the program's answers; never the log's.
        beyond: whether to look for the smallest flip outside the radius as well.
        control: factor on every radius; above 1 the certificates attacked are wrong on purpose.
        search_draws: the most draws an answer of the program, while the flip nearest to the image
            is looked for.

    Raises:
        ConfigurationError: for a number that makes no sense.

    Example:
        >>> AttackSettings(steps=0)
        Traceback (most recent call last):
            ...
        latentsmooth.errors.ConfigurationError: wanted steps as a whole number >= 1, got 0
    """

    steps: int = 100
    draws: int = 32
    restarts: int = 1
    seed: int = 1
    beyond: bool = True
    control: float = 1.0
    search_draws: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "draws", "restarts", "search_draws"):
            whole(name, getattr(self, name), at_least=1)
        whole("seed", self.seed, at_least=0)
        if not (math.isfinite(self.control) and self.control > 0):
            raise ConfigurationError(f"wanted a control factor above 0, got {self.control}")

    @property
    def wrong_on_purpose(self) -> bool:
        """Whether radii are multiplied by a factor other than 1."""
        return self.control != 1
