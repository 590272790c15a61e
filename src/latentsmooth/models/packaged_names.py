"""Classifiers inside the package: names that need no folder and no network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from latentsmooth.errors import ConfigurationError
from latentsmooth.files import is_folder

__all__ = ["PREFIX", "is_packaged", "list_packaged", "packaged_folder"]

PREFIX = "packaged:"


def list_packaged() -> list[str]:
    """Names of the trained classifiers inside the package, as `from_pretrained` takes them.

    Example:
        >>> "packaged:fashion-mnist" in list_packaged()
        True
    """
    found = (entry for entry in _shelf().iterdir() if (entry / "config.json").is_file())
    return sorted(PREFIX + entry.name for entry in found)


def is_packaged(name: str) -> bool:
    """Whether a name is meant to be one of the package's.

    >>> is_packaged("packaged:fashion-mnist"), is_packaged("runs/haar")
    (True, False)
    """
    return name.startswith(PREFIX)


def packaged_folder(name: str) -> Path:
    """The folder of a packaged classifier.

    Raises:
        ConfigurationError: naming the known ones, where there is none of that name.
    """
    known = list_packaged()
    if name not in known:
        raise ConfigurationError(f"no classifier is called {name!r}; known: {', '.join(known)}")
    return _shelf() / name.removeprefix(PREFIX)


def _shelf() -> Path:
    place = Path(str(files("latentsmooth.models") / "packaged"))
    if not is_folder(place):
        raise ConfigurationError(
            f"this installation has no packaged classifiers: wanted the folder {place}"
        )
    return place
