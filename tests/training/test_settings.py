from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from latentsmooth.errors import ConfigurationError
from latentsmooth.training import TrainingSettings

WRONG: list[tuple[str, Any]] = [
    ("epochs", 0),
    ("epochs", 2.5),
    ("epochs", True),
    ("batch_size", -1),
    ("objective", "hinge"),
    ("objective_options", [("draws", 2)]),
    ("teacher", ""),
    ("optimizer", "lion"),
    ("learning_rate", 0.0),
    ("learning_rate", float("nan")),
    ("learning_rate", "fast"),
    ("learning_rate", 10**400),
    ("weight_decay", -0.1),
    ("momentum", 1.0),
    ("schedule", "linear"),
    ("warmup", 1.0),
    ("milestones", (0.5, 0.5)),
    ("milestones", (0.5, 1.5)),
    ("milestones", 0.5),
    ("step_gamma", 0.0),
    ("label_smoothing", 1.0),
    ("grad_clip", 0.0),
    ("ema_decay", 1.0),
    ("augment", "yes"),
    ("crop_padding", -1),
    ("precision", "float16"),
    ("device", "tpu"),
    ("seed", -1),
    ("validate_every", 0),
    ("validate_images", 0),
    ("validate_noise", 0),
    ("log_every", 0),
    ("checkpoint_every", 0),
    ("log_tensorboard", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TrainingSettings(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} must be ")
    assert message.endswith(f"got {value!r}")


def test_settings_are_json() -> None:
    settings = TrainingSettings(epochs=3, grad_clip=1.0, objective_options={"draws": 4})
    values = json.loads(json.dumps(settings.to_json()))
    assert TrainingSettings(**values) == settings
    assert hash(TrainingSettings(**values)) == hash(settings)


def test_every_field_has_a_help_text() -> None:
    text = TrainingSettings.__doc__ or ""
    for field in dataclasses.fields(TrainingSettings):
        assert f"\n        {field.name}: " in text
