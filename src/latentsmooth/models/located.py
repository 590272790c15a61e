"""Where a saved classifier is: a local folder, the package itself, or the hub."""

from __future__ import annotations

import re
from pathlib import Path

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.files import is_folder, user_path
from latentsmooth.models.packaged_names import is_packaged, packaged_folder

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "inside", "locate"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)


def locate(folder_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """The folder of a saved classifier; one on the hub is downloaded.

    A name that begins with ``packaged:`` is the package's, whatever folders there are.

    Args:
        folder_or_hub_id: a local folder, ``packaged:NAME`` or a hub id ``owner/name``.
        revision: of the hub repository.

    Raises:
        ConfigurationError: where there is none.
    """
    name = str(folder_or_hub_id)
    if is_packaged(name):
        return packaged_folder(name)
    folder = user_path(folder_or_hub_id)
    if is_folder(folder):
        return folder
    if _HUB_ID.fullmatch(name) is None or ".." in name or "--" in name:
        raise ConfigurationError(
            f"no model folder at {name}: wanted a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, "
            "a hub id such as owner/name, or packaged:NAME"
        )
    if revision is not None and (_REVISION.fullmatch(revision) is None or ".." in revision):
        raise ConfigurationError(f"no revision is called {revision!r}: wanted a branch or commit")
    return _downloaded(name, revision)


def inside(folder: Path, name: str) -> Path:
    """A file of the folder; a link must stay in it, or in the hub cache that the folder is of.

    Raises:
        CorruptArtifact: a link leads elsewhere, or in a circle.
    """
    path = folder / name
    try:
        root, target = folder.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:
        raise CorruptArtifact(f"cannot read {path}: {error}") from error
    roots = [root]
    if root.parent.name == "snapshots":
        roots.append(root.parent.parent / "blobs")
    if not any(target.is_relative_to(each) for each in roots):
        raise CorruptArtifact(f"{path} is a link out of its folder, to {target}; it is not read")
    return path


def _downloaded(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = [CONFIG_FILE, WEIGHTS_FILE]
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigurationError(
            f"no model folder at {name}, and the hub gave none under that id: {reason}"
        ) from error
