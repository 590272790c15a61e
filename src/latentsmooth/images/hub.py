"""Data sets on the Hugging Face hub, through `datasets`."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any

from latentsmooth.errors import DataError
from latentsmooth.files import is_file, is_folder
from latentsmooth.images.splits import canonical, choose_split
from latentsmooth.images.tables import TableRows

__all__ = ["hub_rows", "looks_like_hub_name"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?", re.ASCII)


def looks_like_hub_name(name: str) -> bool:
    """Whether a string can be ``owner/name``, optionally followed by ``:config``.

    >>> looks_like_hub_name("uoft-cs/cifar10"), looks_like_hub_name("../cifar10")
    (True, False)
    """
    return "/" in name and ".." not in name and _NAME.fullmatch(name) is not None


def hub_rows(argument: str, split: str) -> tuple[TableRows, str, tuple[str, ...]]:
    """Rows, split and class names of ``NAME`` or ``NAME:CONFIG`` on the hub.

    `datasets` downloads it once and keeps it in its own cache; HF_HOME moves that, and
    HF_HUB_OFFLINE=1 uses nothing else. The fingerprint is made of that of `datasets`, which
    identifies the commit, the configuration and the split.

    Raises:
        ConfigurationError: no such split.
        DataError: no such name, or it cannot be reached, read or used as labelled images.
    """
    if _NAME.fullmatch(argument) is None or ".." in argument:
        raise DataError(f"hub:{argument}: not a name on the hub; expected OWNER/NAME[:CONFIG]")
    name, _, config = argument.partition(":")
    found = _load(name, config or None)
    chosen = choose_split(split, tuple(found), where=f"hub:{argument}")
    dataset = found[chosen]
    table = dataset.data
    identity = f"hub {argument} {chosen} {dataset._fingerprint}"
    rows = TableRows(
        table.column,
        types=dict(zip(table.schema.names, table.schema.types, strict=True)),
        features=dataset.features.to_dict(),
        parts=[(f"hub:{argument} {chosen}", dataset.num_rows)],
        digest=partial(str, hashlib.sha256(identity.encode()).hexdigest()),
    )
    return rows, canonical(chosen), rows.class_names


def _load(name: str, config: str | None) -> Any:
    import datasets

    place = "" if is_file(name) or is_folder(name) else f" (and there is no local folder {name})"
    try:
        return datasets.load_dataset(name, config)
    except Exception as error:  # network, access, cache and parser errors have no common base
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"hub:{name} could not be loaded{place}: {reason} ({type(error).__name__}). It needs a "
            "network or an earlier download, and for gated sets `hf auth login`; local copies "
            "load as parquet:FILE, imagefolder:DIR, cifar10:FOLDER or imagenet:FOLDER"
        ) from error
