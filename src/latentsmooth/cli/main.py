"""Entry point of ``latentsmooth``."""

from __future__ import annotations

import contextlib
import io
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from latentsmooth.cli import attack, audit, bench, certify, demo, predict, report, sweep, train
from latentsmooth.cli.arguments import UsageError, command_line, expand_home
from latentsmooth.cli.config_file import ConfigFile
from latentsmooth.cli.flags import FlagParser
from latentsmooth.cli.notes import notes_on_stderr
from latentsmooth.errors import LatentSmoothError
from latentsmooth.interrupts import Terminated, prompt_interrupts
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
    "sweep": sweep,
    "attack": attack,
    "bench": bench,
}

DESCRIPTION = """
Certified image classification by randomized smoothing in the latent space of an orthogonal
encoder. Start with `latentsmooth demo`; then train, certify and report on your own data.
Exit codes: 0 done, 1 the work failed, 2 the command line is wrong; 130, 143, 129 interrupted by
Ctrl-C, SIGTERM, SIGHUP.
"""
LONGEST_MESSAGE = 1500
"""Characters of an error: what was read may be long, and a terminal is small."""
RESUMING = ("attack", "certify", "demo", "sweep", "train")
"""Commands that, given again, keep what they had done; an attack only in its --output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    It is 0, 1 (work failed), 2 (wrong usage), or 128 and the number of the signal that ended it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 is no error
    with prompt_interrupts() as interrupt:
        code = 1
        try:
            with notes_on_stderr():
                code = _guarded(words)
        except KeyboardInterrupt:
            interrupt.signal = interrupt.signal or signal.SIGINT
        except Terminated as error:
            interrupt.signal = error.signal
        except (Exception, SystemExit):
            if interrupt.signal is None:
                raise
        # Also where the exception was lost on its way here, or replaced: a closed terminal's error.
        if interrupt.signal is not None:
            code = _interrupted(words, interrupt.signal)
    return code


def _guarded(words: list[str]) -> int:
    debug = "--debug" in words
    try:
        return _run([word for word in words if word != "--debug"])
    except (ArgumentError, UsageError) as error:
        return _fail(error, debug, code=2)
    except LatentSmoothError as error:
        return _fail(error, debug, code=1)
    except BrokenPipeError:
        return _closed_pipe()
    except Exception as error:  # a defect: said in a line, and shown where with --debug
        if debug:
            _trace(error)
        text = f"{type(error).__name__}: {error}; --debug shows where"
        return _fail(text, False, code=1)


def _run(words: list[str]) -> int:
    try:
        namespace = build_parser().parse_args(words)
    except UnicodeDecodeError as error:
        raise UsageError(f"the --config file is not text: {error}") from error
    name = namespace.command
    options: Namespace = namespace[name]
    expand_home(options)
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
        inner = FlagParser(description=module.DESCRIPTION, exit_on_error=False)
        inner.add_argument(
            "--config", action=ConfigFile, help="YAML file with any of these flags, dashes as _"
        )
        module.add_arguments(inner)
        commands.add_subcommand(name, inner, help=module.HELP)
    return parser


def _trace(error: BaseException) -> None:
    """Print a traceback whose message, wherever it is from, cannot steer the terminal."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        print(plain(line), file=sys.stderr)


def _fail(error: object, debug: bool, *, code: int) -> int:
    if debug and isinstance(error, BaseException):
        _trace(error)
    message = plain(" ".join(str(error).split()))
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + " …"
    print(f"latentsmooth: error: {message}", file=sys.stderr)
    return code


def _interrupted(words: list[str], number: int) -> int:
    """Say how to go on, as far as there is still a terminal to say it to."""
    command = next((word for word in words if not word.startswith("-")), "")
    end = "go on" if _resumes(command, words) else "start anew"
    with contextlib.suppress(OSError, ValueError):
        print(
            f"latentsmooth: interrupted by {signal.Signals(number).name}; run the same command to "
            f"{end}:\n{command_line(*words)}",
            file=sys.stderr,
            flush=True,
        )
    return 128 + number


def _resumes(command: str, words: list[str]) -> bool:
    if command != "attack":
        return command in RESUMING
    with contextlib.suppress(Exception, SystemExit):
        parsed = build_parser().parse_args([word for word in words if word != "--debug"])
        return parsed.attack.output is not None  # which --config may have given
    return False


def _closed_pipe() -> int:
    """A reader such as ``head`` has left: no error, but nothing more can be written."""
    sys.stderr.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
