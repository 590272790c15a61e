"""The certification engine as a contender, and the ceiling that its head sets."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

from torch import Tensor

from latentsmooth.bench.contender import Contender, Outcome, best_rate, finish
from latentsmooth.bench.macs import multiply_accumulates
from latentsmooth.bench.subjects import Subject
from latentsmooth.certification import (
    Certifier,
    EngineOptions,
    FixedRule,
    LabelledTensor,
    Rule,
    SequentialRule,
)
from latentsmooth.certification.rules import Setting, check_rule_certifies, parse_goal
from latentsmooth.smoothing import HeadExecutor, Stopwatch, noise_filler

__all__ = ["CEILING_SIZES", "STAGES", "Ceiling", "Engine"]

CEILING_SIZES: Final = {"cpu": (64, 128, 256, 512), "other": (256, 1024, 4096)}
STAGES: Final = ("encode", "noise", "head", "count", "statistics")
_FEWEST_DRAWS: Final = 100


class Engine(Contender):
    """The certification engine, under a fixed rule or towards a goal.

    Args:
        subject: an ISRS or LSRS classifier.
        n_select: samples that choose the candidate class.
        alpha: probability that one certificate is wrong.
        goal: of a sequential rule, see `parse_goal`; ``None`` for the fixed rule.
        options: how the engine runs, see `Certifier`.
        sibling: one of the same subject and options, whose engine is used again.
        name: in the comparison.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        n_select: int = 100,
        alpha: float = 1e-3,
        goal: str | None = None,
        options: EngineOptions | None = None,
        sibling: Engine | None = None,
        name: str | None = None,
    ) -> None:
        self.kind = "isrs" if subject.is_input_space else "lsrs"
        whole = f"{self.kind} {subject.label}" + (f" {goal}" if goal else "")
        super().__init__(name or whole, model=subject.label)
        rule = f"sequential rule, {goal}" if goal else "fixed rule"
        self.description = f"this package's engine, {rule}"
        self._subject = subject
        self._n_select = n_select
        self._alpha = alpha
        self._goal = goal
        self.wants_many = goal is not None
        self._options: EngineOptions = options or {}
        self._sibling = sibling
        self._certifier: Certifier | None = None

    @property
    def certifier(self) -> Certifier:
        """The engine, made on first use, which measures and compiles; a sibling's where given."""
        if self._certifier is None:
            if self._sibling is not None:
                self._certifier = self._sibling.certifier
            else:
                self._certifier = Certifier(self._subject.model, **self._options)
        return self._certifier

    def rule(self, n: int) -> Rule:
        """The rule for so many estimation samples, or at most so many."""
        if self._goal is None:
            return FixedRule(n_select=self._n_select, n_estimate=n, alpha=self._alpha)
        goal = parse_goal(self._goal)
        return SequentialRule(goal=goal, n_select=self._n_select, n_max=n, alpha=self._alpha)

    def refuse_hopeless(self, n: int) -> None:
        """Raise `ConfigurationError` where no votes of so many samples could certify an image."""
        model = self._subject.model
        setting = Setting(
            latent_sigma=model.latent_sigma,
            lipschitz_bound=model.lipschitz_bound,
            num_classes=len(model.class_names),
        )
        check_rule_certifies(self.rule(n), setting)

    def prepare(self, images: Tensor) -> None:
        """Compile, choose the batch, and certify one image by two batches."""
        certifier = self.certifier
        prepared = certifier.prepared
        self.macs = multiply_accumulates(prepared.head, prepared.latent_shape)
        self.settings = {
            "batch_size": certifier.batch_size,
            "precision": certifier.precision,
            "executor": certifier.executor,
            "latent_shape": list(certifier.latent_shape),
            "lipschitz_bound": certifier.lipschitz_bound,
            "folding": certifier.folding,
            "noise": noise_filler(certifier.device).name,
        }
        # Of small batches more than two: a rule by which every image abstains would be refused.
        draws = max(2 * certifier.batch_size, _FEWEST_DRAWS)
        warm = FixedRule(n_select=self._n_select, n_estimate=draws)
        list(certifier.certify(_items(images[:1]), warm))

    def run(self, images: Tensor, n: int) -> Outcome:
        """Certify all images in one go."""
        rule = self.rule(n)
        finish(self.certifier.device)
        start = time.perf_counter()
        made = list(self.certifier.certify(_items(images), rule))
        seconds = time.perf_counter() - start
        return Outcome(
            seconds=seconds,
            samples=sum(certificate.n_used for certificate in made),
            images=len(made),
            votes=tuple(certificate.votes for certificate in made),
        )

    def breakdown(self, images: Tensor, n: int) -> dict[str, float]:
        """Seconds by stage of one more run, and ``idle``: what of the wall time no stage has.

        ``wall`` is the whole, ``padded`` the share of batch rows that held no sample or one drawn
        ahead in vain. On a GPU
        this run waits after every stage, so that it is slower than the timed ones.
        """
        scheduler = self.certifier.scheduler
        kept = scheduler.stopwatch
        batches = scheduler.batches
        scheduler.stopwatch = Stopwatch(self.certifier.device, waits=True)
        try:
            outcome = self.run(images, n)
            stages = {stage: scheduler.stopwatch.stages.get(stage, 0.0) for stage in STAGES}
        finally:
            scheduler.stopwatch = kept
        rows = (scheduler.batches - batches) * self.certifier.batch_size
        idle = max(0.0, outcome.seconds - sum(stages.values()))
        padded = 1 - outcome.samples / rows
        return {**stages, "idle": idle, "wall": outcome.seconds, "padded": padded}


