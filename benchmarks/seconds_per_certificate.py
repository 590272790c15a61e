"""Time certificates of several classifiers in turn, A B C A B C, on the same images.

    python benchmarks/seconds_per_certificate.py --data cifar10:DATA --output seconds.json \
        runs/resnet18 runs/lsrs-haar runs/lsrs-partial

The first classifier named is what the ratios compare with. One uncounted certificate each comes
first. Medians; the JSON names the machine, the versions and the weights.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
from datetime import datetime, timezone
from pathlib import Path

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from latentsmooth.certification import Certifier
from latentsmooth.images import load_images
from latentsmooth.machine import describe_machine
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import package_versions


def head_mmac(model: LatentSmoothedClassifier) -> float:
    """Million multiply-accumulates of the head on one latent."""
    image = load_blank(model)
    with FlopCounterMode(display=False) as counter:
        model.head(model.encoder(image))
    whole = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        model.encoder(image)
    return float(whole - counter.get_total_flops()) / 2e6


def load_blank(model: LatentSmoothedClassifier) -> Tensor:
    return next(model.parameters()).new_zeros(1, *model.image_shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--n-estimate", type=int, default=10_000)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()

    images = load_images(arguments.data, split="test", limit=arguments.images + 1)
    models = {name: LatentSmoothedClassifier.from_pretrained(name) for name in arguments.models}
    certifiers = {
        name: Certifier(model, precision=arguments.precision) for name, model in models.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for item in images:
        for name, certifier in certifiers.items():
            made = certifier.certify_image(
                item.image, index=item.index, n_estimate=arguments.n_estimate
            )
            if item.index > 0:
                seconds[name].append(made.seconds)
    reference = seconds[arguments.models[0]]
    rows = [
        {
            "model": name,
            "build": model.build,
            "weights": model.fingerprint,
            "latent_elements": math.prod(model.latent_shape),
            "head_mmac": round(head_mmac(model), 3),
            "seconds_median": statistics.median(seconds[name]),
            "seconds_all": seconds[name],
            "samples_per_second": (arguments.n_estimate + 100) / statistics.median(seconds[name]),
            "times_faster_than_first": statistics.median(
                first / own for first, own in zip(reference, seconds[name], strict=True)
            ),
        }
        for name, model in models.items()
    ]
    result = {
        "command": shlex.join(["python", *sys.argv]),
        "data": arguments.data.rpartition("/")[2],
        "images": arguments.images,
        "n_estimate": arguments.n_estimate,
        "precision": arguments.precision,
        "machine": describe_machine(next(iter(certifiers.values())).device),
        "versions": package_versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rows": rows,
    }
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    for row in rows:
        print(
            f"{row['model']}: {row['seconds_median']:.3f} s, {row['head_mmac']} MMAC, "
            f"{row['times_faster_than_first']:.2f} x"
        )


if __name__ == "__main__":
    main()
