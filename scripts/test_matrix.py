"""Run the numeric tests as other processors would: fewer instructions, threads, other draws.

What a test compares may depend on the order of sums, which the processor, its matrix units and the
number of threads decide. This runs the folders with numbers in them once for each combination and
prints a table; all rows must say 0 failed. `--all` adds the tests that `make check` leaves out,
`--output FILE` writes the table with how it was made, and what follows `--` goes to pytest.

    .venv/bin/python scripts/test_matrix.py --jobs 2
    .venv/bin/python scripts/test_matrix.py --processors plain --threads 1 --seeds 7 -- tests/models

The processors are those that oneDNN, ATen and MKL can be told to be: `default` (all this machine
has, AMX included), `AVX512_CORE`, `AVX2` and `plain`, which uses no wide instructions and MKL's
kernels for any processor. Each names the most; a machine without them runs what it has.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import re
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROCESSORS: dict[str, dict[str, str]] = {
    "default": {},
    "AVX512_CORE": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
    "AVX2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "plain": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
    },
}
FOLDERS = ("orthogonal", "lipschitz", "smoothing", "certification", "models", "training")
PATHS = [*(f"tests/{name}" for name in (*FOLDERS, "attacks", "bench")), "src"]
HEAD = "| processor | threads | seed | passed | failed | skipped | seconds | CPU seconds |"


def run(processor: str, threads: int, seed: int, flags: list[str], failures: list[str]) -> str:
    """Run the tests once; the row of the table, failed tests added to ``failures``."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in PROCESSORS["plain"]},
        **PROCESSORS[processor],
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",  # threads that wait leave the core to others
        "LATENTSMOOTH_TEST_SEED": str(seed),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *flags]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    counts = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
    counts.update({kind: int(n) for n, kind in re.findall(r"(\d+) (\w+)", last) if kind in counts})
    bad = counts["failed"] + counts["error"]
    if done.returncode not in (0, 1) and not bad:
        raise SystemExit(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = re.findall(r"^(?:FAILED|ERROR) .*$", done.stdout, re.MULTILINE)
    failures += [f"{processor}, {threads} threads, seed {seed}: {line}" for line in found]
    wall = time.monotonic() - began
    return (
        f"| {processor} | {threads} | {seed} | {counts['passed']} | {bad} | {counts['skipped']} "
        f"| {wall:.0f} | {spent:.0f} |"
    )


def circumstances() -> list[str]:
    """What the numbers were made on and with."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    model, flags = platform.processor(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text("utf-8")
        model, flags = (
            (re.findall(rf"^{name}\s*: (.*)$", text, re.MULTILINE) or [""])[0]
            for name in ("model name", "flags")
        )
    units = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if name in flags]
    return [
        f"- command: `python {' '.join(sys.argv)}`",
        f"- commit: {commit}",
        f"- machine: {model}, {os.cpu_count()} cores, {', '.join(units) or 'no wide units'}",
        f"- versions: Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scipy", "pytest")),
    ]


def main() -> int:
    """Run every combination asked for; 1 where a test failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processors", default="default,AVX512_CORE,AVX2,plain")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--thin", action="store_true", help="every processor with every seed, threads in turn"
    )
    parser.add_argument("--jobs", type=int, default=1, help="cores to use")
    parser.add_argument("--all", action="store_true", help="the slow tests as well")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("pytest", nargs="*", help="paths and flags in place of all folders")
    arguments = parser.parse_args()
    flags = [*(arguments.pytest or PATHS), *([] if arguments.all else ["-m", "not slow"])]
    rows, failures = [HEAD, re.sub(r" [\w ]+ ", " --- ", HEAD)], list[str]()
    print("\n".join(rows), flush=True)
    processors, threads, seeds = (
        text.split(",") for text in (arguments.processors, arguments.threads, arguments.seeds)
    )
    for first, second in itertools.product(range(len(seeds)), range(len(processors))):
        chosen = [threads[(first + second) % len(threads)]] if arguments.thin else threads
        for count in map(int, chosen):
            # As many threads in all as there are processes of one.
            jobs = max(1, arguments.jobs // count)
            together = [] if jobs == 1 else ["--numprocesses", str(jobs)]
            seed = int(seeds[first])
            rows.append(run(processors[second], count, seed, [*flags, *together], failures))
            print(rows[-1], flush=True)
    told = [f"- {line}" for line in failures] or ["None failed."]
    print("\n".join(["", *told]))
    if arguments.output is not None:
        lines = ["# Tests as on other processors", "", *circumstances(), "", *rows, "", *told, ""]
        arguments.output.write_text("\n".join(lines), "utf-8")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
