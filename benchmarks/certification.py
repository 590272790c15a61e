"""The standing comparison of certification speed, on an otherwise idle machine.

    python benchmarks/certification.py runs/resnet20 runs/lsrs-partial --data fashion-mini \\
        --goal 'radius>=0.25'

writes benchmarks/results/certification.json and .md. Everything is done by ``latentsmooth bench``;
what this adds is how much is drawn, and a cache folder of its own, so that batch sizes are chosen
by measurements of this run. Further flags go through to ``latentsmooth bench``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from latentsmooth.cli.main import main as latentsmooth

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="folders, or builds with random weights")
    parser.add_argument("--n-estimate", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--output", type=Path, default=RESULTS / "certification.json")
    arguments, further = parser.parse_known_args()
    words = ["bench", *arguments.models, *further]
    words += [f"--n-estimate={arguments.n_estimate}", f"--images={arguments.images}"]
    words += [f"--rounds={arguments.rounds}", f"--output={arguments.output}"]
    words += [f"--markdown={arguments.output.with_suffix('.md')}"]
    if arguments.memory:
        words += ["--memory", *map(str, arguments.memory)]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        return latentsmooth(words)


if __name__ == "__main__":
    sys.exit(main())
