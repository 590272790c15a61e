"""Reading 50,000 images from Parquet and from a folder: two versions of the package in turns.

    python benchmarks/reading.py --before OLD/src --data cifar10/train.parquet \
        --output benchmarks/results/reading.json

The folder is written beside the system's temporary files: one PNG an image, a folder a class, under
train/. Every reading is a process of its own: `load` is the call of `load_images` (finding files
and labels, looking at headers), `decode` the first batch, for which every image is decoded.
Versions take turns; medians over rounds of wall and of processor seconds. Beside the JSON a table
is written.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peers.provenance import provenance

from latentsmooth.files import write_whole

READING = """
import json, resource, sys, time
from latentsmooth.images import load_images
def spent():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime
marks = [spent()]
images = load_images(sys.argv[1], split="train")
marks.append(spent())
images.batch([0])
marks.append(spent())
print(json.dumps({
    "images": len(images), "classes": len(images.class_names), "fingerprint": images.fingerprint,
    **{name: {"wall": b[0] - a[0], "processor": b[1] - a[1]}
       for name, a, b in zip(("load", "decode"), marks, marks[1:])},
}))
"""


def write_folder(table: Path, folder: Path) -> None:
    """One PNG an image, under train/CLASS/."""
    import pyarrow.parquet as pq
    from PIL import Image

    from latentsmooth.images import load_images

    names = load_images(f"parquet:{table}", split="train", limit=1).class_names
    columns = pq.read_table(table, columns=["image", "label"])
    for name in names:
        (folder / "train" / name).mkdir(parents=True)
    pairs = zip(columns["image"], columns["label"].to_pylist(), strict=True)
    for row, (cell, label) in enumerate(pairs):
        picture = Image.open(io.BytesIO(cell["bytes"].as_py()))
        picture.save(folder / "train" / names[label] / f"{row:05d}.png", compress_level=1)


def read(source: str, version: Path) -> dict[str, Any]:
    """Read once, in a fresh process, with the package of one version."""
    environment = {**os.environ, "PYTHONPATH": str(version)}
    command = [sys.executable, "-c", READING, source]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def median(results: list[dict[str, Any]], part: str, clock: str) -> float:
    """Median seconds of a part."""
    return float(statistics.median(result[part][clock] for result in results))


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [
        "# Reading 50,000 images, before and after",
        "",
        f"Made by `benchmarks/reading.py`; {report['rounds']} rounds, versions in turns, medians "
        f"of seconds. {report['provenance']['machine'].get('processor', '')}. The fingerprints of "
        "both versions are equal.",
        "",
        "| source | part | before, wall | after, wall | before, processor | after, processor |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    for source, versions in report["seconds"].items():
        for part in ("load", "decode"):
            cells = [
                f"{versions[version][part][clock]:.2f}"
                for clock in ("wall", "processor")
                for version in ("before", "after")
            ]
            lines.append(f"| {source} | {part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="src folder of the old version")
    parser.add_argument("--after", type=Path, default=Path("src"), help="of the new one")
    parser.add_argument("--data", type=Path, required=True, help="Parquet file of the images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    versions = {"before": options.before.resolve(), "after": options.after.resolve()}
    with tempfile.TemporaryDirectory() as folder:
        write_folder(options.data, Path(folder))
        sources = {"Parquet": f"parquet:{options.data}", "folder": f"imagefolder:{folder}"}
        results: dict[str, dict[str, list[dict[str, Any]]]] = {
            name: {version: [] for version in versions} for name in sources
        }
        for _ in range(options.rounds):
            for name, source in sources.items():
                for version, place in versions.items():
                    results[name][version].append(read(source, place))
    for name, by_version in results.items():
        told = {each["fingerprint"] for found in by_version.values() for each in found}
        if len(told) != 1:
            raise SystemExit(f"{name}: the versions read different content: {told}")
    report = {
        "provenance": provenance(),
        "data": options.data.name,
        "rounds": options.rounds,
        "images": results["folder"]["after"][0]["images"],
        "seconds": {
            name: {
                version: {
                    part: {clock: median(found, part, clock) for clock in ("wall", "processor")}
                    for part in ("load", "decode")
                }
                for version, found in by_version.items()
            }
            for name, by_version in results.items()
        },
    }
    write_whole(options.output, json.dumps(report, indent=2) + "\n")
    write_whole(options.output.with_suffix(".md"), markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
