"""Which latents suit a cheap head? Short trainings of small heads behind several encoders.

    python benchmarks/encoder_search.py DATA --teacher RUN --output FILE.json

DATA is a folder with train.parquet of JPEG CIFAR-10; RUN an ISRS classifier trained on it at sigma
0.25. Each row trains for four epochs on 48,000 training images and counts votes on the other 2,000:
no test image is seen. A row's shares at 0.841 and 0.977 are those of images whose right class has
that share of 64 votes: what radii of sigma and two sigma would ask for.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from latentsmooth.files import write_whole
from latentsmooth.images import load_images
from latentsmooth.machine import describe_machine
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.models.blocks import convolution
from latentsmooth.models.resnet import BasicBlock
from latentsmooth.orthogonal import (
    HaarLowPass,
    HaarWavelet,
    Initialisation,
    MaxMin,
    OrthogonalConv2d,
)
from latentsmooth.version import __version__

SIGMA, EPOCHS, BATCH, RATE, HELD_OUT, VOTES = 0.25, 4, 128, 0.01, 2000, 64
Teacher = Callable[[Tensor], Tensor]


class Luma(nn.Module):
    """Low-pass of the colours and details of the brightness alone, as Haar bands: 24 channels."""

    def forward(self, images: Tensor) -> Tensor:
        """From ``(batch, 3, h, w)`` to ``(batch, 24, h / 4, w / 4)``."""
        bands = HaarWavelet()(images)
        details = bands[:, 3:].unflatten(1, (3, 3)).sum(2) / math.sqrt(3)
        return HaarWavelet()(torch.cat([bands[:, :3], details], 1))  # type: ignore[no-any-return]


def pooled(channels: int) -> list[nn.Module]:
    """The end of most heads: an average over the pixels, and logits."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def _two_stages(channels: int) -> nn.Sequential:
    first = convolution(channels, 32)
    blocks = [BasicBlock(32, 32), BasicBlock(32, 64, 2), BasicBlock(64, 64)]
    return nn.Sequential(*first, *blocks, *pooled(64))


def three_stages(channels: int) -> nn.Sequential:
    """That of `lsrs-compact` at quarter width."""
    first = [*convolution(channels, 32), *convolution(32, 32)]
    blocks = [BasicBlock(32, 64, 2), BasicBlock(64, 128, 2)]
    return nn.Sequential(*first, *blocks, *pooled(128))


def _quarter_width() -> nn.Sequential:
    first = convolution(3, 16)
    blocks = [BasicBlock(16, 16), BasicBlock(16, 16), BasicBlock(16, 32, 2), BasicBlock(32, 32)]
    blocks += [BasicBlock(32, 64, 2), BasicBlock(64, 64)]
    return nn.Sequential(*first, *blocks, *pooled(64))


def _sorted_luma() -> nn.Sequential:
    layers: list[nn.Module] = [Luma()]
    for channels, outputs in ((24, 64), (64, 64), (64, 32)):
        start: Initialisation = "identity" if outputs < channels else "haar"
        layers += [OrthogonalConv2d(channels, outputs, 3, bias=False, init=start), MaxMin()]
    return nn.Sequential(*layers)


ROWS: Final[dict[str, dict[str, Any]]] = {
    "low-pass, 3x16x16": {"encoder": HaarLowPass, "head": _quarter_width},
    "all bands, 48x8x8": {"encoder": lambda: HaarWavelet(2), "head": lambda: _two_stages(48)},
    "bands of the low-pass, 12x8x8": {},
    "and details of the brightness, 24x8x8": {"encoder": Luma, "head": lambda: _two_stages(24)},
    "then three sorted orthogonal layers, 32x8x8": {
        "encoder": _sorted_luma,
        "head": lambda: _two_stages(32),
    },
    "bands of the low-pass, four draws": {"draws": 4},
    "bands of the low-pass, distilled": {"distilled": True},
    "the same, three stages": {"distilled": True, "head": lambda: three_stages(12)},
}


