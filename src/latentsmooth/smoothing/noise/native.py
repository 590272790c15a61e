"""The noise in C++: compiled once a machine, loaded with ctypes, run on torch's own threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import subprocess
import tempfile
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentsmooth.machine import cache_folder
from latentsmooth.smoothing.noise.filler import (
    ExactFiller,
    NoiseFiller,
    refuse_row,
    rounding_magnet,
)
from latentsmooth.smoothing.noise.inverse import inverse_table

__all__ = ["BuildError", "NativeExactFiller", "NativeFiller"]

SOURCE = Path(__file__).with_name("native.cpp")
COMPILERS = ("g++", "c++", "clang++")  # tried in turn where CXX names none
TARGETS: tuple[list[str], ...] = (["-march=native"], ["-mcpu=native"], [])
FLAGS = [
    "-std=c++17",
    "-O3",
    "-ffp-contract=off",  # a fused product and sum would round once, not twice
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
    "-pthread",
    "-w",
]
COMPILING_SECONDS = 300
_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_ELEMENTS_A_THREAD = 16_384  # less is done sooner than a second thread is woken


class BuildError(Exception):
    """The C++ code cannot be compiled or loaded here; the message says why."""


class _Native:
    """The compiled library and the threads it runs on."""

    def __init__(self) -> None:
        self._library = _load(os.environ.get("CXX", ""))
        self._parallel = _torch_parallel()

    def run(
        self, function: str, out: Tensor, latents: Tensor, plan: Tensor, *sampler: float | int
    ) -> None:
        rows, size = out.shape
        bad = getattr(self._library, function)(
            out.data_ptr(),
            _TYPES[out.dtype],
            latents.data_ptr(),
            plan.data_ptr(),
            rows,
            size,
            len(latents),
            min(torch.get_num_threads(), -(-out.numel() // _ELEMENTS_A_THREAD)),
            self._parallel,
            *sampler,
        )
        if bad:
            refuse_row(plan, row=bad - 1, slots=len(latents))


class NativeFiller(NoiseFiller):
    """Keyed noise by vector instructions, in main memory.

    Raises:
        BuildError: where there is no working compiler.
    """

    name = "native"

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._native = _Native()

    def _fill(
        self, out: Tensor, latents: Tensor, plan: Tensor, latent_sigma: float, step: float
    ) -> None:
        magnet = rounding_magnet(step)
        self._native.run("latentsmooth_fill", out, latents, plan, latent_sigma, magnet)


class NativeExactFiller(ExactFiller, NativeFiller):
    """The same of grade exact, by a short search of a table."""

    def _fill(
        self, out: Tensor, latents: Tensor, plan: Tensor, latent_sigma: float, step: float
    ) -> None:
        table = inverse_table(latent_sigma / step)
        pointers = table.thresholds.data_ptr(), table.guide.data_ptr()
        self._native.run("latentsmooth_fill_exact", out, latents, plan, step, *pointers)


@lru_cache
def _load(cxx: str) -> Any:
    """The compiled functions, of a library that is built at most once a machine."""
    compiler = _compiler(cxx)
    target, macros = _target(compiler)
    command = [*compiler, *FLAGS, *target]
    source = SOURCE.read_bytes()
    # The compiler's own macros name its version and every instruction set of this processor.
    made_of = b"\0".join([source, shlex.join(command).encode(), macros])
    name = f"noise-{blake2b(made_of, digest_size=12).hexdigest()}.so"
    folder = cache_folder()
    try:
        if folder is not None:
            # The cache can be unwritable or mounted noexec, what lies in it cut short.
            for again in (False, True):
                with contextlib.suppress(OSError, AttributeError):
                    return _open(_build(command, name, folder, again=again))
        # Not a fixed folder: whatever others could put there would be loaded.
        with tempfile.TemporaryDirectory(prefix="latentsmooth-") as private:
            return _open(_build(command, name, Path(private)))
    except (OSError, AttributeError) as error:
        raise BuildError(f"cannot build or load the noise: {error}") from error


def _compiler(cxx: str) -> list[str]:
    for compiler in [cxx] if cxx else COMPILERS:
        with contextlib.suppress(BuildError, ValueError):  # quotes that do not close
            words = shlex.split(compiler)
            _run([*words, "--version"])
            return words
    raise BuildError(f"no C++ compiler works (tried {cxx or ', '.join(COMPILERS)})")


def _target(compiler: list[str]) -> tuple[list[str], bytes]:
    """The flags that choose this machine's processor, and the macros that they define."""
    for flags in TARGETS:
        with contextlib.suppress(BuildError):
            return flags, _run([*compiler, *flags, "-dM", "-E", "-x", "c++", os.devnull])
    raise BuildError(f"{shlex.join(compiler)} does not preprocess an empty file")


def _build(command: list[str], name: str, folder: Path, *, again: bool = False) -> Path:
    """The library's path in a folder, compiled where it is not there yet, or once more."""
    library = folder / name
    if again or not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder) as work:
            unfinished = Path(work) / name
            _run([*command, "-o", str(unfinished), str(SOURCE)])
            unfinished.replace(library)  # whoever else builds it replaces it by the same
    return library


def _run(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=COMPILING_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise BuildError(f"{shlex.join(command)} failed with {done.returncode}: {said}")
    return done.stdout


def _open(library: Path) -> Any:
    loaded = ctypes.CDLL(str(library))
    pointer, word, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    common: list[Any] = [
        pointer,
        ctypes.c_int32,
        pointer,
        pointer,
        word,
        word,
        word,
        ctypes.c_int32,
        pointer,
    ]
    samplers: dict[str, list[Any]] = {
        "latentsmooth_fill": [real, real],
        "latentsmooth_fill_exact": [real, pointer, pointer],
    }
    for name, sampler in samplers.items():
        function = getattr(loaded, name)
        function.restype = word
        function.argtypes = [*common, *sampler]
    return loaded


@lru_cache
def _torch_parallel() -> int | None:
    """The address of ``GOMP_parallel`` in the OpenMP library torch has loaded, if it is one.

    A second OpenMP library would start threads of its own that compete with torch's for the
    cores. A library's handle finds the symbols of what it was linked with, whatever that is called.
    """
    try:
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return ctypes.cast(torch_cpu.GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
