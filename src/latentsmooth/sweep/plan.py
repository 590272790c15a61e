"""What a sweep does: its runs, how they are certified, and how their cost is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, Literal, get_args

from latentsmooth.certification import EncoderPrecision, EngineOptions, Rule, parse_rule
from latentsmooth.certification.bounds import whole
from latentsmooth.certification.rules import check_rule_certifies_anything
from latentsmooth.errors import ConfigurationError
from latentsmooth.machine import Precision
from latentsmooth.records.settled import check_settled
from latentsmooth.reporting import DEFAULT_RADII
from latentsmooth.smoothing import GRADES, Executor, Grade
from latentsmooth.sweep.points import COSTS, Cost
from latentsmooth.training import TrainingSettings

__all__ = [
    "CertifySettings",
    "MeasureSettings",
    "NetworkSettings",
    "RuleName",
    "SweepPlan",
    "SweepRun",
]

RuleName = Literal["fixed", "two-sided", "pilot", "sequential"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is trained, on which of the images, and what it is validated on.

    Args:
        build: name of the build.
        width: multiplier of all channels.
        build_options: the build's own options.
        latent_sigma: standard deviation of the latent noise.
        split: split of the data that is trained on.
        stride: every so many of its images.
        limit: the first so many of those.
        validate: whether to validate during training.
        validation_data: by default the same data.
        validation_split: its split.
    """

    build: str = "lsrs-haar"
    width: float = 1.0
    build_options: dict[str, int] = field(default_factory=dict)
    latent_sigma: float = 0.25
    split: str = "train"
    stride: int = 1
    limit: int | None = None
    validate: bool = True
    validation_data: str | None = None
    validation_split: str = "test"


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One classifier of a sweep: trained here, or taken as it is.

    Args:
        name: of its folder and its point.
        network: what is trained.
        training: how.
        reuse: a classifier's folder or hub id, taken in place of training one.
    """

    name: str
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    reuse: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON-able values."""
        if self.reuse is not None:
            return {"name": self.name, "reuse": self.reuse}
        return {"name": self.name, **asdict(self.network), **self.training.to_json()}


