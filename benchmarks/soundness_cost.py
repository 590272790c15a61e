"""What certificates that are true in floating point cost: an earlier version against this one.

    git worktree add ../before ae2c6b1
    python benchmarks/soundness_cost.py --before ../before/src --output ...

The earlier version adds float32 noise to a float32 latent, off any lattice, and deducts nothing; it
is made to run its encoder in float32. This version runs it in float64, rounds latents and noise to
the lattice, and deducts. Both certify the same images with the same networks (random weights, which
cost the same time), the same batch size and n, in two processes that take turns: A B A B ... Times
are medians; the ratio is of throughput, this version over the earlier one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

WORKER = "--worker"


def work(arguments: argparse.Namespace) -> None:
    """Prepare every network, then certify with the one that each line names and tell the time."""
    import torch

    from latentsmooth.certification import Certifier, FixedRule, LabelledTensor, preparation
    from latentsmooth.models import build

    if hasattr(preparation, "_wide_dtype"):  # the earlier version's only switch
        preparation._wide_dtype = lambda device: torch.float32
    torch.set_num_threads(arguments.threads)
    images = torch.rand(arguments.images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    items = [LabelledTensor(image=image, index=place) for place, image in enumerate(images)]
    rule = FixedRule(n_select=100, n_estimate=arguments.n)
    engines: dict[tuple[str, str], Certifier] = {}
    for name in arguments.models:
        torch.manual_seed(0)
        model = build(
            name,
            num_classes=10,
            image_shape=(3, 32, 32),
            latent_sigma=0.25,
            width=arguments.width,
        )
        for noise in ("fast", *(["exact"] if arguments.exact else [])):
            options: dict[str, Any] = {} if noise == "fast" else {"noise": noise}
            engines[name, noise] = Certifier(
                model,
                batch_size=arguments.batch_size,
                precision=arguments.precision,
                executor=arguments.executor,
                **options,
            )
    print("ready", flush=True)
    for line in sys.stdin:
        name, noise = line.split()
        start = time.perf_counter()
        for _ in engines[name, noise].certify(items, rule):
            pass
        print(time.perf_counter() - start, flush=True)


class Side:
    """One version in a process of its own."""

    def __init__(self, source: Path, words: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": str(source)}
        self.process = subprocess.Popen(
            [sys.executable, __file__, *words, WORKER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read()

    def read(self) -> str:
        """The worker's next line."""
        stream: IO[str] = self.process.stdout  # type: ignore[assignment]
        line = stream.readline()
        if not line:
            raise SystemExit("a worker ended before it answered")
        return line

    def seconds(self, name: str, noise: str) -> float:
        """Time of one round."""
        stream: IO[str] = self.process.stdin  # type: ignore[assignment]
        stream.write(f"{name} {noise}\n")
        stream.flush()
        return float(self.read())


def compare(arguments: argparse.Namespace, words: list[str]) -> list[dict[str, Any]]:
    """Rounds in turns, for every network."""
    here = Path(__file__).resolve().parents[1] / "src"
    before = Side(arguments.before.resolve(), words)
    after = Side(here, [*words, "--exact"])
    samples = arguments.images * (arguments.n + 100)
    rows = []
    for name in arguments.models:
        times: dict[str, list[float]] = {"before": [], "fast": [], "exact": []}
        for _ in range(arguments.rounds + 1):
            times["before"].append(before.seconds(name, "fast"))
            times["fast"].append(after.seconds(name, "fast"))
            times["exact"].append(after.seconds(name, "exact"))
        medians = {side: statistics.median(found[1:]) for side, found in times.items()}
        row = {
            "model": name,
            "samples_a_second_before": round(samples / medians["before"]),
            "samples_a_second": round(samples / medians["fast"]),
            "samples_a_second_exact": round(samples / medians["exact"]),
            "throughput_over_before": round(medians["before"] / medians["fast"], 4),
            "throughput_exact_over_before": round(medians["before"] / medians["exact"], 4),
            "seconds": {side: [round(t, 4) for t in found] for side, found in times.items()},
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, default=Path("../before/src"))
    parser.add_argument("--models", nargs="+", default=["lsrs-haar", "lsrs-partial", "resnet18"])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--executor", default="compiled")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--exact", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    parser.add_argument(WORKER, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    from peers.provenance import provenance

    rows = compare(arguments, sys.argv[1:])
    result = {"n": arguments.n, "images": arguments.images, "rows": rows, "made_by": provenance()}
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
