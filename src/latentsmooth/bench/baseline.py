"""What the contenders we compare with share: one network, and a batch size given or found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from latentsmooth.bench.contender import Contender
from latentsmooth.bench.subjects import Subject

__all__ = ["Baseline"]


class Baseline(Contender):
    """A contender that runs a float32 network eagerly.

    Args:
        subject: an ISRS classifier.
        n_select: samples that choose the candidate class.
        alpha: probability that one certificate is wrong.
        batch_size: samples a call; ``None`` takes the fastest of ``sizes``.
        sizes: batch sizes to try.
        name: in the comparison.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        n_select: int,
        alpha: float,
        batch_size: int | None,
        sizes: Sequence[int],
        name: str,
    ) -> None:
        super().__init__(name, model=subject.label)
        self._subject = subject
        self._n_select = n_select
        self._alpha = alpha
        self._batch_size = batch_size
        self._sizes = sizes

    def _choose(self, rates: Mapping[int, float]) -> int:
        """Take the fastest batch size of those measured."""
        self.settings["rates"] = dict(rates)
        self._batch_size = max(rates, key=lambda size: rates[size])
        return self._batch_size

    def _say(self) -> None:
        """Note how the network runs."""
        self.settings["batch_size"] = self._batch_size
        self.settings["precision"] = "float32"
        self.settings["executor"] = "eager"
