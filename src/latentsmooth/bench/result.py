"""What a comparison leaves behind: frozen records, as JSON and back to ratios."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Comparison", "MemoryUse", "ModelFacts", "Standing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A classifier of the comparison.

    Attributes:
        label: its build as written, or its folder's last name.
        kind: ``isrs`` or ``lsrs``.
        trained: whether its weights were loaded rather than drawn at random.
        fingerprint: SHA-256 of weights and settings.
        image_shape: of its images.
        latent_shape: of its latents, before folding.
        latent_sigma: standard deviation of the noise.
    """

    label: str
    kind: str
    trained: bool
    fingerprint: str
    image_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    latent_sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Peak memory of certifying one image, in a process of its own.

    Attributes:
        model: label.
        n_estimate: samples.
        peak_mib: resident MiB at the height.
    """

    model: str
    n_estimate: int
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One contender's turns.

    Attributes:
        name: unique in the comparison.
        kind: ``textbook``, ``art``, ``isrs``, ``lsrs`` or ``ceiling``.
        description: one sentence.
        model: label of its network.
        settings: batch size, precision, executor and the like, as resolved.
        prepare_seconds: compiling and choosing, once a run.
        images: images a turn.
        seconds: of each turn.
        samples: of each turn.
        macs: multiply-accumulates of a sample.
        peak_share: arithmetic achieved, as a share of the machine's rate in that precision.
        ceiling_share: rate as a share of the ceiling's, median of the rounds.
        speedup: by the other contender's name, how many times fewer seconds an image this one
            takes, median of the rounds; over the textbook loop and the toolbox.
        stages: seconds by stage of one more turn, with ``idle``, ``wall`` and ``padded``, the
            share of batch rows without a sample; of our engine only.
        noise_ns: nanoseconds a noisy latent's element costs, the noise alone; of our engine only.
    """

    name: str
    kind: str
    description: str
    model: str
    settings: Mapping[str, object]
    prepare_seconds: float
    images: int
    seconds: tuple[float, ...]
    samples: tuple[int, ...]
    macs: int
    peak_share: float | None = None
    ceiling_share: float | None = None
    speedup: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    noise_ns: float | None = None

    @property
    def samples_a_second(self) -> float:
        """Samples a second of the median turn."""
        pairs = zip(self.samples, self.seconds, strict=True)
        return statistics.median(count / taken for count, taken in pairs)

    @property
    def samples_an_image(self) -> float:
        """Samples an image, mean of all turns."""
        return sum(self.samples) / (len(self.samples) * self.images)

    @property
    def seconds_an_image(self) -> float | None:
        """Seconds an image of the median turn; ``None`` where no image is certified."""
        if self.kind == "ceiling":
            return None
        return statistics.median(self.seconds) / self.images

    @property
    def operations_a_second(self) -> float:
        """Floating-point operations a second, two a multiply-accumulate."""
        return 2 * self.macs * self.samples_a_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A whole comparison.

    Attributes:
        command: how it was made, without folders.
        machine: device, processor, cores, threads, system.
        versions: of the software.
        created: date and time, UTC.
        data: where the images are from; ``random`` for uniform pixels.
        images: images a turn; each standing has its own number, larger towards a goal.
        n_select: samples that choose the candidate.
        n_estimate: samples that bound its probability.
        rounds: turns of each contender.
        order: names in the order in which they took their turns, all rounds.
        models: the classifiers.
        matmul_rates: floating-point operations a second of a large matrix product, by dtype.
        standings: one a contender.
        skipped: contenders that could not take part, and why.
        memory: peak memory by number of samples.
    """

    command: str
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    created: str
    data: str
    images: int
    n_select: int
    n_estimate: int
    rounds: int
    order: tuple[str, ...]
    models: tuple[ModelFacts, ...]
    matmul_rates: Mapping[str, float]
    standings: tuple[Standing, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    memory: tuple[MemoryUse, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Everything as JSON-able values, with the figures that follow from the turns."""
        whole = dataclasses.asdict(self)
        for row, standing in zip(whole["standings"], self.standings, strict=True):
            row["samples_a_second"] = standing.samples_a_second
            row["samples_an_image"] = standing.samples_an_image
            row["seconds_an_image"] = standing.seconds_an_image
            row["operations_a_second"] = standing.operations_a_second
        return whole

    def to_json(self) -> str:
        """The facts as indented JSON with a newline at the end."""
        return json.dumps(self.facts(), indent=2) + "\n"