class Ceiling(Contender):
    """An engine's head alone, prepared as there, on inputs that lie ready in its buffer.

    Args:
        engine: whose head, precision and executor.
        subject: the classifier it runs.
        sizes: batch sizes to try besides the engine's.
        n_select: samples added to each image's, so that a turn is as long as the engine's.
        name: in the comparison.
    """

    kind = "ceiling"

    def __init__(
        self,
        engine: Engine,
        subject: Subject,
        *,
        sizes: Sequence[int] | None = None,
        n_select: int = 100,
        name: str | None = None,
    ) -> None:
        super().__init__(name or f"ceiling {subject.label}", model=subject.label)
        self.description = "the prepared head alone, on ready-made inputs, at its fastest batch"
        self._engine = engine
        self._subject = subject
        self._sizes = sizes
        self._n_select = n_select
        self._head: HeadExecutor | None = None

    def prepare(self, images: Tensor) -> None:
        """Measure every batch size, each compiled where the engine is, and keep the fastest."""
        certifier = self._engine.certifier
        prepared = certifier.prepared
        kind = "cpu" if certifier.device.type == "cpu" else "other"
        tried = CEILING_SIZES[kind] if self._sizes is None else self._sizes
        made: dict[int, HeadExecutor] = {}

        def executor(size: int) -> HeadExecutor:
            made[size] = HeadExecutor(
                prepared.head,
                latent_shape=prepared.latent_shape,
                num_classes=len(self._subject.model.class_names),
                batch_size=size,
                precision=certifier.precision,
                executor=certifier.executor,
                device=certifier.device,
            )
            made[size].rows.normal_()
            return made[size]

        rates = best_rate(
            sorted({*tried, certifier.batch_size}),
            lambda size: executor(size).classify,
            certifier.device,
        )
        best = max(rates, key=lambda size: rates[size])
        self._head = made[best]
        self.macs = multiply_accumulates(prepared.head, prepared.latent_shape)
        self.settings = {
            "batch_size": best,
            "precision": certifier.precision,
            "executor": self._head.executor,
            "rates": rates,
        }

    def run(self, images: Tensor, n: int) -> Outcome:
        """Classify as many ready-made inputs as certifying the images by a fixed rule would."""
        if self._head is None:
            raise RuntimeError("a contender is prepared before it runs")
        calls = math.ceil(len(images) * (self._n_select + n) / self._head.batch_size)
        finish(self._head.device)
        start = time.perf_counter()
        for _ in range(calls):
            self._head.classify()
        finish(self._head.device)
        seconds = time.perf_counter() - start
        return Outcome(seconds=seconds, samples=calls * self._head.batch_size, images=len(images))


def _items(images: Tensor) -> list[LabelledTensor]:
    return [LabelledTensor(image=image, index=index) for index, image in enumerate(images)]
