"""Peak memory of certifying one image, each time in a fresh process.

    python -m latentsmooth.bench.memory MODEL --n-estimate 1000000 --batch-size 256

prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from latentsmooth.bench.contender import Unavailable
from latentsmooth.bench.result import MemoryUse
from latentsmooth.bench.subjects import load_subjects
from latentsmooth.certification import Certifier

__all__ = ["main", "measure_memory", "peak_mib"]


def measure_memory(
    model: str,
    *,
    n_estimates: tuple[int, ...] = (10_000, 1_000_000),
    batch_size: int,
    precision: str = "float32",
    executor: str = "eager",
    device: str = "cpu",
) -> tuple[MemoryUse, ...]:
    """Certify one image for each number of samples, each in a process that does nothing else.

    Args:
        model: folder, hub id or build, see `load_subjects`.
        n_estimates: estimation samples.
        batch_size: noisy latents a head call.
        precision: of the head.
        executor: ``eager`` or ``compiled``.
        device: where to run; only main memory is measured.

    Raises:
        Unavailable: where a process failed; with its last line.
    """
    rows: list[MemoryUse] = []
    for n_estimate in n_estimates:
        words = [sys.executable, "-m", "latentsmooth.bench.memory", model]
        words += [f"--n-estimate={n_estimate}", f"--batch-size={batch_size}"]
        words += [f"--precision={precision}", f"--executor={executor}", f"--device={device}"]
        words += [f"--threads={torch.get_num_threads()}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            raise Unavailable(f"the process that measures memory failed: {last}")
        rows.append(MemoryUse(**json.loads(done.stdout.strip().splitlines()[-1])))
    return tuple(rows)


def peak_mib() -> float:
    """MiB of resident memory that this process has had at most.

    Linux keeps the parent's peak in a child's ``getrusage``, so there the process's own status
    is read instead.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main(arguments: list[str] | None = None) -> int:
    """Certify one random image and print the peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--n-estimate", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--executor", default="eager")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    [subject] = load_subjects([given.model], device=torch.device(given.device))
    certifier = Certifier(
        subject.model,
        batch_size=given.batch_size,
        precision=given.precision,
        executor=given.executor,
    )
    image = torch.rand(subject.model.image_shape)
    certifier.certify_image(image, index=0, n_estimate=given.n_estimate)
    use = {"model": subject.label, "n_estimate": given.n_estimate, "peak_mib": peak_mib()}
    print(json.dumps(use))
    return 0


if __name__ == "__main__":
    sys.exit(main())
