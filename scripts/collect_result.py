"""Put certified classifiers among the committed results, for the results page.

    python scripts/collect_result.py RUN LOG --dataset cifar10-jpeg [--name lsrs-haar-w0.25]
    python scripts/collect_result.py --sweep FOLDER --dataset cifar10-jpeg

The first writes benchmarks/results/training/DATASET/NAME.jsonl.gz, the log without paths of this
machine, and NAME.training.json: the network's build, size and arithmetic, and how it was trained.
The second does so with every run of a sweep and keeps its frontier.json, costs as measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import math
from pathlib import Path
from typing import Any

from tidied import placeless, placeless_command, placeless_values

from latentsmooth.certification.preparation import prepare_classifier
from latentsmooth.files import write_whole
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import Manifest, read_log
from latentsmooth.records.run import engine_options
from latentsmooth.records.schema import encode_certificate, encode_manifest
from latentsmooth.sweep import kind_of
from latentsmooth.sweep.certifying import LOG_FILE
from latentsmooth.sweep.cost import Arithmetic, arithmetic
from latentsmooth.sweep.points import points_from_json, read_frontier
from latentsmooth.sweep.result import FRONTIER_FILE

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "training"
FORMAT = "latentsmooth-training-result"


def facts_of(model: LatentSmoothedClassifier, manifest: Manifest, name: str) -> dict[str, Any]:
    """What the results page says of a network beside its certificates."""
    return {
        "format": FORMAT,
        "schema_version": 1,
        "name": name,
        "kind": kind_of(model),
        "artifact_hash": model.fingerprint,
        "build": model.build,
        "image_shape": list(model.image_shape),
        "latent_elements": math.prod(model.latent_shape),
        "latent_sigma": model.latent_sigma,
        "lipschitz_bound": model.lipschitz_bound,
        "parameters": {
            part: sum(weight.numel() for weight in getattr(model, part).parameters())
            for part in ("encoder", "head")
        },
        "arithmetic": work_of(model, manifest).to_json(),
        "training": placeless_values(model.training_summary),
    }


def work_of(model: LatentSmoothedClassifier, manifest: Manifest) -> Arithmetic:
    """Arithmetic of an image and of a sample, as the engine did it that made the log."""
    engine = engine_options(manifest)
    prepared = prepare_classifier(
        model,
        folds=engine["folds"],
        encoder_precision=engine["encoder_precision"],
        noise=engine["noise"],
    )
    return arithmetic(prepared)


def packed(log: str | Path) -> bytes:
    """A log without paths, compressed; the same log gives the same bytes."""
    manifest, certificates = read_log(log)
    manifest = dataclasses.replace(
        manifest,
        model_name=placeless(manifest.model_name),
        data_source=placeless(manifest.data_source),
        command=placeless_command(manifest.command),
    )
    lines = [encode_manifest(manifest), *(encode_certificate(c, manifest) for c in certificates)]
    return gzip.compress(b"".join(lines), mtime=0)


def collect(
    run: str | Path, log: str | Path, *, dataset: str, name: str, results: Path = RESULTS
) -> list[Path]:
    """Write both files of a run and return where they are.

    Raises:
        SystemExit: the log is of another classifier.
    """
    model = LatentSmoothedClassifier.from_pretrained(run)
    manifest, _ = read_log(log)
    if manifest.artifact_hash != model.fingerprint:
        raise SystemExit(
            f"{log} is of the classifier {manifest.artifact_hash}, {run} is {model.fingerprint}"
        )
    folder = results / dataset
    log_file, facts_file = folder / f"{name}.jsonl.gz", folder / f"{name}.training.json"
    write_whole(log_file, packed(log))
    write_whole(facts_file, json.dumps(facts_of(model, manifest, name), indent=1) + "\n")
    return [log_file, facts_file]


def collect_sweep(sweep: str | Path, *, dataset: str, results: Path = RESULTS) -> list[Path]:
    """Do so for every run of a sweep's ``frontier.json``, which is kept without paths."""
    sweep = Path(sweep)
    content = read_frontier(sweep / FRONTIER_FILE)
    written = []
    for point in points_from_json(content):
        own = sweep / point.name
        run = point.details.get("reuse") or own
        written += collect(run, own / LOG_FILE, dataset=dataset, name=point.name, results=results)
    target = results / dataset / f"{sweep.resolve().name}.frontier.json"
    write_whole(target, json.dumps(placeless_values(content), indent=1) + "\n")
    return [*written, target]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", help="model folder, hub id or packaged:NAME")
    parser.add_argument("log", nargs="?", help="its certificate log")
    parser.add_argument("--sweep", help="folder of a sweep, in place of RUN and LOG")
    parser.add_argument("--dataset", required=True, help="folder under benchmarks/results/training")
    parser.add_argument("--name", help="by default the run's folder")
    given = parser.parse_args()
    if (given.sweep is None) == (given.log is None):
        parser.error("wanted RUN and LOG, or --sweep FOLDER")
    if given.sweep is not None:
        files = collect_sweep(given.sweep, dataset=given.dataset)
    else:
        name = given.name or Path(given.run).resolve().name.rpartition(":")[2]
        files = collect(given.run, given.log, dataset=given.dataset, name=name)
    for path in files:
        print(path)


if __name__ == "__main__":
    main()
