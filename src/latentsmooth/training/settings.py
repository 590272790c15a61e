"""Everything that decides how a classifier is trained, checked before the first step."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from latentsmooth.errors import ConfigurationError
from latentsmooth.training.objectives import (
    OptionValue,
    check_teacher,
    list_objectives,
    objective_options,
)

__all__ = ["OptimizerName", "ScheduleName", "TrainingPrecision", "TrainingSettings"]

OptimizerName = Literal["adam", "adamw", "sgd"]
TrainingPrecision = Literal["auto", "bfloat16", "float32"]
ScheduleName = Literal["onecycle", "cosine", "step", "constant"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train: the objective, the optimiser and its schedule, and what is written when.

    Two runs with equal settings, data, initial weights and machine give equal weights.

    Args:
        epochs: passes over the training images.
        batch_size: images a step, over all processes together; images that do not fill the last
            batch of an epoch are left out of that epoch (each epoch shuffles anew).
        objective: what is minimised; "gaussian" is the cross-entropy under Gaussian noise added
            to the latent, the standard for randomized smoothing; "consistency", "smoothmix",
            "macer", "smoothadv", "catrs", "distillation" and "margin" ask for more, at more cost.
        objective_options: the objective's own options by name, such as {"draws": 4} for gaussian;
            those not given keep their defaults.
        teacher: a saved classifier, for the objectives that learn from one.
        optimizer: "adamw" or "adam" (both need little tuning) or "sgd" (with Nesterov momentum).
        learning_rate: the schedule's peak; 0.001 to 0.005 suits adam and adamw, 0.05 to 0.2 sgd.
        weight_decay: decay of the head's weight matrices and kernels. Biases, normalisation and
            the encoder (its parameters only name an orthogonal map) are never decayed.
        momentum: momentum of sgd, first beta of adam and adamw.
        schedule: "onecycle" (cosine up, cosine down to nothing), "cosine" (linear up, cosine
            down), "step" (linear up, then a drop at each milestone) or "constant" (linear up).
        warmup: fraction of all steps in which the learning rate rises to its peak.
        milestones: fractions of all steps at which the "step" schedule drops.
        step_gamma: factor of each drop of the "step" schedule.
        label_smoothing: share of the target spread evenly over all classes.
        grad_clip: largest l2 norm of the gradient; null for no clipping.
        ema_decay: decay of the moving average of the weights, 0.999 for example, which is then
            what is validated and kept; null for no average.
        augment: whether training images are cropped and flipped at random.
        crop_padding: pixels by which a random crop may shift an image; 0 for no crops.
        flip: whether half of the training images are mirrored.
        precision: arithmetic of the networks in training; "auto" takes bfloat16 where the
            processor computes in it. Weights and noise are float32 throughout.
        device: "auto" trains on a GPU where there is one, "cpu" never does.
        seed: starting point of every random choice.
        validate_every: epochs between two validations; the last epoch always has one.
        validate_images: validation images used, evenly spread over the set.
        validate_noise: noisy copies an image, whose majority vote is the smoothed prediction.
        log_every: steps between two lines of metrics.jsonl, and two updates of the bar's figures.
        checkpoint_every: steps between two checkpoints.
        log_tensorboard: whether to log for TensorBoard too (needs the package `tensorboard`).
    """

    epochs: int = 20
    batch_size: int = 128
    objective: str = "gaussian"
    objective_options: dict[str, OptionValue] = field(default_factory=dict, hash=False)
    teacher: str | None = None
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    momentum: float = 0.9
    schedule: ScheduleName = "onecycle"
    warmup: float = 0.15
    milestones: tuple[float, ...] = (0.5, 0.75)
    step_gamma: float = 0.1
    label_smoothing: float = 0.0
    grad_clip: float | None = None
    ema_decay: float | None = None
    augment: bool = True
    crop_padding: int = 4
    flip: bool = True
    precision: TrainingPrecision = "auto"
    device: Literal["auto", "cpu"] = "auto"
    seed: int = 0
    validate_every: int = 1
    validate_images: int = 500
    validate_noise: int = 16
    log_every: int = 20
    checkpoint_every: int = 200
    log_tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in _COUNTS:
            self._require(name, _is_count(getattr(self, name)), "an integer of at least 1")
        for name in ("crop_padding", "seed"):
            self._require(name, _is_count(getattr(self, name), least=0), "an integer, 0 or more")
        for name, wanted, holds in _NUMBERS:
            value = getattr(self, name)
            self._require(name, _is_number(value) and holds(value), wanted)
        for name, choices in _CHOICES.items():
            self._require(name, getattr(self, name) in choices, f"one of {', '.join(choices)}")
        for name in ("augment", "flip", "log_tensorboard"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")
        known = list_objectives()
        self._require("objective", self.objective in known, f"one of {', '.join(known)}")
        self._check_objective_options()
        self._require_optional("grad_clip", "a number above 0, or null", least_open=0.0)
        self._require_optional("ema_decay", "a number between 0 and 1, or null", 0.0, 1.0)
        self._check_milestones()

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dictionary, one entry a field.

        >>> TrainingSettings(epochs=3).to_json()["epochs"]
        3
        """
        values = dataclasses.asdict(self)
        values["milestones"] = list(self.milestones)
        return values

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigurationError(f"{name} must be {wanted}, got {getattr(self, name)!r}")

    def _require_optional(
        self, name: str, wanted: str, least_open: float, most_open: float = math.inf
    ) -> None:
        value = getattr(self, name)
        self._require(
            name, value is None or (_is_number(value) and least_open < value < most_open), wanted
        )

    def _check_objective_options(self) -> None:
        given = self.objective_options
        self._require("objective_options", isinstance(given, Mapping), "a dictionary of options")
        known = objective_options(self.objective, given)
        object.__setattr__(self, "objective_options", {name: known[name] for name in given})
        self._require(
            "teacher",
            self.teacher is None or (isinstance(self.teacher, str) and self.teacher != ""),
            "a saved classifier's folder or name, or null",
        )
        check_teacher(self.objective, given=self.teacher is not None)

    def _check_milestones(self) -> None:
        wanted = "rising fractions between 0 and 1, such as (0.5, 0.75)"
        try:
            fractions = tuple(self.milestones)
        except TypeError:
            raise ConfigurationError(
                f"milestones must be {wanted}, got {self.milestones!r}"
            ) from None
        numbers = all(_is_number(fraction) and 0 < fraction < 1 for fraction in fractions)
        self._require("milestones", numbers and list(fractions) == sorted(set(fractions)), wanted)
        object.__setattr__(self, "milestones", fractions)


_COUNTS = (
    "epochs",
    "batch_size",
    "validate_every",
    "validate_images",
    "validate_noise",
    "log_every",
    "checkpoint_every",
)
_NUMBERS: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    ("learning_rate", "a number above 0", lambda value: value > 0),
    ("weight_decay", "a number, 0 or more", lambda value: value >= 0),
    ("momentum", "a number from 0 to below 1", lambda value: 0 <= value < 1),
    ("warmup", "a fraction from 0 to below 1", lambda value: 0 <= value < 1),
    ("step_gamma", "a number above 0 and at most 1", lambda value: 0 < value <= 1),
    ("label_smoothing", "a number from 0 to below 1", lambda value: 0 <= value < 1),
)
_CHOICES = {
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "precision": get_args(TrainingPrecision),
    "device": ("auto", "cpu"),
}


def _is_count(value: object, *, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max
