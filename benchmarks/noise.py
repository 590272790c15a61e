"""Seconds an element of noisy latents: keyed noise in turns with torch.normal_ and an addition.

    python benchmarks/noise.py --output benchmarks/results/noise.json

Both sides end with the noisy latents in the head's dtype. Torch draws in that dtype and adds the
latents in place. A turn is as many calls as fill 0.1 s; figures are medians over the turns, and
ratios are medians of ratios within a round. Other implementations of the noise can be added, as
what they cost beside the first one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peers.provenance import provenance

from latentsmooth.smoothing.noise import (
    GRADES,
    NOISE_DEFINITIONS,
    Phase,
    noise_filler,
    noise_key,
)

TURN_SECONDS = 0.1
LATENT_SIGMA = 0.25
STEP = 2.0**-18


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--implementations", nargs="+", default=["auto"])
    parser.add_argument("--batch-size", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[768, 8192, 32768])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0, help="default: torch's own choice")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    result = {
        **provenance(),
        "device": str(arguments.device),
        "definitions": NOISE_DEFINITIONS,
        "threads": torch.get_num_threads(),
        "batch_size": arguments.batch_size,
        "rounds": arguments.rounds,
        "runs": [
            compare(arguments, size=size, dtype=getattr(torch, dtype))
            for size in arguments.sizes
            for dtype in arguments.dtypes
        ],
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


def compare(arguments: argparse.Namespace, *, size: int, dtype: torch.dtype) -> dict[str, Any]:
    """Time every side in turns, and put nanoseconds an element beside one another."""
    sides = contestants(arguments, size=size, dtype=dtype)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    elements = arguments.batch_size * size
    for call in sides.values():
        turn(call, arguments.device)
    for _ in range(arguments.rounds):
        for name, call in sides.items():
            taken[name].append(turn(call, arguments.device) / elements * 1e9)
    torch_normal = taken["torch.normal_"]
    return {
        "size": size,
        "dtype": str(dtype).removeprefix("torch."),
        "ns_an_element": {name: statistics.median(times) for name, times in taken.items()},
        "torch_over_keyed": {
            name: statistics.median(t / k for t, k in zip(torch_normal, times, strict=True))
            for name, times in taken.items()
            if name != "torch.normal_"
        },
        "ns_all": taken,
    }


def contestants(
    arguments: argparse.Namespace, *, size: int, dtype: torch.dtype
) -> dict[str, Callable[[], object]]:
    """Each side as a call that leaves noisy latents in ``out``; images share the batch."""
    rows, device = arguments.batch_size, arguments.device
    latents = torch.randn(4, size, device=device)
    image = [row * 4 // rows for row in range(rows)]
    plan = torch.tensor(
        [
            [slot, noise_key(seed=0, index=slot), Phase.ESTIMATE, row]
            for row, slot in enumerate(image)
        ]
    )
    out = torch.empty(rows, size, dtype=dtype, device=device)
    on_lattice = latents.div(STEP).round() * STEP
    rounded = latents.to(dtype)[torch.tensor(image, device=device)]
    sides: dict[str, Callable[[], object]] = {
        "torch.normal_": lambda: out.normal_(0.0, LATENT_SIGMA).add_(rounded)
    }
    for implementation in arguments.implementations:
        for grade in GRADES:
            if implementation == "triton" and grade == "exact":
                continue
            filler = noise_filler(device, implementation=implementation, grade=grade)
            sides[f"{filler.name} {grade}"] = lambda filler=filler: filler.fill(  # type: ignore[misc]
                out, on_lattice, plan, latent_sigma=LATENT_SIGMA, step=STEP
            )
    return sides


def turn(call: Callable[[], object], device: torch.device) -> float:
    """Seconds a call, over as many as fill a turn."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < TURN_SECONDS:
        call()
        calls += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / calls


if __name__ == "__main__":
    main()
