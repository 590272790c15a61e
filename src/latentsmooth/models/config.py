"""The artifact's ``config.json``, checked field by field."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentsmooth.errors import CorruptArtifact

__all__ = ["CONFIG_FORMAT", "MAX_WIDTH", "SCHEMA_VERSION", "ArtifactConfig", "read_config"]

CONFIG_FORMAT = "latentsmooth-classifier"
SCHEMA_VERSION = 1
MAX_WIDTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactConfig:
    """What ``config.json`` states.

    Attributes:
        build: name, width and options of the named build, or ``None`` for a user's own modules.
        image_shape: ``(channels, height, width)``.
        class_names: in the order of the head's outputs.
        latent_sigma: standard deviation of the noise.
        lipschitz_bound: the encoder's bound when it was saved.
        weights_sha256: hash of the weights file.
        training: how the weights came about, free-form.
        architecture: what a user's own encoder and head printed of themselves; empty for a build.
    """

    build: dict[str, Any] | None
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    latent_sigma: float
    lipschitz_bound: float
    weights_sha256: str
    training: dict[str, Any]
    architecture: dict[str, Any]


def read_config(path: Path) -> ArtifactConfig:
    """Read and check a config file.

    Raises:
        CorruptArtifact: naming the file, the field, what it holds and what was wanted.
    """
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CorruptArtifact(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != CONFIG_FORMAT:
        raise CorruptArtifact(f'{path} is not a classifier: wanted "format": "{CONFIG_FORMAT}"')
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise CorruptArtifact(
            f"{path} has schema_version {version!r}; this version reads {SCHEMA_VERSION}"
        )
    fields = _Fields(path, raw)
    return ArtifactConfig(
        build=fields.build(),
        image_shape=fields.image_shape(),
        class_names=fields.class_names(),
        latent_sigma=fields.positive("latent_sigma"),
        lipschitz_bound=fields.positive("lipschitz_bound"),
        weights_sha256=fields.text("weights_sha256"),
        training=fields.mapping("training"),
        architecture=fields.mapping("architecture") if raw.get("build") is None else {},
    )


class _Fields:
    """Typed access to a parsed config."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self._path = path
        self._raw = raw

    def _refuse(self, name: str, wanted: str) -> CorruptArtifact:
        held = repr(self._raw.get(name, "<missing>"))
        shown = held if len(held) <= 80 else held[:77] + "..."
        return CorruptArtifact(f"{self._path}: {name} is {shown}; wanted {wanted}")

    def positive(self, name: str) -> float:
        value = self._raw.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(name, "a positive number")
        if not 0 < value <= sys.float_info.max:
            raise self._refuse(name, "a positive number")
        return float(value)

    def text(self, name: str) -> str:
        value = self._raw.get(name)
        if not isinstance(value, str):
            raise self._refuse(name, "text")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._raw.get(name)
        if not isinstance(value, dict):
            raise self._refuse(name, "an object")
        return value

    def class_names(self) -> tuple[str, ...]:
        value = self._raw.get("class_names")
        if not isinstance(value, list) or len(value) < 2:
            raise self._refuse("class_names", "a list of at least two names")
        if not all(isinstance(name, str) for name in value):
            raise self._refuse("class_names", "a list of texts")
        return tuple(value)

    def image_shape(self) -> tuple[int, int, int]:
        value = self._raw.get("image_shape")
        if not isinstance(value, list) or len(value) != 3:
            raise self._refuse("image_shape", "[channels, height, width]")
        if not all(type(side) is int and 1 <= side <= 1 << 16 for side in value):
            raise self._refuse("image_shape", "[channels, height, width], positive integers")
        return value[0], value[1], value[2]

    def build(self) -> dict[str, Any] | None:
        value = self._raw.get("build")
        if value is None:
            return None
        wanted = 'null or {"name": text, "width": number, "options": {name: integer}}'
        if not isinstance(value, dict) or set(value) != {"name", "width", "options"}:
            raise self._refuse("build", wanted)
        width, options = value["width"], value["options"]
        named = isinstance(value["name"], str) and isinstance(options, dict)
        if not named or not all(type(entry) is int for entry in options.values()):
            raise self._refuse("build", wanted)
        if type(width) not in (int, float) or not 0 < width <= MAX_WIDTH:
            raise self._refuse("build", wanted + f" with a width above 0 and at most {MAX_WIDTH}")
        return value