def split_pixels(folder: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training images to learn from and to judge by: uint8 ``(n, 3, 32, 32)`` and labels each."""
    images = load_images(f"cifar10:{folder}", split="train")
    parts = [images.batch(range(at, at + 1000)) for at in range(0, len(images), 1000)]
    pixels = torch.cat([(part * 255).round().to(torch.uint8) for part, _, _ in parts])
    labels = torch.cat([part for _, part, _ in parts])
    return (pixels[:-HELD_OUT], labels[:-HELD_OUT]), (pixels[-HELD_OUT:], labels[-HELD_OUT:])


def millions(head: nn.Module, latents: Tensor) -> float:
    """Multiply-accumulates of one vote, in millions."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        head.eval()(latents)
    return round(int(counter.get_total_flops()) / 2e6, 2)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crop at random from images padded by four black pixels, and mirror half of them."""
    count = len(images)
    images = F.pad(images, (4, 4, 4, 4))
    shifts = torch.randint(0, 9, (count, 2), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    rows, columns = (shifts[:, axis, None] + torch.arange(32) for axis in (0, 1))
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    each = torch.arange(count)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def load_teacher(run: Path) -> Teacher:
    """One noisy vote, softened, for each image."""
    model = LatentSmoothedClassifier.from_pretrained(run).eval()
    head = model.head.bfloat16()

    def vote(images: Tensor) -> Tensor:
        noisy = images + model.latent_sigma * torch.randn_like(images)
        with torch.no_grad():
            logits: Tensor = head(noisy.bfloat16().contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(1)

    return vote


def rate_at(progress: float) -> float:
    """Cosine up for 15 % of the steps, cosine down for the rest: a share of the peak."""
    if progress < 0.15:
        return max(0.5 - 0.5 * math.cos(math.pi * progress / 0.15), 1 / 25)
    return max(0.5 + 0.5 * math.cos(math.pi * (progress - 0.15) / 0.85), 1e-4)


def train(
    encoder: nn.Module,
    head: nn.Module,
    data: tuple[Tensor, Tensor],
    *,
    draws: int,
    teacher: Teacher | None = None,
    epochs: int = EPOCHS,
    rate: float = RATE,
) -> torch.Generator:
    """Train both in place; the generator goes on with the votes."""
    pixels, labels = data
    generator = torch.Generator().manual_seed(0)
    matrices = [weight for weight in head.parameters() if weight.ndim > 1]
    others = [weight for weight in head.parameters() if weight.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": 0.02},
        {"params": [*others, *encoder.parameters()], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    steps = len(pixels) // BATCH
    for step in range(epochs * steps):
        if step % steps == 0:
            order = torch.randperm(len(pixels), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_at(step / (epochs * steps))
        chosen = order[step % steps * BATCH :][:BATCH]
        images = augment(pixels[chosen], generator).float() / 255 - 0.5
        logits = noisy_logits(encoder, head, images, draws, generator)
        wanted = labels[chosen].repeat_interleave(draws)
        loss = F.cross_entropy(logits, wanted)
        if teacher is not None:
            target = teacher(images).repeat_interleave(draws, 0)
            loss = 0.1 * loss - 0.9 * (target * logits.log_softmax(1)).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return generator


def noisy_logits(
    encoder: nn.Module, head: nn.Module, images: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    """Logits ``(batch * draws, classes)`` of noisy latents, an image's draws in a row."""
    latents = encoder(images).float().repeat_interleave(draws, 0)
    latents = latents + SIGMA * torch.randn(latents.shape, generator=generator)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        logits: Tensor = head(latents.contiguous(memory_format=torch.channels_last))
    return logits.float()


def measure(
    encoder: nn.Module, head: nn.Module, data: tuple[Tensor, Tensor], generator: torch.Generator
) -> dict[str, float]:
    """Shares of votes, and of images by their votes, in percent."""
    shares = []
    with torch.no_grad():
        for at in range(0, len(data[0]), 20):
            images = data[0][at : at + 20].float() / 255 - 0.5
            logits = noisy_logits(encoder, head, images, VOTES, generator)
            right = logits.argmax(1).view(-1, VOTES) == data[1][at : at + 20, None]
            shares.append(right.float().mean(1))
    share = torch.cat(shares)
    above = {f"votes>{least}": share > least for least in (0.5, 0.841, 0.977)}
    found = {"votes": share, **{name: more.float() for name, more in above.items()}}
    return {name: round(100 * float(value.mean()), 1) for name, value in found.items()}


def main() -> None:
    """Train every row and write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    seen, held_out = split_pixels(arguments.data)
    teacher = load_teacher(arguments.teacher)
    rows = []
    for name, row in ROWS.items():
        torch.manual_seed(0)
        encoder = row.get("encoder", lambda: nn.Sequential(HaarLowPass(), HaarWavelet()))()
        head = row.get("head", lambda: _two_stages(12))()
        head = head.to(memory_format=torch.channels_last)
        with torch.no_grad():
            cost = millions(head, encoder(torch.zeros(1, 3, 32, 32)))
        head.train()
        draws = row.get("draws", 1)
        began = time.perf_counter()
        taught = teacher if row.get("distilled") else None
        generator = train(encoder, head, seen, draws=draws, teacher=taught)
        found = measure(encoder, head.eval(), held_out, generator)
        seconds = round(time.perf_counter() - began)
        rows.append(
            {"encoder": name, "head_mmac": cost, "draws": draws, **found, "seconds": seconds}
        )
        print(rows[-1], flush=True)
    made = {"latentsmooth": __version__, "machine": describe_machine(torch.device("cpu"))}
    write_whole(arguments.output, json.dumps({"rows": rows, **made}, indent=1) + "\n")


if __name__ == "__main__":
    main()
