"""Entry point of ``latentsmooth``."""

from __future__ import annotations

import io
import shlex
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from latentsmooth.cli import audit, bench, certify, demo, predict, report, train
from latentsmooth.cli.arguments import UsageError
from latentsmooth.errors import LatentSmoothError
from latentsmooth.reporting import plain
from latentsmooth.version import __version__

__all__ = ["build_parser", "main"]

COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "train": train,
    "certify": certify,
    "predict": predict,
    "audit": audit,
    "report": report,
    "bench": bench,
}

DESCRIPTION = """
Certified image classification by randomized smoothing in the latent space of an orthogonal
encoder. Start with `latentsmooth demo`; then train, certify and report on your own data.
Exit codes: 0 done, 1 the work failed, 2 the command line is wrong.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0, 1 (work failed) or 2 (wrong usage)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 is no error
    try:
        return _run(words)
    except (ArgumentError, UsageError) as error:
        return _fail(error, debug, code=2)
    except LatentSmoothError as error:
        return _fail(error, debug, code=1)
    except BrokenPipeError:
        return _closed_pipe()
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command to go on", debug, code=130)
    except (OSError, MemoryError, RuntimeError, ValueError, OverflowError, TypeError) as error:
        if debug:
            traceback.print_exception(error)
        text = f"{type(error).__name__}: {error}; --debug shows where"
        return _fail(text, False, code=1)


def _run(words: list[str]) -> int:
    try:
        namespace = build_parser().parse_args(words)
    except UnicodeDecodeError as error:
        raise UsageError(f"the --config file is not text: {error}") from error
    name = namespace.command
    options: Namespace = namespace[name]
    return int(COMMANDS[name].run(options, command=shlex.join(["latentsmooth", *words])))


def build_parser() -> ArgumentParser:
    """The parser with all subcommands."""
    parser = ArgumentParser(
        prog="latentsmooth",
        description=DESCRIPTION,
        exit_on_error=False,
        version=__version__,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subcommands(required=True, dest="command")
    for name, module in COMMANDS.items():
        inner = ArgumentParser(description=module.DESCRIPTION, exit_on_error=False)
        inner.add_argument(
            "--config", action="config", help="YAML file with any of these flags, dashes as _"
        )
        module.add_arguments(inner)
        commands.add_subcommand(name, inner, help=module.HELP)
    return parser


def _fail(error: object, debug: bool, *, code: int) -> int:
    if debug and isinstance(error, BaseException):
        traceback.print_exception(error)
    message = plain(" ".join(str(error).split()))
    print(f"latentsmooth: error: {message}", file=sys.stderr)
    return code


def _closed_pipe() -> int:
    """A reader such as ``head`` has left: no error, but nothing more can be written."""
    sys.stderr.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
