"""Which head is worth its cost? Short trainings of heads on the latents of the compact builds.

    python benchmarks/head_search.py DATA --output FILE.json [--rows NAME ...] [--epochs 5]

DATA is a folder with train.parquet of JPEG CIFAR-10. Every row trains for a few epochs at sigma
0.25 on 12x8x8 latents, as `encoder_search.py` does, and votes on 2,000 training images left out: no
test image is seen. Its time is that of one vote, compiled in bfloat16, at a batch of 256.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import torch._inductor.config as inductor
from encoder_search import measure, millions, pooled, split_pixels, three_stages, train
from torch import Tensor, nn

from latentsmooth.files import write_whole
from latentsmooth.machine import describe_machine
from latentsmooth.models.blocks import ResidualConvolution, convolution
from latentsmooth.models.resnet import BasicBlock
from latentsmooth.orthogonal import HaarLowPass, HaarWavelet
from latentsmooth.version import __version__

CHANNELS, CLASSES, BATCH, ROUNDS = 12, 10, 256, 7


class Residual(nn.Module):
    """Layers round a shortcut."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Add what the layers make of the input to it."""
        made: Tensor = inputs + self.layers(inputs)
        return made


class AcrossPositions(nn.Module):
    """A dense layer over the positions, the same for every channel, round a shortcut."""

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.dense = nn.Linear(positions, positions)

    def forward(self, inputs: Tensor) -> Tensor:
        """Mix positions."""
        mixed: Tensor = self.dense(self.norm(inputs).flatten(2)).relu()
        return inputs + mixed.view_as(inputs)


def _dense(features: int, hidden: int, further: int = 0) -> list[nn.Module]:
    """One hidden layer, perhaps some more round shortcuts, and logits."""
    layers = [nn.Flatten(), *_hidden(features, hidden)]
    layers += [Residual(*_hidden(hidden, hidden)) for _ in range(further)]
    return [*layers, nn.Linear(hidden, CLASSES)]


def _hidden(features: int, hidden: int) -> list[nn.Module]:
    return [nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]


def dense_end(mixing: bool = False) -> nn.Sequential:
    """That of `lsrs-compact` with dense layers for its last stage."""
    layers = convolution(CHANNELS, 32)
    layers += [AcrossPositions(32, 64)] if mixing else []
    layers += [*convolution(32, 32), BasicBlock(32, 64, 2)]
    layers += [AcrossPositions(64, 16)] if mixing else []
    return nn.Sequential(*layers, *_dense(1024, 512, 0 if mixing else 1))


