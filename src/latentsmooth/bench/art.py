"""The Adversarial Robustness Toolbox, on the same network."""

from __future__ import annotations

import importlib
import importlib.metadata
import time
import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor, nn

from latentsmooth.bench.baseline import Baseline
from latentsmooth.bench.contender import Outcome, Unavailable, best_rate
from latentsmooth.bench.macs import multiply_accumulates
from latentsmooth.bench.subjects import Subject
from latentsmooth.bench.textbook import plain_network
from latentsmooth.certification.jobs import leading_votes

__all__ = ["SIZES", "Art"]

SIZES: Final = (32, 64, 128, 256, 512, 1024)
ART_BATCH: Final = 32
_ROWS_TRIED: Final = 1024
PACKAGE: Final = "adversarial-robustness-toolbox"


class Art(Baseline):
    """``PyTorchRandomizedSmoothing.certify`` of the Adversarial Robustness Toolbox.

    Args:
        subject: an ISRS classifier.
        n_select: samples that choose the candidate class.
        alpha: probability that one certificate is wrong.
        batch_size: samples a call; ``None`` takes the fastest of ``sizes``.
        sizes: batch sizes to try.
        name: in the comparison.

    Source:
        M.-I. Nicolae et al., *Adversarial Robustness Toolbox*, arXiv 1807.01069.
    """

    kind = "art"

    def __init__(
        self,
        subject: Subject,
        *,
        n_select: int = 100,
        alpha: float = 1e-3,
        batch_size: int | None = ART_BATCH,
        sizes: Sequence[int] = SIZES,
        name: str = "art",
    ) -> None:
        super().__init__(
            subject,
            n_select=n_select,
            alpha=alpha,
            batch_size=batch_size,
            sizes=sizes,
            name=name,
        )
        chosen = "its fastest batch" if batch_size is None else f"batch {batch_size}, its default"
        self.description = f"Adversarial Robustness Toolbox, certify, {chosen}"
        self._smoother: Any = None

    def prepare(self, images: Tensor) -> None:
        """Wrap the network, and find the fastest batch where none was named.

        Raises:
            Unavailable: where the toolbox, or what it needs to certify, is not installed.
        """
        self._smoother = smoother = self._wrap(plain_network(self._subject))
        self.macs = multiply_accumulates(smoother.model, images.shape[1:])
        image = images[0].cpu().numpy()
        if self._batch_size is None:
            rows = max(_ROWS_TRIED, *self._sizes)
            # Every size classifies as many rows, since the toolbox holds all of a call at once.
            rates = best_rate(
                self._sizes,
                lambda size: lambda: smoother._prediction_counts(image, n=rows, batch_size=size),
                self._subject.device,
            )
            self._choose({size: rate * rows / size for size, rate in rates.items()})
        self._say()
        self.settings["version"] = importlib.metadata.version(PACKAGE)
        smoother._prediction_counts(image, n=self._batch_size, batch_size=self._batch_size)

    def run(self, images: Tensor, n: int) -> Outcome:
        """Certify with the toolbox's own statistics."""
        pixels = images.cpu().numpy()
        self._smoother.counted.clear()
        start = time.perf_counter()
        self._smoother.certify(pixels, n=n, batch_size=self._batch_size)
        seconds = time.perf_counter() - start
        votes = tuple(
            leading_votes(np.asarray(counts, dtype=np.int64).tolist())
            for counts in self._smoother.counted[1::2]
        )
        return Outcome(
            seconds=seconds,
            samples=len(images) * (self._n_select + n),
            images=len(images),
            votes=votes,
        )

    def _wrap(self, network: nn.Module) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of optional parts that are not used here
                # certify needs it, and the toolbox does not ask for it when it is installed
                importlib.import_module("statsmodels.stats.proportion")
                from art.estimators.certification.randomized_smoothing import (
                    PyTorchRandomizedSmoothing,
                )
        except ImportError as error:
            raise Unavailable(
                f"{PACKAGE} does not import ({error}); pip install 'latentsmooth[interop]'"
            ) from error

        class Listening(PyTorchRandomizedSmoothing):  # type: ignore[misc]
            """Keeps the votes, which certify does not return."""

            counted: list[Any]

            def _prediction_counts(self, *given: Any, **named: Any) -> Any:
                counts = super()._prediction_counts(*given, **named)
                self.counted.append(counts)
                return counts

        model = self._subject.model
        smoother = Listening(
            model=network,
            loss=nn.CrossEntropyLoss(),
            input_shape=model.image_shape,
            nb_classes=len(model.class_names),
            clip_values=(0.0, 1.0),
            device_type="cpu" if self._subject.device.type == "cpu" else "gpu",
            sample_size=self._n_select,
            scale=model.latent_sigma,
            alpha=self._alpha,
        )
        smoother.counted = []
        return smoother
