"""Peak memory of a training step, each in a fresh process: what the system had to hand out."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import torch

from peers.speed import FORMATS, SETTINGS, make_images, make_variant, precision, take_step
from peers.subjects import Shape

__all__ = ["measure_memory"]

Job = tuple[str, str, int, str, str, str, int]


def measure_memory(
    names: list[str], shape: Shape, *, batch: int, dtype: torch.dtype
) -> list[dict[str, Any]]:
    """Rows, one a subject: MiB above the layer, the images and the output's gradient."""
    if not sys.platform.startswith("linux"):
        return []
    kind = str(dtype).removeprefix("torch.")
    threads = torch.get_num_threads()
    jobs: list[Job] = [
        (name, str(shape), batch, kind, memory_format, setting, threads)
        for name in names
        for memory_format in FORMATS
        for setting in SETTINGS[dtype][:1]  # bfloat16 as every layer can: under autocast
    ]
    # freed blocks go back to the system at once, so that resident size is memory in use
    os.environ["MALLOC_MMAP_THRESHOLD_"] = os.environ["MALLOC_TRIM_THRESHOLD_"] = "65536"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["latentsmooth.records", "orthogonium.layers", "geotorch"])
    with context.Pool(1, maxtasksperchild=1) as pool:
        peaks = pool.map(_peak, jobs, chunksize=1)
    rows = []
    for name in names:
        raw: list[dict[str, Any]] = [
            {"format": job[4], "setting": job[5], "mib": peak}
            for job, peak in zip(jobs, peaks, strict=True)
            if job[0] == name
        ]
        row = {"shape": str(shape), "batch": batch, "dtype": kind, "subject": name}
        rows.append({**row, "mib": min(one["mib"] for one in raw), "variants": raw})
    return rows


def _peak(job: Job) -> float:
    """MiB at the height of the second step."""
    name, text, batch, kind, memory_format, setting, threads = job
    torch.set_num_threads(threads)
    shape = Shape.parse(text)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    variant = make_variant(name, shape, memory_format=memory_format, setting=setting)
    images = make_images(shape, batch, dtype, memory_format)
    with torch.no_grad(), precision(setting):
        gradient = torch.randn_like(variant.layer(images))
    # the first step leaves what is kept for good: compiled kernels, threads, scratch space
    take_step(variant, images, gradient)
    images.grad = None
    variant.layer.zero_grad(set_to_none=True)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    take_step(variant, images, gradient)
    return max(0.0, round((_status("VmHWM") - before) / 1024, 1))


def _status(field: str) -> int:
    """KiB of one line of this process's status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
