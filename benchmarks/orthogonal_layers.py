"""Compare orthogonal convolutions with each other and with the plain one, in turns, in one process.

    python benchmarks/orthogonal_layers.py --output benchmarks/results/orthogonal-layers.json
    python benchmarks/orthogonal_layers.py --report benchmarks/results/orthogonal-layers.json

Needs `orthogonium` and `geotorch`. Every layer gets its fastest memory format and its fastest way
to compute in bfloat16; the JSON keeps all of them. The second command writes the tables beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch
from peers.error import measure_error
from peers.memory import measure_memory
from peers.provenance import provenance
from peers.report import render
from peers.speed import measure_construction, measure_speed
from peers.subjects import Shape, subjects_of

SHAPES = "64-64@32,128-128@16,3-64@32,12-64@32,64-128@32/2"
VARIATION_SHAPES = "64-64@32"
MEMORY_SHAPES = "64-64@32,3-64@32,64-128@32/2"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
QUICK = {
    "shapes": "4-8@8,4-8@8/2",
    "variation_shapes": "4-8@8",
    "memory_shapes": "4-8@8",
    "batches": "2",
    "rounds": 1,
    "steps": 2,
    "shocks": 1,
}


def main() -> None:
    arguments = _parse()
    if arguments.report is not None:
        tables = render(json.loads(arguments.report.read_text("utf-8")))
        arguments.report.with_suffix(".md").write_text(tables, "utf-8")
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    started = time.perf_counter()
    measured = {section: _SECTIONS[section](arguments) for section in arguments.sections.split(",")}
    result = {
        **provenance("orthogonium", "geotorch"),
        "seconds": round(time.perf_counter() - started),
        "settings": {name: getattr(arguments, name) for name in (*QUICK, "dtypes", "memory_batch")},
        **measured,
    }
    print(render(result, every_setting=False))
    if arguments.output is not None:
        arguments.output.write_text(_dumps(result), "utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--report", type=Path, help="JSON file to write the tables of, as .md")
    parser.add_argument("--sections", default="speed,construction,error,memory")
    parser.add_argument("--shapes", default=SHAPES, help="IN-OUT@SIZE, or IN-OUT@SIZE/STRIDE")
    parser.add_argument(
        "--variation-shapes",
        default=VARIATION_SHAPES,
        help="shapes at which other parametrizations are measured too",
    )
    parser.add_argument("--memory-shapes", default=MEMORY_SHAPES)
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=7, help="at batch 64; fewer at larger ones")
    parser.add_argument("--steps", type=int, default=100, help="of training before an error")
    parser.add_argument("--shocks", type=int, default=5, help="seeds of noise on the parameters")
    parser.add_argument("--memory-batch", type=int, help="default: the first of --batches")
    parser.add_argument("--threads", type=int, default=0, help="default: torch's own choice")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round: a smoke test")
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    unknown = sorted(set(arguments.sections.split(",")) - set(_SECTIONS))
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}: use {', '.join(_SECTIONS)}")
    arguments.memory_batch = arguments.memory_batch or int(arguments.batches.split(",")[0])
    return arguments


def _speed(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for shape, dtype in product(_parse_shapes(arguments.shapes), arguments.dtypes.split(",")):
        # autocast or cast weights: what is faster at the first batch is taken at the others
        settings: dict[str, str] = {}
        for batch in map(int, arguments.batches.split(",")):
            _tell(f"speed {shape}, {dtype}, batch {batch}")
            made = measure_speed(
                subjects_of("speed", batch=batch),
                shape,
                batch=batch,
                dtype=DTYPES[dtype],
                rounds=max(min(3, arguments.rounds), min(64, batch) * arguments.rounds // batch),
                settings=settings,
            )
            for row in made:
                best = row["best"].get("forward_backward") or row["best"]["evaluation"]
                settings.setdefault(row["subject"], best["setting"].partition(",")[0])
            rows += made
    return rows


def _construction(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for shape in _parse_shapes(arguments.shapes):
        names = subjects_of("construction", variations=_varied(arguments, shape))
        for dtype in arguments.dtypes.split(","):
            _tell(f"construction {shape}, {dtype}")
            rows += measure_construction(names, shape, dtype=DTYPES[dtype], rounds=arguments.rounds)
    return rows


def _error(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for shape in _parse_shapes(arguments.shapes):
        for name in subjects_of("error", variations=_varied(arguments, shape)):
            _tell(f"error {shape}, {name}")
            rows.append(measure_error(name, shape, steps=arguments.steps, shocks=arguments.shocks))
    return rows


def _memory(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for shape in _parse_shapes(arguments.memory_shapes):
        for dtype in arguments.dtypes.split(","):
            _tell(f"memory {shape}, batch {arguments.memory_batch}, {dtype}")
            rows += measure_memory(
                subjects_of("memory"), shape, batch=arguments.memory_batch, dtype=DTYPES[dtype]
            )
    return rows


_SECTIONS = {"speed": _speed, "construction": _construction, "error": _error, "memory": _memory}


def _parse_shapes(text: str) -> list[Shape]:
    return [Shape.parse(part) for part in text.split(",")]


def _varied(arguments: argparse.Namespace, shape: Shape) -> bool:
    return str(shape) in arguments.variation_shapes.split(",")


def _tell(doing: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {doing}", file=sys.stderr, flush=True)


def _dumps(result: dict[str, Any]) -> str:
    """JSON with lists of numbers on one line."""
    text = json.dumps(result, indent=1)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


if __name__ == "__main__":
    main()
