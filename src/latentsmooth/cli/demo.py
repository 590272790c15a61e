"""``latentsmooth demo``: LSRS and ISRS side by side, in minutes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields

from jsonargparse import ArgumentParser, Namespace

from latentsmooth.cli.arguments import add_fields, command_line
from latentsmooth.cli.progress import certification_progress
from latentsmooth.demo import DemoResult, DemoSettings, run_demo
from latentsmooth.errors import ConfigurationError, LogError
from latentsmooth.records.run import OnCertificate

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "train and certify LSRS and ISRS side by side on the embedded images"
DESCRIPTION = """
See the method work, in minutes and without any download: train a latent space (LSRS) and an input
space (ISRS) classifier of the same family on 5,000 Fashion-MNIST images, certify test images with
both, and compare accuracy and cost.
"""
TERMINAL_WIDTH = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--output", type=str, default="latentsmooth-demo", help="folder for everything it makes"
    )
    add_fields(parser, DemoSettings)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(options: Namespace, *, command: str) -> int:
    """Run it, print the comparison, and say what to do next."""
    settings = DemoSettings(**{field.name: options[field.name] for field in fields(DemoSettings)})

    def bar(title: str) -> AbstractContextManager[OnCertificate]:
        return certification_progress(quiet=False, title=title)

    try:
        result = _demo(settings, options, bar, command)
    except (ConfigurationError, LogError) as error:
        raise type(error)(f"{error} (or give the demo another --output)") from error
    print("\n" + result.table.rstrip())
    print(
        f"\nSpeed: a certificate took ISRS {result.speed_ratio:.2f} times as long as LSRS "
        f"({'measured in this run' if result.measured_now else 'from logs of an earlier run'})\n"
    )
    for purpose, path in result.files.items():
        print(f"{purpose + ':':<19} {path}")
    model = result.files["LSRS classifier"]
    more = ["--log", "more.jsonl", "--n-estimate", "10000", "--limit", "20"]
    print(
        "\nNext:"
        f"\n  {command_line('audit', str(model))}"
        f"\n  {command_line('certify', str(model), 'fashion-mini', *more)}"
        f"\n  {command_line('train', '--help')}"
    )
    return 0


def _demo(
    settings: DemoSettings,
    options: Namespace,
    bar: Callable[[str], AbstractContextManager[OnCertificate]],
    command: str,
) -> DemoResult:
    return run_demo(
        settings,
        options.output,
        say=lambda text: print(text, flush=True),
        progress=None if options.quiet else bar,
        table_width=max(TERMINAL_WIDTH, shutil.get_terminal_size().columns),
        command=command,
    )
