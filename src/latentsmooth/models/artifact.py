"""The saved classifier: a folder with ``model.safetensors`` and ``config.json``, no pickle."""

from __future__ import annotations

import json
import math
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, CorruptArtifact, LatentSmoothError
from latentsmooth.files import user_path, write_whole
from latentsmooth.lipschitz import evaluating
from latentsmooth.models.config import (
    CONFIG_FORMAT,
    MAX_CONFIG_BYTES,
    SCHEMA_VERSION,
    ArtifactConfig,
    parse_config,
)
from latentsmooth.models.located import CONFIG_FILE, WEIGHTS_FILE, inside, locate
from latentsmooth.models.outline import check_image_shape
from latentsmooth.models.weights import HeadDtype, in_stored_dtypes, read_bounded, read_weights
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

BOUND_TOLERANCE = 1e-5
"""Relative difference allowed between a stored bound and its recomputation elsewhere."""
_UNBUILDABLE = (LatentSmoothError, TypeError, ValueError, ArithmeticError, RuntimeError)


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


def save_classifier(
    model: LatentSmoothedClassifier, folder: str | Path, *, head_dtype: HeadDtype = "float32"
) -> Path:
    """Write a classifier; each file is complete before it takes its name.

    Args:
        model: the classifier; it is left as it is.
        folder: made if need be; files of an earlier save are replaced.
        head_dtype: what the head's matrices and kernels are stored in. bfloat16 halves the file
            and rounds them, so that what is saved is another classifier than ``model``, with a
            fingerprint and certificates of its own.

    Returns:
        The folder.

    Raises:
        ConfigurationError: the folder cannot be written, or what would be in it not be read back.
    """
    target = user_path(folder)
    if model.build is not None and architecture(model) != model._built_as:
        raise ConfigurationError(
            f"the modules of this {model.build['name']!r} were changed after it was built, so its "
            "name no longer describes it; make a LatentSmoothedClassifier of them instead"
        )
    weights = save(in_stored_dtypes(_tensors(model), head_dtype), metadata={"format": "pt"})
    config = {
        "format": CONFIG_FORMAT,
        "schema_version": SCHEMA_VERSION,
        "latentsmooth_version": __version__,
        **_identity(model),
        "lipschitz_bound": model.lipschitz_bound,
        "weights_sha256": sha256(weights).hexdigest(),
        **({} if head_dtype == "float32" else {"head_dtype": head_dtype}),
        "training": model.training_summary,
    }
    text = _config_text(config)
    try:
        write_whole(target / WEIGHTS_FILE, weights)
        write_whole(target / CONFIG_FILE, text)
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
        folder_or_hub_id: a local folder, a hub id ``owner/name``, or ``packaged:NAME`` for one of
            `list_packaged`.
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
    folder = locate(folder_or_hub_id, revision)
    config_file, weights_file = inside(folder, CONFIG_FILE), inside(folder, WEIGHTS_FILE)
    config = parse_config(read_bounded(config_file, MAX_CONFIG_BYTES), config_file)
    if config.build is None:
        model = _around(config, encoder, head, folder)
        expected = model.state_dict()
    else:
        if encoder is not None or head is not None:
            raise ConfigurationError(
                f"the classifier in {folder} is the build {config.build['name']!r}, which makes "
                "its own encoder and head"
            )
        expected = _outline(config, config_file)
    # A build is made only once weights of its very shapes are there.
    weights = read_weights(
        weights_file,
        expected=expected,
        digest=config.weights_sha256,
        head_dtype=config.head_dtype,
    )
    if config.build is not None:
        model = _build(config, config_file)
    model.load_state_dict(weights)
    model.training_summary = config.training
    model.eval()
    _verify(model, config, config_file)
    return model


def _config_text(config: dict[str, Any]) -> str:
    """The file's text, once it is sure that it can be read back."""
    try:
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        parse_config(text.encode(), CONFIG_FILE)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"this classifier cannot be saved: {error}") from error
    return text


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


def _around(
    config: ArtifactConfig, encoder: nn.Module | None, head: nn.Module | None, folder: Path
) -> LatentSmoothedClassifier:
    """The classifier of a user's own modules."""
    from latentsmooth.models.classifier import LatentSmoothedClassifier

    if encoder is None or head is None:
        raise ConfigurationError(
            f"the classifier in {folder} has modules of its user's own: pass encoder= and head="
        )
    try:
        check_image_shape(config.image_shape)
        model = LatentSmoothedClassifier(
            encoder,
            head,
            latent_sigma=config.latent_sigma,
            class_names=config.class_names,
            image_shape=config.image_shape,
        )
    except LatentSmoothError as error:
        raise CorruptArtifact(f"{folder / CONFIG_FILE} does not fit: {error}") from error
    if architecture(model) != config.architecture:
        raise CorruptArtifact(
            f"{folder / CONFIG_FILE} describes other modules than the encoder and head passed in: "
            f"{config.architecture}"
        )
    return model


def _outline(config: ArtifactConfig, path: Path) -> dict[str, Tensor]:
    from latentsmooth.models.builds import outline_of

    made = config.build or {}
    try:
        return outline_of(
            made["name"],
            num_classes=len(config.class_names),
            image_shape=config.image_shape,
            width=made["width"],
            options=made["options"],
        )
    except _UNBUILDABLE as error:
        raise CorruptArtifact(f"{path} cannot be built: {error}") from error


def _build(config: ArtifactConfig, path: Path) -> LatentSmoothedClassifier:
    from latentsmooth.models.builds import build_outlined

    made = config.build or {}
    try:
        return build_outlined(
            made["name"],
            num_classes=len(config.class_names),
            image_shape=config.image_shape,
            latent_sigma=config.latent_sigma,
            width=made["width"],
            class_names=config.class_names,
            options=made["options"],
        )
    except _UNBUILDABLE as error:
        raise CorruptArtifact(f"{path} cannot be built: {error}") from error


def _verify(model: LatentSmoothedClassifier, config: ArtifactConfig, path: Path) -> None:
    """Check what the config states of the classifier against the classifier that was read."""
    if model.latent_shape != config.latent_shape:
        raise CorruptArtifact(
            f"{path} states latent_shape {list(config.latent_shape)}, but the encoder gives "
            f"{list(model.latent_shape)}"
        )
    try:
        bound = model.lipschitz_bound
        finite = _gives_finite_logits(model)
    except (RuntimeError, ValueError, ArithmeticError) as error:
        if isinstance(error, LatentSmoothError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptArtifact(f"{path}: the encoder cannot be verified: {reason}") from error
    if not math.isclose(bound, config.lipschitz_bound, rel_tol=BOUND_TOLERANCE):
        raise CorruptArtifact(
            f"{path} states lipschitz_bound {config.lipschitz_bound!r}, but the weights give "
            f"{bound!r}"
        )
    if not finite:
        raise CorruptArtifact(f"{path}: a gray image gets logits that are not finite")


def _gives_finite_logits(model: LatentSmoothedClassifier) -> bool:
    like = next(model.parameters(), torch.zeros(()))
    gray = torch.full((1, *model.image_shape), 0.5, dtype=like.dtype, device=like.device)
    with torch.no_grad(), evaluating(model):
        return bool(model(gray).isfinite().all())
