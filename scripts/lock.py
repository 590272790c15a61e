"""Write requirements.lock: exact versions for the package and its extras `test` and `dev`.

Run it with the Python the lock is for (3.11). Existing pins are kept; ``--upgrade NAME...`` renews
those named (needed when pyproject.toml's floor has risen above one), ``--upgrade`` alone all.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
EXTRAS = "test,dev"

# torch depends on these exactly, and only where a build for that machine needs them.
PLATFORM_ONLY = re.compile(r"^(nvidia-|cuda-|triton$)")

HEADER = """\
# Exact versions for latentsmooth with its extras {extras}. Written by scripts/lock.py (`make lock`)
# on Python {python}, {system}; the pins install on Python 3.11, 3.12 and 3.13.
# Python 3.10: numpy, scipy, pandas, pyarrow, pillow and others have no release there at these
# versions; `make` installs by pyproject.toml's ranges instead.
# torch carries no local version suffix, so a CPU build (2.13.0+cpu) or a CUDA build satisfies it;
# a CUDA build brings its own exactly pinned libraries.
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    pins = (line.split("==", maxsplit=1) for line in lines if line and not line.startswith("#"))
    return dict(pins)


def resolve(constraints: dict[str, str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "constraints.txt")
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()))
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--disable-pip-version-check"]
        command += ["--report", str(report), "--constraint", str(pinned), f"{ROOT}[{EXTRAS}]"]
        subprocess.run(command, check=True)
        installs = json.loads(report.read_text())["install"]
    found = {canonical(i["metadata"]["name"]): i["metadata"]["version"] for i in installs}
    return {
        name: version.split("+")[0]
        for name, version in sorted(found.items())
        if name != "latentsmooth" and not PLATFORM_ONLY.match(name)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", nargs="*", metavar="NAME", help="renew these pins, or all")
    names: list[str] | None = parser.parse_args().upgrade
    old = read_pins(LOCK)
    renewed = set(old) if names == [] else {canonical(name) for name in names or []}
    new = resolve({name: version for name, version in old.items() if name not in renewed})
    header = HEADER.format(
        extras=" and ".join(EXTRAS.split(",")),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
    )
    LOCK.write_text(header + "".join(f"{name}=={version}\n" for name, version in new.items()))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            print(f"{name}: {old.get(name, 'new')} -> {new.get(name, 'dropped')}")


if __name__ == "__main__":
    main()
