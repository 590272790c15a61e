"""One log's figures: exact counts first, ratios as fractions, texts elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentsmooth.errors import ConfigurationError
from latentsmooth.records.manifest import Manifest
from latentsmooth.records.rounding import exact
from latentsmooth.records.view import CertificateLike, LogView
from latentsmooth.reporting.confidence import false_certificates_at_most

__all__ = ["DEFAULT_RADII", "LogSummary", "summarize"]

DEFAULT_RADII = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSummary:
    """What a report says of one log; accuracies are over the images whose label is known.

    Every ratio is ``None`` where the log has nothing to divide by (no labels, no images) or
    doesn't say.

    Attributes:
        name: how the report calls the log.
        manifest: what the log was made from, or ``None`` where the file doesn't say.
        n_images: certificates in the log.
        n_labelled: those whose label is known.
        n_abstained: those without a prediction.
        n_correct: those with the true label predicted (abstention is never correct).
        input_radii: l2 radii over pixels in [0, 1] that accuracy is reported at.
        n_certified: per radius, images correct and certified there.
        n_answered: per radius, images certified there whatever their label, if they have one.
        total_correct_radius: sum of the input radii of the correct images.
        total_seconds: wall time of all images.
        total_samples: noise samples of all images, or ``None`` where the file doesn't say.
        alpha: the largest probability that one certificate is false, where known.
        delta: the probability that more than ``false_at_most`` labelled ones are.
        false_expected: false certificates among the labelled images, in expectation, at most.
        false_at_most: false certificates among the labelled images with confidence 1 - delta.
    """

    name: str
    manifest: Manifest | None
    n_images: int
    n_labelled: int
    n_abstained: int
    n_correct: int
    input_radii: tuple[float, ...]
    n_certified: tuple[int, ...]
    n_answered: tuple[int, ...]
    total_correct_radius: Fraction
    total_seconds: float
    total_samples: int | None
    alpha: float | None
    delta: float
    false_expected: Fraction | None
    false_at_most: int | None

    @property
    def certified_accuracy(self) -> tuple[Fraction | None, ...]:
        """Per radius, the share of labelled images correct and certified there."""
        return tuple(_ratio(count, self.n_labelled) for count in self.n_certified)

    @property
    def certified_accuracy_at_least(self) -> tuple[Fraction | None, ...]:
        """Per radius, the true certified accuracy at least, with confidence 1 - delta over noise.

        It holds for these images, at all radii at once.
        """
        if self.false_at_most is None:
            return (None,) * len(self.n_certified)
        sure = [max(0, count - self.false_at_most) for count in self.n_certified]
        return tuple(_ratio(count, self.n_labelled) for count in sure)

    @property
    def standard_errors(self) -> tuple[float | None, ...]:
        """Per radius, the standard error of the accuracy over the choice of images."""
        return tuple(_standard_error(count, self.n_labelled) for count in self.n_certified)

    @property
    def clean_accuracy(self) -> Fraction | None:
        """The share of labelled images predicted correctly without abstaining (radius 0)."""
        return _ratio(self.n_correct, self.n_labelled)

    @property
    def clean_standard_error(self) -> float | None:
        """The standard error of the clean accuracy over the choice of images."""
        return _standard_error(self.n_correct, self.n_labelled)

    @property
    def average_certified_radius(self) -> Fraction | None:
        """The mean input radius, wrong and abstained images counting 0 (ACR)."""
        return _ratio(self.total_correct_radius, self.n_labelled)

    @property
    def abstention(self) -> Fraction | None:
        """The share of images without a prediction."""
        return _ratio(self.n_abstained, self.n_images)

    @property
    def seconds_per_image(self) -> float | None:
        """Mean wall time of an image."""
        return self.total_seconds / self.n_images if self.n_images else None

    @property
    def samples_per_image(self) -> float | None:
        """Mean noise samples of an image, selection included."""
        if self.total_samples is None or not self.n_images:
            return None
        return self.total_samples / self.n_images


def summarize(
    view: LogView, *, input_radii: Sequence[float] = DEFAULT_RADII, delta: float = 1e-3
) -> LogSummary:
    """Count one log.

    Args:
        view: the log (:func:`latentsmooth.records.read_any_log`).
        input_radii: l2 radii over pixels in [0, 1]; repeated ones are reported once.
        delta: probability that the dataset-level statement fails.

    Raises:
        ConfigurationError: a radius is negative or not finite, or delta is outside (0, 1).
    """
    radii = _checked_radii(input_radii)
    if not 0 < delta < 1:
        raise ConfigurationError(f"expected a delta between 0 and 1, got {delta!r}")
    labelled = [each for each in view.certificates if each.label is not None]
    correct = [each for each in labelled if each.correct]
    samples = [each.n_used for each in view.certificates]
    alphas = [each.alpha for each in labelled]
    known_alphas = [alpha for alpha in alphas if alpha is not None]
    complete = bool(alphas) and len(known_alphas) == len(alphas)
    alpha = max(known_alphas) if complete else None
    if alpha is None and view.manifest is not None:
        alpha = view.manifest.alpha
    return LogSummary(
        name=view.name,
        manifest=view.manifest,
        n_images=len(view.certificates),
        n_labelled=len(labelled),
        n_abstained=_count(view.certificates, lambda each: each.abstained),
        n_correct=len(correct),
        input_radii=radii,
        n_certified=tuple(sum(each.input_radius >= r for each in correct) for r in radii),
        n_answered=tuple(
            sum(not each.abstained and each.input_radius >= r for each in view.certificates)
            for r in radii
        ),
        total_correct_radius=sum((exact(each.input_radius) for each in correct), Fraction(0)),
        total_seconds=math.fsum(each.seconds for each in view.certificates),
        total_samples=None if None in samples else sum(filter(None, samples)),
        alpha=alpha,
        delta=delta,
        false_expected=sum(map(exact, known_alphas), Fraction(0)) if complete else None,
        false_at_most=(
            false_certificates_at_most(len(labelled), alpha=max(known_alphas), delta=delta)
            if complete
            else None
        ),
    )


def _checked_radii(input_radii: Sequence[float]) -> tuple[float, ...]:
    for radius in input_radii:
        if not 0 <= radius < math.inf:
            raise ConfigurationError(f"expected finite radii of at least 0, got {radius!r}")
    return tuple(dict.fromkeys(float(radius) for radius in input_radii))


def _count(
    certificates: Sequence[CertificateLike], wanted: Callable[[CertificateLike], bool]
) -> int:
    return sum(map(wanted, certificates))


def _ratio(part: int | Fraction, whole: int) -> Fraction | None:
    return Fraction(part) / whole if whole else None


def _standard_error(count: int, whole: int) -> float | None:
    if not whole:
        return None
    share = count / whole
    return math.sqrt(share * (1 - share) / whole)
