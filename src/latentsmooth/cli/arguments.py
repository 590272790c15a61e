"""Arguments that several subcommands share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_type_hints

import torch
from docstring_parser import parse
from jsonargparse import ArgumentParser, Namespace

from latentsmooth.certification import EncoderPrecision, EngineOptions, Rule, parse_rule
from latentsmooth.errors import ConfigurationError, LatentSmoothError
from latentsmooth.files import user_path, write_whole
from latentsmooth.images import ImageSet, list_sources, load_images
from latentsmooth.machine import Precision
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.models.located import CONFIG_FILE, WEIGHTS_FILE
from latentsmooth.models.packaged_names import is_packaged, packaged_folder
from latentsmooth.reporting import plain
from latentsmooth.smoothing import Executor, Grade

__all__ = [
    "UsageError",
    "add_confidence",
    "add_data_selection",
    "add_fields",
    "add_head_arguments",
    "add_positional",
    "command_line",
    "data_help",
    "engine_of",
    "expand_home",
    "files_of",
    "load_classifier",
    "refuse_overwriting",
    "require",
    "rule_of",
    "selected_images",
    "write_text",
]

_PATHS = (
    *("log", "logs", "LOG", "LOGS", "model", "models", "MODEL", "MODELS", "teacher", "tsv"),
    *("output", "figure", "plot", "markdown"),
)
RuleName = Literal["fixed", "two-sided", "pilot", "sequential"]


class UsageError(LatentSmoothError):
    """The command line lacks something; exit code 2."""


def data_help() -> str:
    """Help text that lists every data source."""
    return "; ".join(f"{name}: {text}" for name, text in list_sources().items()).replace("%", "%%")


def add_data_selection(parser: ArgumentParser, *, split: str) -> None:
    """Flags that choose images out of a data source."""
    parser.add_argument("--split", type=str, default=split, help="split of the data")
    parser.add_argument(
        "--limit", type=int | None, default=None, help="use only the first LIMIT images"
    )
    parser.add_argument(
        "--stride", type=int, default=1, help="use every STRIDE-th image (before the limit)"
    )
    parser.add_argument(
        "--image-size",
        type=int | None,
        default=None,
        help="resize the shorter side to this many pixels and crop the centre square",
    )


def selected_images(options: Namespace) -> ImageSet:
    """Load the images that `add_data_selection` chose out of ``options.data``."""
    return load_images(
        options.data,
        split=options.split,
        limit=options.limit,
        stride=options.stride,
        image_size=options.image_size,
    )


def add_head_arguments(parser: ArgumentParser) -> None:
    """Flags that say how the head runs."""
    parser.add_argument("--seed", type=int, default=0, help="key of the noise")
    parser.add_argument(
        "--batch-size",
        type=int | None,
        default=None,
        help="noisy latents a head call; changes the speed, not the noise",
    )
    parser.add_argument(
        "--executor",
        type=Executor,
        default="auto",
        help="how the head runs: eager, compiled, or auto, which measures batch sizes (and, for "
        "long runs, compilation) once and remembers what is fastest on this machine",
    )
    parser.add_argument(
        "--folds",
        type=bool,
        default=True,
        help="let the head's first linear map move before the noise where that saves work",
    )
    parser.add_argument(
        "--precision",
        type=Precision,
        default="float32",
        help="arithmetic of the head; the certificate is about the head in this precision. "
        "auto takes bfloat16 where the processor computes in it",
    )
    parser.add_argument(
        "--noise",
        type=Grade,
        default="fast",
        help="fast: float32 normals, taken for Gaussian; exact: by inversion, slower, with its "
        "distance from Gaussian noise deducted from every probability",
    )
    parser.add_argument(
        "--encoder-precision",
        type=EncoderPrecision,
        default="float64",
        help="arithmetic of the encoder, which runs once an image; what float32 may round is "
        "deducted from every radius, and is much",
    )
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, ...")


def add_confidence(parser: ArgumentParser, *, n_estimate: int) -> None:
    """Flags of the statistics."""
    parser.add_argument(
        "--n-select", type=int, default=100, help="noisy samples that choose the candidate class"
    )
    parser.add_argument(
        "--n-estimate",
        type=int,
        default=n_estimate,
        help="fresh noisy samples that bound its probability; more samples, larger radii",
    )
    parser.add_argument(
        "--alpha", type=float, default=0.001, help="probability that one certificate is wrong"
    )
    parser.add_argument(
        "--rule",
        type=RuleName,
        default="fixed",
        help="when an image has enough samples: fixed draws N_ESTIMATE; two-sided bounds the other "
        "classes as well; pilot chooses a number by the selection samples; sequential stops as "
        "soon as its goal is decided, at N_ESTIMATE at the latest",
    )
    parser.add_argument(
        "--goal",
        type=str | None,
        default=None,
        help="of sequential: 'radius>=0.25', 'radii=0,0.25,0.5', 'precision=0.05' (all over "
        "pixels) or 'decide'",
    )
    parser.add_argument(
        "--tolerance",
        type=float | None,
        default=None,
        help="of pilot: radius over pixels that may be lost to save samples",
    )
    parser.add_argument(
        "--bound",
        type=Literal["betting", "alpha-spending"] | None,
        default=None,
        help="of sequential: the time-uniform bound (default betting)",
    )


def rule_of(options: Namespace) -> Rule:
    """The stopping rule that `add_confidence` described."""
    return parse_rule(
        options.rule,
        goal=options.goal,
        alpha=options.alpha,
        n_select=options.n_select,
        n_estimate=options.n_estimate,
        tolerance=options.tolerance,
        bound=options.bound,
    )


def engine_of(options: Namespace) -> EngineOptions:
    """How the engine runs, as `add_head_arguments` described."""
    return {
        "seed": options.seed,
        "batch_size": options.batch_size,
        "precision": options.precision,
        "executor": options.executor,
        "folds": options.folds,
        "encoder_precision": options.encoder_precision,
        "noise": options.noise,
    }


def add_fields(
    parser: ArgumentParser, settings: type[Any], *, notes: Mapping[str, str] | None = None
) -> None:
    """One flag for each field of a dataclass, help from its docstring and what notes add to it."""
    hints = get_type_hints(settings)
    texts = {entry.arg_name: entry.description for entry in parse(settings.__doc__ or "").params}
    for field in dataclasses.fields(settings):
        made = field.default_factory
        words = ((texts.get(field.name) or "").replace("\n", " "), (notes or {}).get(field.name))
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=hints[field.name],
            default=field.default if made is dataclasses.MISSING else made(),
            help=" ".join(filter(None, words)).replace("%", "%%"),
        )


def add_positional(parser: ArgumentParser, name: str, *, many: bool = False, help: str) -> None:  # noqa: A002
    """An argument given by position, or, from a YAML file, by name (``--name`` works too)."""
    kind = list[str] | None if many else str | None
    parser.add_argument(name.upper(), type=str, nargs="*" if many else "?", help=help)
    parser.add_argument(f"--{name}", type=kind, default=None, help=f"{name.upper()} by name")


def require(options: Namespace, names: Sequence[str]) -> None:
    """Settle the arguments of `add_positional` and check that each named one was given.

    Words given by position fill, in order, those arguments that were not given by name.

    Raises:
        UsageError: for an argument that is missing, or a word too many.
    """
    words: list[str] = []
    for name in names:
        given = options.get(name.upper())
        words += given if isinstance(given, list) else [given] if given else []
    for name in names:
        if options[name] in (None, [], "") and name.upper() in options and words:
            many = isinstance(options[name.upper()], list)
            options[name], words = (words, []) if many else (words[0], words[1:])
        if options[name] in (None, [], ""):
            raise UsageError(
                f"{name.replace('_', '-')} is missing: give it on the command line or in --config"
            )
    if words:
        raise UsageError(f"{words[0]!r} is one argument too many: the others were given by name")


def expand_home(options: Namespace) -> None:
    """Write out the home folder in every flag that names a file or a folder.

    Data sources and images are named by more than a path; what reads them does the same.
    """
    for name in _PATHS:
        value = options.get(name)
        if isinstance(value, str):
            options[name] = _with_home(value)
        elif isinstance(value, list):
            options[name] = [_with_home(each) for each in value]


def _with_home(path: str) -> str:
    return str(user_path(path)) if path.startswith("~") else path


def files_of(model: str) -> list[Path]:
    """The files of a local model folder or of a packaged classifier."""
    folder = packaged_folder(model) if is_packaged(model) else Path(model)
    return [folder / name for name in (CONFIG_FILE, WEIGHTS_FILE)]


def refuse_overwriting(*targets: str | None, kept: Sequence[str | Path]) -> None:
    """Raise `UsageError` where a file to be written is one that is read, logged to or written."""
    # `Path.resolve` raises where links form a loop.
    reserved, written = set(map(os.path.realpath, kept)), set()
    for target in targets:
        if target is None:
            continue
        place = os.path.realpath(target)
        if place in reserved:
            raise UsageError(f"{target} would be overwritten; name another file")
        if place in written:
            raise UsageError(f"{target} would be overwritten: two outputs name the same file")
        written.add(place)


def command_line(*words: str) -> str:
    """How to call this program again from where the user stands."""
    found = shutil.which("latentsmooth")
    program = "latentsmooth" if found else str(Path(sys.executable).with_name("latentsmooth"))
    with contextlib.suppress(ValueError):
        if not found:
            program = str(Path(program).relative_to(Path.cwd()))
    return " ".join(map(_quoted, (program, *words)))


def _quoted(word: str) -> str:
    """A word as shells read it, with nothing in it that could steer a terminal."""
    if plain(word) == word:
        return shlex.quote(word)
    letters = [
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    ]
    return "$'" + "".join(letters) + "'"


def load_classifier(name: str, device: str) -> LatentSmoothedClassifier:
    """Load a saved classifier onto a device; ``auto`` takes a GPU where there is one."""
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if chosen.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise UsageError(f"unknown device {device!r}: use auto, cpu, cuda, cuda:1, mps or xpu")
    model = LatentSmoothedClassifier.from_pretrained(name)
    try:
        return model.to(torch.device(chosen))
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"cannot use device {chosen!r}: {reason}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one piece, making its folder."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
