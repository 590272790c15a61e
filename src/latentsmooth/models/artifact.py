"""The saved classifier: a folder with ``model.safetensors`` and ``config.json``, no pickle."""

from __future__ import annotations

import json
import math
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, CorruptArtifact, LatentSmoothError
from latentsmooth.models.config import CONFIG_FORMAT, SCHEMA_VERSION, ArtifactConfig, read_config
from latentsmooth.version import __version__

if TYPE_CHECKING:
    from latentsmooth.models.classifier import LatentSmoothedClassifier

__all__ = [
    "BOUND_TOLERANCE",
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "architecture",
    "fingerprint",
    "load_classifier",
    "save_classifier",
]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
BOUND_TOLERANCE = 1e-5
"""Relative difference allowed between a stored bound and its recomputation elsewhere."""


def architecture(model: LatentSmoothedClassifier) -> dict[str, str]:
    """What encoder and head print of themselves; attributes they do not print are not covered."""
    return {"encoder": repr(model.encoder), "head": repr(model.head)}


def fingerprint(model: LatentSmoothedClassifier) -> str:
    """SHA-256 over weights, build, noise, classes and image shape; not over how it was trained."""
    identity = _identity(model)
    if model.build is not None and architecture(model) != model._built_as:
        identity["architecture"] = architecture(model)
    digest = sha256(json.dumps(identity, sort_keys=True).encode())
    for name, tensor in sorted(_tensors(model).items()):
        header = f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n"
        digest.update(header.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_classifier(model: LatentSmoothedClassifier, folder: str | Path) -> Path:
    """Write a classifier; each file is complete before it takes its name.

    Args:
        model: the classifier.
        folder: made if need be; files of an earlier save are replaced.

    Returns:
        The folder.
    """
    target = Path(folder)
    if model.build is not None and architecture(model) != model._built_as:
        raise ConfigurationError(
            f"the modules of this {model.build['name']!r} were changed after it was built, so its "
            "name no longer describes it; make a LatentSmoothedClassifier of them instead"
        )
    weights = save(_tensors(model), metadata={"format": "pt"})
    config = {
        "format": CONFIG_FORMAT,
        "schema_version": SCHEMA_VERSION,
        "latentsmooth_version": __version__,
        **_identity(model),
        "lipschitz_bound": model.lipschitz_bound,
        "weights_sha256": sha256(weights).hexdigest(),
        "training": model.training_summary,
    }
    text = json.dumps(config, indent=2, allow_nan=False) + "\n"
    try:
        target.mkdir(parents=True, exist_ok=True)
        _replace(target / WEIGHTS_FILE, weights)
        _replace(target / CONFIG_FILE, text.encode())
    except OSError as error:
        raise ConfigurationError(f"cannot write the model to {target}: {error}") from error
    return target


def load_classifier(
    folder_or_hub_id: str | Path,
    *,
    encoder: nn.Module | None = None,
    head: nn.Module | None = None,
    revision: str | None = None,
) -> LatentSmoothedClassifier:
    """Read a classifier, check it, and verify its bound anew.

    Args:
        folder_or_hub_id: a local folder, or a hub id ``owner/name``.
        encoder: module for a classifier that no named build made; its weights are overwritten.
        head: likewise.
        revision: of the hub repository.

    Returns:
        The classifier in evaluation mode, on the CPU.

    Raises:
        CorruptArtifact: where a file is missing, damaged or foreign, where the weights do not fit
            the build, or where the recomputed bound differs from the stored one.
        ConfigurationError: where there is no such folder, or a user's own modules are missing.
    """
    folder = _locate(folder_or_hub_id, revision)
    config = read_config(folder / CONFIG_FILE)
    weights = _read_weights(folder / WEIGHTS_FILE, config.weights_sha256)
    model = _assemble(config, encoder, head, folder)
    if config.build is None and architecture(model) != config.architecture:
        raise CorruptArtifact(
            f"{folder / CONFIG_FILE} describes other modules than the encoder and head passed in: "
            f"{config.architecture}"
        )
    _fill(model, weights, folder / WEIGHTS_FILE)
    model.training_summary = config.training
    model.eval()
    bound = model.lipschitz_bound
    if not math.isclose(bound, config.lipschitz_bound, rel_tol=BOUND_TOLERANCE):
        raise CorruptArtifact(
            f"{folder / CONFIG_FILE} states lipschitz_bound {config.lipschitz_bound!r}, but the "
            f"weights give {bound!r}"
        )
    return model


def _identity(model: LatentSmoothedClassifier) -> dict[str, Any]:
    modules = {} if model.build is not None else {"architecture": architecture(model)}
    return {
        **modules,
        "build": model.build,
        "image_shape": list(model.image_shape),
        "latent_shape": list(model.latent_shape),
        "class_names": list(model.class_names),
        "latent_sigma": model.latent_sigma,
    }


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    # A clone each: two names of one tensor are two tensors in the file.
    return {
        name: tensor.detach().to("cpu").contiguous().clone()
        for name, tensor in model.state_dict().items()
    }


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _locate(folder_or_hub_id: str | Path, revision: str | None) -> Path:
    folder = Path(folder_or_hub_id)
    if folder.is_dir():
        return folder
    name = str(folder_or_hub_id)
    parts = name.split("/")
    if len(parts) != 2 or not all(parts) or name.startswith((".", "~")):
        raise ConfigurationError(
            f"no model folder at {name}: wanted a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, "
            "or a hub id such as owner/name"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = [CONFIG_FILE, WEIGHTS_FILE]
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigurationError(
            f"no model folder at {name}, and the hub gave none under that id: {reason}"
        ) from error


def _read_weights(path: Path, expected: str) -> dict[str, Tensor]:
    try:
        actual = sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CorruptArtifact(f"cannot read {path}: {error.strerror}") from error
    if actual != expected:
        raise CorruptArtifact(f"{path} has SHA-256 {actual}, its config states {expected}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CorruptArtifact(f"{path} is not a safetensors file: {error}") from error


def _assemble(
    config: ArtifactConfig, encoder: nn.Module | None, head: nn.Module | None, folder: Path
) -> LatentSmoothedClassifier:
    from latentsmooth.models.builds import build
    from latentsmooth.models.classifier import LatentSmoothedClassifier

    if config.build is None:
        if encoder is None or head is None:
            raise ConfigurationError(
                f"the classifier in {folder} has modules of its user's own: pass encoder= and head="
            )
        return LatentSmoothedClassifier(
            encoder,
            head,
            latent_sigma=config.latent_sigma,
            class_names=config.class_names,
            image_shape=config.image_shape,
        )
    if encoder is not None or head is not None:
        raise ConfigurationError(
            f"the classifier in {folder} is the build {config.build['name']!r}, which makes its "
            "own encoder and head"
        )
    try:
        model = build(
            config.build["name"],
            num_classes=len(config.class_names),
            image_shape=config.image_shape,
            latent_sigma=config.latent_sigma,
            width=config.build["width"],
            class_names=config.class_names,
            **config.build["options"],
        )
    except (LatentSmoothError, TypeError) as error:
        raise CorruptArtifact(f"{folder / CONFIG_FILE} cannot be built: {error}") from error
    return model


def _fill(model: LatentSmoothedClassifier, weights: dict[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    missing = sorted(set(expected) - set(weights))
    surplus = sorted(set(weights) - set(expected))
    if missing or surplus:
        raise CorruptArtifact(
            f"{path} does not fit its build: missing {missing[:3] or 'none'}, "
            f"unexpected {surplus[:3] or 'none'}"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise CorruptArtifact(
                f"{path}: expected {name} of shape {tuple(expected[name].shape)}, "
                f"got {tuple(tensor.shape)}"
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CorruptArtifact(f"{path}: {name} holds values that are not finite")
    model.load_state_dict(weights)
