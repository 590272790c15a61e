"""``latentsmooth bench``: certification timed side by side."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from torch import Tensor

from latentsmooth.bench import (
    KINDS,
    Comparison,
    Subject,
    Unavailable,
    compare,
    load_subjects,
    markdown,
    measure_memory,
    notes,
    tables,
)
from latentsmooth.cli.arguments import (
    UsageError,
    add_positional,
    data_help,
    files_of,
    refuse_overwriting,
    require,
    write_text,
)
from latentsmooth.errors import ConfigurationError
from latentsmooth.images import load_images
from latentsmooth.machine import Precision
from latentsmooth.smoothing import Executor

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "time certification side by side: textbook loop, a peer, the engine and its ceiling"
DESCRIPTION = """
Time certification in one process, contenders in turns: Cohen et al.'s loop and the Adversarial
Robustness Toolbox on the first ISRS model, this package's engine on every model, and the engine's
head alone on ready-made inputs. A model is a folder, or a build with random weights.
Example: latentsmooth bench resnet20 lsrs-haar@0.25 --n-estimate 10000 --output bench.json
"""
TERMINAL_WIDTH = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(
        parser,
        "models",
        many=True,
        help="model folders or hub ids, or builds with random weights: NAME, NAME@WIDTH, "
        "NAME@WIDTH:OPTION=INTEGER",
    )
    parser.add_argument(
        "--data", type=str | None, default=None, help=f"images (default random): {data_help()}"
    )
    parser.add_argument("--split", type=str, default="test", help="split of the data")
    parser.add_argument("--images", type=int, default=5, help="images a turn")
    parser.add_argument(
        "--n-select", type=int, default=100, help="noisy samples that choose the candidate class"
    )
    parser.add_argument(
        "--n-estimate", type=int, default=1000, help="noisy samples that bound its probability"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.001, help="probability that one certificate is wrong"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument(
        "--contenders", type=str, default=",".join(KINDS), help="which take part, with commas"
    )
    parser.add_argument(
        "--goal",
        type=str | None,
        default=None,
        help="engines also run a sequential rule: 'radius>=0.25', 'radii=0,0.25,0.5', "
        "'precision=0.05' or 'decide'",
    )
    parser.add_argument(
        "--goal-images", type=int, default=100, help="images a turn towards the goal"
    )
    parser.add_argument(
        "--precision", type=Precision, default="auto", help="arithmetic of the engine's head"
    )
    parser.add_argument("--executor", type=Executor, default="auto", help="as for certify")
    parser.add_argument(
        "--batch-size", type=int | None, default=None, help="of the engine; chosen by default"
    )
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--memory",
        type=int,
        nargs="+",
        default=[],
        help="also certify one image of the first model by so many samples, each number in a "
        "process of its own, and report peak memory",
    )
    parser.add_argument("--output", type=str | None, default=None, help="write the result as JSON")
    parser.add_argument(
        "--markdown", type=str | None, default=None, help="write the tables as Markdown"
    )
    parser.add_argument("--quiet", action="store_true", help="do not tell whose turn it is")


def run(options: Namespace, *, command: str) -> int:
    """Compare, print the tables and write the files."""
    require(options, ("models",))
    if options.images < 1 or options.goal_images < 1:
        raise UsageError(
            "wanted --images and --goal-images of at least 1, got "
            f"{options.images} and {options.goal_images}"
        )
    models = [path for name in options.models for path in files_of(name)]
    refuse_overwriting(options.output, options.markdown, kept=models)
    subjects = load_subjects(options.models, device=_device(options.device))
    console = Console(stderr=True, highlight=False)
    torch.manual_seed(0)
    images = _images(options, subjects)
    comparison = compare(
        subjects,
        images[: options.images],
        n_select=options.n_select,
        n_estimate=options.n_estimate,
        alpha=options.alpha,
        rounds=options.rounds,
        kinds=[word.strip() for word in options.contenders.split(",") if word.strip()],
        goal=options.goal,
        goal_images=images[: options.goal_images],
        options={
            "precision": options.precision,
            "executor": options.executor,
            "batch_size": options.batch_size,
        },
        command=without_folders(command),
        data="random" if options.data is None else Path(options.data).name,
        report=None if options.quiet else lambda line: console.print(line, markup=False),
    )
    if options.memory:
        comparison = _with_memory(comparison, options)
    screen = Console(highlight=False)
    screen.width = max(TERMINAL_WIDTH, screen.width)
    for table in tables(comparison):
        screen.print(table)
    for line in notes(comparison):
        screen.print(line, markup=False)
    if options.output:
        write_text(options.output, comparison.to_json())
    if options.markdown:
        write_text(options.markdown, markdown(comparison))
    return 0


def without_folders(command: str) -> str:
    """A command line in which every path has only its last name.

    >>> without_folders("latentsmooth bench /home/me/runs/haar --output=/tmp/out.json")
    'latentsmooth bench haar --output=out.json'
    """
    words = []
    for word in shlex.split(command):
        flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        last = Path(value).name if "/" in value else value
        words.append(flag + equals + last)
    return shlex.join(words)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"cannot use device {name!r}: {reason}") from error
    return device


def _images(options: Namespace, subjects: Sequence[Subject]) -> Tensor:
    shape = subjects[0].model.image_shape
    count = max(options.images, options.goal_images) if options.goal else options.images
    if options.data is None:
        return torch.rand(count, *shape)
    side = shape[1] if shape[1] == shape[2] else None
    chosen = load_images(options.data, split=options.split, limit=count, image_size=side)
    return torch.stack([item.image for item in chosen])


def _with_memory(comparison: Comparison, options: Namespace) -> Comparison:
    engine = next((one for one in comparison.standings if one.kind in ("isrs", "lsrs")), None)
    if engine is None:
        reason = "no engine took part"
        return dataclasses.replace(comparison, skipped={**comparison.skipped, "memory": reason})
    labels = [model.label for model in comparison.models]
    try:
        memory = measure_memory(
            options.models[labels.index(engine.model)],
            n_estimates=tuple(options.memory),
            batch_size=int(str(engine.settings["batch_size"])),
            precision=str(engine.settings["precision"]),
            executor=str(engine.settings["executor"]),
            device=str(comparison.machine["device"]),
        )
    except Unavailable as reason:
        return dataclasses.replace(
            comparison, skipped={**comparison.skipped, "memory": str(reason)}
        )
    return dataclasses.replace(comparison, memory=memory)
