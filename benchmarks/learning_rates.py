"""Try learning rates on held-out training images: every 25th is validated on, the rest trained on.

    python benchmarks/learning_rates.py --data cifar10:DATA --build lsrs-haar --width 0.25 \
        --latent-sigma 0.25 --epochs 1 --rates 0.001 0.003 0.01 --folder runs/rates

Prints one JSON line a rate with the noisy and smoothed accuracy on the held-out images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from latentsmooth.images import ImageSet, load_images
from latentsmooth.models import build
from latentsmooth.training import TrainingSettings, train

HELD_OUT = 25


class Part:
    """Some positions of an image set, as training reads them."""

    def __init__(self, images: ImageSet, positions: list[int]) -> None:
        self._images = images
        self._positions = torch.tensor(positions)
        self.indices = tuple(positions)
        self.source = images.source
        self.split = images.split
        self.class_names = images.class_names
        self.image_shape = images.image_shape
        self.fingerprint = images.fingerprint

    def __len__(self) -> int:
        return len(self._positions)

    def batch(self, positions: object) -> tuple[Tensor, Tensor, Tensor]:
        return self._images.batch(self._positions[torch.as_tensor(positions)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--latent-sigma", type=float, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rates", type=float, nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()

    images = load_images(arguments.data, split="train")
    held_out = Part(images, list(range(0, len(images), HELD_OUT)))
    rest = Part(images, [i for i in range(len(images)) if i % HELD_OUT])
    for rate in arguments.rates:
        torch.manual_seed(0)
        model = build(
            arguments.build,
            num_classes=len(images.class_names),
            image_shape=images.image_shape,
            width=arguments.width,
            latent_sigma=arguments.latent_sigma,
        )
        summary = train(
            model,
            rest,
            settings=TrainingSettings(
                epochs=arguments.epochs,
                learning_rate=rate,
                validate_every=arguments.epochs,
                validate_images=2000,
                validate_noise=8,
            ),
            output=arguments.folder / f"{arguments.build}-{rate}-{arguments.epochs}",
            validation=held_out,
            progress=False,
        )
        print(json.dumps({"learning_rate": rate, **(summary.validation or {})}), flush=True)


if __name__ == "__main__":
    main()
