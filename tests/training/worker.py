"""A training run in a process of its own: `python -m tests.training.worker OUTPUT KILL_AT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import OrthogonalConv2d
from latentsmooth.training import TrainingSettings, train
from tests.training.fakes import BrightQuadrants

SHARED = TrainingSettings(
    epochs=2,
    batch_size=16,
    optimizer="sgd",
    learning_rate=0.1,
    augment=False,
    precision="float32",
    validate_images=11,
    device="cpu",
)


class Deadly(BrightQuadrants):
    """Images whose reading at one step kills the process as `kill -9` does."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(positions)


def plain_classifier() -> LatentSmoothedClassifier:
    """Return a classifier in which images of a batch do not see each other, almost noiseless."""
    torch.manual_seed(0)
    return LatentSmoothedClassifier(
        OrthogonalConv2d(3, 4, 3),
        nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Linear(16, 4)),
        latent_sigma=1e-7,
        class_names=BrightQuadrants.class_names,
        image_shape=BrightQuadrants.image_shape,
    )


def train_together(output: Path) -> LatentSmoothedClassifier:
    """Train under whatever process group the environment describes."""
    model = plain_classifier()
    train(
        model,
        BrightQuadrants(),
        settings=SHARED,
        output=output,
        validation=BrightQuadrants(24, seed=1),
        progress=False,
    )
    return model


def main() -> None:
    """Be killed at a step, or train as one of several processes and leave the weights behind."""
    from tests.training.test_loop import run

    output = Path(sys.argv[1])
    if "RANK" in os.environ:
        model = train_together(output)
        save_file(model.state_dict(), output / f"rank-{os.environ['RANK']}.safetensors")
        torch.distributed.destroy_process_group()
    else:
        torch.set_num_threads(int(sys.argv[3]))
        run(output, images=Deadly(int(sys.argv[2])))


if __name__ == "__main__":
    main()
