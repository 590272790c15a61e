"""Images a second in training: the builds, side by side with a plain torch loop on ResNet-18.

    python benchmarks/training_speed.py --output benchmarks/results/training-speed.json

The plain loop trains the network of `resnet18` without noise, encoder, augmentation or anything of
this package but the network: channels-last, autocast, fused AdamW. It runs twice, as torch finds
the memory allocator and with freed memory kept (`latentsmooth.training.memory`). Each row is a
process of its own, on random images held as bytes, timed for a few seconds after some steps that
do not count; medians over steps. `lsrs-dense:4` is that build with four noise draws an image.
Beside the JSON a table is written, in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peers.provenance import provenance
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.machine import resolve_precision
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.training import TrainingSettings
from latentsmooth.training.batches import Batches, BatchPlan
from latentsmooth.training.memory import keep_freed_memory
from latentsmooth.training.processes import start_accelerator
from latentsmooth.training.step import Stepper

PLAIN, PLAIN_KEPT = "plain loop", "plain loop, memory kept"
BUILDS = (
    "resnet18",
    "lsrs-partial",
    "lsrs-haar",
    "lsrs-compact",
    "lsrs-dense",
    "lsrs-dense:4",
    "lsrs-convnext",
    "lsrs-depthwise",
    "lsrs-mixer",
    "lsrs-convnet",
)
WARM_UP = 4
CLASSES = 10
CPU = torch.device("cpu")


class RandomImages:
    """Pixels and labels without meaning, kept as data sets are: as bytes."""

    source, split, fingerprint = "random", "train", "random"
    class_names = tuple(map(str, range(CLASSES)))

    def __init__(self, count: int, side: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.image_shape = (3, side, side)
        self.indices = range(count)
        self.pixels = torch.randint(
            256, (count, *self.image_shape), dtype=torch.uint8, generator=generator
        )
        self.labels = torch.randint(CLASSES, (count,), generator=generator)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.as_tensor(positions)
        return self.pixels[rows].float().div_(255), self.labels[rows], rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--builds", nargs="+", default=list(BUILDS))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=0, help="default: torch's own choice")
    parser.add_argument("--row", help="measure this row alone and print it")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.row:
        print(json.dumps(measure(arguments)))
        return
    rows = [in_a_process(name) for name in (PLAIN, PLAIN_KEPT, *arguments.builds)]
    for row in rows:
        row["over_plain"] = row["images_per_second"] / rows[0]["images_per_second"]
    settings = {
        name: getattr(arguments, name) for name in ("width", "side", "batch_size", "seconds")
    }
    result = {**provenance(), **settings, "precision": precision(), "rows": rows}
    print(table(result))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")
        arguments.output.with_suffix(".md").write_text(table(result))


def in_a_process(row: str) -> dict[str, Any]:
    """Measure one row with this command's other arguments, in a process that does nothing else."""
    words = [sys.executable, *sys.argv, "--row", row]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=own_malloc())
    print(done.stdout.strip(), file=sys.stderr, flush=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def own_malloc() -> dict[str, str]:
    """The environment without what would set the memory allocator for every row."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take steps until the time is up, and say how fast they were."""
    images = RandomImages(8 * arguments.batch_size, arguments.side)
    plain = arguments.row in (PLAIN, PLAIN_KEPT)
    name, _, draws = arguments.row.partition(":")
    model = build(
        "resnet18" if plain else name,
        num_classes=CLASSES,
        image_shape=images.image_shape,
        width=arguments.width,
        latent_sigma=0.25,
    ).train()
    stepped = plain_steps if plain else partial(library_steps, draws=int(draws or 1))
    with nullcontext() if arguments.row == PLAIN else keep_freed_memory(CPU):
        steps = stepped(model, images, arguments.batch_size)
        for _ in range(WARM_UP):
            next(steps)
        taken: list[float] = []
        faults, until = page_faults(), time.perf_counter() + arguments.seconds
        while time.perf_counter() < until or len(taken) < 3:
            start = time.perf_counter()
            next(steps)
            taken.append(time.perf_counter() - start)
    return {
        "row": arguments.row,
        "images_per_second": arguments.batch_size / statistics.median(taken),
        "seconds_a_step": statistics.median(taken),
        "steps": len(taken),
        "page_faults_a_step": (page_faults() - faults) / len(taken),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "latent_shape": model.latent_shape,
        "threads": torch.get_num_threads(),
    }


def library_steps(
    model: LatentSmoothedClassifier, images: RandomImages, batch_size: int, *, draws: int
) -> Iterator[None]:
    """Steps as `train` takes them: batches augmented, noise drawn, encoder and head trained."""
    settings = TrainingSettings(
        batch_size=batch_size, device="cpu", objective_options={"draws": draws}
    )
    accelerator = start_accelerator(cpu=True)
    plan = BatchPlan.make(len(images), settings)
    stepper = Stepper(
        model, settings, accelerator, bfloat16=precision() == "bfloat16", total_steps=10**6
    )
    batches = Batches(images, plan, settings, CPU)
    for step, (pixels, labels) in enumerate(batches.stream(0, 10**6)):
        stepper.take(step, pixels, labels)
        yield


def plain_steps(
    model: LatentSmoothedClassifier, images: RandomImages, batch_size: int
) -> Iterator[None]:
    """Steps of the network alone, as one would write them without this package."""
    network = model.head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    while True:
        pixels, labels, _ = images.batch(torch.randperm(len(images))[:batch_size])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision() == "bfloat16"):
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        yield


def precision() -> str:
    return resolve_precision("auto", CPU)


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def table(result: dict[str, Any]) -> str:
    """The rows in Markdown, with what a reader needs to judge them."""
    machine = result["machine"]
    lines = [
        "# Training speed",
        "",
        f"Batch {result['batch_size']} of 3x{result['side']}x{result['side']}, width "
        f"{result['width']:g}, {result['precision']}, {result['rows'][0]['threads']} threads; "
        f"{machine['processor']}, torch {result['versions']['torch']}. The plain loop is torch on "
        "ResNet-18, without noise, encoder or augmentation. One gradient step each on whole "
        "batches; medians.",
        "",
        "| Network | images/s | of the plain loop | million weights | page faults a step | "
        "peak MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['row']} | {row['images_per_second']:,.0f} | {row['over_plain']:.2f} | "
        f"{row['parameters'] / 1e6:.2f} | {row['page_faults_a_step']:,.0f} | "
        f"{row['peak_mib']:,.0f} |"
        for row in result["rows"]
    ]
    return "\n".join([*lines, "", f"Made by `{result['command']}`.", ""])


if __name__ == "__main__":
    main()
