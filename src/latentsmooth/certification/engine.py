"""The certification engine: encode once, vote in full batches, stop when the rule is content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypedDict

import torch
from torch import Tensor

from latentsmooth.certification.bounds import check_alpha, whole
from latentsmooth.certification.certificate import Certificate, Prediction
from latentsmooth.certification.encoding import EncoderPrecision, check_image
from latentsmooth.certification.jobs import CertificationJob, LabelledTensor, PredictionJob
from latentsmooth.certification.preparation import SmoothedClassifier, prepare_classifier
from latentsmooth.certification.rules import (
    FixedRule,
    Rule,
    Setting,
    check_predictions,
    check_rule_certifies,
    say_reach,
)
from latentsmooth.errors import ConfigurationError
from latentsmooth.machine import Precision, resolve_precision
from latentsmooth.smoothing import (
    GRADES,
    Executor,
    Grade,
    HeadChoice,
    HeadExecutor,
    ResolvedExecutor,
    Scheduler,
    choose_head,
    default_batch_size,
    noise_filler,
    refuse_mixing,
)

__all__ = ["Certifier", "EngineOptions"]


class EngineOptions(TypedDict, total=False):
    """How the engine runs; see `Certifier`."""

    seed: int
    batch_size: int | None
    precision: Precision
    executor: Executor
    folds: bool
    encoder_precision: EncoderPrecision
    noise: Grade
    in_flight: int


class Certifier:
    """A classifier made ready to certify and predict, many images at a time.

    What runs is a copy, see `prepare_classifier`. Votes do not depend on the order or number of
    images; on the batch size only through the rounding of the head's own arithmetic.

    Args:
        classifier: encoder, head and ``latent_sigma``.
        seed: of the noise.
        batch_size: noisy latents a head call; ``None`` chooses.
        precision: of the head: ``float32``, ``bfloat16``, ``float16``, or ``auto``.
        executor: ``eager``; ``compiled``; or ``auto``, which measures once and remembers.
        folds: whether the head's first linear map may move into the encoder; see `fold`.
        encoder_precision: arithmetic of the encoder; float32 is faster and costs more radius.
        noise: ``fast``, float32 normals that are taken for Gaussian; or ``exact``, by inversion,
            whose distance from Gaussian is known and deducted.
        in_flight: images whose latents are held at a time.
        workload: samples to be drawn, where known: ``auto`` tries compilation only if it may pay.
        profile: have `scheduler` time every stage on a GPU as well.

    Attributes:
        prepared: the copies that run; see `PreparedClassifier`.
        latent_sigma: standard deviation of the noise.
        drawn_sigma: the same as drawn, ``fast`` rounds it to float32; the lesser counts in the
            radius.
        lipschitz_bound: of the encoder, verified; it divides every radius.
        deductions: what rounding and the noise take off every radius.
        noise: grade of the noise.
        folding: what of the head moved into the encoder, in words; empty where nothing did.
        device: where everything runs.
        precision: of the head, resolved.
        executor: how the head runs, resolved.
        batch_size: noisy latents a head call, resolved.
        scheduler: what packs and runs the batches; its ``stopwatch`` tells where time went.

    Raises:
        UnverifiedModule: where the encoder holds a module without a Lipschitz rule.
        ConfigurationError: where the head's answer to one latent depends on the others in its
            batch; its votes would not be independent.
    """

    def __init__(
        self,
        classifier: SmoothedClassifier,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        precision: Precision = "float32",
        executor: Executor = "eager",
        folds: bool = True,
        encoder_precision: EncoderPrecision = "float64",
        noise: Grade = "fast",
        in_flight: int = 64,
        workload: int | None = None,
        profile: bool = False,
    ) -> None:
        if batch_size is not None:
            batch_size = whole("batch_size", batch_size, at_least=1)
        seed = whole("seed", seed, at_least=0)
        if executor not in ("auto", "eager", "compiled"):
            raise ConfigurationError(f"unknown executor {executor!r}: use eager, compiled or auto")
        if noise not in GRADES:
            raise ConfigurationError(f"unknown noise {noise!r}: use {' or '.join(GRADES)}")
        self.noise: Grade = noise
        self.prepared = prepare_classifier(
            classifier, folds=folds, encoder_precision=encoder_precision, noise=noise
        )
        self.drawn_sigma = self.prepared.lattice.latent_sigma
        self.lipschitz_bound = self.prepared.lipschitz_bound
        self.deductions = self.prepared.deductions
        self.folding = self.prepared.folding
        self.device = self.prepared.device
        self.precision = resolve_precision(precision, self.device)
        self.seed = seed
        self.latent_sigma = classifier.latent_sigma
        self._num_classes = len(classifier.class_names)
        choice = self._choose(executor, batch_size, workload)
        self.batch_size = choice.batch_size
        trial = self.encode(torch.full(classifier.image_shape, 0.5, dtype=torch.float32))
        with torch.autocast(self.device.type, enabled=False):
            refuse_mixing(self.prepared.head, trial, batch_size=choice.batch_size)
        head = HeadExecutor(
            self.prepared.head,
            latent_shape=self.prepared.latent_shape,
            num_classes=self._num_classes,
            batch_size=choice.batch_size,
            precision=self.precision,
            executor=choice.executor,
            device=self.device,
        )
        self.executor = head.executor
        self.scheduler = Scheduler(
            head,
            noise_filler(self.device, grade=noise),
            lattice=self.prepared.lattice,
            in_flight=in_flight,
            profile=profile,
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of what the noise is added to, folding included."""
        return self.prepared.latent_shape

    @property
    def setting(self) -> Setting:
        """What a rule must know of the classifier."""
        return Setting(
            latent_sigma=min(self.latent_sigma, self.drawn_sigma),
            lipschitz_bound=self.lipschitz_bound,
            num_classes=self._num_classes,
            deductions=self.deductions,
        )

    def encode(self, image: Tensor) -> Tensor:
        """Encode one image; see `PreparedClassifier.encode`."""
        return self.prepared.encode(image)

    def certify(self, images: Iterable[LabelledTensor], rule: Rule) -> Iterator[Certificate]:
        """Certify images, several in flight at a time.

        Args:
            images: taken one by one, shortly before they are needed.
            rule: says when an image has enough votes.

        Returns:
            One certificate an image, in order, each as soon as it and those before it are done.

        Raises:
            ConfigurationError: at once, for a rule that cannot answer its question, or by which
                every image would have to abstain.
            DataError: for an image, where its turn comes; those before it are certified.
        """
        setting = self.setting
        check_rule_certifies(rule, setting)
        say_reach(rule, setting)
        prepared = rule.prepare(setting)
        encoded = self._encoded(images, certified=True)
        jobs = (
            CertificationJob(
                item,
                latent,
                seed=self.seed,
                prepared=prepared,
                alpha=rule.alpha,
                setting=setting,
            )
            for item, latent in encoded
        )
        return (job.certificate() for job in self.scheduler.run(jobs))

    def predict(
        self, images: Iterable[LabelledTensor], *, n_samples: int = 1000, alpha: float = 1e-3
    ) -> Iterator[Prediction]:
        """Predict each image's class or abstain (Cohen et al., PREDICT, on the latent).

        Args:
            images: taken one by one, shortly before they are needed.
            n_samples: votes an image.
            alpha: probability that a returned class is not the smoothed classifier's.

        Returns:
            One prediction an image, in order.

        Raises:
            ConfigurationError: at once, where every image would have to abstain.
        """
        check_alpha(alpha)
        n_samples = whole("n_samples", n_samples, at_least=1)
        check_predictions(n_samples, alpha)
        encoded = self._encoded(images, certified=False)
        jobs = (
            PredictionJob(item, latent, seed=self.seed, n_samples=n_samples, alpha=alpha)
            for item, latent in encoded
        )
        return (job.prediction() for job in self.scheduler.run(jobs))

    def certify_image(
        self,
        image: Tensor,
        *,
        index: int,
        label: int | None = None,
        rule: Rule | None = None,
        n_select: int = 100,
        n_estimate: int = 100_000,
        alpha: float = 1e-3,
    ) -> Certificate:
        """Certify one image by a rule, or by a number of draws fixed beforehand.

        Args:
            image: ``(channels, height, width)`` float, pixels in [0, 1].
            index: its position in the data set; a key of the noise.
            label: its true class, where known.
            rule: in place of the numbers below.
            n_select: samples that choose the candidate class.
            n_estimate: fresh samples that bound its probability.
            alpha: probability that the certificate is wrong.
        """
        chosen = rule or FixedRule(n_select=n_select, n_estimate=n_estimate, alpha=alpha)
        [made] = self.certify([LabelledTensor(image=image, index=index, label=label)], chosen)
        return made

    def predict_image(
        self, image: Tensor, *, index: int, n_samples: int = 1000, alpha: float = 1e-3
    ) -> Prediction:
        """Predict one image; see `predict`."""
        item = LabelledTensor(image=image, index=index)
        [made] = self.predict([item], n_samples=n_samples, alpha=alpha)
        return made

    def _encoded(
        self, images: Iterable[LabelledTensor], *, certified: bool
    ) -> Iterator[tuple[LabelledTensor, Tensor]]:
        """Encode in small bursts, shortly before the latents are needed."""
        source = iter(images)
        failure: Exception | None = None
        while failure is None:
            items: list[LabelledTensor] = []
            try:
                for item in islice(source, self.prepared.burst):
                    check_image(item.image, self.prepared.image_shape)
                    items.append(item)
            except Exception as error:
                failure = error  # told when those before it are on their way
            if items:
                latents = self.prepared.encode_checked([item.image for item in items])
                for item, latent in zip(items, latents, strict=True):
                    yield item, self.prepared.lattice.rounded(latent, certified=certified)
            elif failure is None:
                return
        raise failure

    def _choose(
        self, executor: Executor, batch_size: int | None, workload: int | None
    ) -> HeadChoice:
        plain: ResolvedExecutor = "compiled" if executor == "compiled" else "eager"
        if batch_size is not None:
            return HeadChoice(plain, batch_size, 0.0)  # nothing left to measure that pays
        if executor == "eager":
            size = default_batch_size(self.prepared.latent_shape, self.device)
            return HeadChoice("eager", size, 0.0)
        return choose_head(
            self.prepared.head,
            latent_shape=self.prepared.latent_shape,
            num_classes=self._num_classes,
            precision=self.precision,
            device=self.device,
            executor=executor,
            workload=workload,
        )
