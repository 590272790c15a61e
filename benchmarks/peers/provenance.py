"""What a reader needs to judge a measurement: the command, the code, the machine, the versions."""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from latentsmooth.machine import describe_machine
from latentsmooth.records import package_versions

__all__ = ["provenance"]


def provenance(*packages: str) -> dict[str, Any]:
    """JSON-able facts about this run, with the versions of further packages."""
    others = {name: importlib.metadata.version(name) for name in packages}
    return {
        "command": shlex.join(["python", *sys.argv]),
        "commit": _commit(),
        "machine": describe_machine(torch.device("cpu")),
        "versions": {**package_versions(), **others},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _commit() -> str:
    """The checkout's commit, marked where files differ from it; empty outside a checkout."""
    told = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()