@dataclass(frozen=True, kw_only=True)
class CertifySettings:
    """How every classifier of a sweep is certified, as ``latentsmooth certify`` does it.

    Args:
        data: the images; by default those trained on are of the same source.
        split: their split.
        stride: every so many images.
        limit: the first so many of those.
        n_select: noisy samples that choose the candidate class.
        n_estimate: fresh samples that bound its probability; the most, where a rule stops early.
        alpha: probability that one certificate is wrong.
        rule: when an image has enough samples.
        goal: of sequential.
        tolerance: of pilot.
        bound: of sequential.
        seed: key of the noise.
        batch_size: noisy latents a head call; ``None`` chooses.
        precision: arithmetic of the head.
        executor: how the head runs.
        folds: whether the head's first linear map may move before the noise.
        noise: its grade.
        encoder_precision: arithmetic of the encoder.
        device: auto, cpu, cuda, cuda:1, ...
    """

    data: str | None = None
    split: str = "test"
    stride: int = 1
    limit: int | None = None
    n_select: int = 100
    n_estimate: int = 100_000
    alpha: float = 0.001
    rule: RuleName = "fixed"
    goal: str | None = None
    tolerance: float | None = None
    bound: Literal["betting", "alpha-spending"] | None = None
    seed: int = 0
    batch_size: int | None = None
    precision: Precision = "float32"
    executor: Executor = "auto"
    folds: bool = True
    noise: Grade = "fast"
    encoder_precision: EncoderPrecision = "float64"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_rule_certifies_anything(self.stopping_rule())
        whole("seed", self.seed, at_least=0)
        whole("stride", self.stride, at_least=1)
        for name in ("limit", "batch_size"):
            value = getattr(self, name)
            if value is not None:
                whole(name, value, at_least=1)
        choices: dict[str, tuple[str, ...]] = {
            "precision": get_args(Precision),
            "executor": get_args(Executor),
            "noise": tuple(GRADES),
            "encoder_precision": get_args(EncoderPrecision),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    def stopping_rule(self) -> Rule:
        """Return the rule that says when an image has enough samples."""
        return parse_rule(
            self.rule,
            goal=self.goal,
            alpha=self.alpha,
            n_select=self.n_select,
            n_estimate=self.n_estimate,
            tolerance=self.tolerance,
            bound=self.bound,
        )

    def engine(self) -> EngineOptions:
        """Return how the engine runs."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "executor": self.executor,
            "folds": self.folds,
            "encoder_precision": self.encoder_precision,
            "noise": self.noise,
        }


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """How seconds an image are measured once all classifiers are certified.

    Args:
        images: certified in each turn; 0 takes the seconds that the logs tell.
        rounds: turns of each classifier, of which the median counts.
        tune: whether each runs at the batch size that is best here and now, rather than at its
            log's, which another machine or number of threads may have chosen.
    """

    images: int = 3
    rounds: int = 3
    tune: bool = False

    def __post_init__(self) -> None:
        whole("images", self.images, at_least=0)
        whole("rounds", self.rounds, at_least=1)


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A whole sweep.

    Args:
        data: source of the images, see `latentsmooth.images.load_images`.
        image_size: resize the shorter side to this many pixels and cut the centre square.
        runs: the classifiers.
        certify: how they are certified.
        measure: how their cost is measured.
        input_radii: l2 radii over pixels in [0, 1] to compare at; where a sequential rule stops
            early, of those that it settles.
        cost: on the pictures' horizontal axis, and what comparisons are about.
    """

    data: str
    image_size: int | None = None
    runs: tuple[SweepRun, ...]
    certify: CertifySettings = field(default_factory=CertifySettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    input_radii: tuple[float, ...] = DEFAULT_RADII
    cost: Cost = "seconds"

    def __post_init__(self) -> None:
        if not self.runs:
            raise ConfigurationError("wanted at least one run")
        names = [run.name.casefold() for run in self.runs]  # some file systems fold case
        for run in self.runs:
            check_name(run.name)
            if names.count(run.name.casefold()) > 1:
                raise ConfigurationError(f"two runs are called {run.name!r}; give each a name")
        check_radii(self.input_radii)
        check_settled(self.input_radii, self.certify.stopping_rule().settings())
        if self.cost not in COSTS:
            raise ConfigurationError(f"wanted a cost of {', '.join(COSTS)}, got {self.cost!r}")

    def to_json(self) -> dict[str, Any]:
        """Return everything that was asked for as JSON-able values."""
        return {
            "data": self.data,
            "image_size": self.image_size,
            "runs": [run.to_json() for run in self.runs],
            "certify": asdict(self.certify),
            "measure": asdict(self.measure),
        }


def check_name(name: str) -> None:
    """Raise unless a run's name can be that of a folder, anywhere.

    Raises:
        ConfigurationError: naming it.
    """
    plain = name.isascii() and all(letter.isalnum() or letter in "-_.+=" for letter in name)
    if not (plain and name[0:1].isalnum() and len(name) <= _LONGEST_NAME) or _is_taken(name):
        raise ConfigurationError(
            f"wanted a run's name of at most {_LONGEST_NAME} letters, digits and -_.+=, letter or "
            f"digit first and none of the sweep's own files, got {name[:80]!r}"
        )


def check_radii(input_radii: Mapping[float, Any] | tuple[float, ...]) -> None:
    """Raise unless there are radii, all finite and at least 0."""
    fit = all(0 <= radius < float("inf") for radius in input_radii)
    if not input_radii or not fit:
        raise ConfigurationError(f"wanted finite radii of at least 0, got {list(input_radii)}")


def _is_taken(name: str) -> bool:
    return PurePath(name.casefold()).stem in ("frontier", "turns") or name.endswith(".")


_LONGEST_NAME = 80
