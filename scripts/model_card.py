"""Write a classifier's model card, README.md of its folder, from its config and certificate logs.

    python scripts/model_card.py weights/NAME --log LOG [--log LOG ...]

The card begins with the metadata that the Hugging Face hub reads. Logs must be of this very
classifier; accuracies are rounded down.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from results_runs import RADII
from results_tables import accuracy, samples_text, table
from tidied import placeless, placeless_command

from latentsmooth.files import write_whole
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.models.packaged_names import PREFIX, list_packaged, packaged_folder
from latentsmooth.records import LogView, read_log
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.records.settled import lowers_radii, settled_radii
from latentsmooth.reporting import LogSummary, plain, summarize
from latentsmooth.reporting.cells import ceil_percent, floor_percent, number, radius_text
from latentsmooth.sweep import FrontierPoint

__all__ = ["card", "metadata"]

LICENCE = "apache-2.0"
PAPER = "https://arxiv.org/abs/2108.00491"


@dataclass(frozen=True)
class Data:
    """A data set as a card names it.

    Attributes:
        title: in words.
        hub: its id on the hub, where it has one.
        origin: whose images these are.
    """

    title: str
    hub: str | None
    origin: str


FASHION = Data(
    "Fashion-MNIST",
    "zalando-datasets/fashion_mnist",
    "Fashion-MNIST (Zalando SE, MIT licence): gray 28x28 pictures of garments, bright on black",
)
JPEG = Data(
    "JPEG CIFAR-10",
    None,
    "a JPEG copy of CIFAR-10, **not CIFAR-10**: its figures compare with no published ones",
)
CIFAR = Data("CIFAR-10", "uoft-cs/cifar10", "CIFAR-10 (A. Krizhevsky)")
IMAGENET = Data("ImageNet", "ILSVRC/imagenet-1k", "ImageNet (ILSVRC 2012)")


def data_of(source: str) -> Data:
    """What a data source's name says.

    >>> data_of("cifar10:cifar10-jpeg").title, data_of("fashion-mini").title
    ('JPEG CIFAR-10', 'Fashion-MNIST')
    """
    name = source.partition(":")[0]
    if "jpeg" in source.lower():
        return JPEG
    known = {"fashion-mini": FASHION, "fashion-mnist": FASHION, "cifar10": CIFAR}
    known["imagenet"] = IMAGENET
    return known.get(name, Data(placeless(source), None, placeless(source)))


def metadata(
    model: LatentSmoothedClassifier, name: str, summaries: Sequence[LogSummary]
) -> dict[str, Any]:
    """The card's front matter, as the hub reads it."""
    trained = _data(model)
    kind = "lsrs" if (model.build or {}).get("name", "lsrs").startswith("lsrs") else "isrs"
    return {
        "license": LICENCE,
        "library_name": "latentsmooth",
        "pipeline_tag": "image-classification",
        "tags": ["randomized-smoothing", "certified-robustness", "adversarial-robustness", kind],
        **({"datasets": [trained.hub]} if trained is not None and trained.hub else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": [_result(each) for each in summaries]}],
        "latentsmooth": {
            "fingerprint": model.fingerprint,
            "latent_sigma": model.latent_sigma,
            "lipschitz_bound": model.lipschitz_bound,
        },
    }


def card(
    folder: str | Path, logs: Sequence[str | Path], *, name: str, title: str | None = None
) -> str:
    """The card of the classifier in a folder.

    Args:
        folder: of the classifier.
        logs: certificate logs of it.
        name: by which it is loaded.
        title: the card's heading; the name by default.

    Raises:
        SystemExit: a log is of another classifier.
    """
    model = LatentSmoothedClassifier.from_pretrained(folder)
    summaries = [_summary(log, model.fingerprint) for log in logs]
    front = yaml.safe_dump(
        metadata(model, title or name, summaries), sort_keys=False, allow_unicode=True, width=1000
    )
    parts = [
        f"# {title or name}",
        _what(model),
        *_certified(summaries),
        *_use(model, name),
        *_training(model),
        *_limits(model),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _summary(log: str | Path, fingerprint: str) -> LogSummary:
    manifest, certificates = read_log(log)
    if manifest.artifact_hash != fingerprint:
        raise SystemExit(f"{log} is of the classifier {manifest.artifact_hash}, not {fingerprint}")
    view = LogView(name=Path(log).name, manifest=manifest, certificates=tuple(certificates))
    radii = settled_radii(manifest.rule) or RADII
    most = [count for count in summarize(view, input_radii=radii).n_certified if count]
    return summarize(view, input_radii=radii[: max(1, len(most))])


def _data(model: LatentSmoothedClassifier) -> Data | None:
    source = model.training_summary.get("data", {}).get("source")
    return data_of(source) if isinstance(source, str) else None


def _result(summary: LogSummary) -> dict[str, Any]:
    manifest = summary.manifest
    if manifest is None:
        return {}
    data = data_of(manifest.data_source)
    return {
        "task": {"type": "image-classification"},
        "dataset": {
            "name": data.title,
            "type": data.hub or data.title.lower().replace(" ", "-"),
            "split": manifest.data_split,
        },
        "metrics": [
            {
                "type": "accuracy",
                "name": f"certified accuracy at l2 radius {radius_text(radius)}",
                "value": float(floor_percent(share)),
            }
            for radius, share in zip(summary.input_radii, summary.certified_accuracy, strict=True)
        ],
    }


def _what(model: LatentSmoothedClassifier) -> str:
    build = model.build or {}
    shape = "x".join(map(str, model.image_shape[1:]))
    colour = "gray" if model.image_shape[0] == 1 else "RGB"
    encoder, head = (
        sum(weight.numel() for weight in part.parameters()) for part in (model.encoder, model.head)
    )
    fixed = "without weights" if not encoder else f"of {encoder:,} weights"
    options = ", ".join(f"{key} {value}" for key, value in build.get("options", {}).items())
    named = f"`{build['name']}`, width {build['width']:g}" if build else "a user's own modules"
    return (
        f"A classifier of {shape} {colour} images into {len(model.class_names)} classes whose "
        "answers come with a proof: every image closer than the certified radius, in l2 over "
        f"pixels in [0, 1], gets the same answer. It is a [latent smoothed classifier]({PAPER}): "
        f"an encoder {fixed}, with the verified Lipschitz bound "
        f"{ceil_text(model.lipschitz_bound, 8)}, then a head of {head:,} weights that votes "
        f"on latents under Gaussian noise of sigma {model.latent_sigma:g}. Build: {named}"
        f"{', ' + options if options else ''}."
    )


def _certified(summaries: Sequence[LogSummary]) -> Iterator[str]:
    for summary in summaries:
        manifest = summary.manifest
        if manifest is None:
            continue
        data = data_of(manifest.data_source)
        source = placeless(manifest.data_source)
        yield f"## Certified accuracy on {data.title}"
        yield (
            f"{summary.n_images:,} images of the {manifest.data_split} split of `{source}`, "
            f"{samples_text(manifest)}, alpha = {manifest.alpha:g} an image, head in "
            f"{manifest.precision}. In %, rounded down; small print: 95 % interval over the choice "
            "of images. An abstention counts as wrong."
        )
        point = FrontierPoint(
            name=summary.name,
            kind="LSRS",
            images=summary.n_labelled,
            input_radii=summary.input_radii,
            n_certified=summary.n_certified,
        )
        at = [f"at {radius_text(radius)}" for radius in summary.input_radii]
        mean = summary.average_certified_radius
        cells = [accuracy(point, radius) for radius in summary.input_radii]
        cells.append("–" if mean is None else floor_text(mean, 4))
        settled = settled_radii(manifest.rule)
        known = settled is None or 0.0 in settled
        cells.append(ceil_percent(summary.abstention) if known else "–")
        lowered = lowers_radii(manifest.rule)
        headings = [*at, "mean radius ≥" if lowered else "mean radius", "abstained, %"]
        yield table(headings, [cells], texts=0)
        if lowered:
            yield (
                "Sampling stopped early: the mean radius is a lower value than a fixed number of "
                "samples would give, and compares with none of another rule."
            )
        yield f"Made by `{placeless_command(manifest.command)}`."


def _use(model: LatentSmoothedClassifier, name: str) -> Iterator[str]:
    garments = model.image_shape == (1, 28, 28)
    sample = " fashion-mini:1" if garments else ""
    size = "" if garments else f", image_size={model.image_shape[1]}"
    source = '"fashion-mini"' if garments else '"imagefolder:FOLDER"'
    yield "## How to use it"
    yield (
        f"```console\npip install latentsmooth\nlatentsmooth predict {name}{sample} photo.png\n```"
    )
    yield (
        "```python\nfrom latentsmooth import LatentSmoothedClassifier, load_images\n\n"
        f'model = LatentSmoothedClassifier.from_pretrained("{name}")\n'
        f"data = load_images({source}{size})\n"
        "images, labels, _ = data.batch(range(3))  # pixels in [0, 1]\n"
        "for certificate in model.certify(images, n_estimate=10_000):\n"
        "    print(certificate.prediction, certificate.input_radius)\n```"
    )
    yield f"Classes, in order: {', '.join(map(plain, model.class_names))}."


def _training(model: LatentSmoothedClassifier) -> Iterator[str]:
    trained, data = model.training_summary, _data(model)
    if not trained:
        return
    settings = trained.get("settings", {})
    yield "## How it was trained"
    if data is not None:
        yield f"On {trained['data'].get('images', 0):,} images: {data.origin}."
    if "command" in trained:
        yield f"```console\n{placeless_command(trained['command'])}\n```"
    machine = trained.get("machine", {})
    where = machine.get("accelerator") or machine.get("processor") or machine.get("name", "")
    yield (
        f"Objective {settings.get('objective', 'gaussian')}, {trained.get('epochs')} epochs in "
        f"{number(trained.get('seconds'))} s"
        + (f" on {plain(str(where))}" if where else "")
        + ". `config.json` has every setting."
    )


def _limits(model: LatentSmoothedClassifier) -> Iterator[str]:
    yield "## Limits"
    yield "\n".join(
        [
            "- A certificate is wrong with probability at most alpha, over the noise it drew. It "
            "is about l2 changes of the image as the classifier gets it, after resizing, and not "
            "about rotations, other light or other cameras.",
            "- It says that the answer is stable, not that it is right; on pictures unlike those "
            "it was trained on it may be neither.",
            "- The radii are small: 0.5 is a change of one pixel by half of its range, or of 784 "
            "pixels by 1.8 % of it.",
            "- For research; nothing that people depend on should rest on it alone.",
            f"- Weights: {LICENCE}. The images' own licences apply to the images.",
            f"- Fingerprint: `{model.fingerprint}`.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="folder of the classifier, or packaged:NAME")
    parser.add_argument("--log", action="append", default=[], help="certificate log of it")
    parser.add_argument("--name", help="by which it is loaded; the folder by default")
    parser.add_argument("--title", help="the card's heading")
    arguments = parser.parse_args()
    packaged = {packaged_folder(name): name for name in list_packaged()}
    given = arguments.folder
    folder = packaged_folder(given) if given.startswith(PREFIX) else Path(given)
    name = arguments.name or packaged.get(folder.resolve(), placeless(given))
    text = card(folder, arguments.log, name=name, title=arguments.title)
    write_whole(folder / "README.md", text)
    print(folder / "README.md")


if __name__ == "__main__":
    main()
