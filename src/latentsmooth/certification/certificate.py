"""What one image's certification leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Certificate", "Prediction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One image's certificate: the smoothed prediction and the radius it is proven on.

    With probability at least ``1 - alpha`` over the noise drawn, the deployed classifier answers
    ``prediction`` for every input closer than ``input_radius`` in l2, pixels in [0, 1].

    Attributes:
        index: position of the image in its data set.
        label: the true class, or ``None`` where it is not known.
        prediction: the certified class, or ``None`` where the classifier abstains.
        candidate: the class chosen by the selection samples, abstained on or not.
        p_lower: lower confidence bound on the candidate's probability under noise.
        rival_upper: upper confidence bound on every other class's probability, where the rule
            has a better one than ``1 - p_lower``.
        latent_radius: l2 radius in the latent space; 0 when abstaining.
        input_radius: l2 radius over pixels in [0, 1]; 0 when abstaining.
        votes: ``(class, count)`` of the estimation samples, most votes first, at most five.
        n_select: samples that chose the candidate.
        n_used: all samples drawn, selection and estimation together.
        alpha: probability that this certificate is wrong.
        reason: why no more samples were drawn, in a few words.
        seconds: the image's share of the wall time: its own encoding and statistics, and of each
            head batch the part that its samples had.
        name: of the image in its data set, a file or a row; ``None`` where it has none.
    """

    index: int
    label: int | None
    prediction: int | None
    candidate: int
    p_lower: float
    rival_upper: float | None = None
    latent_radius: float
    input_radius: float
    votes: tuple[tuple[int, int], ...]
    n_select: int
    n_used: int
    alpha: float
    reason: str = ""
    seconds: float
    name: str | None = None

    @property
    def abstained(self) -> bool:
        """Whether the classifier declined to answer."""
        return self.prediction is None

    @property
    def correct(self) -> bool:
        """Whether the prediction is the true label; abstention is never correct."""
        return self.prediction is not None and self.prediction == self.label

    def certified_at(self, input_radius: float) -> bool:
        """Whether the image is correct and certified at ``input_radius`` (abstention: never)."""
        return self.correct and self.input_radius >= input_radius


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One image's smoothed prediction with a confidence level and no radius.

    Attributes:
        index: position of the image in its data set.
        prediction: the class, or ``None`` where the two leading classes cannot be told apart.
        p_value: two-sided binomial p-value of the two leading vote counts being equally likely.
        votes: ``(class, count)``, most votes first, at most five.
        n_used: samples drawn.
        alpha: probability that a returned class is not the smoothed classifier's.
        seconds: the image's share of the wall time, encoder included.
    """

    index: int
    prediction: int | None
    p_value: float
    votes: tuple[tuple[int, int], ...]
    n_used: int
    alpha: float
    seconds: float

    @property
    def abstained(self) -> bool:
        """Whether the classifier declined to answer."""
        return self.prediction is None
