"""How much of a training step goes into building the orthogonal kernels, measured in two ways.

    python benchmarks/kernel_share.py --output benchmarks/results/kernel-share.json

By difference: steps of the build, in turns with steps of the same network whose kernels are plain
parameters. Directly: the construction of all kernels and the backward through it, alone. Random
images, as training lays them out; shares are medians over rounds of ratios within a round.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from peers.provenance import provenance
from torch import Tensor, nn

from latentsmooth.machine import resolve_precision
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.orthogonal import OrthogonalConv2d
from latentsmooth.training import TrainingSettings
from latentsmooth.training.processes import start_accelerator
from latentsmooth.training.step import Stepper

IMAGE_SHAPE = (3, 32, 32)
CLASSES = 10
WARM_UP_ROUNDS = 2


class LeafKernelConv2d(OrthogonalConv2d):
    """The same convolution with a kernel that is a parameter of its own, not built."""

    kernel: nn.Parameter

    @property  # type: ignore[misc]
    def weight(self) -> Tensor:
        return self.kernel

    def factors(self) -> list[Any]:
        """Nothing to be built."""
        return []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", default="lsrs-partial")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--precision", default="bfloat16", choices=("auto", "bfloat16", "float32"))
    parser.add_argument("--threads", type=int, default=0, help="default: torch's own choice")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    precision = resolve_precision(arguments.precision, torch.device("cpu"))
    seconds = measure(arguments, bfloat16=precision == "bfloat16")
    result = {
        **provenance("accelerate"),
        "build": arguments.build,
        "width": arguments.width,
        "batch_size": arguments.batch_size,
        "precision": precision,
        "share_by_difference": _share(
            [real - leaf for real, leaf in zip(seconds["step"], seconds["leaf_step"], strict=True)],
            seconds["step"],
        ),
        "share_directly": _share(seconds["construction"], seconds["step"]),
        "seconds_median": {name: statistics.median(taken) for name, taken in seconds.items()},
        "seconds_all": seconds,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", "utf-8")


def measure(arguments: argparse.Namespace, *, bfloat16: bool) -> dict[str, list[float]]:
    """Seconds of each round: a step, a step with leaf kernels, and construction alone."""
    torch.manual_seed(0)
    model = build(
        arguments.build,
        num_classes=CLASSES,
        image_shape=IMAGE_SHAPE,
        width=arguments.width,
        latent_sigma=0.25,
    )
    leaf = with_leaf_kernels(model)
    alone = copy.deepcopy(model).train()
    settings = TrainingSettings(batch_size=arguments.batch_size)
    accelerator = start_accelerator(cpu=True)
    rounds = arguments.rounds + WARM_UP_ROUNDS
    steppers = {
        name: Stepper(network.train(), settings, accelerator, bfloat16=bfloat16, total_steps=rounds)
        for name, network in (("step", model), ("leaf_step", leaf))
    }
    images = torch.rand(arguments.batch_size, *IMAGE_SHAPE)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (arguments.batch_size,))
    seconds: dict[str, list[float]] = {name: [] for name in (*steppers, "construction")}
    for current in range(rounds):
        taken = {
            name: _time_step(stepper, current, images, labels) for name, stepper in steppers.items()
        }
        taken["construction"] = _time_construction(alone)
        if current >= WARM_UP_ROUNDS:
            for name, value in taken.items():
                seconds[name].append(value)
    return seconds


def with_leaf_kernels(model: LatentSmoothedClassifier) -> LatentSmoothedClassifier:
    """A copy in which every orthogonal convolution has its kernel for a parameter."""
    copied = copy.deepcopy(model)
    for layer in [part for part in copied.modules() if type(part) is OrthogonalConv2d]:
        kernel = layer.weight.detach().clone()
        for name, _ in list(layer.named_parameters(recurse=False)):
            if name != "bias":
                delattr(layer, name)
        layer.__class__ = LeafKernelConv2d
        layer.kernel = nn.Parameter(kernel)
    return copied


def _time_step(stepper: Stepper, step: int, images: Tensor, labels: Tensor) -> float:
    started = time.perf_counter()
    stepper.take(step, images, labels)
    return time.perf_counter() - started


def _time_construction(model: LatentSmoothedClassifier) -> float:
    """Every kernel forward and backward; drawing the incoming gradient is not counted."""
    taken = 0.0
    for layer in [part for part in model.modules() if isinstance(part, OrthogonalConv2d)]:
        layer.zero_grad(set_to_none=True)
        started = time.perf_counter()
        kernel = layer.weight
        taken += time.perf_counter() - started
        gradient = torch.randn_like(kernel)
        started = time.perf_counter()
        torch.autograd.backward(kernel, gradient)
        taken += time.perf_counter() - started
    return taken


def _share(parts: list[float], wholes: list[float]) -> float:
    ratios = (part / whole for part, whole in zip(parts, wholes, strict=True))
    return float(f"{statistics.median(ratios):.4g}")


if __name__ == "__main__":
    main()
