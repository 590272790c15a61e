"""Words of a command, a log or a summary without the places of the machine they come from."""

from __future__ import annotations

import re
import shlex
from typing import Any

PLACE = re.compile(r"(?:~[\w-]*|\.{1,2})?/(?!/)")
"""How an absolute path begins, or one from the home folder, from here or from above."""


def placeless(word: str) -> str:
    """A word in which every path that starts outside of the working folder has its last name only.

    A flag, a data source's name and a list of files keep their form.

    >>> placeless("cifar10:../shared/data/cifar10-jpeg"), placeless("--output=/tmp/runs/a/")
    ('cifar10:cifar10-jpeg', '--output=a')
    >>> placeless("parquet:/d/train.parquet,/d/test.parquet"), placeless("runs/haar")
    ('parquet:train.parquet,test.parquet', 'runs/haar')
    >>> placeless('--runs=[{"name": "a", "reuse": "/home/me/old"}]')
    '--runs=[{"name": "a", "reuse": "old"}]'
    >>> placeless("https://example.org/a"), placeless("owner/name"), placeless("T-shirt/top")
    ('https://example.org/a', 'owner/name', 'T-shirt/top')
    """
    found = re.fullmatch(r"(-[\w-]*=)?([\w-]+:)?(.*)", word, re.DOTALL)
    if found is None:
        return word
    flag, source, rest = found[1] or "", found[2] or "", found[3]
    rest = re.sub(
        r'"([^"\\]*)"', lambda text: f'"{placeless(text[1])}"', rest
    )  # JSON, as a flag's value
    parts = [_last(part) if PLACE.match(part) else part for part in rest.split(",")]
    return flag + source + ",".join(parts)


def placeless_command(command: str) -> str:
    """A command line without places.

    >>> placeless_command("/opt/venv/bin/latentsmooth train --output '/tmp/my runs/a'")
    'latentsmooth train --output a'
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    return shlex.join(map(placeless, words))


def placeless_values(value: Any) -> Any:
    """JSON in which no text names a place; a ``…command`` is read as a command line."""
    if isinstance(value, dict):
        return {
            key: placeless_command(each)
            if key.endswith("command") and isinstance(each, str)
            else placeless_values(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [placeless_values(each) for each in value]
    return placeless(value) if isinstance(value, str) else value


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path
