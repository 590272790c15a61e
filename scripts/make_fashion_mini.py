"""Make the embedded `fashion-mini`: 500 + 100 images of each class of Fashion-MNIST.

    python scripts/make_fashion_mini.py [--source FOLDER] [--output FOLDER]

Needs the IDX files of the Debian package `dataset-fashion-mnist` (MIT licence, Zalando SE). Of each
class the first images are kept, in the order of the original, so nothing is drawn and the same
library versions write the same bytes each time. Images are lossless PNG.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from latentsmooth.images.fashion import CLASS_NAMES, DEBIAN_FOLDER, fashion_rows

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "src" / "latentsmooth" / "images" / "data"
PER_CLASS = {"train": 500, "test": 100}
LIMIT_BYTES = 3_000_000


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Smallest PNG that Pillow makes of (height, width) pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def first_of_each_class(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows of the first ``count`` images of each class, in ascending order."""
    places = [np.flatnonzero(labels == label)[:count] for label in range(len(CLASS_NAMES))]
    return np.sort(np.concatenate(places))


def table(source: Path, split: str) -> pa.Table:
    """Image and label columns in the layout of `datasets`."""
    rows = fashion_rows(str(source), split).rows
    chosen = first_of_each_class(rows.labels, PER_CLASS[split])
    images = [
        {"bytes": png(np.asarray(rows.read(row), np.uint8)), "path": f"{split}/{row:05d}.png"}
        for row in chosen.tolist()
    ]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(CLASS_NAMES), "_type": "ClassLabel"},
    }
    schema = pa.schema(
        {
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            "label": pa.int64(),
        },
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    return pa.table({"image": images, "label": rows.labels[chosen]}, schema=schema)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, default=DEBIAN_FOLDER)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    total = 0
    for split in PER_CLASS:
        path = options.output / f"fashion-mini-{split}.parquet"
        pq.write_table(
            table(options.source, split),
            path,
            compression="zstd",
            compression_level=19,
            use_dictionary=False,
        )
        total += path.stat().st_size
        print(f"{path}: {path.stat().st_size:,} bytes")
    if total > LIMIT_BYTES:
        raise SystemExit(f"{total:,} bytes in all; at most {LIMIT_BYTES:,} are embedded")


if __name__ == "__main__":
    main()