def patched(
    first: int,
    kept: int,
    blocks: tuple[int, int],
    hidden: int = 512,
    *,
    pool: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A stem, residual convolutions on 8x8 and, after patches of 2x2, on 4x4, a dense layer.

    Without hidden features an average pool stands for the dense layer.
    """
    layers = convolution(CHANNELS, first)
    layers += [ResidualConvolution(first) for _ in range(blocks[0])]
    layers += [nn.MaxPool2d(2)] if pool else convolution(first, kept, 2, stride=2, padding=0)
    layers += [ResidualConvolution(kept) for _ in range(blocks[1])]
    if not hidden:
        return nn.Sequential(*layers, *pooled(kept))
    end = _dense(16 * kept, hidden)
    if dropout:
        end = [end[0], nn.Dropout(dropout), *end[1:-1], nn.Dropout(dropout), end[-1]]
    return nn.Sequential(*layers, *end)


def small() -> nn.Sequential:
    """A stem straight to 4x4."""
    layers = [*convolution(CHANNELS, 96, 4, stride=2), ResidualConvolution(96)]
    return nn.Sequential(*layers, *_dense(1536, 512))


def shallow() -> nn.Sequential:
    """A stem and dense layers."""
    return nn.Sequential(*convolution(CHANNELS, 32), *_dense(2048, 512, 1))


Head = Callable[[], nn.Sequential]
ROWS: Final[dict[str, tuple[Head, dict[str, Any]]]] = {
    "pooled": (lambda: three_stages(CHANNELS), {}),
    "dense-end": (dense_end, {}),
    "dense-end-mixing": (lambda: dense_end(mixing=True), {}),
    "shallow": (shallow, {}),
    "small": (small, {}),
    "patched-48-64-1-1": (lambda: patched(48, 64, (1, 1)), {}),
    "patched-32-96-1-1": (lambda: patched(32, 96, (1, 1)), {}),
    "patched-32-64-2-2": (lambda: patched(32, 64, (2, 2)), {}),
    "patched-64-64-0-2": (lambda: patched(64, 64, (0, 2)), {}),
    "patched-64-64-0-2-max-pool": (lambda: patched(64, 64, (0, 2), pool=True), {}),
    "patched-64-64-0-3": (lambda: patched(64, 64, (0, 3)), {}),
    "patched-64-64-0-2-1024": (lambda: patched(64, 64, (0, 2), 1024), {}),
    "patched-64-64-0-3-1024": (lambda: patched(64, 64, (0, 3), 1024), {}),
    "patched-64-96-0-1": (lambda: patched(64, 96, (0, 1)), {}),
    "patched-96-64-0-3": (lambda: patched(96, 64, (0, 3)), {}),
    "patched-64-64-0-3-dropout": (lambda: patched(64, 64, (0, 3), dropout=0.25), {}),
    "patched-64-96-0-2-pooled": (lambda: patched(64, 96, (0, 2), 0), {}),
    "patched-64-64-0-2-rate-0.005": (lambda: patched(64, 64, (0, 2)), {"rate": 0.005}),
    "patched-64-64-0-2-rate-0.02": (lambda: patched(64, 64, (0, 2)), {"rate": 0.02}),
    "patched-64-64-0-2-four-draws": (lambda: patched(64, 64, (0, 2)), {"draws": 4}),
}


def microseconds(head: nn.Module) -> float:
    """Of one vote: the median round, compiled, one thread or as many as torch has."""
    inductor.freezing = True
    layout = torch.channels_last
    voting = copy.deepcopy(head).eval().bfloat16()
    voting.to(memory_format=layout)  # type: ignore[call-overload]
    latents = torch.randn(BATCH, CHANNELS, 8, 8).bfloat16().contiguous(memory_format=layout)
    compiled: Callable[[Tensor], Tensor] = torch.compile(voting)
    times = []
    with torch.no_grad():
        for _ in range(2):
            compiled(latents)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(8):
                compiled(latents)
            times.append((time.perf_counter() - began) / 8 / BATCH)
    torch._dynamo.reset()
    return round(1e6 * statistics.median(times), 1)


def main() -> None:
    """Train every row and write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    seen, held_out = split_pixels(arguments.data)
    rows = []
    for name in arguments.rows:
        make, settings = ROWS[name]
        torch.manual_seed(0)
        encoder = nn.Sequential(HaarLowPass(), HaarWavelet())
        head = make()
        head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        cost = millions(head, torch.zeros(1, CHANNELS, 8, 8))
        head.train()
        began = time.perf_counter()
        generator = train(encoder, head, seen, epochs=arguments.epochs, **{"draws": 1, **settings})
        seconds = round(time.perf_counter() - began)
        found = measure(encoder, head.eval(), held_out, generator)
        voted = {
            "head_mmac": cost,
            "epochs": arguments.epochs,
            **settings,
            **found,
            "microseconds": microseconds(head),
        }
        rows.append({"head": name, **voted, "seconds": seconds})
        print(rows[-1], flush=True)
    machine = {**describe_machine(torch.device("cpu")), "threads": torch.get_num_threads()}
    made = {"latentsmooth": __version__, "machine": machine}
    write_whole(arguments.output, json.dumps({"rows": rows, **made}, indent=1) + "\n")


if __name__ == "__main__":
    main()
