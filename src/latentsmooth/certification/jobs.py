"""Images on their way through the engine: their votes so far, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from latentsmooth.certification.bounds import two_sided_p_value
from latentsmooth.certification.certificate import Certificate, Prediction
from latentsmooth.certification.rules import More, PreparedRule, Setting, Verdict
from latentsmooth.smoothing import Phase, Votes, as_rows, noise_key

__all__ = ["CertificationJob", "LabelledTensor", "PredictionJob", "leading_votes"]

TOP_CLASSES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTensor:
    """An image to certify.

    Attributes:
        image: ``(channels, height, width)`` float, pixels in [0, 1].
        index: its position in the data set, ``>= 0``; a key of the noise.
        label: its true class, where known.
        name: what its data set calls it, for the record.
    """

    image: Tensor
    index: int
    label: int | None = None
    name: str | None = None


class _Job:
    """What the scheduler needs of an image.

    Args:
        item: the image's index and label.
        latent: its latent.
        seed: of the noise.
    """

    def __init__(self, item: LabelledTensor, latent: Tensor, *, seed: int) -> None:
        self.index = item.index
        self.label = item.label
        self.name = item.name
        self.key = noise_key(seed=seed, index=item.index)
        self.latent = as_rows(latent.unsqueeze(0))[0]
        self.seconds = 0.0


class CertificationJob(_Job):
    """An image that is certified by a rule.

    Args:
        item: the image's index and label.
        latent: its latent.
        seed: of the noise.
        prepared: the rule.
        alpha: the rule's.
        setting: of the classifier; carries radii back to pixels.
    """

    def __init__(
        self,
        item: LabelledTensor,
        latent: Tensor,
        *,
        seed: int,
        prepared: PreparedRule,
        alpha: float,
        setting: Setting,
    ) -> None:
        super().__init__(item, latent, seed=seed)
        self._prepared = prepared
        self._alpha = alpha
        self._setting = setting
        self._verdict: Verdict | None = None
        self._select: list[int] = []
        self._estimate: list[int] = []

    def step(self, votes: Votes) -> Mapping[Phase, int]:
        """Ask the rule."""
        self._select = votes[Phase.SELECT].tolist()
        self._estimate = votes[Phase.ESTIMATE].tolist()
        answer = self._prepared.step(self._select, self._estimate)
        if isinstance(answer, More):
            return {Phase.SELECT: answer.select, Phase.ESTIMATE: answer.estimate}
        self._verdict = answer
        return {}

    def certificate(self) -> Certificate:
        """The rule's verdict, carried back to pixels."""
        verdict = self._verdict
        if verdict is None:
            raise RuntimeError("an image left the scheduler without a verdict")
        return Certificate(
            index=self.index,
            label=self.label,
            name=self.name,
            prediction=verdict.prediction,
            candidate=verdict.candidate,
            p_lower=verdict.p_lower,
            rival_upper=verdict.rival_upper,
            latent_radius=verdict.latent_radius,
            input_radius=self._setting.input_radius(verdict.latent_radius),
            votes=leading_votes(self._estimate),
            n_select=sum(self._select),
            n_used=sum(self._select) + sum(self._estimate),
            alpha=self._alpha,
            reason=verdict.reason,
            seconds=self.seconds,
        )


class PredictionJob(_Job):
    """An image whose class is asked for, by a number of votes fixed beforehand.

    Args:
        item: the image's index and label.
        latent: its latent.
        seed: of the noise.
        n_samples: votes.
        alpha: probability that a returned class is not the smoothed classifier's.
    """

    def __init__(
        self, item: LabelledTensor, latent: Tensor, *, seed: int, n_samples: int, alpha: float
    ) -> None:
        super().__init__(item, latent, seed=seed)
        self._n_samples = n_samples
        self._alpha = alpha
        self._votes: list[int] = []

    def step(self, votes: Votes) -> Mapping[Phase, int]:
        """Ask for what is missing."""
        self._votes = votes[Phase.PREDICT].tolist()
        return {Phase.PREDICT: self._n_samples - sum(self._votes)}

    def prediction(self) -> Prediction:
        """The class with the most votes, or an abstention."""
        leading = leading_votes(self._votes)
        second = leading[1][1] if len(leading) > 1 else 0
        p_value = two_sided_p_value(leading[0][1], second)
        return Prediction(
            index=self.index,
            prediction=leading[0][0] if p_value <= self._alpha else None,
            p_value=p_value,
            votes=leading,
            n_used=self._n_samples,
            alpha=self._alpha,
            seconds=self.seconds,
        )


def leading_votes(votes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """``(class, count)`` of the most voted classes, ties by class number, zeros left out."""
    ranked = sorted(enumerate(votes), key=lambda pair: (-pair[1], pair[0]))
    return tuple((number, count) for number, count in ranked[:TOP_CLASSES] if count > 0)
