"""The artifact's ``config.json``, checked field by field."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from latentsmooth.errors import CorruptArtifact
from latentsmooth.models.strict_json import strict_json
from latentsmooth.models.weights import HeadDtype

__all__ = [
    "CONFIG_FORMAT",
    "MAX_CONFIG_BYTES",
    "MAX_NAME",
    "MAX_WIDTH",
    "SCHEMA_VERSION",
    "ArtifactConfig",
    "parse_config",
]

CONFIG_FORMAT = "latentsmooth-classifier"
SCHEMA_VERSION = 1
MAX_WIDTH = 64
MAX_CONFIG_BYTES = 1_000_000
MAX_NAME = 1000
"""Most characters of a class's name."""
_MAX_SIDE = 1 << 16
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset(
    {
        *("format", "schema_version", "latentsmooth_version", "build", "image_shape"),
        *("latent_shape", "class_names", "latent_sigma", "lipschitz_bound"),
        *("weights_sha256", "training", "head_dtype"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactConfig:
    """What ``config.json`` states.

    Attributes:
        build: name, width and options of the named build, or ``None`` for a user's own modules.
        image_shape: ``(channels, height, width)``.
        latent_shape: shape of one latent.
        class_names: in the order of the head's outputs.
        latent_sigma: standard deviation of the noise.
        lipschitz_bound: the encoder's bound when it was saved.
        weights_sha256: hash of the weights file.
        head_dtype: what the head's matrices and kernels are stored in; float32 where not stated.
        training: how the weights came about, free-form.
        architecture: what a user's own encoder and head printed of themselves; empty for a build.
    """

    build: dict[str, Any] | None
    image_shape: tuple[int, int, int]
    latent_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    latent_sigma: float
    lipschitz_bound: float
    weights_sha256: str
    head_dtype: HeadDtype
    training: dict[str, Any]
    architecture: dict[str, str]


def parse_config(content: bytes, path: str | Path) -> ArtifactConfig:
    """Check a config file's content.

    Args:
        content: the file, UTF-8.
        path: what messages call it.

    Raises:
        CorruptArtifact: naming the file, the field, what it holds and what was wanted.
    """
    if len(content) > MAX_CONFIG_BYTES:
        raise CorruptArtifact(
            f"{path} takes {len(content):,} bytes; at most {MAX_CONFIG_BYTES:,} are read"
        )
    try:
        raw = strict_json(content.decode())
    except ValueError as error:
        raise CorruptArtifact(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != CONFIG_FORMAT:
        raise CorruptArtifact(f'{path} is not a classifier: wanted "format": "{CONFIG_FORMAT}"')
    fields = _Fields(path, raw)
    fields.check_version()
    own = raw.get("build") is None
    fields.check_names({*_FIELDS, "architecture"} if own else _FIELDS)
    return ArtifactConfig(
        build=fields.build(),
        image_shape=fields.image_shape(),
        latent_shape=fields.latent_shape(),
        class_names=fields.class_names(),
        latent_sigma=fields.positive("latent_sigma"),
        lipschitz_bound=fields.positive("lipschitz_bound"),
        weights_sha256=fields.sha256("weights_sha256"),
        head_dtype=fields.head_dtype(),
        training=fields.mapping("training"),
        architecture=fields.architecture() if own else {},
    )


class _Fields:
    """Typed access to a parsed config."""

    def __init__(self, path: str | Path, raw: dict[str, Any]) -> None:
        self._path = path
        self._raw = raw

    def _refuse(self, name: str, wanted: str) -> CorruptArtifact:
        held = repr(self._raw.get(name, "<missing>"))
        shown = held if len(held) <= 80 else held[:77] + "..."
        return CorruptArtifact(f"{self._path}: {name} is {shown}; wanted {wanted}")

    def check_version(self) -> None:
        version = self._raw.get("schema_version")
        if type(version) is not int:
            raise self._refuse("schema_version", f"{SCHEMA_VERSION}")
        if version != SCHEMA_VERSION:
            raise CorruptArtifact(
                f"{self._path} has schema_version {version}; this version reads {SCHEMA_VERSION}"
            )

    def check_names(self, known: set[str] | frozenset[str]) -> None:
        unknown = sorted(set(self._raw) - known)
        if unknown:
            raise CorruptArtifact(
                f"{self._path} has an unknown field {unknown[0][:80]!r}; wanted only "
                f"{', '.join(sorted(known))}"
            )
        written = self._raw.get("latentsmooth_version")
        if not isinstance(written, str) or len(written) > MAX_NAME:
            raise self._refuse("latentsmooth_version", "text")

    def positive(self, name: str) -> float:
        value = self._raw.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(name, "a positive number")
        if not 0 < value <= sys.float_info.max:
            raise self._refuse(name, "a positive number")
        return float(value)

    def sha256(self, name: str) -> str:
        value = self._raw.get(name)
        if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
            raise self._refuse(name, "64 hexadecimal digits")
        return value

    def head_dtype(self) -> HeadDtype:
        value = self._raw.get("head_dtype", "float32")
        for dtype in get_args(HeadDtype):
            if value == dtype:
                return cast("HeadDtype", dtype)
        raise self._refuse("head_dtype", f"one of {', '.join(get_args(HeadDtype))}")

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._raw.get(name)
        if not isinstance(value, dict):
            raise self._refuse(name, "an object")
        return value

    def architecture(self) -> dict[str, str]:
        value = self.mapping("architecture")
        texts = all(isinstance(text, str) for text in value.values())
        if set(value) != {"encoder", "head"} or not texts:
            raise self._refuse("architecture", '{"encoder": text, "head": text}')
        return value

    def class_names(self) -> tuple[str, ...]:
        value = self._raw.get("class_names")
        if not isinstance(value, list) or len(value) < 2:
            raise self._refuse("class_names", "a list of at least two names")
        if not all(isinstance(name, str) and len(name) <= MAX_NAME for name in value):
            raise self._refuse("class_names", f"a list of texts of at most {MAX_NAME} characters")
        return tuple(value)

    def image_shape(self) -> tuple[int, int, int]:
        value = self._sides("image_shape", "[channels, height, width]")
        if len(value) != 3:
            raise self._refuse("image_shape", "[channels, height, width]")
        return value[0], value[1], value[2]

    def latent_shape(self) -> tuple[int, ...]:
        return tuple(self._sides("latent_shape", "the shape of a latent"))

    def _sides(self, name: str, wanted: str) -> list[int]:
        value = self._raw.get(name)
        if not isinstance(value, list) or len(value) > 8:
            raise self._refuse(name, wanted)
        if not all(type(side) is int and side >= 1 for side in value):
            raise self._refuse(name, wanted + ", positive integers")
        if name == "image_shape" and max(value, default=1) > _MAX_SIDE:
            raise self._refuse(name, f"{wanted}, positive integers up to {_MAX_SIDE}")
        return value

    def build(self) -> dict[str, Any] | None:
        value = self._raw.get("build")
        if value is None:
            return None
        wanted = 'null or {"name": text, "width": number, "options": {name: integer}}'
        if not isinstance(value, dict) or set(value) != {"name", "width", "options"}:
            raise self._refuse("build", wanted)
        name, width, options = value["name"], value["width"], value["options"]
        if not isinstance(name, str) or len(name) > MAX_NAME or not isinstance(options, dict):
            raise self._refuse("build", wanted)
        if not all(type(entry) is int for entry in options.values()):
            raise self._refuse("build", wanted)
        if type(width) not in (int, float) or not 0 < width <= MAX_WIDTH:
            raise self._refuse("build", wanted + f" with a width above 0 and at most {MAX_WIDTH}")
        return value
