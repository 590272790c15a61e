"""What any log, ours or published, offers to a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from latentsmooth.records.manifest import Manifest

__all__ = ["CertificateLike", "LogView"]


class CertificateLike(Protocol):
    """The part of a certificate that our logs and published files have in common."""

    @property
    def index(self) -> int:
        """Position of the image in its data set."""

    @property
    def label(self) -> int | None:
        """The true class, or ``None`` where it is not known."""

    @property
    def prediction(self) -> int | None:
        """The certified class, or ``None`` where the classifier abstains."""

    @property
    def input_radius(self) -> float:
        """l2 radius over pixels in [0, 1]; 0 when abstaining."""

    @property
    def seconds(self) -> float:
        """Wall time spent on the image."""

    @property
    def n_used(self) -> int | None:
        """Samples drawn, or ``None`` where the file doesn't say."""

    @property
    def alpha(self) -> float | None:
        """Probability that the certificate is wrong, or ``None`` where the file doesn't say."""

    @property
    def abstained(self) -> bool:
        """Whether the classifier declined to answer."""

    @property
    def correct(self) -> bool:
        """Whether the prediction is the true label; abstention is never correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """A log read from a file, under the name that reports give it.

    Attributes:
        name: how tables and legends call the log.
        manifest: what the log was made from; ``None`` for published files, which don't say.
        certificates: one an image, in the file's order.
    """

    name: str
    manifest: Manifest | None
    certificates: tuple[CertificateLike, ...]
