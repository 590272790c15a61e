"""Data sets on the Hugging Face hub, through `datasets`."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any

from latentsmooth.errors import DataError
from latentsmooth.files import is_file, is_folder
from latentsmooth.images.class_parts import check_splits
from latentsmooth.images.classes import merge_names
from latentsmooth.images.rows import FoundImages
from latentsmooth.images.splits import canonical, choose_split
from latentsmooth.images.tables import TableRows, names_of_labels

__all__ = ["dataset_rows", "given_rows", "hub_images", "looks_like_hub_name"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?", re.ASCII)


def looks_like_hub_name(name: str) -> bool:
    """Whether a string can be ``owner/name``, optionally followed by ``:config``.

    >>> looks_like_hub_name("uoft-cs/cifar10"), looks_like_hub_name("../cifar10")
    (True, False)
    """
    return "/" in name and ".." not in name and _NAME.fullmatch(name) is not None


def hub_images(argument: str, split: str) -> FoundImages:
    """One split of ``NAME`` or ``NAME:CONFIG`` on the hub; class names are those of all splits.

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
    rows = dataset_rows(
        dataset,
        part=f"hub:{argument} {chosen}",
        identity=f"hub {argument} {chosen} {dataset._fingerprint}",
    )
    parts = [
        rows.names
        if part == chosen
        else names_of_labels(
            other.data.column,
            types=dict(zip(other.data.schema.names, other.data.schema.types, strict=True)),
            features=other.features.to_dict(),
            part=f"hub:{argument} {part}",
        )
        for part, other in found.items()
    ]
    names = merge_names(parts)
    told = [
        (canonical(split), part.names)
        for split, part in zip(found, parts, strict=True)
        if part.kind in ("declared", "texts")
    ]
    check_splits(told, where=f"hub:{argument}")
    rows.rename(names)
    named = any(part.kind in ("declared", "texts") for part in parts)
    said = [] if (rows.labels >= 0).any() else [f"the images of split {chosen} are unlabelled"]
    return FoundImages(rows, canonical(chosen), names, named, tuple(said))


def dataset_rows(dataset: Any, *, part: str, identity: str) -> TableRows:
    """Rows of a `datasets.Dataset`, in its order.

    Args:
        dataset: the data set; a selection or another order of one is followed.
        part: what messages call it.
        identity: a text that tells its content, for the fingerprint.
    """
    if dataset._indices is not None:
        # As stored: a format of the user's would decode and encode every image on the way.
        dataset = dataset.with_format(None).flatten_indices()
    table = dataset.data
    return TableRows(
        table.column,
        types=dict(zip(table.schema.names, table.schema.types, strict=True)),
        features=dataset.features.to_dict(),
        parts=[(part, dataset.num_rows)],
        digest=partial(str, hashlib.sha256(identity.encode()).hexdigest()),
    )


def given_rows(dataset: Any, *, part: str) -> TableRows:
    """Rows of a `datasets.Dataset` that a program hands over; images that it has by path are read.

    Raises:
        DataError: an image's file cannot be read.
    """
    from datasets import Image, table

    images = [name for name, kind in dataset.features.items() if isinstance(kind, Image)]
    if dataset._indices is not None:
        dataset = dataset.with_format(None).flatten_indices()
    by_path = [
        name
        for name in images
        if any(chunk.field("bytes").null_count for chunk in dataset.data.column(name).chunks)
    ]
    if not by_path:
        return dataset_rows(dataset, part=part, identity=f"dataset {dataset._fingerprint}")
    try:
        whole = table.embed_table_storage(dataset.data.table)
    except Exception as error:  # what `datasets` raises on a missing file has no common base
        raise DataError(f"{part}: an image cannot be read from its path: {error}") from error
    digest = hashlib.sha256(f"dataset {dataset._fingerprint}".encode())
    for name in by_path:
        for cell in whole.column(name).combine_chunks().field("bytes"):
            digest.update(hashlib.sha256(cell.as_py() or b"").digest())
    return TableRows(
        whole.column,
        types=dict(zip(whole.schema.names, whole.schema.types, strict=True)),
        features=dataset.features.to_dict(),
        parts=[(part, dataset.num_rows)],
        digest=partial(str, digest.hexdigest()),
    )


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
