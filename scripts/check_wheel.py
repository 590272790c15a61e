"""Fail when a built wheel lacks a file it must carry, or has it empty: check_wheel.py WHEEL."""

from __future__ import annotations

import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
WANTED = [
    "latentsmooth/py.typed",
    "latentsmooth/images/data/*.parquet",
    "latentsmooth/models/packaged/fashion-mnist/model.safetensors",
    "latentsmooth/models/packaged/fashion-mnist/config.json",
    "latentsmooth/models/packaged/fashion-mnist/README.md",
    "latentsmooth-*.dist-info/licenses/LICENSE",
    "latentsmooth-*.dist-info/licenses/*/LICENSE-fashion-mnist",
    "latentsmooth-*.dist-info/entry_points.txt",
]
MAY_BE_EMPTY = "*/py.typed"
MOST_BYTES = {"latentsmooth/models/packaged/*": 2_000_000, "*": 8_000_000}
"""Of the files of a pattern together, unpacked: the wheel is to stay small."""


def package_files() -> list[str]:
    files = (path for path in (SOURCE / "latentsmooth").rglob("*") if path.is_file())
    names = [path.relative_to(SOURCE).as_posix() for path in files]
    return [name for name in names if "/__pycache__/" not in name and "/." not in name]


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
    names = [name for name, size in sizes.items() if size or fnmatch(name, MAY_BE_EMPTY)]
    wanted = sorted({*WANTED, *package_files()})
    missing = [name for name in wanted if not any(fnmatch(held, name) for held in names)]
    if missing:
        sys.exit(f"{sys.argv[1]} lacks {', '.join(missing)}")
    for pattern, most in MOST_BYTES.items():
        total = sum(size for name, size in sizes.items() if fnmatch(name, pattern))
        if total > most:
            sys.exit(f"{sys.argv[1]}: {pattern} takes {total:,} bytes, wanted at most {most:,}")
    print(f"{Path(sys.argv[1]).name}: {len(names)} files, {', '.join(WANTED)} among them")


if __name__ == "__main__":
    main()
